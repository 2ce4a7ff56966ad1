"""Bad input at the doors: exit 2, one clear message, no traceback, and nothing written."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from serving import __main__ as serving
from serving.stores import store
from tests import company
from tests.service import world as worlds
from tests.service.world import World
from training import __main__ as training

PEOPLE, LOGINS = company.logins()
LOGINS = LOGINS.assign(number=1.0)
TERMS = {"table": "terms.parquet", "start": "start", "end": "end"}
ENDED = [{"id": "c000", "start": pd.Timestamp("2025-03-01"), "end": pd.Timestamp("2025-02-01")}]
MIXED = LOGINS.assign(at=LOGINS["at"].astype(str) + "+09:00")
MIXED.loc[:9, "at"] = LOGINS["at"][:10].astype(str)


def login(**keys: str) -> dict:
    """Changes to data.yaml: of the stream of logins."""
    return {"streams": {"login": keys}}


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "serving.db"}


def refused(said, code: int, message: str) -> None:
    """One message that begins with ``error:``, after lines of progress; on stdout it alone as JSON."""
    lines = said.err.splitlines()
    assert code == 2 and "Traceback" not in said.err
    assert json.loads(said.out) == {"error": lines[-1].removeprefix("error: ")}
    assert lines[-1].startswith("error: ") and message in lines[-1]
    assert sum(line.startswith("error:") for line in lines) == 1


@pytest.mark.parametrize(
    ("tables", "data", "model", "message"),
    [
        pytest.param({}, {}, {"outcome": {"horizon_dayz": 3}}, "outcome.horizon_dayz: unknown key (did you mean horizon_days?)", id="unknown key"),
        pytest.param({}, {}, {"capacity": {"contact": 3}}, "capacity.contact: unknown key (did you mean contacts?)", id="unknown training key"),
        pytest.param({}, login(att="at"), {}, "data.yaml: streams.login.att: unknown key", id="unknown data key"),
        pytest.param({}, login(table="gone.parquet"), {}, "gone.parquet: no such file", id="missing table"),
        pytest.param({}, login(at="when"), {}, "streams.login.at: logins.parquet has no column when; columns: id, at, number", id="missing column"),
        pytest.param({}, login(at="number"), {}, "float64 found where a date or time stamp is needed", id="wrong type"),
        pytest.param({"logins": LOGINS[:0]}, {}, {}, "logins.parquet (login): no row", id="empty table"),
        pytest.param({"customers": PEOPLE[:0]}, {}, {}, "customers.parquet: no customer in it", id="no customers"),
        pytest.param({"logins": LOGINS.assign(at=pd.NaT)}, {}, {}, "time stamps are null", id="only nulls"),
        pytest.param({"customers": pd.concat([PEOPLE, PEOPLE[:1]])}, {}, {}, "stand in more than one row (first: c000)", id="customer twice"),
        pytest.param({}, login(table="mixed.csv"), {}, "mixed time zones", id="mixed zones"),
        pytest.param({"terms": ENDED}, {"subscriptions": TERMS}, {}, "1 rows end (end) before they start (start)", id="end before start"),
        pytest.param({}, {}, {"outcome": {"horizon_days": 999}}, "use a shorter horizon", id="horizon longer than the data"),
        pytest.param({}, {"customers": {"attributes": {"number": {"type": "number"}}}}, {}, "today's value must not stand in for the past", id="attribute without a history"),
    ],
)  # fmt: skip
def test_train_refuses_and_writes_nothing(tmp_path, workspace, capsys, tables, data, model, message):
    company.tables(tmp_path, **{"customers": PEOPLE, "logins": LOGINS} | tables)
    MIXED.to_csv(tmp_path / "mixed.csv", index=False)
    path = company.configs(tmp_path, {"name": "bad", **data}, {"model": "churn", **model})
    code = training.main(["train", str(path), "--json"])
    refused(capsys.readouterr(), code, message)
    assert not (workspace / "bad").exists()


def daily(monkeypatch, world: World) -> int:
    monkeypatch.setattr(sys, "argv", ["serving", "daily", str(world.path), "--as-of", str(worlds.TODAY), "--json"])
    return serving.main()


def rewritten(world: World, table: str, change) -> None:
    path = world.path.parent / "data" / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def replaced(world: World, file: str, old: str, new: str) -> None:
    path = world.path.parent / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda w: replaced(w, "serving.yaml", "models:", "modles:"), "modles: unknown key (did you mean models?)", id="unknown key"),
        pytest.param(lambda w: replaced(w, "data.yaml", "known_from:", "known:"), "data.yaml: customers.known: unknown key", id="unknown data key"),
        pytest.param(lambda w: (w.path.parent / "data/logins.parquet").unlink(), "logins.parquet: no such file", id="missing table"),
        pytest.param(lambda w: rewritten(w, "logins", lambda rows: rows.drop(columns="user")), "logins.parquet has no column user", id="missing column"),
        pytest.param(lambda w: rewritten(w, "logins", lambda rows: rows.assign(at="soon")), "values are no time stamps", id="wrong type"),
        pytest.param(lambda w: rewritten(w, "logins", lambda rows: rows[:0]), "logins.parquet (login): no row", id="empty table"),
        pytest.param(lambda w: rewritten(w, "customers", lambda rows: pd.concat([rows, rows[:1]])), "stand in more than one row (first: C-0000)", id="customer twice"),
        pytest.param(lambda w: rewritten(w, "terms", lambda rows: rows.assign(end=rows["start"] - pd.Timedelta(days=9))), "rows end (end) before they start (start)", id="end before start"),
        pytest.param(lambda w: replaced(w, "data.yaml", "static: true", "static: false"), "today's value must not stand in for the past", id="attribute without a history"),
        pytest.param(lambda w: replaced(w, "data.yaml", "  login:", "  logon:"), "data.yaml does not fit the model any more", id="renamed stream"),
    ],
)  # fmt: skip
def test_daily_refuses_and_leaves_the_last_list_alone(tmp_path, monkeypatch, capsys, spoil, message):
    world = worlds.make(tmp_path / tmp_path.name)
    world.place(worlds.bundle(population={"seen": {"streams": ["login"], "days": 90}}))
    world.publish(worlds.LAST_WEEK)
    home, before = world.config.home, files(world.config.home)
    spoil(world)
    code = daily(monkeypatch, world)
    refused(capsys.readouterr(), code, message)
    assert files(home) == before and any(path.parent.name == "lists" for path in before)
    with world.session() as session:
        assert store.published(session, "churn").as_of == worlds.LAST_WEEK


def test_daily_without_a_champion_says_what_to_do_and_makes_no_workspace(tmp_path, monkeypatch, capsys):
    world = worlds.make(tmp_path / tmp_path.name)
    code = daily(monkeypatch, world)
    refused(capsys.readouterr(), code, "no champion yet for churn; type `python -m training train`")
    assert not world.config.home.exists()
