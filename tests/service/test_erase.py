"""One customer erased: nothing of it stays in any byte we keep, whatever is killed, and nothing brings it back."""

import hashlib
import io
import json
import multiprocessing
import shutil
import signal
import stat
import sys
import time
from argparse import Namespace
from datetime import timedelta
from urllib.parse import quote

import httpx
import pandas as pd
import pytest
from sqlalchemy import inspect, text

from features import __main__ as features
from features import config as configs
from features import erased
from features.errors import ConfigError, DataError
from serving import __main__ as serving
from serving.config import ServingConfig
from serving.erasure import erase, without
from serving.guards import auth, trail
from serving.lists import daily
from serving.stores import store
from tests.service import canary, erasing
from tests.service.canary import ID, NOW, REFUSED
from tests.service.conftest import started
from tests.service.world import World

FAILPOINTS = 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The company in a workspace of its own, to be copied."""
    folder = tmp_path_factory.mktemp("canary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSUNAGI_WORKSPACE", str(folder / "workspace"))
        canary.make(folder)
    return folder


@pytest.fixture
def world(prepared, tmp_path, monkeypatch):
    """A copy of the company's workspace."""
    return copied(prepared, tmp_path / "workspace", monkeypatch)


def copied(prepared, folder, patch):
    shutil.copytree(prepared / "workspace", folder)
    patch.setenv("TSUNAGI_WORKSPACE", str(folder))
    path = prepared / "serving.yaml"
    return World(path, configs.load(path, ServingConfig))


@pytest.fixture
def unregistered(world):
    """The same without a registry: asking it takes seconds."""
    (world.config.home / "mlflow.db").unlink()
    shutil.rmtree(world.config.home / "unregistered")
    return world


def held(world):
    """Every row of every table of the database, by table."""
    with world.session() as session:
        names = inspect(session.connection()).get_table_names()
        return {name: sorted(map(repr, session.execute(text(f"SELECT * FROM {name}")))) for name in names}


def listed(world):
    """customer_id -> rank of the newest list."""
    with world.session() as session:
        run = store.published(session, "churn")
        return {row.customer_id: row.rank for row in store.listed(session, run.id)}, run


def test_nothing_of_the_customer_stays_in_any_byte_and_all_else_does(world, prepared):
    home, before = world.config.home, held(world)
    ranks, _ = listed(world)
    marked = canary.found(home)
    for place in ("activity/login/", "lists/churn", "mlartifacts/", "serving.db", "snapshots/churn", "unregistered/"):
        assert any(path.startswith(place) for path in marked), place
    told = erase.erase(world.config, ID, NOW)
    assert canary.found(home) == set()
    assert canary.found(prepared / "data") == {"customers.parquet", "logins.parquet", "tickets.parquet"}
    assert told["not_touched"] == ["customers.parquet", "logins.parquet", "tickets.parquet"]
    assert told["trained_with"] == ["unregistered churn-waiting", "canary-churn 1"] and told["not_recorded"] == []
    after = held(world)
    gone = {name: [row for row in before[name] if row not in after[name]] for name in before}
    assert {name: len(rows) for name, rows in gone.items() if rows and name != "runs"} == {
        "scores": 2, "contacts": 1, "actions": 1, "replays": 1
    }  # fmt: skip
    rest, run = listed(world)
    assert rest == {one: rank for one, rank in ranks.items() if one != ID} and run.rows == len(rest)
    assert (home / "snapshots" / run.snapshot).exists()
    content = json.loads((home / f"lists/churn-{run.as_of}.json").read_text())
    table = pd.read_csv(home / f"lists/churn-{run.as_of}.csv", encoding="utf-8-sig")
    assert {row["customer_id"]: row["rank"] for row in content["rows"]} == rest
    assert dict(zip(table["customer_id"], table["rank"], strict=True)) == rest
    kept = pd.read_parquet(home / "snapshots/churn.parquet")
    assert set(kept.loc[kept["customer_id"] == canary.CHILD, "unit"]) == {erased.Erased.of(home).alias(ID)}


def test_the_receipt_is_signed_names_nobody_and_a_second_run_finds_nothing(unregistered):
    home = unregistered.config.home
    told = erase.erase(unregistered.config, ID, NOW)
    (path,) = (home / "erasures").iterdir()
    assert json.loads(path.read_text()) == told and told["status"] == "erased"
    rest = {key: value for key, value in told.items() if key != "sha256"}
    plain = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(plain.encode()).hexdigest() == told["sha256"]
    files = [one for one in told["places"] if one["before"] is not None]
    assert all(
        one["done"] and one["after"] and one["after"] != one["before"] for one in told["places"] if one["before"]
    )
    for one in files:
        if (home / one["place"]).exists():
            assert hashlib.sha256((home / one["place"]).read_bytes()).hexdigest() == one["after"]
    for name in ("erased.json", f"erasures/{path.name}"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    state = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != ".db"}
    again = erase.erase(unregistered.config, f" {ID} ", NOW + timedelta(days=3))
    assert (again["status"], again["earlier"], again["places"]) == ("already_erased", [told["finished_at"]], [])
    assert {path: path.read_bytes() for path in state} == state
    assert set(home.rglob("*.json")) == {path for path in state if path.suffix == ".json"}


def test_no_table_brings_the_customer_back(unregistered, prepared):
    config, home = unregistered.config, unregistered.config.home
    erase.erase(config, ID, NOW)
    path = prepared / "churn.yaml"
    assert features.update(Namespace(config=path, set=[], rebuild=True, json=True))[0] == 0
    made = unregistered.publish(None)
    assert made.published and ID not in listed(unregistered)[0]
    options = {"as_of": [], "labels": True, "out": None, "json": True}
    features.make(Namespace(config=path, set=[], **options))
    assert canary.found(home) == set()
    assert erase.erase(config, ID, NOW + timedelta(days=1))["status"] == "already_erased"
    assert sorted(listed(unregistered)[0].values()) == list(range(1, made.rows + 1))


def test_killed_at_any_step_and_typed_again_it_ends_the_same(unregistered, prepared, tmp_path, monkeypatch):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.service.erasing"])
    erased.salted(unregistered.config.home)  # so that all rounds hash alike
    base, steps = tmp_path / "workspace", context.Value("i", 0)

    def run(folder, last_step):
        process = context.Process(target=erasing.run, args=(unregistered.path, str(folder), last_step, steps))
        process.start()
        process.join()
        return process.exitcode

    def ended(folder):
        monkeypatch.setenv("TSUNAGI_WORKSPACE", str(folder))
        home = folder / "canary"
        told = [json.loads(path.read_text()) for path in (home / "erasures").iterdir()]
        assert canary.found(home) == set() and len(told) == 1
        kept = [
            path
            for path in home.rglob("*")
            if path.is_file() and path.suffix != ".db" and path.parent.name != "erasures"
        ]
        files = {str(path.relative_to(home)): path.read_bytes() for path in kept}
        places = [(one["place"], one["rows"], one["before"], one["done"]) for one in told[0]["places"]]
        return files, sorted(places, key=repr), held(World(unregistered.path, unregistered.config)), told[0]["status"]

    shutil.copytree(base, tmp_path / "whole")
    assert run(tmp_path / "whole", None) == 0
    whole, count = ended(tmp_path / "whole"), steps.value
    assert whole[3] == "erased" and count > 4 * FAILPOINTS
    for number in range(FAILPOINTS):
        folder = tmp_path / f"round{number}"
        shutil.copytree(base, folder)
        assert run(folder, 1 + number * (count - 1) // (FAILPOINTS - 1)) == -signal.SIGKILL
        assert number == 0 or ID in erased.Erased.of(folder / "canary")
        assert run(folder, None) == 0
        assert ended(folder) == whole, number
        shutil.rmtree(folder)


def test_while_a_daily_job_runs_only_the_tombstone_is_set(unregistered):
    home = unregistered.config.home
    with daily.alone(home), pytest.raises(daily.Busy):
        erase.erase(unregistered.config, ID, NOW)
    assert ID in erased.Erased.of(home) and not (home / "erasures").exists() and ID in listed(unregistered)[0]
    assert erase.erase(unregistered.config, ID, NOW)["status"] == "erased"


def test_without_its_registry_it_goes_on_later(world, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = erase.erase(world.config, ID, NOW)
    assert told["status"] == "unfinished" and "127.0.0.1:9" in told["notes"][0]
    assert {path.split("/")[0] for path in canary.found(world.config.home)} == {"mlartifacts", "unregistered"}
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    told = erase.erase(world.config, ID, NOW)
    assert (told["status"], told["notes"]) == ("erased", []) and "canary-churn 1" in told["trained_with"]
    assert canary.found(world.config.home) == set()
    assert len([one for one in told["places"] if one["place"] == "database"]) == 1


def test_the_door_asks_for_yes_takes_the_id_from_a_pipe_and_says_what_stays(unregistered, monkeypatch, capsys):
    path = str(unregistered.path)

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["serving", "erase", path, *words])
        return serving.main(), capsys.readouterr()

    code, said = typed(ID)
    assert code == 2 and "--yes" in said.err and ID in listed(unregistered)[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ID}\n"))
    code, said = typed("-", "--yes")
    assert code == 0 and "2 scores, 1 contacts" in said.out and "logins.parquet" in said.out and ID not in said.out
    code, said = typed("nobody-ever", "--yes", "--json")
    assert code == 0 and json.loads(said.out)["status"] == "nothing_found"
    assert typed(" ", "--yes")[0] == 2
    assert "nobody-ever" in erased.Erased.of(unregistered.config.home)


def test_stopped_by_the_keyboard_it_says_what_is_done_and_what_is_not(unregistered, monkeypatch, capsys):
    def typed(stopping):
        def stop(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(*stopping, stop)
            patch.setattr(sys, "argv", ["serving", "erase", str(unregistered.path), ID, "--yes", "--json"])
            return serving.main(), json.loads(capsys.readouterr().out)["error"]

    assert typed((erase.erased, "add")) == (130, "stopped; nothing half-made is kept")
    assert ID in listed(unregistered)[0]
    code, said = typed((erase, "_files"))
    assert code == 130 and said == (
        "stopped; the customer is left out from now on, but not everything is removed: type the same command again"
    )
    assert ID in erased.Erased.of(unregistered.config.home)
    assert erase.erase(unregistered.config, ID, NOW)["status"] == "erased"


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ConfigError("no way"), DataError("cut off")])
def test_what_stands_in_its_way_is_told_with_what_is_done_and_what_is_not(unregistered, monkeypatch, capsys, error):
    def failing(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(erase, "_files", failing)
        patch.setattr(sys, "argv", ["serving", "erase", str(unregistered.path), ID, "--yes", "--json"])
        assert serving.main() == 2
    said = json.loads(capsys.readouterr().out)["error"]
    rest = "; the customer is left out from now on, but not everything is removed: type the same command again then"
    assert said == f"{error}{rest}"
    assert erase.erase(unregistered.config, ID, NOW)["status"] == "erased"


def test_an_id_that_is_none_sets_nothing(unregistered):
    for wrong in ("", " \n", "x" * 256):
        with pytest.raises(ConfigError, match="1 to 255"):
            erase.erase(unregistered.config, wrong, NOW)
    assert not erased.Erased.of(unregistered.config.home)


def test_a_list_that_is_none_of_ours_is_named_and_not_passed_over(unregistered):
    path = unregistered.config.home / "lists" / "notes.json"
    path.write_text(f'{{"about": "{ID}"}}')
    with pytest.raises(Exception, match=r"notes\.json: is no list"):
        erase.erase(unregistered.config, ID, NOW)
    path.rename(path.with_suffix(".txt"))
    told = erase.erase(unregistered.config, ID, NOW)
    assert told["status"] == "erased" and "lists/notes.txt" in told["notes"][0]


def test_a_customer_whose_id_looks_like_anothers_made_safe_stays(tmp_path):
    path = tmp_path / "churn-2026-02-01.csv"
    path.write_text("\ufeffrank,customer_id,name\r\n1,0042,A\r\n2,'0042,B\r\n3,'=1,C\r\n", encoding="utf-8", newline="")
    without.rewrite(path, "0042")
    without.rewrite(path, "=1")
    assert path.read_bytes().decode() == "\ufeffrank,customer_id,name\r\n2,'0042,B\r\n"


def test_the_service_scores_nobody_who_refused_or_was_erased_and_erases_when_asked(unregistered, tmp_path):
    world, now = unregistered, NOW
    with world.session() as session:
        key = auth.create(session, "admin", now, scopes=("score", "read", "write", "admin"))
        reader = auth.create(session, "reader", now, scopes=("score", "read"))
    visits = [{"at": f"2026-01-{day:02}T09:00:00Z"} for day in range(1, 29)]
    own = {"login": visits, "ticket": []}
    address, other = f"/v1/customers/{quote(ID)}", next(one for one in listed(world)[0] if one != ID)

    def statuses(service, one):
        rows = {"customer_id": one}
        forms = [rows, rows | {"changes": {"login_count_28d": 3}}, rows | {"events": own}]
        answer = service.score(*forms)
        assert answer.status_code == 200, answer.text
        return [(row["status"], row["score"] is None) for row in answer.json()["results"]]

    with started(world, tmp_path, key) as service:
        assert statuses(service, REFUSED) == [("opted_out", True)] * 3
        assert statuses(service, ID) == [("ok", False)] * 3
        assert service.get(address).status_code == 200
        url = service.url + address
        assert httpx.delete(url, headers={"x-api-key": reader}, timeout=60).status_code == 403
        done = httpx.delete(url, headers={"x-api-key": key}, timeout=120)
        assert done.status_code == 200 and done.json()["status"] == "erased", done.text
        assert statuses(service, ID) == [("opted_out", True)] * 3
        assert service.get(address).status_code == 404
        again = httpx.delete(url, headers={"x-api-key": key}, timeout=120).json()
        assert again["status"] == "already_erased"
        until = time.monotonic() + 10
        while statuses(service, other) != [("ok", False)] * 3:
            assert time.monotonic() < until
        assert canary.found(world.config.home) == set()
        with daily.alone(world.config.home):
            busy = httpx.delete(f"{service.url}/v1/customers/{other}", headers={"x-api-key": key}, timeout=60)
            assert busy.status_code == 409 and other not in busy.text
            assert statuses(service, other) == [("opted_out", True)] * 3
        acts = [(one["action"], one.get("refused")) for one in trail.entries(world.config.home, other)]
        assert acts[-3:] == [("erasure", None), ("erasure.unfinished", None), ("score", None)]
        third = next(one for one in listed(world)[0] if one not in (ID, other))
        (world.config.home / "erased.json").write_text("damaged")
        failed = httpx.delete(f"{service.url}/v1/customers/{third}", headers={"x-api-key": key}, timeout=60)
        assert failed.status_code == 503 and failed.headers["retry-after"]
        acts = [(one["action"], one.get("refused")) for one in trail.entries(world.config.home, third)]
        assert acts == [("erasure", None), ("erasure", 503)]  # no tombstone: nothing was begun
        text = service.log.read_text()
        assert not any(mark in text for mark in canary.MARKS)
