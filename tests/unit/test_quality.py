"""The checks name what is wrong with the data, and pass what is right."""

import json
import subprocess
import sys
from datetime import date, datetime, timedelta

import pandas as pd
import pytest

from features import config, facts, quality, snapshot
from features.__main__ import main
from features.errors import DataError
from features.snapshot_config import SnapshotConfig
from tests import company


@pytest.fixture
def regular(tmp_path):
    """Two years of forty regular customers; returns the path of churn.yaml."""
    people, rows = company.logins(weeks=60)
    people["since"] = pd.Timestamp("2025-01-01")
    company.tables(tmp_path, customers=people, logins=rows)
    return company.configs(tmp_path, {"customers": {"known_from": "since"}})


def levels(path, check, overrides=(), today=None):
    findings = quality.check(config.load(path, SnapshotConfig, overrides), today)
    return {(finding.level, finding.text) for finding in findings if finding.check == check}


def texts(found, level="error"):
    return " / ".join(text for what, text in found if what == level)


def test_sound_data_pass(regular):
    findings = quality.check(config.load(regular, SnapshotConfig), date(2027, 1, 1))
    assert {finding.level for finding in findings if finding.check != "outcomes"} == {"ok"}


def test_a_dead_feed_is_named(regular):
    rows = [{"id": "c001", "at": datetime(2025, 1, 6) + timedelta(days=d)} for d in range(200)]
    company.tables(regular.parent, clicks=rows)
    streams = "data.streams.click={table: clicks.parquet, at: at}"
    assert "click: silent for 220 days" in texts(levels(regular, "feeds", [streams]))
    known = facts.read(config.load(regular, SnapshotConfig, [streams]).data)
    assert {f.level for f in quality.feeds(known, as_of=date(2025, 7, 1))} == {"ok"}
    assert "login: silent" in " ".join(f.text for f in quality.feeds(known, as_of=date(2026, 6, 1)))


def test_events_before_their_customer_are_named(regular):
    people = pd.read_parquet(regular.parent / "customers.parquet").assign(since=pd.Timestamp("2025-09-01"))
    people.to_parquet(regular.parent / "customers.parquet")
    assert "lie before the customer is known" in texts(levels(regular, "time order"))


def test_unusable_rows_are_counted(regular):
    people = pd.read_parquet(regular.parent / "customers.parquet")
    people.iloc[:30].to_parquet(regular.parent / "customers.parquet")
    assert "belong to no known customer and are not used" in texts(levels(regular, "usable rows"))


def test_times_after_today_are_named(regular):
    found = levels(regular, "usable rows", today=date(2025, 12, 1))
    assert "lie after today and are not used" in texts(found)


def test_one_wrong_date_in_the_future_moves_nothing(regular):
    own = config.load(regular, SnapshotConfig)
    today = date(2026, 6, 1)
    before = facts.read(own.data, today=today)
    rows = pd.read_parquet(regular.parent / "logins.parquet")
    rows.loc[len(rows)] = ["c001", pd.Timestamp("2200-01-01")]
    rows.to_parquet(regular.parent / "logins.parquet")
    after = facts.read(own.data, today=today)
    assert after.lost["login"]["after_today"] == 1
    days = snapshot.dates(own, before)
    assert snapshot.dates(own, after) == days
    made = [snapshot.build(own, days, labels=True, known=known).fingerprint for known in (before, after)]
    assert made[0] == made[1]


def test_outcomes_do_not_mature_beyond_today(regular):
    own = config.load(regular, SnapshotConfig, ["data.observed_until=2099-01-01"])
    known = facts.read(own.data, today=date(2026, 3, 10))
    made = snapshot.build(own, [date(2026, 2, 1), date(2026, 2, 20)], labels=True, known=known).frame
    assert made.groupby("as_of")["outcome"].count().tolist()[1] == 0
    assert "silence would count as outcome" in texts(
        levels(regular, "observed until", ["data.observed_until=2099-01-01"])
    )


def test_ends_before_beginnings_are_counted(regular):
    rows = [{"id": "c001", "at": datetime(2025, 3, 1), "done": datetime(2025, 2, 1)}] * 30
    company.tables(regular.parent, tickets=rows)
    streams = "data.streams.ticket={table: tickets.parquet, at: at, until: done}"
    assert "ticket: 30 rows (50.0%) end before they begin" in texts(levels(regular, "usable rows", [streams]))


def test_an_outcome_nobody_can_have_is_named(regular):
    company.tables(regular.parent, calls=[{"id": "stranger", "at": datetime(2025, 3, 1)}])
    streams = "data.streams.call={table: calls.parquet, at: at}"
    own = config.load(regular, SnapshotConfig, [streams, "outcome={kind: event, streams: [call], horizon_days: 30}"])
    with pytest.raises(DataError, match="call: no event of a known customer, so the outcome is never seen"):
        quality.check(own)


def test_too_little_history_is_named(regular):
    assert "2 mature" not in texts(levels(regular, "history"))
    assert "mature as-of dates found" in texts(levels(regular, "history", ["outcome.horizon_days=340"]))
    nothing = levels(regular, "history", ["windows.days=[900]", "data.history_days=1800"])
    assert "no as-of date" in texts(nothing)


def test_an_attribute_of_today_is_named(regular):
    people = pd.read_parquet(regular.parent / "customers.parquet")
    rows = pd.read_parquet(regular.parent / "logins.parquet")
    last = rows.groupby("id")["at"].max().reindex(people["id"]).to_numpy()
    people["last_seen"] = last.astype("datetime64[s]").astype("int64").astype(float)
    people["last_seen_ms"] = people["last_seen"] * 1_000
    people.to_parquet(regular.parent / "customers.parquet")
    for column in ("last_seen", "last_seen_ms"):
        attribute = [f"data.customers.attributes.{column}={{type: number, static: true}}"]
        assert f"{column}: " in texts(levels(regular, "leakage", attribute))


def test_a_feature_that_is_the_outcome_is_named(regular):
    own = config.load(regular, SnapshotConfig)
    made = snapshot.build(own, snapshot.dates(own), labels=True)
    made.frame["login_count_7d"] = 1 - made.frame["outcome"]
    rows = pd.concat([made.frame] * 3, ignore_index=True)
    found = quality.leaks(snapshot.Snapshot(rows, made.features, made.left_out))
    assert [f.text.split(":")[0] for f in found if f.level == "error"] == ["login_count_7d"]


def test_last_session_creation_time_of_relax_is_refused(datasets):
    attribute = "data.customers.attributes.last_session_creation_time={type: number, static: true}"
    findings = quality.check(config.load("configs/relax/churn.yaml", SnapshotConfig, [attribute]))
    assert "last_session_creation_time" in " ".join(f.text for f in findings if f.level == "error")


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["features", *map(str, arguments)])
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr()


def test_the_doors_answer_people_and_machines(regular, monkeypatch, capsys, tmp_path):
    code, said = run(monkeypatch, capsys, "check", regular)
    assert code == 0 and "Next: python -m training train" in said.out
    code, said = run(monkeypatch, capsys, "check", regular, "--json", "--set", "outcome.horizon_days=340")
    assert code == 1 and json.loads(said.out.splitlines()[-1])["passed"] is False
    code, said = run(monkeypatch, capsys, "check", regular, "--set", "outcome.horizon_days=340")
    assert code == 1 and "ERROR" in said.out
    code, said = run(monkeypatch, capsys, "catalogue", regular)
    assert code == 0 and "login_recency" in said.out
    out = tmp_path / "made" / "table.parquet"
    code, said = run(monkeypatch, capsys, "snapshot", regular, "--as-of", "latest", "--out", out, "--json")
    answer = json.loads(said.out.splitlines()[-1])
    assert code == 0 and len(pd.read_parquet(out)) == answer["rows"]
    code, said = run(monkeypatch, capsys, "snapshot", regular, "--labels", "--as-of", "2025-08-01")
    assert code == 0 and "content hash" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["snapshot", "CONFIG", "--as-of", "soon"], "write a date such as 2025-12-01"),
        (["snapshot", "CONFIG", "--out", "/proc/none/table.parquet"], "cannot be written"),
        (["catalogue", "CONFIG", "--set", "x"], "write path=value"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(regular, monkeypatch, capsys, arguments, message):
    code, said = run(monkeypatch, capsys, *(regular if word == "CONFIG" else word for word in arguments))
    errors = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert code == 2 and len(errors) == 1 and message in errors[0] and "Traceback" not in said.err


def test_every_command_has_help_with_an_example():
    for command in ("check", "snapshot", "catalogue"):
        done = subprocess.run([sys.executable, "-m", "features", command, "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and "example:\n  python -m features" in done.stdout
