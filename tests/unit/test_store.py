"""The store of daily activity: the same facts with and without it, old days stay as read, nothing is lost in silence."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import incremental
from features import config, facts, partition, snapshot, store
from features.__main__ import main
from features.calendar import number
from features.data_config import Data
from features.errors import DataError
from features.snapshot_config import SnapshotConfig
from features.sources import Source
from features.store import Store
from tests import company

FIRST = datetime(2025, 3, 1)
STORE = {"store": {"horizon_days": 3}}
LOGIN = {"table": "logins-*.parquet", "at": "at", "known": "known", "value": "value", "entity": "user"}


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    """Each test stores in a folder of its own, next to its tables."""
    monkeypatch.setenv("TSUNAGI_WORKSPACE", str(tmp_path / "kept"))


def rows(day: int, customers: str = "abc", known: int | None = None) -> list[dict]:
    at = FIRST + timedelta(days=day)
    since = at if known is None else FIRST + timedelta(days=known)
    return [
        {"id": id_, "at": at + timedelta(hours=i), "known": since, "value": 1.5 * i - 2, "user": f"u{i % 2}"}
        for i, id_ in enumerate(customers)
    ]


def deliver(folder: Path, day: int, more: list[dict] | None = None) -> Path:
    """The file of one day."""
    company.tables(folder, **{f"logins-{day:03}": rows(day) + (more or [])})
    return folder / f"logins-{day:03}.parquet"


def data(folder: Path, **changes) -> Data:
    return Data.model_validate(
        company.merged(company.DATA, {"root": str(folder), "streams": {"login": LOGIN}} | STORE | changes)
    )


def kept(folder: Path, **changes) -> Store:
    own = data(folder, **changes)
    return Store(Source(own), list(own.streams))


def again(own: Store) -> Store:
    """The store after an update by a source of its own, as every command has one."""
    fresh = Store(Source(own._source.data), own._names)
    fresh.update()
    return fresh


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the store but the lock, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}  # fmt: skip


def built_anew(folder: Path, monkeypatch, **changes) -> dict[str, bytes]:
    with monkeypatch.context() as patch:
        patch.setenv("TSUNAGI_WORKSPACE", str(folder / "anew"))
        own = kept(folder, **changes)
        own.update(rebuild=True)
        return content(own.folder)


def events_in(own: Store) -> int:
    return sum(int(part.count.sum()) for part in own.read())


def fingerprint(path: Path, *sets: str, today: date | None = None) -> tuple[str, dict]:
    settings = config.load(path, SnapshotConfig, sets)
    known = facts.read(settings.data, today=today)
    dates = snapshot.dates(settings, known)
    return snapshot.build(settings, dates, labels=True, known=known).fingerprint, known.lost


def test_a_store_changes_no_number_of_real_groceries():
    path = Path("configs/grocery/churn.yaml")
    sets = ["as_of.every=month", "data.store.horizon_days=3"]
    assert fingerprint(path, *sets) == fingerprint(path, *sets) == fingerprint(path, *sets[:1])


def test_a_store_changes_no_number_of_real_logins(datasets):
    path = Path("configs/relax/churn.yaml")
    assert fingerprint(path, "data.store.horizon_days=0") == fingerprint(path)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_root_named_from_the_folder_one_stands_in(tmp_path, monkeypatch, kind):
    def put(name: str, days: range) -> None:
        frame = pd.DataFrame([row for day in days for row in rows(day)])
        frame.to_csv(f"tables/{name}", index=False) if kind == "csv" else frame.to_parquet(f"tables/{name}")

    (tmp_path / "tables").mkdir()
    monkeypatch.chdir(tmp_path)
    company.tables(tmp_path / "tables")
    own = {"root": "tables", "streams": {"login": LOGIN | {"table": f"logins-*.{kind}"}}}
    put(f"logins-1.{kind}", range(100))
    grown = kept(tmp_path, **own)
    grown.update()
    put(f"logins-2.{kind}", range(100, 110))  # a new file, then one that grows
    assert events_in(again(grown)) == 330
    put(f"logins-2.{kind}", range(100, 120))
    grown = again(grown)
    assert events_in(grown) == 360 and grown.late == []
    assert content(grown.folder) == built_anew(tmp_path, monkeypatch, **own)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_store_changes_nothing_of_streams_of_every_kind(tmp_path, kind):
    people, logins = company.logins(customers=12, weeks=20)
    logins = logins.assign(kind=["seen", "paid", "rated"] * (len(logins) // 3) + ["paid"] * (len(logins) % 3))
    logins["value"], logins["user"] = (
        (logins.index % 7) / 4,
        [None if i % 5 == 0 else f"u{i % 3}" for i in logins.index],
    )
    logins["known"] = logins["at"] + pd.to_timedelta(logins.index % 3 * 20, unit="h")
    odd = {
        "id": [None, "stranger", *people["id"][:2]],
        "at": [FIRST, FIRST, None, datetime(2031, 1, 1)],
        "known": [None, None, FIRST, None],
    }
    logins = pd.concat([logins, pd.DataFrame(odd).assign(kind="paid", value=1.0)], ignore_index=True)
    company.tables(tmp_path, customers=people, tickets=logins.assign(until=logins["at"] + pd.Timedelta(days=2)))
    for place, piece in enumerate([logins[:100], logins[100:]]):
        if kind == "csv":
            piece.to_csv(tmp_path / f"logins-{place}.csv", index=False)
        else:
            piece.to_parquet(tmp_path / f"logins-{place}.parquet")
    own = {"table": f"logins-*.{kind}", "at": "at", "known": "known"}
    streams = {
        "login": own | {"where": {"kind": ["seen", "paid"]}, "entity": "user"},
        "order": own | {"where": {"kind": "paid"}, "value": "value"},
        "nps": own | {"where": {"kind": "rated"}, "value": "value", "kind": "rating"},
        "ticket": {"table": "tickets.parquet", "at": "at", "until": "until"},
    }
    path = company.configs(tmp_path, {"streams": streams, "timezone": "Asia/Tokyo"})
    today = date(2026, 1, 1)
    found = fingerprint(path, today=today)
    assert fingerprint(path, "data.store.horizon_days=3", today=today) == found
    assert fingerprint(path, "data.store.horizon_days=3", today=today) == found
    assert found[1]["order"]["after_today"] == 1 and found[1]["order"]["without_time"] == 1
    assert [folder.name for folder in sorted((tmp_path / "kept" / "tiny" / "activity").iterdir())] == ["login"]


def test_only_some_customers_are_read_by_the_same_walk(tmp_path):
    company.tables(tmp_path, customers=[{"id": id_} for id_ in "abc"])
    deliver(tmp_path, 0)
    for settings in (data(tmp_path), data(tmp_path, store=None)):
        known = facts.read(settings, only=["b"])
        assert known.calendar["login"].counts.tolist() == [1]


def test_the_next_day_without_a_new_row_writes_nothing(tmp_path):
    for day in range(6):
        deliver(tmp_path, day)
    own, today = kept(tmp_path), number(date(2025, 3, 6))
    assert len(own.update(today)) == 6
    before = {path: path.stat().st_mtime_ns for path in own.folder.glob("*.parquet")}
    assert own.update(today + 1) == []
    assert {path: path.stat().st_mtime_ns for path in own.folder.glob("*.parquet")} == before


def test_a_new_day_is_read_and_no_file_of_an_old_one(tmp_path, monkeypatch):
    files = [deliver(tmp_path, day) for day in range(10)]
    own = again(kept(tmp_path))
    whole, about = files[1].read_bytes(), files[1].stat()
    files[1].write_bytes(b"x" * about.st_size)
    os.utime(files[1], ns=(about.st_atime_ns, about.st_mtime_ns))
    deliver(tmp_path, 10)
    assert own.update() == [number(date(2025, 3, 11))]
    assert events_in(own) == 33 and own.late == []
    files[1].write_bytes(whole)
    os.utime(files[1], ns=(about.st_atime_ns, about.st_mtime_ns))
    assert content(own.folder) == built_anew(tmp_path, monkeypatch)


@pytest.mark.parametrize("way", ["a new file", "a changed file"])
def test_rows_after_the_horizon_are_told_until_all_is_read_again(tmp_path, way, monkeypatch):
    for day in range(10):
        deliver(tmp_path, day)
    own = again(kept(tmp_path))
    late = rows(2, "ab", known=2) + rows(1, "c", known=4)
    path = deliver(tmp_path, 10 if way == "a new file" else 2, late)
    own = again(own)
    for _ in range(2):
        assert [(one.streams, one.rows, one.oldest, one.files) for one in own.late] == [
            (("login",), 3, "2025-03-03", (str(path),))
        ]
        assert f"3 rows came later than the horizon and are left out; oldest known on 2025-03-03, in {path}" in str(
            own.late[0]
        )
        own = again(own)
    assert events_in(own) == (33 if way == "a new file" else 30)
    own.update(rebuild=True)
    assert own.late == [] and events_in(own) == (36 if way == "a new file" else 33)
    assert content(own.folder) == built_anew(tmp_path, monkeypatch)


def test_a_late_known_row_of_an_old_day_is_taken(tmp_path):
    for day in range(10):
        deliver(tmp_path, day)
    own = again(kept(tmp_path))
    deliver(tmp_path, 10, rows(1, "ab", known=8))
    own = again(own)
    assert own.late == [] and events_in(own) == 35


def test_rows_that_are_gone_are_told_and_moved_ones_are_not(tmp_path):
    files = [deliver(tmp_path, day) for day in range(10)]
    own = again(kept(tmp_path))
    pd.concat([pd.read_parquet(path) for path in files[:4]]).to_parquet(tmp_path / "logins-old.parquet")
    for path in files[:4]:
        path.unlink()
    own = again(own)
    assert own.late == [] and events_in(own) == 30
    files[4].unlink()
    own = again(own)
    assert [(one.rows, one.oldest, one.files) for one in own.late] == [(-3, "2025-03-05", (str(files[4]),))]
    assert "3 rows are gone from the table and still counted" in str(own.late[0])


def test_one_wrong_date_in_the_future_does_not_move_the_horizon(tmp_path):
    wrong = [{"id": "a", "at": datetime(2031, 1, 1), "known": None, "value": 1.0, "user": "u"}]
    for day in range(6):
        deliver(tmp_path, day, wrong if day == 1 else None)
    own = kept(tmp_path)
    own.update(number(date(2025, 3, 6)))
    deliver(tmp_path, 6)
    own.update(number(date(2025, 3, 7)))
    deliver(tmp_path, 7)
    own.update()  # who has no clock takes the day that the last one had
    assert own.late == [] and events_in(own) == 25


def test_what_data_yaml_says_anew_is_read_anew(tmp_path, capsys, monkeypatch):
    for day in range(6):
        deliver(tmp_path, day)
    kept(tmp_path).update()
    for change in ({"timezone": "Asia/Tokyo"}, {"streams": {"login": LOGIN | {"where": {"user": "u1"}}}}):
        own = again(kept(tmp_path, **change))
        assert "data.yaml says something else of it than before; reading everything" in capsys.readouterr().err
        assert content(own.folder) == built_anew(tmp_path, monkeypatch, **change)
    own = kept(
        tmp_path, **change | {"streams": {"login": LOGIN | {"where": {"user": "u1"}, "label": {"en": "Visits"}}}}
    )
    assert own.update() == []


def test_a_column_of_another_type_is_read_anew(tmp_path, capsys, monkeypatch):
    stream = {"streams": {"login": {"table": "logins-*.csv", "at": "at"}}, "timezone": "America/New_York"}
    for day in range(1, 8):
        (tmp_path / f"logins-{day}.csv").write_text(f"id,at\na,2025-03-0{day}\n")
    own = again(kept(tmp_path, **stream))
    (tmp_path / "logins-8.csv").write_text("id,at\na,2025-03-08T12:00:00\n")
    own = again(own)
    assert "a column changed its type; reading everything" in capsys.readouterr().err
    assert content(own.folder) == built_anew(tmp_path, monkeypatch, **stream)


@pytest.mark.parametrize("harm", ["missing", "short", "no manifest", "half a manifest"])
def test_a_damaged_store_is_named_and_built_again(tmp_path, capsys, harm):
    for day in range(6):
        deliver(tmp_path, day)
    own = again(kept(tmp_path))
    sound, (path, *_) = content(own.folder), sorted(own.folder.glob("*.parquet"))
    manifest = own.folder / "manifest.json"
    if harm == "missing":
        path.unlink()
    elif harm == "short":
        path.write_bytes(path.read_bytes()[:-9])
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:99])
    capsys.readouterr()
    kept(tmp_path).update()
    told = {"no manifest": "nothing is stored yet", "half a manifest": "its manifest is damaged"}
    assert told.get(harm, f"{path.name} is missing or damaged") in capsys.readouterr().err
    assert content(own.folder) == sound


def test_a_file_with_other_bytes_is_refused_by_name(tmp_path):
    deliver(tmp_path, 0)
    own = again(kept(tmp_path))
    (path,) = own.folder.glob("*.parquet")
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PAR1") + 40] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(DataError, match=f"{path.name}: cannot be read .* --rebuild"):
        list(own.read())


class Killed(BaseException):
    """Ends a process, as far as its files can tell."""


def test_an_update_may_be_killed_before_any_step(tmp_path, monkeypatch):
    for day in range(6):
        deliver(tmp_path, day)
    own = again(kept(tmp_path))
    old, copy = content(own.folder), tmp_path / "copy"
    shutil.copytree(own.folder, copy)
    for day in range(4, 8):
        deliver(tmp_path, day, rows(day, "xy"))
    own = again(own)
    new = content(own.folder)
    done = 0
    while True:
        shutil.rmtree(own.folder)
        shutil.copytree(copy, own.folder)
        with monkeypatch.context() as patch:
            dies_before(patch, done)
            try:
                kept(tmp_path).update()
                break
            except Killed:
                pass
        left = content(own.folder)
        manifest = left["manifest.json"]
        assert manifest in (old["manifest.json"], new["manifest.json"])
        state = old if manifest == old["manifest.json"] else new
        assert {name: left.get(name) for name in state} == state
        kept(tmp_path).update()
        assert content(own.folder) == new
        done += 1
    assert done > 10


def dies_before(patch: pytest.MonkeyPatch, last: int) -> None:
    steps = 0

    def counted(step):
        def stepped(*arguments, **named):
            nonlocal steps
            steps += 1
            if steps > last:
                raise Killed
            return step(*arguments, **named)

        return stepped

    for place, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
        patch.setattr(place, name, counted(getattr(place, name)))


def test_a_process_killed_while_it_builds_leaves_what_the_next_one_finishes(tmp_path, monkeypatch):
    for day in range(150):
        deliver(tmp_path, day)
    own = kept(tmp_path)
    code = (
        "import sys; from tests.unit.test_store import kept; from pathlib import Path; kept(Path(sys.argv[1])).update()"
    )
    building = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    while building.poll() is None and len(list(own.folder.glob("*.parquet"))) < 20:
        time.sleep(0.005)
    building.send_signal(signal.SIGKILL)
    building.wait()
    own = again(own)
    assert content(own.folder) == built_anew(tmp_path, monkeypatch)


def test_a_second_update_waits_for_the_first_and_says_so(tmp_path, capsys):
    deliver(tmp_path, 0)
    own = kept(tmp_path)
    own.folder.mkdir(parents=True)
    code = (
        "import sys; from tests.unit.test_store import kept; from pathlib import Path; kept(Path(sys.argv[1])).update()"
    )
    with (own.folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        line = second.stderr.readline()
        assert line == f"{own.folder}: another process is at work there; waiting until it has finished …\n"
        assert not (own.folder / "manifest.json").exists()
    assert second.wait() == 0
    second.stderr.close()
    assert own.update() == []


def test_a_day_too_large_for_memory_is_the_same_in_pieces(tmp_path, monkeypatch):
    company.tables(tmp_path, **{f"logins-{day:03}": rows(day, "abca" * 5, known=20) for day in range(9)})
    own = again(kept(tmp_path))
    (whole,) = [partition.read(path) for path in own.folder.glob("*.parquet")]
    whole = next(whole)
    monkeypatch.setattr(partition, "PIECE", 50)
    own.update(rebuild=True)
    (path,) = own.folder.glob("*.parquet")
    pieces = list(partition.read(path))
    assert len(pieces) > 3
    assert partition.pa.concat_tables(pieces).combine_chunks().equals(whole)


def test_sums_that_no_store_can_hold_are_refused(tmp_path):
    company.tables(tmp_path, **{"logins-0": [row | {"value": 5e12} for row in rows(0, "aa") * 2]})
    with pytest.raises(DataError, match="one customer's sum is over"):
        kept(tmp_path).update()


def test_the_door_updates_and_tells(tmp_path, capsys, monkeypatch):
    company.tables(tmp_path, customers=[{"id": id_} for id_ in "abc"])
    for day in range(6):
        deliver(tmp_path, day)
    path = company.configs(tmp_path, {"streams": {"login": LOGIN, "call": LOGIN | {"until": "at"}}})

    def door(*more):
        monkeypatch.setattr(sys, "argv", ["features", "update", str(path), *more])
        return main(), capsys.readouterr()

    code, said = door()
    assert code == 2 and "data.yaml: store: this key is missing; add store: {horizon_days: 3}" in said.err
    code, said = door("--set", "data.store.horizon_days=3")
    assert code == 0 and "login: 18 events known on 6 days, 6 of them new or changed\n" in said.out
    assert "call: not stored, its rows change in place" in said.out
    deliver(tmp_path, 6, rows(0, "a"))
    code, said = door("--set", "data.store.horizon_days=3", "--json")
    told = json.loads(said.out)
    assert code == 0 and told["streams"] == {"login": {"events": 21, "days": 7, "changed": 1}}
    assert [(one["rows"], one["oldest"]) for one in told["late"]] == [(1, "2025-03-01")]
    code, said = door("--set", "data.store.horizon_days=3")
    assert "WARNING login: 1 rows came later" in said.out
    code, said = door("--set", "data.store.horizon_days=3", "--rebuild")
    assert code == 0 and "login: 22 events known on 7 days, 7 of them new or changed\n" in said.out
    assert "WARNING" not in said.out


def test_streams_that_change_in_place_are_not_stored(tmp_path):
    own = data(tmp_path, streams={"login": LOGIN, "ticket": LOGIN | {"until": "user"}})
    assert store.stored(own, ["login"]) and not store.stored(own, ["ticket"])
    assert not store.stored(data(tmp_path, store=None), ["login"])


def test_the_benchmark_compares_a_grown_store_with_one_built_anew(tmp_path):
    found = incremental.measure(tmp_path, 2_000, 50)
    assert found["events"] == 2_000 and found["store_bytes"] > 0
    assert len(list((tmp_path / "days").iterdir())) == 366
    assert sorted(path.name for path in tmp_path.iterdir()) == ["days", "grown", "rebuilt"]
