"""The daily job: what it publishes, what it refuses, what it says."""

import csv
import io
import json
import sys
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from weakref import ref

import pandas as pd
import pytest
from sqlalchemy import select, update

from features import facts, snapshot
from features.catalogue import Feature
from features.config import load
from features.errors import DataError
from features.ledger import Late
from features.segments import Cuts
from features.snapshot_config import Population, Seen
from serving import __main__ as doors
from serving.config import ServingConfig
from serving.guards import audit, trail
from serving.lists import checks, daily, pieces, risk_list, scoring
from serving.lists.rows import Rows
from serving.stores import good, records, store
from tests.service import databases
from tests.service import world as worlds
from tests.service.world import World
from tests.unit.bundles import frame, logistic_bundle, rule_bundle


@pytest.fixture
def world(workspace, tmp_path):
    made = worlds.make(tmp_path / tmp_path.name)
    made.place(worlds.bundle())
    return made


def door(monkeypatch, capsys, *arguments):
    """Run a command as typed; returns exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["serving", *map(str, arguments)])
    try:
        code = doors.main()
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def test_a_list_holds_every_customer_at_risk_once_with_everything_about_it(world):
    made = world.publish(worlds.LAST_WEEK)
    made = world.publish()
    content = json.loads(made.json.read_text())
    rows = content["rows"]
    assert made.rows == len(rows) == 58 and [row["rank"] for row in rows] == list(range(1, 59))
    ids = {row["customer_id"] for row in rows}
    assert len(ids) == 58 and not ids & {worlds.LEAVING, worlds.OPTED_OUT} and worlds.SILENT in ids
    assert content["as_of"] == "2026-02-01" and content["grade"] == "B" and content["note"] is None
    assert all(row["change"] is not None and len(row["reasons"]) >= 2 for row in rows)
    actions = [row["action"] for row in rows]
    assert actions[: actions.count("contact")] == ["contact"] * actions.count("contact")
    assert {"contact", "held_out", "resting", "beyond_capacity"} <= set(actions)
    assert all(row["held_out"] == (row["action"] == "held_out") for row in rows)
    gains = [row["gain"] for row in rows if row["action"] != "contact"]
    assert gains == sorted(gains, reverse=True)
    resting = {row["customer_id"] for row in rows if row["action"] == "resting"}
    assert resting <= {"C-0010", "C-0011", "C-0012", "C-0013"}
    with world.session() as session:
        run = store.published(session, "churn")
        for row in store.listed(session, run.id):
            points = sum(part["points"] for part in row.families.values())
            log_odds = sum(part["log_odds"] for part in row.families.values())
            assert abs(points - (row.score - run.reference)) < 1e-9
            base = daily.champions(world.config)["churn"].base_margin
            assert abs(log_odds - (row.margin - base)) < 1e-9


def test_the_list_does_not_depend_on_its_parts_and_only_a_few_are_in_memory_at_a_time(world, tmp_path, monkeypatch):
    whole = world.publish()
    other = worlds.make(tmp_path / f"{tmp_path.name}-parts")  # the same company, read anew
    other.place(worlds.bundle())
    monkeypatch.setattr(facts, "CUSTOMERS", 4)
    seen, alive, pieces = [], [], snapshot.pieces

    def watched(*arguments, **options):
        for part, left_out in pieces(*arguments, **options):
            seen.append(ref(part))
            alive.append(sum(one() is not None for one in seen))
            yield part, left_out
            del part

    monkeypatch.setattr(snapshot, "pieces", watched)
    parts = other.publish()
    assert parts.content == whole.content
    assert (parts.csv.read_bytes(), parts.json.read_bytes()) == (whole.csv.read_bytes(), whole.json.read_bytes())
    assert len(alive) == 15 and max(alive) <= 2


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_files_say_what_the_store_says(world, lang):
    world.publish(worlds.LAST_WEEK)
    made = World(world.path, world.config.model_copy(update={"lang": lang})).publish()
    with world.session() as session:
        run = store.published(session, "churn")
        rows = list(risk_list.told(run, store.listed(session, run.id), lang))
        content = {**risk_list.about(run, lang), "rows": rows}
        lines = "".join(risk_list.as_csv(run, store.listed(session, run.id), lang))
    text = made.json.read_text("utf-8")
    assert json.loads(text) == content and text.count("\n") == len(rows) + 2
    assert made.csv.read_bytes().decode() == lines
    assert [row["customer_id"] for row in csv.DictReader(io.StringIO(lines))] == [row["customer_id"] for row in rows]


def test_what_is_stored_of_a_customer_is_what_the_lists_file_says(world):
    world.publish()
    with world.session() as session:
        run = store.published(session, "churn")
        rows = Rows(world.config.home / "snapshots" / run.snapshot)
        for row in store.listed(session, run.id):
            said = rows.stored(rows.position(row.customer_id))
            assert vars(said) == {name: getattr(row, name) for name in vars(said)}
        absent = {one: rows.status(one) for one in (worlds.LEAVING, worlds.OPTED_OUT, worlds.SILENT, "nobody")}
        assert store.left_out(session, run.id, list(absent)) == {one: absent[one] for one in list(absent)[:2]}
        assert list(absent.values())[2:] == ["ok", "unknown_customer"]


@pytest.mark.parametrize("damage", ["a byte", "the end"])
def test_a_damaged_file_of_a_list_is_made_whole_by_the_next_run(world, damage):
    first = world.publish()
    with world.session() as session:
        path = world.config.home / "snapshots" / store.published(session, "churn").snapshot
    whole, csv = path.read_bytes(), first.csv.read_bytes()
    middle = len(whole) // 2
    spoilt = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :] if damage == "a byte" else whole[:middle]

    def spoil():
        path.unlink()  # who has it mapped goes on with the one that was there
        path.write_bytes(spoilt)

    spoil()
    again = world.publish()
    assert not again.published and path.read_bytes() == whole and again.csv.read_bytes() == csv
    spoil()
    with world.session() as session:  # as a thinned list is made again
        session.execute(update(records.Run).values(content="another"))
        session.commit()
    anew = world.publish()
    assert anew.published and anew.content == first.content
    with world.session() as session:
        rows = list(store.listed(session, store.published(session, "churn").id))
    assert [row["score"] for row in json.loads(first.json.read_text("utf-8"))["rows"]] == [row.score for row in rows]


def test_a_long_list_made_by_several_processes_is_the_same_to_the_byte(world, tmp_path, monkeypatch):
    alone = world.publish()
    other = worlds.make(tmp_path / f"{tmp_path.name}-many")
    other.place(worlds.bundle())
    monkeypatch.setattr(pieces, "ENOUGH", 1)
    monkeypatch.setattr(pieces, "PIECE", 7)
    many = other.publish()
    assert many.content == alone.content
    assert (many.csv.read_bytes(), many.json.read_bytes()) == (alone.csv.read_bytes(), alone.json.read_bytes())
    with world.session() as one, other.session() as two:
        runs = [store.published(session, "churn") for session in (one, two)]
        first, second = (store.listed(session, run.id) for session, run in zip((one, two), runs))
        assert [row.families for row in first] == [row.families for row in second]


def test_a_contact_told_to_the_service_lets_a_customer_rest(world):
    rows = json.loads(world.publish().json.read_text())["rows"]
    first, room = rows[0], Counter(row["owner"] for row in rows if row["action"] == "contact")
    assert first["action"] == "contact"
    with world.session() as session:
        at = datetime(2026, 1, 31, 15, 30)  # the first of February in Tokyo
        told = {"customer_id": first["customer_id"], "channel": "call", "by": "ann", "created_at": worlds.NOON}
        session.add(records.Contact(at=at, **told))
        session.commit()
    again = world.publish()
    rows = {row["customer_id"]: row for row in json.loads(again.json.read_text())["rows"]}
    assert again.published and rows[first["customer_id"]]["action"] == "resting"
    left = Counter(row["owner"] for row in rows.values() if row["action"] == "contact")
    assert left == room - Counter([first["owner"]])  # one of what the owner can make in a week is made


def test_a_list_of_the_past_knows_nothing_of_later_contacts(world):
    before = world.publish(worlds.LAST_WEEK)
    with world.session() as session:
        for row in json.loads(before.json.read_text())["rows"]:
            told = {"customer_id": row["customer_id"], "channel": "call", "by": "ann", "created_at": worlds.NOON}
            session.add(records.Contact(at=datetime(2026, 1, 26), **told))
        session.commit()
    assert world.publish(worlds.LAST_WEEK).content == before.content


def test_files_that_a_list_or_a_served_state_needs_stay_and_no_others(world):
    home = world.config.home
    world.publish(worlds.LAST_WEEK)
    with world.session() as session:
        run = store.published(session, "churn")
    snapshots = home / "snapshots"
    served, stale, other = (f"{name}-2026-01-25-0123456789abcdef.arrow" for name in ("churn", "churn", "churn-eu"))
    served = served.replace("25-0", "18-1")
    for name in (served, stale, other, ".churn-2026-01-25.parts", "churn.parquet"):
        (snapshots / name).write_bytes(b"")
    good.keep(home, good.Good(run.bundle, 1, replaced(run, snapshot=served)))
    world.publish()
    names = {path.name for path in snapshots.iterdir()}
    assert {run.snapshot, served, other, "churn.parquet"} < names and len(names) == 5 and stale not in names


def replaced(run, **changes):
    values = {column.name: getattr(run, column.name) for column in records.Run.__table__.columns}
    return records.Run(**{**values, **changes})


def test_models_without_a_champion_are_named_beside_those_that_have_one(world, tmp_path):
    both = World(world.path, world.config.model_copy(update={"models": ("churn", "upsell")}))
    found, missing = daily.placed(both.config)
    assert list(found) == ["churn"] and list(missing) == ["upsell"]
    assert "no champion yet for upsell; type `python -m training train`" in missing["upsell"]
    none = worlds.make(tmp_path / f"{tmp_path.name}-none", models="[churn, upsell]")
    with pytest.raises(DataError, match=r"no champion yet for churn.*; no champion yet for upsell"):
        daily.placed(none.config)


def test_a_model_without_a_champion_holds_up_no_other(world, monkeypatch, capsys):
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--set", "models=[upsell,churn]")
    assert code == 1 and "churn as of 2026-02-01: 58 customers, published" in out
    assert "upsell: not published. no champion yet for upsell" in out
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--set", "models=[churn,upsell]", "--json")
    answer = json.loads(out.splitlines()[-1])
    assert (
        code == 1 and [made["model"] for made in answer["lists"]] == ["churn"] and list(answer["refused"]) == ["upsell"]
    )


def test_a_model_whose_data_do_not_fit_holds_up_no_other(world, monkeypatch, capsys):
    plain = worlds.bundle().info
    same = {name: getattr(plain, name) for name in ("outcome", "windows", "history_days", "timezone", "value")}
    seen = Population.model_validate({"seen": {"streams": ["gone"], "days": 20}})
    world.place(logistic_bundle(frame(600), model="upsell", population=seen, **same))
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--set", "models=[upsell,churn]", "--json")
    answer = json.loads(out.splitlines()[-1])
    assert code == 1 and [made["model"] for made in answer["lists"]] == ["churn"]
    assert "data.yaml does not fit the model any more" in answer["refused"]["upsell"][0]
    code, _, err = door(monkeypatch, capsys, "daily", world.path, "--set", "models=[upsell]")
    assert code == 2 and "data.yaml does not fit the model any more" in err


def test_a_list_is_entered_in_the_audit_log_before_it_is_published(world, monkeypatch, capsys):
    """Killed or refused after it was published, it would never be entered: the next run finds it there."""
    home = world.config.home

    def entered():
        return [(one["action"], one["model"], one["count"]) for one in trail.entries(home)]

    with monkeypatch.context() as patch:
        patch.setattr(daily.store, "publish", lambda *_: (_ for _ in ()).throw(DataError("no room")))
        code, _, err = door(monkeypatch, capsys, "daily", world.path)
        assert code == 2 and "no room" in err
    assert entered() == [("daily.publish", "churn", 58)]
    with monkeypatch.context() as patch:
        patch.setattr(audit.Pen, "enter", lambda *_: (_ for _ in ()).throw(OSError("full")))
        code, out, err = door(monkeypatch, capsys, "daily", world.path)
        assert code != 0 and "audit log cannot be written" in out + err
    with world.session() as session:
        assert store.published(session, "churn") is None
    for _ in range(2):
        assert door(monkeypatch, capsys, "daily", world.path)[0] == 0
    assert entered() == [("daily.publish", "churn", 58)] * 2


@pytest.mark.parametrize(
    ("file", "words"),
    [("champion-{model}.json", "put it back from a backup"), ("bundles/{sha256}/manifest.json", "train again")],
)
def test_a_damaged_model_holds_up_no_other(world, monkeypatch, capsys, file, words):
    plain = worlds.bundle().info
    same = {name: getattr(plain, name) for name in ("outcome", "windows", "history_days", "timezone", "value")}
    other = logistic_bundle(frame(600), model="upsell", population=plain.population, **same)
    world.place(other)
    (world.config.home / file.format(model="upsell", sha256=other.sha256)).write_text("{")
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--set", "models=[upsell,churn]", "--json")
    answer = json.loads(out.splitlines()[-1])
    assert code == 1 and [made["model"] for made in answer["lists"]] == ["churn"]
    assert words in answer["refused"]["upsell"][0]
    code, _, err = door(monkeypatch, capsys, "daily", world.path, "--set", "models=[upsell]")
    assert code == 2 and words in err


def test_old_lists_are_thinned_and_their_files_go(world):
    world.place(worlds.bundle())
    for as_of in (date(2026, 1, 18), worlds.LAST_WEEK, worlds.TODAY):
        world.publish(as_of)
    with world.session() as session:
        session.execute(update(records.Run).values(ended_at=worlds.NOON - timedelta(31)))
        session.commit()
    strange = world.config.home / "lists" / "churn-2026-01-18.notes.csv"
    strange.write_text("mine")
    world.publish()
    with world.session() as session:
        states = dict(session.execute(select(records.Run.as_of, records.Run.state)).all())
    assert states == {date(2026, 1, 18): "thinned", worlds.LAST_WEEK: "published", worlds.TODAY: "published"}
    left = {path.name for folder in ("lists", "snapshots") for path in (world.config.home / folder).iterdir()}
    assert strange.name in left
    assert {name[6:16] for name in left - {strange.name}} == {str(worlds.LAST_WEEK), str(worlds.TODAY)}
    again = world.publish(date(2026, 1, 18))
    assert again.published and again.csv.exists() and again.json.exists()


def test_what_the_store_of_activity_lacks_is_said(world, monkeypatch, capsys):
    late = Late(("login",), 3, "2026-01-02", ("logins.parquet",))
    read = facts.read
    monkeypatch.setattr(facts, "read", lambda *arguments, **options: replace(read(*arguments, **options), late=[late]))
    code, out, _ = door(monkeypatch, capsys, "daily", world.path)
    assert code == 0 and f"WARNING {late}" in out
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--json")
    assert code == 0 and json.loads(out.splitlines()[-1])["late"][0]["rows"] == 3


def test_the_first_list_has_no_change(world):
    assert all(row["change"] is None for row in json.loads(world.publish().json.read_text())["rows"])


def test_the_csv_opens_safely_in_a_spreadsheet(world):
    raw = world.publish().csv.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    named = {row["customer_id"]: row for row in rows}
    assert named["C-0000"]["name"] == "'=Company 0" and named["C-0001"]["name"] == "会社1"
    assert float(named["C-0001"]["points_1"]) and named["C-0001"]["model_version"]
    assert all(row["grade"] == "B" and row["as_of"] == "2026-02-01" for row in rows)


def test_a_row_says_what_kind_of_customer_it_is_about(world):
    cuts = Cuts(stream="login", days=28, recency=(1, 1, 2, 3), frequency=(3, 6, 9, 14), monetary=None)
    world.place(worlds.bundle(segments=cuts))
    made = world.publish()
    rows = {row["customer_id"]: row for row in json.loads(made.json.read_text())["rows"]}
    silent = {name: rows[worlds.SILENT][name] for name in ("segment", "segment_name", "stage", "stage_name", "rfm")}
    assert silent == {
        "segment": "hibernating",
        "segment_name": "hibernating",
        "stage": "dormant",
        "stage_name": "dormant",
        "rfm": "R1 F1",
    }
    assert len({row["segment"] for row in rows.values()}) > 3
    with world.session() as session:
        run = store.published(session, "churn")
        text = "".join(risk_list.as_csv(run, store.listed(session, run.id), "ja"))
    named = {row["customer_id"]: row for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))}
    assert (named[worlds.SILENT]["segment_name"], named[worlds.SILENT]["stage_name"]) == ("低活動", "休眠")


def test_a_bundle_without_segments_leaves_their_places_empty(world):
    (row, *_) = json.loads(world.publish().json.read_text())["rows"]
    assert [row[name] for name in ("segment", "segment_name", "stage", "stage_name", "rfm")] == [None] * 5


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "＠"])
def test_no_cell_begins_a_formula(start):
    assert risk_list.safe(f"{start}1+1") == f"'{start}1+1"
    assert risk_list.safe("a=1") == "a=1" and risk_list.safe(-1.5) == -1.5 and risk_list.safe(None) is None


def test_a_rule_list_says_that_it_is_one(world, monkeypatch, capsys):
    plain = worlds.bundle().info
    same = ("population", "outcome", "windows", "history_days", "timezone", "value", "capacity")
    world.place(rule_bundle(**{name: getattr(plain, name) for name in same}))
    made = world.publish()
    content = json.loads(made.json.read_text())
    assert content["grade"] == "C" and content["note"].startswith("Ranked by a simple rule (login_recency)")
    assert "Ranked by a simple rule" in made.csv.read_text("utf-8-sig")
    code, out, _ = door(monkeypatch, capsys, "list", world.path, "churn", "--lang", "ja")
    assert code == 0 and "単純なルール" in out


def test_the_doors_publish_print_and_repeat(world, monkeypatch, capsys):
    code, out, _ = door(monkeypatch, capsys, "daily", world.path)
    assert code == 0 and "58 customers, published" in out and "Next: python -m serving list" in out
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--as-of", "2026-02-01", "--json")
    (again,) = json.loads(out.splitlines()[-1])["lists"]
    assert code == 0 and again["published"] is False and len(again["content"]) == 64
    code, out, _ = door(monkeypatch, capsys, "list", world.path, "churn", "--top", "2")
    assert code == 0 and "Points and reasons" in out and "bentoml serve" in out
    code, out, _ = door(monkeypatch, capsys, "list", world.path, "churn", "--lang", "ja", "--json")
    printed = json.loads(out.splitlines()[-1])
    assert code == 0 and len(printed["rows"]) == 10 and printed["rows"][0]["reasons"][0]["text"].endswith("。")


def test_keys_are_shown_once_and_revoked(world, monkeypatch, capsys):
    code, out, _ = door(monkeypatch, capsys, "keys", "create", world.path, "--name", "crm", "--days", "30", "--json")
    made = json.loads(out.splitlines()[-1])
    assert code == 0 and made["key"].startswith("tsu_") and made["expires_at"]
    code, out, _ = door(monkeypatch, capsys, "keys", "create", world.path, "--name", "demo")
    assert code == 0 and "tsu_" in out and "Next: curl" in out
    assert door(monkeypatch, capsys, "keys", "revoke", world.path, "--name", "crm")[0] == 0
    code, _, err = door(monkeypatch, capsys, "keys", "revoke", world.path, "--name", "crm")
    assert code == 2 and "there is no key crm" in err


@pytest.mark.parametrize("command", ["daily", "list", "keys"])
def test_help_gives_an_example(monkeypatch, capsys, command):
    code, out, _ = door(monkeypatch, capsys, command, "--help")
    assert code == 0 and f"example:\n  python -m serving {command}" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "CONFIG", "churn"), "there is no store"),
        (("list", "CONFIG", "churn", "--as-of", "today"), "--as-of today: write a date"),
        (("list", "CONFIG", "churn", "--top", "0"), "a whole number from 1"),
        (("daily", "CONFIG", "--as-of", "2026-13-01"), "write a date such as"),
        (("daily", "CONFIG", "--as-of", "9999-12-31"), "write a date of the years 1900 to 2199"),
        (("list", "CONFIG", "churn", "--as-of", "0001-01-01"), "write a date of the years 1900 to 2199"),
        (("daily", "CONFIG", "--set", "modles=[churn]"), "unknown key (did you mean models?)"),
        (("daily", "CONFIG", "--set", "models=[upsell]"), "no champion yet for upsell"),
        (("keys", "create", "CONFIG", "--name", " "), "a key needs a name"),
    ],
)
def test_bad_input_is_one_clear_message(world, monkeypatch, capsys, arguments, message):
    code, _, err = door(monkeypatch, capsys, *(world.path if part == "CONFIG" else part for part in arguments))
    assert code == 2 and message in err
    assert not (world.config.home / "lists").exists()


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_command_publishes_on_either_database_and_typed_again_changes_nothing(world, monkeypatch, capsys, kind):
    world = databases.placed(world, kind)
    engine = store.connect(world.config.store_url)
    code, out, err = door(monkeypatch, capsys, "daily", world.path, "--as-of", worlds.TODAY)
    assert code == 0 and "published" in out and "days old" not in out, out + err
    if kind == "postgres":
        with store.alone(engine):
            code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--as-of", worlds.TODAY)
        assert code == 1 and "another daily job is running" in out
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--as-of", worlds.TODAY, "--json")
    (told,) = json.loads(out.splitlines()[-1])["lists"]
    assert code == 0 and told["published"] is False
    assert told["age_days"] == (world.config.data.today() - worlds.TODAY).days > daily.FRESH_DAYS


def test_a_date_beyond_the_tables_is_warned_of_and_one_far_beyond_refused(world, monkeypatch, capsys):
    for days, code, words in (
        (0, 0, ""),
        (1, 0, "WARNING churn: the tables end before 2026-02-01; what is missing until 2026-02-02 counts as silence"),
        (3, 0, "what is missing until 2026-02-04 counts as silence"),
        (4, 1, "the data end before 2026-02-01"),
    ):
        found = door(monkeypatch, capsys, "daily", world.path, "--as-of", worlds.TODAY + timedelta(days=days))
        assert found[0] == code and words in found[1] and ("silence" in found[1]) == ("silence" in words), found


def test_a_list_that_is_not_there_says_how_to_make_it(world, monkeypatch, capsys):
    world.publish()
    code, _, err = door(monkeypatch, capsys, "list", world.path, "nobody")
    assert code == 2 and "nobody: no such model" in err and "models: churn" in err
    code, _, err = door(monkeypatch, capsys, "list", world.path, "churn", "--as-of", "2026-01-15")
    assert code == 2 and f"python -m serving daily {world.path} --as-of 2026-01-15" in err


def test_a_second_job_says_so(world, monkeypatch, capsys):
    with daily.alone(world.config.home):
        code, out, _ = door(monkeypatch, capsys, "daily", world.path)
    assert code == 1 and "another daily job is running" in out


@pytest.mark.parametrize(
    ("as_of", "changes", "message"),
    [
        (date(2026, 2, 20), {}, "feed: the data end before 2026-02-01"),
        (worlds.TODAY, {"timezone": "UTC"}, "schema: timezone was UTC in training, is Asia/Tokyo"),
        (worlds.TODAY, {"history_days": 300}, "schema: history_days was 300"),
        (date(2025, 2, 1), {}, "rows: no customer is at risk"),
    ],
)
def test_a_failed_check_publishes_nothing_and_says_which(world, monkeypatch, capsys, as_of, changes, message):
    world.publish(worlds.LAST_WEEK)
    world.place(worlds.bundle(**changes))
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--as-of", as_of)
    assert code == 1 and message in out
    with world.session() as session:
        assert store.published(session, "churn").as_of == worlds.LAST_WEEK
        refused = session.scalars(select(records.Run).where(records.Run.state == "refused")).all()
        assert len(refused) == 1 and message in refused[0].message
    assert {path.stem for path in (world.config.home / "lists").iterdir()} == {"churn-2026-01-25"}


def test_a_feed_that_died_is_noticed(world, monkeypatch, capsys):
    logins = world.path.parent / "data" / "logins.parquet"
    rows = pd.read_parquet(logins)
    rows[rows["at"] < "2026-01-10"].to_parquet(logins, index=False)
    code, out, _ = door(monkeypatch, capsys, "daily", world.path, "--as-of", "2026-02-01")
    assert code == 1 and "feed:" in out and "login" in out


def test_a_feature_that_changed_its_kind_or_is_gone_is_schema_drift():
    info = worlds.bundle().info
    plan = Feature("plan", "plan", "attribute", None, "plan", "number", "value", {})
    found = list(checks.of_schema(info, worlds_data(info), (plan,)))
    assert "schema: the feature login_recency was a number and is missing; train again" in found
    assert "schema: the feature plan was a category and is number; train again" in found


def worlds_data(info):
    return SimpleNamespace(timezone=info.timezone, history_days=info.history_days, meaning=dict)


def test_one_score_for_all_or_no_score_at_all_is_refused(world):
    good = scoring.score(worlds.bundle(), frame(50))
    assert not list(checks.of_scores(good.score, good.gap))
    assert "spread" in next(checks.of_scores(good.score * 0 + 0.3, good.gap))
    broken = checks.of_scores(good.score * float("nan"), good.gap + 1e-3)
    assert [text.split(":")[0] for text in broken] == ["scores", "reasons"]


def test_customers_that_stand_twice_are_refused():
    twice = pd.DataFrame({"customer_id": ["a", "b", "a"]})
    assert list(checks.of_rows(twice)) == ["rows: 1 customers stand twice; make the id column of the customers unique"]


def test_data_that_no_longer_fit_the_model_are_named(world):
    world.place(worlds.bundle(population=Population(seen=Seen(streams=("visit",), days=30))))
    with pytest.raises(DataError, match="no stream visit"):
        world.publish()


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("data.streams.login.known=late", "streams.login"),
        ("data.streams.login.entity=null", "streams.login"),
        ("data.naive_times=Europe/Berlin", "naive_times"),
        ("data.customers.attributes.plan.column=name", "customers.attributes.plan"),
        ("data.subscriptions.value=null", "subscriptions"),
    ],
)
def test_data_that_mean_something_else_than_in_training_are_refused(override, where, workspace, tmp_path):
    made = worlds.make(tmp_path / tmp_path.name)
    meaning = made.config.data.meaning()
    info = worlds.bundle(meaning=meaning).info
    changed = load(made.path, ServingConfig, [override]).data
    assert not [problem for problem in checks.of_schema(info, made.config.data, ()) if "says something else" in problem]
    said = [problem for problem in checks.of_schema(info, changed, ()) if "says something else" in problem]
    assert len(said) == 1 and f"data.yaml: {where} " in said[0]
    relabelled = load(made.path, ServingConfig, ["data.streams.login.label={en: Visits}"]).data
    assert relabelled.meaning() == meaning


def test_a_store_or_workspace_that_cannot_be_used_is_one_message(world, monkeypatch, capsys):
    world.publish()
    (world.config.home / "serving.db").write_bytes(b"this is no database at all" * 100)
    for arguments in (
        ["daily", world.path],
        ["list", world.path, "churn"],
        ["keys", "create", world.path, "--name", "a"],
    ):
        code, _, err = door(monkeypatch, capsys, *arguments)
        assert code == 2 and "the store cannot be used" in err
    (world.config.home / "serving.db").unlink()
    (world.config.home / "daily.lock").unlink()
    (world.config.home / "daily.lock").mkdir()
    code, _, err = door(monkeypatch, capsys, "daily", world.path)
    assert code == 2 and "daily.lock" in err
    code, _, err = door(monkeypatch, capsys, "daily", world.path, "--set", "store=postgresql://x/y")
    assert code == 2 and "serving.yaml: store" in err
