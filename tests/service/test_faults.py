"""What goes wrong around the real server: killed workers, lost databases, bad bundles, rude clients, a full disk."""

import asyncio
import json
import resource
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest

from serving.guards import auth
from serving.stores import store
from tests.service import databases
from tests.service import world as worlds
from tests.service.conftest import TRUST, started
from tests.service.load import Load, answered, request

CONNECTIONS, PATIENCE = 8, 90
ASKED = {"model": "churn", "customers": [{"customer_id": "C-0005"}, {"customer_id": "C-0009"}], "reasons": 3}


def until(true, what):
    """Waits until something is so; a fault that never heals has failed."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if true():
            return
        time.sleep(0.1)
    pytest.fail(f"not within {PATIENCE} seconds: {what}")


@pytest.fixture(scope="module")
def two(workspace, tmp_path_factory):
    """A company with a list, served by two workers that wait three seconds for a body."""
    folder = tmp_path_factory.mktemp("faults")
    world = worlds.make(folder / "faults")
    world.path.write_text(f"{world.path.read_text()}limits: {{body_seconds: 3}}\n")
    world.place(worlds.bundle())
    world.publish()
    with world.session() as session:
        key = auth.create(session, "test", worlds.NOON)
    with started(world, folder, key, workers=2) as running:
        until(lambda: running.starts() == 2, "both workers")
        yield running


def load(service, connections=CONNECTIONS, body=ASKED):
    return Load(service.url, request("POST", "/score", service.key, body), connections)


def versions(answers):
    """The versions of the bundle that the answers carry, each answer in itself of one."""
    each = [{row["model_version"] for row in answer.body["results"]} for answer in answers]
    assert all(len(found) == 1 for found in each)
    return [found.pop() for found in each]


def state(service):
    return httpx.get(f"{service.url}/readyz", timeout=PATIENCE, verify=TRUST).json()


def churn(service):
    return state(service)["models"]["churn"]


def stale(service):
    """Whether the answers of all workers say that they are stale, as far as some connections show."""
    said = set()
    for _ in range(8):
        said.add(service.score({"customer_id": "C-0005"}).json()["results"][0]["stale"])
    return said


def test_a_worker_killed_under_load_costs_what_it_was_answering_and_comes_back(two):
    with load(two) as running:
        until(lambda: len(running.answers) > 50, "answers")
        starts, (victim, process) = two.starts(), next(iter(two.workers().items()))
        process.kill()
        count = len(running.answers)
        until(lambda: len(running.answers) > count + 50, "the other worker goes on")
        until(lambda: two.starts() == starts + 1, "a new worker")
    assert victim not in two.workers() and len(two.workers()) == 2
    assert len(running.failed) <= CONNECTIONS and {answer.status for answer in running.failed} <= {None}


def test_a_champion_swapped_under_load_costs_nothing_and_never_swings_back(two):
    old, fresh = churn(two)["model_version"], worlds.bundle(seed=11)
    with load(two) as running:
        until(lambda: len(running.answers) > 50, "answers")
        two.world.place(fresh)
        until(lambda: set(versions(running.answers[-40:])) == {fresh.version}, "the new champion everywhere")
    assert running.failed == []
    by_connection = {}
    for answer, version in zip(running.answers, versions(running.answers)):
        by_connection.setdefault(answer.connection, []).append(version)
    for seen in by_connection.values():
        assert seen == sorted(seen, key=[old, fresh.version].index), "monotonic per connection, and so per worker"
    assert {version for seen in by_connection.values() for version in seen} == {old, fresh.version}


def test_a_tampered_champion_is_refused_and_the_last_good_one_answers(two):
    before = churn(two)["model_version"]
    bad = worlds.bundle(seed=12)
    two.world.place(bad)
    (two.world.config.home / "bundles" / bad.sha256 / "model.txt").write_text("tree")
    try:
        until(lambda: churn(two)["stale"] == "champion_refused", "told")
        until(lambda: stale(two) == {True}, "both workers tell it")
        found = two.score({"customer_id": "C-0005"}).json()["results"][0]
        assert (found["model_version"], found["stale"]) == (before, True)
        assert state(two)["status"] == "degraded"
    finally:
        two.world.place(worlds.bundle(seed=13))
    until(lambda: churn(two)["stale"] is None and stale(two) == {False}, "a good champion heals it")


def test_the_database_goes_and_comes_back_and_a_worker_killed_meanwhile_starts_without_it(two):
    path = two.world.config.home / "serving.db"
    away = path.rename(path.with_name("away.db"))
    try:
        until(lambda: churn(two)["stale"] == "store_unreachable", "told")
        until(lambda: stale(two) == {True}, "both workers tell it")
        refused = two.get("/v1/risk-lists/churn/latest")
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
        assert refused.headers["content-type"] == "application/problem+json"
        starts = two.starts()
        for one in two.workers().values():
            one.kill()
        until(lambda: two.starts() == starts + 2, "two new workers")
        assert stale(two) == {True}, "from the last good state"
        assert state(two)["status"] == "degraded"
    finally:
        away.replace(path)
    until(lambda: state(two)["status"] == "ready" and stale(two) == {False}, "back by itself")
    assert two.get("/v1/risk-lists/churn/latest").status_code == 200


def raw(service):
    place = urlsplit(service.url)
    return socket.create_connection((place.hostname, place.port), timeout=PATIENCE)


def head(service, length):
    return request("POST", "/score", service.key).replace(b"Content-Length: 0", f"Content-Length: {length}".encode())


def test_a_body_of_8_mb_is_refused_before_it_is_read(two):
    with raw(two) as connection:
        connection.sendall(head(two, 8_000_000))
        assert connection.recv(4_096).startswith(b"HTTP/1.1 413"), "no byte of the body was sent"


def test_a_body_that_trickles_in_ends_at_the_limit_and_holds_nobody_up(two):
    with raw(two) as slow, load(two, 2) as running:
        slow.sendall(head(two, 1_000))
        over = threading.Event()

        def trickle():
            while not over.wait(0.1):
                try:
                    slow.sendall(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        assert slow.recv(4_096).startswith(b"HTTP/1.1 408")
        over.set()
        thread.join()
    assert len(running.answers) > 10 and running.failed == []


def test_idle_connections_and_heads_that_never_end_hold_nobody_up(two):
    idle = [raw(two) for _ in range(200)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        with load(two, 2) as running:
            until(lambda: len(running.answers) > 20, "answers")
        assert running.failed == []
    finally:
        for connection in idle:
            connection.close()


def memory(service):
    return sum(one.memory_info().rss for one in service.workers().values())


def test_ten_thousand_unknown_paths_leave_no_trace(two):
    async def ask(first, count):
        place = urlsplit(two.url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for start in range(first, first + count, 50):
            many = [request("GET", f"/secret-{number}/x", two.key) for number in range(start, start + 50)]
            writer.write(b"".join(many))
            for _ in many:
                status, _, _ = await answered(reader)
                assert status == 404
        writer.close()

    async def all_of(first, count):
        await asyncio.gather(*(ask(first + part * count // 4, count // 4) for part in range(4)))

    asyncio.run(all_of(0, 2_000))
    before, page = memory(two), two.get("/metrics")
    asyncio.run(all_of(2_000, 10_000))
    after = two.get("/metrics")
    assert memory(two) - before < 20_000_000
    assert "secret" not in after.text and after.text.count("\n") <= page.text.count("\n") + 60
    assert "secret" not in two.log.read_text()


def test_on_a_full_disk_nothing_is_scored_unaudited_and_all_heals_by_itself(two):
    fresh = worlds.bundle(seed=14)
    limits = {pid: one.rlimit(resource.RLIMIT_FSIZE) for pid, one in two.workers().items()}
    for one in two.workers().values():
        one.rlimit(resource.RLIMIT_FSIZE, (100, limits[one.pid][1]))
    try:
        two.world.place(fresh)
        until(lambda: churn(two)["model_version"] == fresh.version, "the champion is taken over all the same")
        answer = two.score({"customer_id": "C-0005"})
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    finally:
        for one in two.workers().values():
            one.rlimit(resource.RLIMIT_FSIZE, limits[one.pid])
    until(lambda: {two.score({"customer_id": "C-0005"}).status_code for _ in range(8)} == {200}, "scores again")
    kept = two.world.config.home / "served-churn.json"
    until(lambda: json.loads(json.loads(kept.read_text())["body"])["bundle"] == fresh.sha256, "kept after all")


def test_sigterm_lets_finish_what_runs_and_ends_in_order(two):
    whole = request("POST", "/score", two.key, ASKED)
    with raw(two) as half, load(two) as running:
        until(lambda: len(running.answers) > 50, "answers")
        half.sendall(whole[:-9])
        time.sleep(0.3)
        two.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        half.sendall(whole[-9:])
        assert half.recv(4_096).startswith(b"HTTP/1.1 200"), "half sent before, answered after"
        code = two.process.wait(PATIENCE)
    assert code == 0
    assert {answer.status for answer in running.failed} <= {None}


def test_a_postgresql_stopped_and_started_is_missed_and_found_again(workspace, tmp_path, monkeypatch):
    url = databases.serve().database()
    monkeypatch.setenv("TSUNAGI_STORE", url)
    world = worlds.make(tmp_path / tmp_path.name)
    world.place(worlds.bundle())
    world.publish()
    with world.session() as session:
        key = auth.create(session, "test", worlds.NOON)
    store.connect(url).dispose()
    with started(world, tmp_path, key, TSUNAGI_STORE=url) as one, load(one, 2) as running:
        until(lambda: len(running.answers) > 20, "answers")
        databases.serve().stop()
        try:
            until(lambda: churn(one)["stale"] == "store_unreachable" and stale(one) == {True}, "told")
            refused = one.get("/v1/risk-lists/churn/latest")
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert state(one)["status"] == "degraded"
        finally:
            databases.serve().start()
        until(lambda: state(one)["status"] == "ready" and stale(one) == {False}, "back by itself")
        assert one.get("/v1/risk-lists/churn/latest").status_code == 200
    assert running.failed == []
