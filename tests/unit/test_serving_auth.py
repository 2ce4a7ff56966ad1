"""Keys and the guard: who comes in, how often, until when, and with the store gone."""

import base64
import itertools
import json
import stat
import threading
import time
import tracemalloc
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from features.errors import ConfigError, DataError
from serving.guards import auth, guard
from serving.guards.guard import Bucket, Guard
from serving.problem import Refusal
from serving.stores import store
from tests.service import databases

engine, url = databases.engine, databases.url
NOW = datetime(2026, 2, 1, 12)
DAY = timedelta(days=1)


class Clock:
    """A wall clock and a steady one, moved by hand."""

    def __init__(self):
        self.now, self.seconds = NOW, 1_000.0

    def wall(self):
        return self.now

    def ticks(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sqlite(tmp_path):
    made = store.connect(f"sqlite:///{tmp_path}/serving.db")
    store.migrate(made)
    yield made
    made.dispose()


def key(engine, name="crm", now=NOW, *given, **more):
    with Session(engine) as session:
        return auth.create(session, name, now, *given, **more)


def at(engine, home, clock):
    known = Guard(engine, home, clock.wall, clock.ticks)
    assert known.read()
    return known


def refused(known, given_key, scope="score"):
    with pytest.raises(Refusal) as refusal:
        known.enter(given_key, scope)
    return refusal.value.problem


@contextmanager
def gone(engine):
    """No connection to the store can be made."""

    def fail(*_):
        raise OperationalError("connect", None, Exception("gone"))

    engine.dispose()
    event.listen(engine, "do_connect", fail)
    try:
        yield
    finally:
        event.remove(engine, "do_connect", fail)


def test_a_key_is_random_and_only_its_hash_is_kept(sqlite):
    made = key(sqlite)
    assert made.startswith("tsu_") and len(base64.urlsafe_b64decode(made[4:] + "=")) == 32
    with open(sqlite.url.database, "rb") as file:
        content = file.read()
    assert made[4:].encode() not in content and auth.hashed(made).encode() in content


def test_a_name_is_taken_until_it_is_replaced_or_revoked(engine, tmp_path, clock):
    old = key(engine)
    with pytest.raises(DataError, match="--name: there is a key crm; add --replace"):
        key(engine)
    known = at(engine, tmp_path, clock)
    assert known.enter(old, "score") == "crm"
    new = key(engine, replace=True)
    known.read()
    assert refused(known, old).status == 401 and known.enter(new, "score") == "crm"
    with Session(engine) as session:
        assert auth.revoke(session, "crm") and not auth.revoke(session, "crm")
    known.read()
    assert refused(known, new).status == 401


def test_two_who_take_one_name_at_once_get_one_key(engine):
    together, made = threading.Barrier(4), []

    def take():
        together.wait()
        try:
            made.append(key(engine))
        except DataError:
            made.append(None)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Session(engine) as session:
        (one,) = auth.listed(session)
    assert [auth.hashed(got) for got in made if got] == [one.hash] and len(made) == 4


@pytest.mark.parametrize("name", ["", " ", " crm", "crm ", "a" * 65, "a\nb", "a\x1b[31m", "a\u202eb"])
def test_a_name_that_would_mislead_is_refused(sqlite, name):
    with pytest.raises(DataError, match="1 to 64 printable"):
        key(sqlite, name)


@pytest.mark.parametrize("replace", [False, True])
def test_what_cannot_be_witnessed_does_not_happen(engine, tmp_path, clock, replace):
    def fail():
        raise OSError

    old = key(engine, "old")
    with Session(engine) as session:
        with pytest.raises(OSError):
            auth.create(session, "old" if replace else "new", NOW, replace=replace, witness=fail)
        with pytest.raises(OSError):
            auth.revoke(session, "old", fail)
        assert [one.name for one in auth.listed(session)] == ["old"]
    assert at(engine, tmp_path, clock).enter(old, "read") == "old"


@pytest.mark.parametrize(
    ("text", "scopes"),
    [("score", ("score",)), ("write, read", ("read", "write")), ("read,read", ("read",)), ("admin", ("admin",))],
)
def test_scopes_are_words_with_commas(text, scopes):
    assert auth.scopes(text) == scopes


@pytest.mark.parametrize("text", ["", "reed", "score,", "score read", "all"])
def test_other_words_are_no_scopes(text):
    with pytest.raises(ConfigError, match="known scopes: score, read, write, admin"):
        auth.scopes(text)


@pytest.mark.parametrize("scopes", [("score",), ("read",), ("score", "read"), ("write",), ("admin",)])
def test_a_key_does_what_its_scopes_say_and_no_scope_holds_another(sqlite, tmp_path, clock, scopes):
    made = key(sqlite, scopes=scopes)
    known = at(sqlite, tmp_path, clock)
    for scope in ("score", "read", "write", "admin"):
        if scope in scopes:
            assert known.enter(made, scope) == "crm"
        else:
            problem = refused(known, made, scope)
            assert problem.status == 403 and scope in problem.detail
    assert known.enter(made, None) == "crm"


def test_a_key_ends_at_its_moment_by_the_wall_clock(engine, tmp_path, clock):
    made = key(engine, "short", NOW, NOW + DAY)
    known = at(engine, tmp_path, clock)
    for now, lets_in in [(NOW + DAY - timedelta(seconds=1), True), (NOW + DAY, False), (NOW - DAY, True)]:
        clock.now = now
        assert known.enter(made, "score") == "short" if lets_in else refused(known, made).status == 401


def test_wrong_keys_get_one_answer_and_leave_no_trace(sqlite, tmp_path, clock):
    made = key(sqlite, per_minute=5)
    known = at(sqlite, tmp_path, clock)
    wrong = ["", "tsu_", made[:-1], made + "x", made.upper(), "鍵", "\udc80", "x" * 100_000]
    answers = {(one.status, one.detail, one.headers["www-authenticate"]) for one in (refused(known, w) for w in wrong)}
    assert answers == {(401, guard.WRONG, "Bearer")}
    tracemalloc.start()
    assert {_status(known, f"tsu_{number}") for number in range(500)} == {401}
    before, _ = tracemalloc.get_traced_memory()
    assert {_status(known, f"tsu_{number}") for number in range(500, 5_500)} == {401}
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 50_000


def test_a_rate_is_kept_and_says_when_to_come_again(sqlite, tmp_path, clock):
    made, other = key(sqlite, per_minute=6), key(sqlite, "other")
    known = at(sqlite, tmp_path, clock)
    assert [known.enter(made, "score") for _ in range(6)] == ["crm"] * 6
    problem = refused(known, made)
    assert (problem.status, problem.headers["retry-after"]) == (429, "10")
    assert all(known.enter(other, "score") for _ in range(100))
    clock.now += 365 * DAY  # no wall clock gives anything back
    assert refused(known, made).status == 429
    clock.seconds += 10
    assert known.enter(made, "score") == "crm"
    assert refused(known, made).status == 429
    known.read()
    assert refused(known, made).status == 429, "reading the keys again must not refill"


@given(st.integers(1, 100), st.lists(st.floats(0, 30, allow_nan=False), max_size=150))
def test_no_stretch_of_time_lets_through_more_than_a_full_bucket_and_its_refill(per_minute, pauses):
    moments = [0.0, *itertools.accumulate(pauses)]
    now = iter([0.0, *moments])
    bucket = Bucket(per_minute, lambda: next(now))
    passed = [moment for moment in moments if bucket.wait() == 0]
    assert passed[:1] == [0.0]
    for first, last in itertools.combinations(range(len(passed)), 2):
        assert last - first + 1 <= per_minute + (passed[last] - passed[first]) * per_minute / 60 + 1e-6


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600])
def test_whoever_never_stops_asking_gets_the_rate_and_no_more(per_minute):
    clock = Clock()
    bucket = Bucket(per_minute, clock.ticks)
    passed = 0
    for _ in range(10 * 6_000):  # ten minutes, a hundred requests a second
        passed += bucket.wait() == 0
        clock.seconds += 0.01
    assert passed == pytest.approx(11 * per_minute, abs=1)


@given(st.integers(1, 1_000), st.integers(0, 20))
def test_whoever_waits_as_told_comes_in(per_minute, more):
    clock = Clock()
    bucket = Bucket(per_minute, clock.ticks)
    for _ in range(per_minute + more):
        seconds = bucket.wait()
        clock.seconds += seconds + 1e-6
        assert not seconds or bucket.wait() == 0


def test_entering_asks_neither_store_nor_disk(sqlite, tmp_path, clock):
    made = key(sqlite)
    known = at(sqlite, tmp_path, clock)
    (tmp_path / "keys.json").unlink()
    with gone(sqlite):
        assert known.enter(made, "score") == "crm" and refused(known, "tsu_x").status == 401
    assert not (tmp_path / "keys.json").exists()


def test_the_last_known_keys_count_while_the_store_is_gone(engine, tmp_path, clock):
    made, ending = key(engine, per_minute=2), key(engine, "ending", NOW, NOW + DAY)
    known = at(engine, tmp_path, clock)
    assert known.stale is None
    with gone(engine):
        assert not known.read() and known.stale == guard.OLD
        assert known.enter(made, "score") == "crm"
        again = Guard(engine, tmp_path, clock.wall, clock.ticks)
        again.start()
        again.stop()
        assert again.stale == guard.OLD
        assert again.enter(made, "score") == "crm" and refused(again, made, "write").status == 403
        assert again.enter(ending, "read") == "ending"
        clock.now += DAY
        assert refused(again, ending).status == 401
        assert refused(again, made).status == 429
    assert known.read() and known.stale is None


def test_what_is_kept_beside_the_store_is_hashes_for_our_eyes(sqlite, tmp_path, clock):
    made = key(sqlite)
    at(sqlite, tmp_path, clock)
    kept = tmp_path / "keys.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert made[4:] not in kept.read_text() and json.loads(kept.read_text())[0]["hash"] == auth.hashed(made)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "text", [None, "", "{", "[1]", '[{"name": "a"}]', '{"a": 1}', '[{"created_at": 3}]', "nul\x00"]
)
def test_without_store_and_with_a_damaged_file_nobody_is_let_in(sqlite, tmp_path, clock, text):
    made = key(sqlite)
    if text is not None:
        (tmp_path / "keys.json").write_text(text)
    with gone(sqlite):
        known = Guard(sqlite, tmp_path, clock.wall, clock.ticks)
        known.start()
        known.stop()
        assert refused(known, made).status == 503 and known.stale
    assert known.read() and known.enter(made, "score") == "crm"


def test_a_home_that_cannot_be_written_does_not_close_the_door(sqlite, tmp_path, clock):
    made = key(sqlite)
    known = at(sqlite, tmp_path / "not" / "there", clock)
    assert known.enter(made, "score") == "crm" and known.stale is None


def test_keys_that_were_not_read_for_long_are_said_to_be_old(sqlite, tmp_path, clock):
    known = at(sqlite, tmp_path, clock)
    clock.seconds += guard.LATE_SECONDS + 1  # the thread hangs in a database that does not answer
    assert known.stale == guard.OLD


def test_the_thread_takes_over_new_keys_and_lets_go_of_revoked_ones(sqlite, tmp_path):
    known = Guard(sqlite, tmp_path, lambda: NOW)
    known.start()
    try:
        made = key(sqlite)
        assert _soon(lambda: _status(known, made) == 200)
        with Session(sqlite) as session:
            auth.revoke(session, "crm")
        assert _soon(lambda: _status(known, made) == 401)
    finally:
        known.stop()


def _status(known, made):
    try:
        known.enter(made, "score")
    except Refusal as refusal:
        return refusal.problem.status
    return 200


def _soon(holds):
    until = time.monotonic() + 30
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    return holds()


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([(b"x-api-key", b"tsu_a")], "tsu_a"),
        ([(b"authorization", b"Bearer tsu_b")], "tsu_b"),
        ([(b"authorization", b"bearer  tsu_b ")], "tsu_b"),
        ([(b"authorization", b"Bearer tsu_b"), (b"x-api-key", b"tsu_a")], "tsu_a"),
        ([(b"authorization", b"Basic tsu_b")], ""),
        ([(b"x-api-key", b"")], ""),
        ([(b"x-api-key", b"\xff")], "\xff"),
        ([], ""),
    ],
)
def test_a_key_comes_in_one_of_two_headers(headers, found):
    assert auth.key_of(headers) == found
