"""Tombstones: hashes that keep a customer out of every table that is read, and tell nobody who it was."""

import errno
import json
import os
import stat
import threading
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import config, erased, facts, forget, manifest, snapshot, store
from features.data_config import workspace
from features.erased import Erased
from features.errors import DataError
from features.ready import rows as ready
from features.ready.config import Table
from features.snapshot_config import SnapshotConfig
from features.sources import Source
from serving.erasure import without
from tests import company
from training import trained_with

DAY = date(2026, 2, 1)


def test_the_file_says_who_only_to_who_asks_for_one_id(tmp_path):
    assert not Erased.of(tmp_path) and "猫" not in Erased.of(tmp_path)
    own = erased.add(tmp_path, "猫-7", DAY)
    path = tmp_path / "erased.json"
    assert "猫-7" in own and "猫-8" not in own and "7" not in own
    assert "猫" not in path.read_text() and "\\u732b" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(own.dates.values()) == [DAY]


def test_a_second_erasure_keeps_the_first_day_and_another_salt_gives_other_hashes(tmp_path):
    first = erased.add(tmp_path / "a", "x", DAY)
    again = erased.add(tmp_path / "a", "x", date(2027, 1, 1))
    other = erased.add(tmp_path / "b", "x", DAY)
    assert again.dates == first.dates and again.salt == first.salt
    assert not first.dates.keys() & other.dates.keys() and first.salted != other.salted


def test_a_damaged_file_is_never_taken_for_nobody(tmp_path):
    own = erased.add(tmp_path, "x", DAY)
    for wrong in ("", "{}", '{"salt": 1, "erased": {}}', '{"salt": "zz", "erased": {}}', "[]", '{"salt": "00"'):
        (tmp_path / "erased.json").write_text(wrong)
        with pytest.raises(DataError, match="who was erased"):
            Erased.of(tmp_path)
        with pytest.raises(DataError):
            erased.add(tmp_path, "y", DAY)
        assert "x" in own.fresh()


@pytest.mark.parametrize("why", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_disk_that_fails_for_a_while_is_never_taken_for_nobody(tmp_path, monkeypatch, why):
    own, nobody, real = erased.add(tmp_path, "x", DAY), Erased(tmp_path), os.stat

    def failing(path, *args, **kwargs):
        if str(path).startswith(str(tmp_path / "erased")):
            raise OSError(why, os.strerror(why))
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing)
        with pytest.raises(DataError, match=r"erased\.json: cannot be read \(.+ check its disk"):
            Erased.of(tmp_path)
        assert "x" in own.fresh() and not own.current and not nobody.current
    assert own.current and "x" in nobody.fresh()


def test_a_running_reader_sees_a_new_tombstone(tmp_path):
    running = Erased.of(tmp_path)
    assert running.fresh() is running
    erased.add(tmp_path, "x", DAY)
    assert "x" not in running and "x" in running.fresh()
    (tmp_path / "erased.json").unlink()
    assert "x" not in running.fresh()


def test_many_at_once_lose_nobody(tmp_path):
    threads = [threading.Thread(target=erased.add, args=(tmp_path, f"c{n}", DAY)) for n in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    own = Erased.of(tmp_path)
    assert all(f"c{n}" in own for n in range(12)) and len(own.dates) == 12


@given(st.lists(st.text(max_size=3) | st.none(), max_size=30), st.sets(st.text(max_size=3), max_size=4))
def test_rows_are_kept_but_for_those_erased(tmp_path_factory, ids, gone):
    folder = tmp_path_factory.mktemp("rows")
    own = Erased(folder, b"s" * 32)
    own = Erased(folder, b"s" * 32, {own.hash(one): DAY for one in gone})
    kept = own.kept(pa.chunked_array([pa.array(ids, pa.string())]))
    mask = [True] * len(ids) if kept is None else [value is not False for value in kept.to_pylist()]
    assert mask == [one is None or one not in gone for one in ids]


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A small company with a store of its activity; customer 3 is to be erased, and is the parent of 4."""
    monkeypatch.setenv("TSUNAGI_WORKSPACE", str(tmp_path / "workspace"))
    people, logins = company.logins(customers=12, weeks=30)
    people["parent"] = [people["id"][3] if n == 4 else None for n in range(len(people))]
    company.tables(tmp_path, customers=people, logins=logins)
    path = company.configs(tmp_path, {"store": {"horizon_days": 3}, "customers": {"parent": "parent"}})
    return config.load(path, SnapshotConfig), str(people["id"][3]), str(people["id"][4])


def built(settings):
    known = facts.read(settings.data)
    return snapshot.build(settings, snapshot.dates(settings, known)[-2:], labels=False, known=known).frame


def test_nobody_erased_is_in_the_facts_and_the_others_are_as_before(tables):
    settings, gone, child = tables
    before = built(settings)
    assert gone in set(before["customer_id"])
    own = erased.add(workspace(settings.data), gone, DAY)
    after = built(settings)
    assert set(before["customer_id"]) - set(after["customer_id"]) == {gone}
    expected = before[before["customer_id"] != gone].reset_index(drop=True)
    pd.testing.assert_frame_equal(after.drop(columns="unit"), expected.drop(columns="unit"))
    assert set(after.loc[after["customer_id"] == child, "unit"]) == {own.alias(gone)}


def stored(settings, customer):
    """Rows of a customer in every file of the store's folder, named by the manifest or not."""
    folder = workspace(settings.data) / "activity" / "login"
    ids = [parquet.read_table(path, columns=["id"])["id"].cast(pa.string()) for path in folder.glob("*.parquet")]
    return sum(column.to_pylist().count(customer) for column in ids)


def test_the_store_lets_go_and_does_not_take_in_again(tables, tmp_path):
    settings, gone, _ = tables
    before = built(settings)
    folder, counted = workspace(settings.data) / "activity" / "login", []
    rows = stored(settings, gone)
    forget.activity(folder, gone, counted.append)
    assert counted == [rows] and rows > 0 and stored(settings, gone) == 0
    forget.activity(folder, gone, counted.append)
    assert len(counted) == 1
    erased.add(workspace(settings.data), gone, DAY)
    logins = pd.read_parquet(tmp_path / "logins.parquet")
    newest = logins["at"].max()
    more = logins.iloc[:2].assign(id=[gone, "c9"], at=newest)
    more["id"] = more["id"].astype(logins["id"].dtype)
    pd.concat([logins, more]).to_parquet(tmp_path / "logins.parquet", index=False)
    for rebuild in (False, True, False):
        own = store.Store(Source(settings.data), ["login"])
        own.update(rebuild=rebuild)
        assert stored(settings, gone) == 0 and own.late == []
    assert list(built(settings)["customer_id"].unique()) == [
        one for one in before["customer_id"].unique() if one != gone
    ]


def test_a_store_that_was_killed_while_it_forgot_is_finished_later(tables, monkeypatch):
    settings, gone, _ = tables
    built(settings)
    folder = workspace(settings.data) / "activity" / "login"
    monkeypatch.setattr(store, "sweep", lambda *_: None)
    forget.activity(folder, gone, lambda _: None)
    assert stored(settings, gone) > 0
    monkeypatch.undo()
    forget.activity(folder, gone, lambda _: None)
    assert stored(settings, gone) == 0
    assert {own.file for own in manifest.load(folder).days.values()} == {path.name for path in folder.glob("*.parquet")}


def test_a_ready_made_table_is_read_without_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TSUNAGI_WORKSPACE", str(tmp_path / "workspace"))
    frame = pd.DataFrame(
        {"id": ["b", "a", "c"], "day": pd.Timestamp("2026-01-01"), "spend": [2.0, 1.0, 3.0], "gone": 0}
    )
    frame.to_parquet(tmp_path / "wide.parquet", index=False)
    given = {"name": "wide", "root": str(tmp_path), "timezone": "UTC", "table": "wide.parquet"}
    data = Table(**given, id="id", as_of="day", label="gone")
    erased.add(workspace(data), "b", DAY)
    raw = ready.read(data)
    assert list(raw.keys["customer_id"]) == ["a", "c"] and raw.columns["spend"].to_pylist() == [1.0, 3.0]
    assert list(raw.keys.index) == [0, 1] and len(raw.label) == 2


def test_whom_a_model_learnt_from_is_told_of_one_and_of_nobody_else(tmp_path):
    path = tmp_path / "trained_with.parquet"
    trained_with.write(tmp_path, ["a", "b", "a", "猫"], path)
    own = Erased.of(tmp_path)
    assert [trained_with.held(own, path, one) for one in ("a", "猫", "c", "")] == [True, True, False, False]
    assert parquet.read_table(path).num_rows == 3
    assert trained_with.held(erased.salted(tmp_path / "other"), path, "a") is None
    trained_with.write(tmp_path, [], path)
    assert trained_with.held(own, path, "a") is False
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read"):
        trained_with.held(own, path, "a")


def test_tables_are_rewritten_row_by_row_and_dictionaries_forget_words(tmp_path):
    words = pa.array(["canary", "rest", None, "rest"]).dictionary_encode()
    table = pa.table({"customer_id": ["x", "y", None, "xx"], "word": words, "n": [1.0, 2.0, 3.0, np.nan]})
    parquet.write_table(table, tmp_path / "one.parquet", row_group_size=2)
    with (tmp_path / "two.arrow").open("wb") as file:
        for part in (table.slice(0, 2).drop_columns("word"), table.slice(2).select(["customer_id", "n"])):
            with pa.ipc.new_stream(file, part.schema.with_metadata({"head": "kept"})) as writer:
                writer.write_table(part)
    for name in ("one.parquet", "two.arrow"):
        assert forget.holds(tmp_path / name, "x") == 1
        forget.rewrite(tmp_path / name, "x", "~alias", tmp_path / "new")
        assert forget.holds(tmp_path / "new", "x") == 0 and forget.holds(tmp_path / "new", "y") == 1
        assert b"canary" not in (tmp_path / "new").read_bytes()
        (tmp_path / "new").rename(tmp_path / f"new-{name}")
    left = parquet.read_table(tmp_path / "new-one.parquet")
    assert left["customer_id"].to_pylist() == ["y", None, "xx"] and left["word"].to_pylist() == ["rest", None, "rest"]
    with pa.memory_map(str(tmp_path / "new-two.arrow")) as source:
        parts = [pa.ipc.open_stream(source).read_all() for _ in range(2)]
    assert [part["customer_id"].to_pylist() for part in parts] == [["y"], [None, "xx"]]
    assert parts[0].schema.metadata == {b"head": b"kept"}
    assert forget.holds(tmp_path / "new-one.parquet", "") == 0
    (tmp_path / "half.parquet").write_bytes((tmp_path / "one.parquet").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"half\.parquet: cannot be read"):
        forget.holds(tmp_path / "half.parquet", "x")
    os.truncate(tmp_path / "two.arrow", 200)
    with pytest.raises(DataError, match=r"two\.arrow: cannot be read"):
        forget.holds(tmp_path / "two.arrow", "x")


def test_a_file_cut_off_anywhere_in_its_rows_is_named(tmp_path):
    with pa.ipc.new_stream(tmp_path / "whole.arrow", pa.schema({"customer_id": pa.string()})) as writer:
        writer.write_table(pa.table({"customer_id": [f"C-{number}" for number in range(1_000)]}))
    whole = (tmp_path / "whole.arrow").read_bytes()
    for length in (400, 900, len(whole) // 2, len(whole) - 100):
        (tmp_path / "cut.arrow").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.arrow: cannot be read \(.*\); remove it, or restore it"):
            forget.holds(tmp_path / "cut.arrow", "C-1")
    with pytest.raises(FileNotFoundError):
        forget.holds(tmp_path / "nowhere.arrow", "C-1")


CSV = '\ufeffrank,customer_id,name,note\r\n1,x,"two\nlines, x",\r\n2,\'=x,b,\r\n3,"a,b",c,x\r\n'
ROWS = [{"rank": 1, "customer_id": "x"}, {"rank": 2, "customer_id": "猫"}, {"rank": 3, "customer_id": "x猫"}]


@pytest.mark.parametrize(("customer", "left"), [("x", [2, 3]), ("=x", [1, 3]), ("a,b", [1, 2]), ("two", [1, 2, 3])])
def test_a_csv_loses_one_row_and_no_other_byte(tmp_path, customer, left):
    path = tmp_path / "list.csv"
    path.write_text(CSV, encoding="utf-8", newline="")
    assert without.holds(path, customer) == 3 - len(left)
    without.rewrite(path, customer)
    pieces = {1: '1,x,"two\nlines, x",\r\n', 2: "2,'=x,b,\r\n", 3: '3,"a,b",c,x\r\n'}
    head = "\ufeffrank,customer_id,name,note\r\n"
    assert path.read_bytes().decode() == head + "".join(pieces[one] for one in left)


@pytest.mark.parametrize("customer", ["x", "猫", "x猫", "nobody"])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_list_loses_one_row_in_the_form_of_now_and_of_before(tmp_path, customer, indent):
    path, told = tmp_path / "list.json", {"model": "churn", "note": '"rows":[', "rows": ROWS}
    text = json.dumps(told, ensure_ascii=False, indent=indent)
    if indent is None:
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
        head = json.dumps(told | {"rows": []}, ensure_ascii=False, separators=(",", ":")).removesuffix("]}")
        text = f"{head}\n{rows}\n]}}\n"
    path.write_text(text, encoding="utf-8")
    assert without.holds(path, customer) == sum(row["customer_id"] == customer for row in ROWS)
    without.rewrite(path, customer)
    assert json.loads(path.read_text()) == told | {"rows": [row for row in ROWS if row["customer_id"] != customer]}


def test_a_list_of_one_is_empty_afterwards_and_half_a_list_is_refused(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('{"model":"churn","rows":[\n{"customer_id":"x"}\n]}\n')
    without.rewrite(path, "x")
    assert json.loads(path.read_text()) == {"model": "churn", "rows": []}
    path.write_text('{"model":"churn","rows":[\n{"customer_id":"x"},\n')
    with pytest.raises(DataError, match="is no list"):
        without.holds(path, "x")
    with pytest.raises(DataError, match="is no list"):
        without.rewrite(path, "x")
    assert list(tmp_path.iterdir()) == [path]


def test_who_refused_is_left_out_in_sight_or_not_and_never_a_row(tmp_path, monkeypatch):
    monkeypatch.setenv("TSUNAGI_WORKSPACE", str(tmp_path / "workspace"))
    people, logins = company.logins(customers=12, weeks=30)
    silent, loud, other = (str(one) for one in people["id"][:3])
    people["refused"] = people["id"].isin([silent, loud])
    company.tables(tmp_path, customers=people, logins=logins[logins["id"] != silent])
    settings = config.load(company.configs(tmp_path, {"customers": {"opted_out": "refused"}}), SnapshotConfig)
    known = facts.read(settings.data)
    made = snapshot.build(settings, snapshot.dates(settings, known)[-1:], labels=False, known=known)
    status = dict(zip(made.left_out["customer_id"], made.left_out["status"], strict=True))
    assert status == {silent: "opted_out", loud: "opted_out"}
    assert other in set(made.frame["customer_id"]) and not status.keys() & set(made.frame["customer_id"])
