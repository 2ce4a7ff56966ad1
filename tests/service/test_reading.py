"""The reading door over what two published lists say: customers, changes, lists, cards, what may be kept."""

import asyncio
import csv
import io
import threading
import time
import zipfile
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import jsonschema
import pytest
from sqlalchemy import select, update

from features import config as configs
from features import erased
from serving.config import ServingConfig
from serving.http import api, changed, listing, openapi
from serving.http import cursor as cursors
from serving.life.live import Live
from serving.lists import retention
from serving.lists.rows import Rows
from serving.problem import Refusal
from serving.stores import store
from serving.stores.records import Published, Run, Score
from tests.service import databases
from tests.service import world as worlds
from training import bundle as bundles
from training.bundle import seal

ODD = "東京/支店 =1+2 ?#"
SECRET = "Nakamura-Private-Ltd"
LATEST = "/v1/risk-lists/churn/latest"
SORTS = ["rank", "score", "value_at_risk", "gain", "change", "renewal"]
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@dataclass(frozen=True)
class Reader:
    """The app of a world, asked as the door would ask it."""

    world: worlds.World
    app: api.Api

    def ask(self, method, path, **more):
        async def asked():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def rows(self, query=""):
        return self.get(f"{LATEST}?{query}").json()["rows"]


def reader_of(world):
    return Reader(world, api.app(Live(world.config), lambda: worlds.NOON))


def published_twice(folder, second=None, kind="sqlite"):
    """Last week's list by one model, today's by another."""
    world = databases.placed(worlds.make(folder / folder.name), kind)
    world.place(worlds.bundle())
    world.publish(worlds.LAST_WEEK)
    world.place(second or worlds.bundle(seed=1))
    world.publish(worlds.TODAY)
    return world


@pytest.fixture(scope="module")
def base(workspace, tmp_path_factory):
    """What others are copied from."""
    return published_twice(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module", params=databases.KINDS)
def reader(request, workspace, tmp_path_factory):
    """Nobody changes this one. A customer of an odd id was added to today's list."""
    world = published_twice(tmp_path_factory.mktemp(f"reading-{request.param}"), kind=request.param)
    with world.session() as session:
        run = store.published(session, "churn")
        row = store.row(session, run.id, "C-0020")
        copy = {column.name: getattr(row, column.name) for column in Score.__table__.columns}
        session.add(
            Score(**{**copy, "customer_id": ODD, "name": "=cmd()", "rank": 59, "change": None, "renewal": None})
        )
        session.commit()
    return reader_of(world)


@pytest.fixture
def own(base):
    """A world that a test may change."""
    return reader_of(databases.copied(base, f"own{next(databases.NUMBERS)}"))


def problem(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json" and SECRET not in response.text
    return response.json()


# ---- what the description says


def fits(document, response, path, method="get"):
    """Whether an answer is as the description of its operation says."""
    responses = document["paths"][path][method]["responses"]
    media = response.headers["content-type"].partition(";")[0]
    schema = responses[str(response.status_code)]["content"][media]["schema"]
    whole = {**schema, "components": document["components"]}
    jsonschema.validate(response.json(), whole, format_checker=jsonschema.FormatChecker())


CUSTOMER = "/v1/customers/{customer_id}"
ANSWERS = [
    (CUSTOMER, "/v1/customers/C-0009?lang=ja", 200),
    (CUSTOMER, f"/v1/customers/{worlds.LEAVING}", 200),
    (CUSTOMER, "/v1/customers/nobody", 404),
    (CUSTOMER, "/v1/customers/C-0009?reasons=x", 422),
    (f"{CUSTOMER}/history", "/v1/customers/C-0009/history?limit=1", 200),
    (f"{CUSTOMER}/changes", "/v1/customers/C-0009/changes?model=churn", 200),
    (f"{CUSTOMER}/changes", "/v1/customers/C-0009/changes", 422),
    ("/v1/risk-lists", "/v1/risk-lists", 200),
    ("/v1/risk-lists/{model}/{as_of}", "/v1/risk-lists/churn/2026-02-01?lang=ja", 200),
    ("/v1/risk-lists/{model}/{as_of}", "/v1/risk-lists/churn/2020-02-01", 404),
    ("/v1/models", "/v1/models?lang=ja", 200),
    ("/v1/models/{model}/card", "/v1/models/churn/card", 200),
    ("/v1/limits", "/v1/limits", 200),
    ("/v1/actions", "/v1/actions", 200),
    ("/readyz", "/readyz", 200),
]


@pytest.mark.parametrize(("path", "asked", "status"), ANSWERS)
def test_every_answer_is_as_the_description_says(reader, path, asked, status):
    response = reader.get(asked)
    assert response.status_code == status
    fits(reader.get("/openapi.json").json(), response, path)


def test_the_description_speaks_of_every_operation_and_only_of_the_models_there_are(reader):
    document = reader.get("/openapi.json").json()
    found = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert found == {(one.path, one.method) for one in api.OPERATIONS}
    assert document["components"]["schemas"]["ScoreRequest"]["properties"]["model"]["enum"] == ["churn"]
    assert document == openapi.document(api.OPERATIONS, ("churn",))


# ---- one customer


def test_a_customer_of_an_odd_id_is_found_by_the_encoded_path(reader):
    body = reader.get(f"/v1/customers/{quote(ODD, safe='')}").json()
    assert body["customer_id"] == ODD and body["models"]["churn"]["name"] == "=cmd()"
    problem(reader.get(f"/v1/customers/{ODD.partition('?')[0]}"), 404)


@pytest.mark.parametrize("customer_id", ["%00", "C-0009%0A", "%ff", "x" * 256, "C-0009%20"])
def test_what_is_nobodys_id_is_not_found(reader, customer_id):
    for end in ("", "/history", "/changes?model=churn"):
        problem(reader.get(f"/v1/customers/{customer_id}{end}"), 404)


def test_the_newest_word_is_the_lists_row(reader):
    (listed,) = [row for row in reader.rows() if row["customer_id"] == "C-0009"]
    word = reader.get("/v1/customers/C-0009").json()["models"]["churn"]
    assert {name: word[name] for name in listed} == listed


def test_history_page_by_page_is_the_whole_history(reader):
    whole = reader.get("/v1/customers/C-0009/history?reasons=50").json()
    assert [entry["as_of"] for entry in whole["history"]] == ["2026-02-01", "2026-01-25"] and whole["next"] is None
    assert all(entry["reasons"][0]["text"] for entry in whole["history"])
    for entry in whole["history"]:
        moved = sum(reason["points"] for reason in entry["reasons"])
        assert abs(moved - (entry["score"] - entry["reference"])) < 1e-9
    first = reader.get("/v1/customers/C-0009/history?reasons=50&limit=1").json()
    second = reader.get(f"/v1/customers/C-0009/history?reasons=50&limit=1&cursor={first['next']}").json()
    assert first["history"] + second["history"] == whole["history"] and second["next"] is None
    problem(reader.get(f"/v1/customers/C-0010/history?limit=1&cursor={first['next']}"), 422)


# ---- what changed


def changes(reader, customer_id, query=""):
    return reader.get(f"/v1/customers/{customer_id}/changes?model=churn&{query}").json()


def test_data_and_model_are_told_apart_by_the_new_data_under_the_old_model(reader):
    home = reader.world.config.home
    with reader.world.session() as session:
        run = store.published(session, "churn")
        old_run = store.previous(session, run)
    old = bundles.load(home / "bundles" / old_run.bundle)
    rows = Rows(home / "snapshots" / run.snapshot)
    for customer_id in ("C-0009", "C-0020", "C-0033"):
        frame = rows.read([rows.position(customer_id)])
        (between,) = old.probability(old.margin(old.matrix(frame)))
        answer = changes(reader, customer_id)
        then, now, split = answer["then"]["score"], answer["now"]["score"], answer["split"]
        assert split["between"] == pytest.approx(between, abs=1e-12)
        assert split["data"] == pytest.approx(between - then, abs=1e-12)
        assert split["model"] == pytest.approx(now - between, abs=1e-12) and abs(split["model"]) > 1e-6
        assert abs(split["data"] + split["model"] - answer["change"]) < 1e-15


def test_the_families_that_moved_add_up_with_the_references(reader):
    answer = changes(reader, "C-0020", "reasons=50&lang=ja")
    moved, shift = sum(one["moved"] for one in answer["families"]), 0.0
    shift = answer["now"]["reference"] - answer["then"]["reference"]
    assert abs(moved + shift - answer["change"]) < 1e-9
    sizes = [abs(one["moved"]) for one in answer["families"]]
    assert sizes == sorted(sizes, reverse=True) and all(before >= after for before, after in pairwise(sizes))
    login = next(one for one in answer["families"] if one["family"] == "login")
    assert login["then"]["facts"]["feature"] and login["now"]["text"].endswith("。")


def test_with_one_model_all_of_it_is_the_data(workspace, tmp_path):
    answer = changes(reader_of(published_twice(tmp_path, second=worlds.bundle())), "C-0009")
    assert answer["split"]["model"] == 0.0 and answer["split"]["data"] == answer["change"]


def _gone(world, old):
    for file in (world.config.home / "bundles" / old).iterdir():
        file.unlink()


def _tampered(world, old):
    file = world.config.home / "bundles" / old / "calibrator.json"
    file.write_text(file.read_text().replace("1.2", "1.3"))


def _rows_gone(world, old):
    for file in (world.config.home / "snapshots").iterdir():
        file.unlink()


@pytest.mark.parametrize(("harm", "why"), [(_gone, "model_gone"), (_tampered, "model_gone"), (_rows_gone, "rows_gone")])
def test_where_it_cannot_be_told_it_says_why(own, harm, why):
    with own.world.session() as session:
        old = store.previous(session, store.published(session, "churn")).bundle
    whole = own.get("/v1/customers/C-0009/changes?model=churn")
    assert whole.json()["split"]
    harm(own.world, old)
    changed._kept.cache_clear()
    held = own.get("/v1/customers/C-0009/changes?model=churn", **{"if-none-match": whole.headers["etag"]})
    assert held.status_code == 200, "another answer has another tag"
    answer = changes(own, "C-0009")
    assert answer["split"] is None and answer["no_split"]["reason"] == why and answer["no_split"]["text"]
    assert answer["change"] == answer["now"]["score"] - answer["then"]["score"] and answer["families"]


def test_an_older_model_that_reads_other_features_is_not_guessed(workspace, tmp_path):
    world = worlds.make(tmp_path / tmp_path.name)
    plain = worlds.bundle()
    world.place(plain)
    world.publish(worlds.LAST_WEEK)
    world.place(worlds.bundle(seed=1))
    world.publish(worlds.TODAY)
    first, *others = plain.info.features
    info = plain.info.model_copy(update={"features": [{**first, "name": "login_recency_9d"}, *others]})
    other = seal(info, plain.model, plain.calibrator, plain.reference)
    bundles.save(other, world.config.home / "bundles" / other.sha256)
    with world.session() as session:
        store.previous(session, store.published(session, "churn")).bundle = other.sha256
        session.commit()
    answer = changes(reader_of(world), "C-0009", "lang=ja")
    assert answer["no_split"]["reason"] == "does_not_fit" and "特徴量" in answer["no_split"]["text"]


def test_a_first_list_has_nothing_before_it(workspace, tmp_path):
    world = worlds.make(tmp_path / tmp_path.name)
    world.place(worlds.bundle())
    world.publish()
    answer = changes(reader_of(world), "C-0009")
    assert answer["then"] is None and answer["no_split"]["reason"] == "no_list_before" and answer["families"] == []


def test_a_customer_on_one_list_only(reader):
    answer = changes(reader, quote(ODD, safe=""))
    assert answer["then"]["score"] is None and answer["no_split"]["reason"] == "not_on_both"


# ---- lists


def test_which_lists_there_are_newest_first_and_page_by_page(reader):
    whole = reader.get("/v1/risk-lists").json()["lists"]
    assert [(one["as_of"], one["rows"]) for one in whole] == [("2026-02-01", 58), ("2026-01-25", 58)]
    first = reader.get("/v1/risk-lists?limit=1").json()
    second = reader.get(f"/v1/risk-lists?limit=1&cursor={first['next']}").json()
    assert first["lists"] + second["lists"] == whole and second["next"] is None


FILTERS = [
    ("owner=ann@example.com", lambda row: row["owner"] == "ann@example.com"),
    ("band=high", lambda row: row["band"] == "high"),
    ("action=contact", lambda row: row["action"] == "contact"),
    ("min_value=2500", lambda row: row["value_at_risk"] >= 2500),
    ("owner=bob@example.com&min_value=1500.5", lambda r: r["owner"] != "ann@example.com" and r["value_at_risk"] > 1500),
    ("segment=cannot_lose", lambda row: False),
    ("stage=mature", lambda row: False),
]


@pytest.mark.parametrize(("query", "kept"), FILTERS)
def test_filters_keep_the_rows_a_reader_would_keep(reader, query, kept):
    whole = reader.rows()
    assert reader.rows(query) == [row for row in whole if kept(row)]


@pytest.mark.parametrize("falling", ["", "-"])
@pytest.mark.parametrize("sort", SORTS)
def test_every_order_with_empty_cells_last_and_the_same_in_pages(reader, sort, falling):
    whole = reader.rows(f"sort={falling}{sort}")
    values = [row[sort] for row in whole]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=bool(falling)) and values[len(known) :] == [None] * (59 - len(known))
    pages, cursor = [], ""
    while cursor is not None:
        page = reader.get(f"{LATEST}?sort={falling}{sort}&limit=7{cursor and '&cursor='}{cursor}").json()
        pages, cursor = pages + page["rows"], page["next"]
    assert pages == whole and len({row["customer_id"] for row in pages}) == 59


def test_a_cursor_is_good_only_where_it_came_from(reader):
    cursor = reader.get(f"{LATEST}?limit=5&sort=score&band=low").json()["next"]
    assert reader.get(f"{LATEST}?limit=9&sort=score&band=low&cursor={cursor}&lang=ja").status_code == 200
    wrong = [
        f"sort=score&cursor={cursor}",
        f"sort=gain&band=low&cursor={cursor}",
        f"sort=score&band=low&cursor={cursor}x",
    ]
    flipped = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]
    for query in (*wrong, f"sort=score&band=low&cursor={flipped}", "cursor=%E6%9D%B1", "cursor="):
        problem(reader.get(f"{LATEST}?limit=5&{query}"), 422)
    problem(reader.get(f"/v1/risk-lists/churn/2026-01-25?limit=5&sort=score&band=low&cursor={cursor}"), 422)


FORGED = [
    (LATEST, "limit=2", "rank", ["2026-01-01", "C"]),
    (LATEST, "limit=2", "rank", [3, "C\0"]),
    (LATEST, "limit=2&sort=renewal", "renewal", [3, "C"]),
    ("/v1/risk-lists", "", None, ["2026-02-01", "a\0"]),
    ("/v1/customers/C-0009/history", "", None, ["2026-02-01", "a\0"]),
]


@pytest.mark.parametrize(("path", "query", "sort", "place"), FORGED)
def test_a_forged_cursor_is_a_broken_one_and_no_fault_of_the_store(reader, path, query, sort, place):
    with reader.world.session() as session:
        run = store.published(session, "churn").id
    of = ["history", "C-0009", None] if "history" in path else ["lists", None]
    if sort:
        of, place = ["list", "churn", "latest", *[None] * 6, sort], [run, *place]
    assert "cursor" in problem(reader.get(f"{path}?{query}&cursor={cursors.cursor(of, place)}"), 422)["detail"]


def test_the_next_page_is_linked_for_tables_too(reader):
    first = reader.get(f"{LATEST}?format=csv&limit=30")
    following = first.headers["link"].partition(">")[0].removeprefix("<")
    second = reader.get(LATEST + following)
    assert "link" not in second.headers
    rows = [row for page in (first, second) for row in csv.DictReader(io.StringIO(page.content.decode("utf-8-sig")))]
    assert [row["customer_id"] for row in rows] == [row["customer_id"] for row in reader.rows()]


def test_a_list_made_anew_ends_its_cursors_and_a_newer_date_does_not(workspace, tmp_path):
    world = worlds.make(tmp_path / tmp_path.name)
    world.place(worlds.bundle())
    world.publish(worlds.LAST_WEEK)
    reader = reader_of(world)
    begun = reader.get(f"{LATEST}?limit=40").json()
    world.publish(worlds.TODAY)
    rest = reader.get(f"{LATEST}?limit=40&cursor={begun['next']}").json()
    assert rest["as_of"] == begun["as_of"] == "2026-01-25" and len(begun["rows"] + rest["rows"]) == 58
    dated = reader.get("/v1/risk-lists/churn/2026-01-25?limit=40").json()["next"]
    world.place(worlds.bundle(seed=3))
    world.publish(worlds.LAST_WEEK)
    for path, cursor in ((LATEST, begun["next"]), ("/v1/risk-lists/churn/2026-01-25", dated)):
        assert "begin again" in problem(reader.get(f"{path}?limit=40&cursor={cursor}"), 410)["detail"]


def test_rows_removed_for_their_age_are_never_an_empty_list(own):
    with own.world.session() as session:
        store.published(session, "churn", worlds.LAST_WEEK).state = "pruned"
        store.published(session, "churn", worlds.TODAY).state = "thinned"
        session.commit()
    problem(own.get("/v1/risk-lists/churn/2026-01-25"), 410)
    assert own.get(LATEST).json()["reasons_kept"] is False


def test_csv_says_what_json_says_and_its_cells_are_safe(reader):
    asked = reader.get(f"{LATEST}?format=csv&lang=ja")
    assert asked.content == reader.get(f"{LATEST}?lang=ja", accept="text/csv").content
    rows = list(csv.DictReader(io.StringIO(asked.content.decode("utf-8-sig"))))
    assert [float(row["score"]) for row in rows] == [row["score"] for row in reader.rows()]
    assert {"'=Company 0", "'=cmd()"} <= {row["name"] for row in rows}


def sheet_of(response):
    """The only sheet: its cells as (type, text) in rows, and all parts of the file."""
    with zipfile.ZipFile(io.BytesIO(response.content)) as book:
        parts = {name: book.read(name).decode() for name in book.namelist()}
    rows = []
    for row in ElementTree.fromstring(parts["xl/worksheets/sheet1.xml"]).iter(f"{SHEET}row"):
        cells = {}
        for cell in row.iter(f"{SHEET}c"):
            column = cell.get("r").rstrip("0123456789")
            cells[column] = (cell.get("t", "n"), "".join(cell.itertext()))
        rows.append(cells)
    return rows, parts


def test_a_spreadsheet_has_typed_cells_and_nothing_active(reader):
    response = reader.get(f"{LATEST}?format=xlsx&lang=ja&sort=-score")
    assert response.headers["content-disposition"] == 'attachment; filename="churn-2026-02-01.xlsx"'
    (title, _, head, *rows), parts = sheet_of(response)
    assert "解約予測リスト" in title["A"][1] and 'state="frozen"' in parts["xl/worksheets/sheet1.xml"]
    assert not any("<f>" in text or "hyperlink" in text for text in parts.values())
    place = {cell[1]: column for column, cell in head.items()}
    listed = reader.rows("sort=-score&lang=ja")
    assert [row[place["顧客ID"]] for row in rows] == [("inlineStr", row["customer_id"]) for row in listed]
    assert [float(row[place["スコア"]][1]) for row in rows] == pytest.approx(
        [row["score"] for row in listed], abs=1e-15
    )
    assert {row[place["スコア"]][0] for row in rows} == {"n"}
    assert ("inlineStr", "=cmd()") in [row[place["顧客名"]] for row in rows]
    first, renewal = listed[0], rows[0][place["契約更新日"]]
    assert renewal == ("n", str((date.fromisoformat(first["renewal"]) - date(1899, 12, 30)).days))
    assert rows[0][place["理由1"]][1] == first["reasons"][0]["text"]


def test_a_list_of_nobody_is_a_table_all_the_same(reader):
    nobody = "owner=nobody@example.com"
    assert reader.rows(nobody) == []
    assert len(list(csv.reader(io.StringIO(reader.get(f"{LATEST}?{nobody}&format=csv").text)))) == 1
    (*_, head), _ = sheet_of(reader.get(f"{LATEST}?{nobody}&format=xlsx"))
    assert head["A"] == ("inlineStr", "#")


# ---- asking again


KEPT = ["/v1/customers/C-0009", "/v1/customers/C-0009/history", "/v1/customers/C-0009/changes?model=churn", LATEST]
KEPT += [
    f"{LATEST}?format=csv",
    "/v1/risk-lists",
    "/v1/models",
    "/v1/models/churn/card",
    "/v1/actions",
    "/openapi.json",
]


@pytest.mark.parametrize("path", KEPT)
def test_what_is_held_already_is_not_sent_again(reader, path):
    first = reader.get(path)
    tag = first.headers["etag"]
    again = reader.get(path, **{"if-none-match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert reader.get(path, **{"if-none-match": '"other"'}).content == first.content
    other = reader.get(path + ("&" if "?" in path else "?") + "lang=ja")
    assert other.status_code == 422 or other.headers["etag"] != tag or "openapi" in path
    head = reader.ask("HEAD", path)
    assert head.content == b"" and head.headers["etag"] == tag
    assert head.headers["content-type"] == first.headers["content-type"]


def test_another_format_or_a_new_list_has_another_tag(own):
    tags = {own.get(LATEST, accept=media).headers["etag"] for media in ("application/json", "text/csv")}
    own.world.place(worlds.bundle(seed=5))
    own.world.publish(worlds.TODAY)
    assert len(tags | {own.get(LATEST).headers["etag"]}) == 3


# ---- addresses, headers, the store


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/risk-lists", 405),
        ("PUT", "/v1/customers/C-0009", 405),
        ("GET", "/v1/contacts", 405),
        ("GET", "/nothing", 404),
        ("GET", "/v1/customers/", 404),
        ("GET", "/v1/risk-lists/other/latest", 404),
        ("GET", "/v1/models/other/card", 404),
        ("GET", "/v1/risk-lists?model=other", 422),
        ("GET", "/v1/customers/C-0009/changes?model=other", 422),
        ("GET", "/v1/risk-lists/churn/20260201", 422),
        ("GET", "/v1/risk-lists/churn/2026-02-30", 422),
        ("GET", f"{LATEST}?limit=0", 422),
        ("GET", f"{LATEST}?limit=10001", 422),
        ("GET", f"{LATEST}?limit=1_0", 422),
        ("GET", f"{LATEST}?limit=%EF%BC%91", 422),
        ("GET", f"{LATEST}?limit=", 422),
        ("GET", f"{LATEST}?limit=5&limit=5", 422),
        ("GET", f"{LATEST}?min_value=nan", 422),
        ("GET", f"{LATEST}?min_value=1e400", 422),
        ("GET", f"{LATEST}?owner=a%00b", 422),
        ("GET", f"{LATEST}?sort=name", 422),
        ("GET", f"{LATEST}?band={SECRET}&{SECRET}={SECRET}", 422),
    ],
)
def test_what_does_not_fit_is_refused_and_never_repeated(reader, method, path, status):
    answer = reader.ask(method, path)
    problem(answer, status)
    assert ("allow" in answer.headers) == (status == 405)


def test_every_place_of_a_query_is_named(reader):
    errors = problem(reader.get(f"{LATEST}?limit=x&sort=y&band=z&other=1"), 422)["errors"]
    assert [error["path"] for error in errors] == ["query", "band", "sort", "limit"]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("text/html, text/csv;q=0.9, application/json;q=0.1", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv;q=0, */*;q=0.1", "application/json"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("nonsense", None),
    ],
)
def test_the_format_is_the_one_accepted_best(reader, accept, media):
    answer = reader.get(f"{LATEST}?limit=1", accept=accept)
    if media is None:
        problem(answer, 406)
    else:
        assert answer.headers["content-type"].partition(";")[0] == media


def test_without_the_store_reading_says_so_and_memory_still_answers(own):
    assert own.get("/v1/models").status_code == 200
    own.world.config.home.joinpath("serving.db").write_bytes(b"this is no database" * 100)
    for path in (
        "/v1/customers/C-0009",
        LATEST,
        f"{LATEST}?format=xlsx",
        "/v1/risk-lists",
        "/v1/actions",
        "/v1/limits",
    ):
        answer = own.get(path)
        assert "store" in problem(answer, 503)["detail"] and int(answer.headers["retry-after"]) > 0
    for path in ("/v1/models", "/v1/models/churn/card", "/livez", "/openapi.json"):
        assert own.get(path).status_code == 200


def test_a_slow_answer_keeps_no_other_waiting(reader, monkeypatch):
    waiting, go_on = threading.Event(), threading.Event()
    plain = store.published

    def slow(*given):
        waiting.set()
        assert go_on.wait(20)
        return plain(*given)

    monkeypatch.setattr(store, "published", slow)

    async def asked():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=reader.app), base_url="http://door") as client:
            late = asyncio.ensure_future(client.get(LATEST))
            await asyncio.to_thread(waiting.wait, 20)
            quick = await client.get("/v1/models")
            was_waiting = not late.done()
            go_on.set()
            return quick.status_code, was_waiting, (await late).status_code

    assert asyncio.run(asked()) == (200, True, 200)


def test_lists_of_models_that_are_no_more_in_the_config_are_not_shown(own):
    world = own.world
    world.path.write_text("data: data.yaml\nmodels: [upsell]\n", encoding="utf-8")
    other = Reader(world, api.app(Live(configs.load(world.path, ServingConfig)), lambda: worlds.NOON))
    with world.session() as session:
        assert session.scalars(select(Published.model)).all()
    assert other.get("/v1/risk-lists").json()["lists"] == []
    problem(other.get("/v1/customers/C-0009"), 404)
    problem(other.get(LATEST), 404)


def test_who_is_ready_but_does_not_know_who_was_erased_says_so(own):
    (own.world.config.home / erased.NAME).write_text("{")
    (error,) = problem(reader_of(own.world).get("/readyz"), 503)["errors"]
    assert "erased.json" in error["message"]


def test_many_who_read_whole_lists_get_them_and_few_pieces_are_made_at_a_time(own, monkeypatch):
    """Threads that make pieces of lists take their time from scoring."""
    monkeypatch.setattr(listing, "PIECE", 10)
    plain, making, most = store.page, [], []

    def slowly(*given, **named):
        making.append(1)
        most.append(len(making))
        time.sleep(0.005)
        found = plain(*given, **named)
        making.pop()
        return found

    async def all_at_once():
        transport = httpx.ASGITransport(app=own.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            forms = ("text/csv", "application/json") * 4
            return await asyncio.gather(*(client.get(LATEST, headers={"accept": form}) for form in forms))

    expected = own.get(LATEST, accept="text/csv").content, own.get(LATEST).content
    monkeypatch.setattr(store, "page", slowly)
    assert [answer.content for answer in asyncio.run(all_at_once())] == [*expected] * 4
    assert max(most) == api.LISTS and len(most) > 8 * 4


def test_a_list_that_is_pruned_while_it_is_read_ends_as_no_whole_list(own, monkeypatch):
    """The first piece was read; then its rows go."""
    monkeypatch.setattr(listing, "PIECE", 10)
    plain, read = store.page, []

    def late(session, run_id, *given, **named):
        if len(read) == 1:
            retention.remove(session, run_id)
            session.execute(update(Run).where(Run.id == run_id).values(state="pruned"))
            session.commit()
        read.append(run_id)
        return plain(session, run_id, *given, **named)

    monkeypatch.setattr(store, "page", late)
    with pytest.raises(Refusal):
        own.get(LATEST)
    assert len(read) == 2
    problem(own.get(LATEST), 410)


def thinned_at(monkeypatch, read_before):
    """As ``daily`` begins to remove reasons, after so many pieces were read; returns what was read."""
    plain, read = store.page, []

    def late(session, run_id, *given, **named):
        if len(read) == read_before:
            session.execute(update(Run).where(Run.id == run_id).values(state="thinned"))
            session.execute(update(Score).where(Score.run_id == run_id).values(families={}))
            session.commit()
        read.append(run_id)
        return plain(session, run_id, *given, **named)

    monkeypatch.setattr(listing, "PIECE", 10)
    monkeypatch.setattr(store, "page", late)
    return read


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_list_that_is_thinned_while_it_is_read_ends_as_no_whole_list(own, monkeypatch, form):
    """Its head has promised reasons."""
    read = thinned_at(monkeypatch, 3)
    with pytest.raises(Refusal):
        own.get(f"{LATEST}?format={form}")
    assert len(read) == 4
    assert own.get(LATEST).json()["reasons_kept"] is False, "the next answer says so from its head on"


@pytest.mark.parametrize(("query", "before"), [("", 0), ("format=csv", 0), ("limit=5", 0), ("format=xlsx", 2)])
def test_a_list_that_is_thinned_before_its_answer_begins_is_refused(own, monkeypatch, query, before):
    thinned_at(monkeypatch, before)
    assert "ask again" in problem(own.get(f"{LATEST}?{query}"), 410)["detail"]
    assert own.get(f"{LATEST}?{query}").status_code == 200


def test_whoever_has_a_tombstone_is_shown_nowhere_though_the_erasure_is_not_finished(service):
    home, customer = service.world.config.home, "C-0013"
    first = service.get("/v1/risk-lists/churn/latest")
    before, kept = first.json()["rows"], {"if-none-match": first.headers["etag"]}
    assert service.get("/v1/risk-lists/churn/latest", **kept).status_code == 304
    erased.add(home, customer, worlds.TODAY)
    try:
        for path in ("", "/history", "/changes?model=churn"):
            assert service.get(f"/v1/customers/{customer}{path}").status_code == 404
        rows = service.get("/v1/risk-lists/churn/latest", **kept).json()["rows"]
        assert rows == [row for row in before if row["customer_id"] != customer] and len(rows) == len(before) - 1
        sheet = service.get("/v1/risk-lists/churn/latest", accept="text/csv")
        assert sheet.status_code == 200 and customer not in sheet.text and "C-0014" in sheet.text
    finally:
        (home / erased.NAME).unlink()
        (home / erased.MADE).unlink()
    assert service.get(f"/v1/customers/{customer}").status_code == 200
