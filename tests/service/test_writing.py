"""What the team writes over HTTP: each write once, in its own name; and a customer who is forgotten."""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import ContextVar
from threading import Barrier, Event, Thread

import httpx
import pytest
from sqlalchemy import event, func, select

from features import erased
from serving.erasure import erase
from serving.http import api, writing
from serving.http.operations import Entered, Operations
from serving.life.live import Live
from serving.problem import Refusal
from serving.stores import database, journal, store
from serving.stores.records import Action, Contact, Replay, Score
from tests.service import databases
from tests.service import world as worlds

SECRET = "Nakamura-Private-Ltd"
CALL = {"customer_id": "C-0009", "at": "2026-01-30T10:00:00+09:00", "channel": "call", "note": "更新の相談\n来週また"}
DONE = {"model": "churn", "customer_id": "C-0009", "as_of": "2026-02-01", "kind": "done"}
SNOOZED = {**DONE, "kind": "snoozed", "until": "2026-02-09"}


class Door:
    """Says who asks, as the door does."""

    def __init__(self, app):
        self._app, self._operations = app, Operations(api.OPERATIONS)

    async def __call__(self, scope, receive, send):
        found = self._operations.find(scope["method"], scope["raw_path"].decode())
        owner = dict(scope["headers"]).get(b"x-owner", b"crm").decode()
        scope["tsunagi"] = Entered(found.operation, found.parameters, owner)
        await self._app(scope, receive, send)


class Asked:
    """The app of a world, and its tables."""

    def __init__(self, world):
        self.world, self.live = world, Live(world.config)
        self._app = Door(api.app(self.live, lambda: worlds.NOON))

    def ask(self, method, path, **more):
        async def asked():
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())

    def post(self, path, body, key=None, owner="crm"):
        headers = {"x-owner": owner.encode()} | ({"idempotency-key": key.encode()} if key else {})
        return self.ask("POST", path, json=body, headers=headers)

    def get(self, path):
        return self.ask("GET", path)

    def count(self, table):
        with self.world.session() as session:
            return session.scalar(select(func.count()).select_from(table))


@pytest.fixture(scope="module", params=databases.KINDS)
def published(request, workspace, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"writing-{request.param}")
    world = databases.placed(worlds.make(folder / folder.name), request.param)
    world.place(worlds.bundle())
    world.publish()
    return Asked(world)


@pytest.fixture
def asked(published):
    """Nothing written yet."""
    with published.world.session() as session:
        for table in (Contact, Action, Replay):
            session.query(table).delete()
        session.commit()
    return published


def problem(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json" and SECRET not in response.text
    return response.json()


def test_a_contact_is_kept_in_utc_in_the_name_of_the_key_and_shown(asked):
    made = asked.post("/v1/contacts", CALL, owner="営業")
    assert made.status_code == 201
    contact = made.json()
    assert (contact["at"], contact["note"]) == ("2026-01-30T01:00:00Z", CALL["note"])
    assert asked.get("/v1/customers/C-0009").json()["contacts"] == [contact]
    with asked.world.session() as session:
        (kept,) = session.scalars(select(Contact))
    assert kept.by == contact["by"] == "営業" and kept.created_at == worlds.NOON


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/v1/contacts", CALL), ("POST", "/v1/actions", DONE), ("DELETE", "/v1/customers/C-0009", None)],
)
def test_no_write_takes_a_parameter(asked, method, path, body):
    errors = problem(asked.ask(method, f"{path}?{SECRET}=1", json=body), 422)["errors"]
    assert errors == [{"path": "query", "message": "unknown or repeated; known: none, each once"}]
    assert asked.count(Contact) == asked.count(Action) == 0


def test_who_waits_to_write_keeps_no_reader_waiting(asked, monkeypatch):
    """More writers than there are threads for anything."""
    paths = ("/v1/models", "/openapi.json", "/v1/actions")
    assert [asked.get(path).status_code for path in paths] == [200] * 3, "what takes long once is done"
    free, names = Event(), []
    word = ContextVar("word", default=None)

    def waiting(live, ask, now):
        names.append(word.get())
        assert free.wait(30)
        raise Refusal(409, "waited")

    monkeypatch.setattr(writing, "contact", waiting)

    async def all_at_once():
        app = Door(api.app(asked.live, lambda: worlds.NOON))
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://door") as client:
            word.set("of the request")
            late = [asyncio.ensure_future(client.post("/v1/contacts", json=CALL)) for _ in range(api.WRITES + 2)]
            try:
                while not names:
                    await asyncio.sleep(0.01)
                async with asyncio.timeout(10):
                    read = [await client.get(path) for path in paths]
            finally:
                free.set()
            return read, await asyncio.gather(*late)

    read, late = asyncio.run(all_at_once())
    assert [answer.status_code for answer in read] == [200] * 3
    assert [answer.status_code for answer in late] == [409] * len(late) and set(names) == {"of the request"}


@pytest.mark.parametrize("customer_id", [worlds.LEAVING, worlds.OPTED_OUT])
def test_who_was_left_out_of_the_list_may_be_contacted(asked, customer_id):
    assert asked.post("/v1/contacts", {**CALL, "customer_id": customer_id}).status_code == 201


def test_the_same_write_twice_is_made_once(asked):
    first, second = (asked.post("/v1/contacts", CALL, key="k-1") for _ in range(2))
    assert first.json() == second.json() and (first.status_code, second.status_code) == (201, 201)
    assert "idempotent-replay" not in first.headers and second.headers["idempotent-replay"] == "true"
    assert asked.count(Contact) == 1
    assert asked.post("/v1/contacts", CALL).status_code == 201 and asked.count(Contact) == 2


def test_a_key_with_another_request_is_refused_and_every_owner_has_keys_of_his_own(asked):
    assert asked.post("/v1/contacts", CALL, key="k-1").status_code == 201
    problem(asked.post("/v1/contacts", {**CALL, "channel": "email"}, key="k-1"), 409)
    problem(asked.post("/v1/actions", DONE, key="k-1"), 409)
    assert asked.post("/v1/contacts", {**CALL, "channel": "email"}, key="k-1", owner="other").status_code == 201
    assert asked.count(Contact) == 2 and asked.count(Action) == 0


def test_two_at_once_with_one_key_are_one_write(asked):
    together = Barrier(6)

    def send(_):
        together.wait()
        return asked.post("/v1/actions", DONE, key="k-2")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1 and asked.count(Action) == 1
    assert sum("idempotent-replay" not in answer.headers for answer in answers) == 1


def test_a_refused_write_leaves_its_key_free(asked):
    problem(asked.post("/v1/contacts", {**CALL, "customer_id": SECRET}, key="k-3"), 404)
    assert asked.count(Replay) == 0
    assert asked.post("/v1/contacts", CALL, key="k-3").status_code == 201
    problem(asked.post("/v1/actions", {**DONE, "as_of": "2020-01-01"}, key="k-4"), 404)
    assert asked.post("/v1/actions", DONE, key="k-4").status_code == 201


@pytest.mark.parametrize("key", ["x" * 256, "a b", "k\tk"])
def test_a_key_that_is_none(asked, key):
    problem(asked.post("/v1/contacts", CALL, key=key), 422)


def test_the_newest_action_is_open_until_it_is_done_or_its_day_comes(asked):
    def open_action():
        return asked.get("/v1/customers/C-0009").json()["models"]["churn"]["open_action"]

    assert open_action() is None
    planned = asked.post("/v1/actions", {**DONE, "kind": "planned"}).json()
    assert open_action() == planned
    snoozed = asked.post("/v1/actions", SNOOZED).json()
    assert open_action() == snoozed and snoozed["until"] == "2026-02-09"
    assert asked.post("/v1/actions", DONE).status_code == 201 and open_action() is None
    with asked.world.session() as session:
        given = {"model": "churn", "customer_id": "C-0009", "by": "crm", "kind": "snoozed", "created_at": worlds.NOON}
        session.add(Action(**given, as_of=worlds.LAST_WEEK, until=worlds.TODAY))
        session.commit()
    assert open_action() is None
    assert [one["kind"] for one in asked.get("/v1/actions").json()["actions"]] == [
        "snoozed",
        "done",
        "snoozed",
        "planned",
    ]


def test_the_tag_of_a_customer_changes_with_what_is_written(asked):
    tags = [asked.get("/v1/customers/C-0009").headers["etag"]]
    for path, body in (("/v1/contacts", CALL), ("/v1/actions", DONE)):
        asked.post(path, body)
        tags.append(asked.get("/v1/customers/C-0009").headers["etag"])
    assert len(set(tags)) == 3


def test_actions_of_a_customer_or_a_model_page_by_page(asked):
    for number in range(5):
        asked.post("/v1/actions", {**DONE, "customer_id": f"C-00{10 + number % 2}", "note": str(number)})
    own = asked.get("/v1/actions?customer_id=C-0010").json()["actions"]
    assert [one["note"] for one in own] == ["4", "2", "0"]
    pages, cursor = [], ""
    while cursor is not None:
        page = asked.get(f"/v1/actions?model=churn&limit=2{cursor}").json()
        pages += page["actions"]
        cursor = f"&cursor={page['next']}" if page["next"] else None
    assert [one["note"] for one in pages] == ["4", "3", "2", "1", "0"]
    problem(asked.get(f"/v1/actions?limit=2&cursor={asked.get('/v1/actions?model=churn&limit=2').json()['next']}"), 422)


CONTACTS = [
    ({**CALL, "at": "2026-01-30T10:00:00"}, ["at"]),
    ({**CALL, "at": "2026-01-30"}, ["at"]),
    ({**CALL, "at": "1769734800"}, ["at"]),
    ({**CALL, "at": 1769734800}, ["at"]),
    ({**CALL, "at": "2026-02-30T10:00:00Z"}, ["at"]),
    ({**CALL, "at": "0001-01-01T00:00:00+23:00"}, ["at"]),
    ({**CALL, "channel": SECRET}, ["channel"]),
    ({**CALL, "note": "x" * 1001}, ["note"]),
    ({**CALL, "note": "a\u0000b"}, ["note"]),
    ({**CALL, "customer_id": ""}, ["customer_id"]),
    ({**CALL, "customer_id": "x" * 256}, ["customer_id"]),
    ({**CALL, "customer_id": 7}, ["customer_id"]),
    ({**CALL, SECRET: 1}, [""]),
    ({"at": "x", "channel": "y"}, ["customer_id", "at", "channel"]),
    ([], [""]),
    ("text", [""]),
]
ACTIONS = [
    ({**DONE, "until": "2026-02-09"}, [""]),
    ({**SNOOZED, "until": None}, ["until"]),
    ({name: SNOOZED[name] for name in SNOOZED if name != "until"}, ["until"]),
    ({**DONE, "kind": SECRET}, ["kind"]),
    ({name: DONE[name] for name in DONE if name != "kind"}, ["kind"]),
    ({**DONE, "as_of": "latest"}, ["as_of"]),
    ({**DONE, "as_of": 20_000}, ["as_of"]),
    ({**DONE, "model": "other"}, ["model"]),
]


@pytest.mark.parametrize(("body", "places"), CONTACTS)
def test_a_contact_that_does_not_fit_is_named_by_its_places(asked, body, places):
    errors = problem(asked.post("/v1/contacts", body), 422)["errors"]
    assert [error["path"] for error in errors] == places and asked.count(Contact) == 0


@pytest.mark.parametrize(("body", "places"), ACTIONS)
def test_an_action_that_does_not_fit_is_named_by_its_places(asked, body, places):
    errors = problem(asked.post("/v1/actions", body), 422)["errors"]
    assert [error["path"] for error in errors] == places and asked.count(Action) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"note": "\\ud800"}', b"[" * 50_000])
def test_what_is_no_json_is_400(asked, body):
    problem(asked.ask("POST", "/v1/contacts", content=body), 400)


NOT_NOW = [
    ("/v1/contacts", {**CALL, "customer_id": SECRET}, 404),
    ("/v1/contacts", {**CALL, "at": "2026-02-01T12:06:00Z"}, 409),
    ("/v1/actions", {**DONE, "customer_id": worlds.LEAVING}, 404),
    ("/v1/actions", {**DONE, "as_of": "2026-01-25"}, 404),
    ("/v1/actions", {**SNOOZED, "until": "2026-02-01"}, 409),
]


@pytest.mark.parametrize(("path", "body", "status"), NOT_NOW)
def test_what_fits_but_not_the_present_state_is_no_422(asked, path, body, status):
    problem(asked.post(path, body), status)
    assert asked.count(Contact) == asked.count(Action) == 0


def test_a_clock_a_little_fast_is_forgiven(asked):
    assert asked.post("/v1/contacts", {**CALL, "at": "2026-02-01T12:04:00Z"}).status_code == 201


@pytest.mark.parametrize("address", ["C-0031%20", "%20C-0031", "%20"])
def test_an_address_that_is_nearly_a_customers_forgets_nobody(asked, address):
    problem(asked.ask("DELETE", f"/v1/customers/{address}"), 404)
    assert asked.get("/v1/customers/C-0031").status_code == 200


def test_of_whoever_has_a_tombstone_nothing_is_told_or_kept_though_the_erasure_is_not_finished(asked):
    home, one, other = asked.world.config.home, {**CALL, "customer_id": "C-0032"}, {**DONE, "customer_id": "C-0032"}
    assert asked.post("/v1/contacts", one, key="k-7").status_code == 201
    assert asked.post("/v1/actions", other).status_code == 201
    before = asked.get("/v1/actions")
    assert "C-0032" in before.text
    names = [home / name for name in (erased.NAME, erased.MADE)]
    kept = {path: path.read_bytes() for path in names if path.exists()}
    erased.add(home, "C-0032", worlds.TODAY)
    try:
        problem(asked.post("/v1/contacts", one, key="k-7"), 404)
        problem(asked.post("/v1/contacts", one), 404)
        problem(asked.post("/v1/actions", other), 404)
        assert asked.get("/v1/actions?customer_id=C-0032").json()["actions"] == []
        told = asked.ask("GET", "/v1/actions", headers={"if-none-match": before.headers["etag"]})
        assert told.status_code == 200 and "C-0032" not in told.text
        assert asked.count(Contact) == asked.count(Action) == 1
    finally:
        for path in names:
            path.write_bytes(kept[path]) if path in kept else path.unlink()


@pytest.mark.parametrize("key", [None, "outage"])
@pytest.mark.parametrize(("path", "body", "table"), [("/v1/contacts", CALL, Contact), ("/v1/actions", DONE, Action)])
def test_a_write_without_the_store_is_503_and_made_once_when_it_is_back(asked, monkeypatch, path, body, table, key):
    monkeypatch.setattr(writing, "PATIENCE", 0.3)
    engine = asked.live.engine

    def gone(dialect, *_):
        raise dialect.loaded_dbapi.OperationalError("gone")

    event.listen(engine, "do_connect", gone)
    engine.dispose()
    try:
        said = asked.post(path, body, key)
    finally:
        event.remove(engine, "do_connect", gone)
    assert "try again" in problem(said, 503)["detail"] and said.headers["retry-after"] == "5"
    assert asked.count(table) == asked.count(Replay) == 0
    assert asked.post(path, body, key).status_code == 201
    assert asked.count(table) == 1


def test_an_action_without_a_key_keeps_others_from_writing_until_it_is_made(asked, monkeypatch):
    """What SQLite locked at the beginning stays locked: a reader that turns writer would be refused at once."""
    plain, others = store.row, []

    def looked(*given):
        found = plain(*given)
        if database.is_sqlite(asked.live.engine):
            with closing(sqlite3.connect(asked.world.config.home / "serving.db", timeout=0)) as other:
                try:
                    other.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    others.append(str(error))
        return found

    monkeypatch.setattr(store, "row", looked)
    assert asked.post("/v1/actions", DONE).status_code == 201
    assert others == ["database is locked"] * database.is_sqlite(asked.live.engine)


def test_whoever_is_erased_while_a_contact_is_written_is_not_in_it(asked, monkeypatch):
    """The contact is written, but not yet for all to see, when the erasure begins."""
    plain, threads, ended = journal.add_contact, [], []

    def late(*given, **named):
        made = plain(*given, **named)
        threads.append(Thread(target=lambda: ended.append(erase.erase(asked.world.config, "C-0033", worlds.NOON))))
        threads[0].start()
        time.sleep(1)
        return made

    monkeypatch.setattr(journal, "add_contact", late)
    problem(asked.post("/v1/contacts", {**CALL, "customer_id": "C-0033"}), 404)
    threads[0].join()
    assert ended[0]["status"] == "erased" and asked.count(Contact) == 0


def test_whoever_is_erased_just_before_a_contact_is_kept_has_none(asked, monkeypatch):
    """The last look at the tombstones was before there was one: the erasure waits for the contact, and removes it."""
    plain, looks, threads, ended = writing.not_erased, [], [], []

    def late(*given):
        plain(*given)
        looks.append(given)
        if len(looks) == 2:
            threads.append(Thread(target=lambda: ended.append(erase.erase(asked.world.config, "C-0034", worlds.NOON))))
            threads[0].start()
            time.sleep(1)

    monkeypatch.setattr(writing, "not_erased", late)
    assert asked.post("/v1/contacts", {**CALL, "customer_id": "C-0034"}).status_code == 201
    threads[0].join()
    assert ended[0]["status"] == "erased" and asked.count(Contact) == 0


def test_an_erasure_that_waits_for_its_registry_is_no_200(asked, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = asked.ask("DELETE", "/v1/customers/C-0031")
    assert "ask again" in problem(said, 503)["detail"] and said.headers["retry-after"] and "C-0031" not in said.text
    problem(asked.get("/v1/customers/C-0031"), 404)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    done = asked.ask("DELETE", "/v1/customers/C-0031")
    assert done.status_code == 200 and done.json()["status"] == "erased"


def test_a_customer_is_forgotten_everywhere(asked):
    asked.post("/v1/contacts", {**CALL, "customer_id": "C-0030"}, key="k-9")
    tag = asked.get("/v1/risk-lists/churn/latest").headers["etag"]
    receipt = asked.ask("DELETE", "/v1/customers/C-0030")
    assert receipt.status_code == 200 and receipt.json()["status"] == "erased" and "C-0030" not in receipt.text
    problem(asked.get("/v1/customers/C-0030"), 404)
    listed = asked.get("/v1/risk-lists/churn/latest")
    assert "C-0030" not in listed.text and listed.headers["etag"] != tag
    assert asked.count(Contact) == asked.count(Replay) == 0
    with asked.world.session() as session:
        assert not session.scalars(select(Score).where(Score.customer_id == "C-0030")).all()
    assert asked.ask("DELETE", "/v1/customers/C-0030").json()["status"] == "already_erased"
