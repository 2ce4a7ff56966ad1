"""The checks name what is wrong with the data, and pass what is right."""

import json
import os
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features import config, erased, facts, snapshot, windows
from features.__main__ import main
from features.checks import findings, health, leaks, quality, tables
from features.checks.findings import Finding
from features.data_config import workspace
from features.errors import DataError
from features.snapshot_config import SnapshotConfig
from tests import company


@pytest.fixture
def regular(tmp_path):
    """Over a year of forty regular customers; returns the path of churn.yaml."""
    people, rows = company.logins(weeks=60)
    people["since"] = pd.Timestamp("2025-01-01")
    company.tables(tmp_path, customers=people, logins=rows)
    return company.configs(tmp_path, {"customers": {"known_from": "since"}})


def settings(path, overrides=()):
    return config.load(path, SnapshotConfig, overrides)


def found(path, check, overrides=(), today=None):
    """The findings of one check by (level, about, code)."""
    report = quality.check(settings(path, overrides), today)
    return {(f.level, f.about, f.code): f for f in report.findings if f.check == check}


def rewrite(path, name, change):
    """Change one table of the company."""
    file = path.parent / f"{name}.parquet"
    change(pd.read_parquet(file)).to_parquet(file, index=False)


def test_sound_data_pass(regular):
    report = quality.check(settings(regular), date(2027, 1, 1))
    few = {"outcomes", "customers", "test dates"}
    assert {f.level for f in report.findings if f.check not in few} == {"ok"} and report.passed
    assert {f.check for f in report.findings} == set(findings.words()["checks"]) - {"observed until"}


def test_every_sentence_stands_in_both_languages_with_the_same_numbers():
    for check, sentences in findings.words()["sentences"].items():
        assert {"en", "ja"} == set(findings.words()["checks"][check])
        for code, said in sentences.items():
            assert len(said["en"]) == len(said["ja"]) == 3, (check, code)
            assert [bool(part) for part in said["en"]] == [bool(part) for part in said["ja"]], (check, code)
            names = [{name for part in said[lang] for name in _names(part)} for lang in ("en", "ja")]
            assert names[0] == names[1], (check, code)
    page = findings.words()["page"]
    assert page["en"].keys() == page["ja"].keys()


def _names(sentence):
    return {piece.partition("}")[0].partition(":")[0] for piece in sentence.split("{")[1:]}


# usable rows, future times, time order


def test_unusable_rows_are_counted(regular):
    rewrite(regular, "customers", lambda people: people.iloc[:30])
    (finding,) = found(regular, "usable rows").values()
    assert (finding.level, finding.about, finding.code) == ("error", "login", "of_unknown_customers")
    rows = pd.read_parquet(regular.parent / "logins.parquet")
    assert finding.values["rows"] == (rows["id"] >= "c030").sum()


def test_rows_without_a_customer_or_a_time_are_told_apart(regular):
    def spoil(rows):
        rows.loc[:2, "id"] = None
        rows.loc[3:4, "at"] = pd.NaT
        return rows

    rewrite(regular, "logins", spoil)
    lost = found(regular, "usable rows")
    assert {key: finding.values["rows"] for key, finding in lost.items()} == {
        ("warning", "login", "without_id"): 3,
        ("warning", "login", "without_time"): 2,
    }


def test_times_after_today_are_named(regular):
    assert ("error", "login", "after_today") in found(regular, "future times", today=date(2025, 12, 1))


def test_one_wrong_date_in_the_future_moves_nothing(regular):
    own, today = settings(regular), date(2026, 6, 1)
    before = facts.read(own.data, today=today)
    rewrite(
        regular,
        "logins",
        lambda rows: pd.concat([rows, pd.DataFrame({"id": ["c001"], "at": ["2200-01-01"]}).astype(rows.dtypes)]),
    )
    after = facts.read(own.data, today=today)
    assert after.lost["login"]["after_today"] == 1
    days = snapshot.dates(own, before)
    assert snapshot.dates(own, after) == days
    made = [snapshot.build(own, days, labels=True, known=known).fingerprint for known in (before, after)]
    assert made[0] == made[1]


def test_a_date_that_stands_for_nothing_is_named(regular):
    old = pd.DataFrame({"id": ["c001"], "at": ["1970-01-01"]})
    rewrite(regular, "logins", lambda rows: pd.concat([rows, old.astype(rows.dtypes)]))
    told = found(regular, "time order")["warning", "login", "far_before"].values
    first = pd.read_parquet(regular.parent / "logins.parquet")["at"].sort_values().iloc[1]
    assert told == {"rows": 1, "oldest": "1970-01-01", "others": str(first.date())}


def test_events_before_their_customer_are_named(regular):
    rewrite(regular, "customers", lambda people: people.assign(since=pd.Timestamp("2025-09-01")))
    (finding,) = found(regular, "time order").values()
    rows = pd.read_parquet(regular.parent / "logins.parquet")
    assert (finding.level, finding.code) == ("error", "before_known")
    assert finding.values["rows"] == (rows["at"] < "2025-09-01").sum()


def test_events_before_the_first_subscription_are_named(regular):
    people = pd.read_parquet(regular.parent / "customers.parquet")
    rows = people[["id"]].assign(start=pd.Timestamp("2025-06-01"), end=pd.NaT)
    company.tables(regular.parent, terms=rows.astype({"end": "datetime64[us]"}))
    terms = "data.subscriptions={table: terms.parquet, start: start, end: end}"
    assert ("error", "login", "before_subscription") in found(regular, "time order", [terms])


def test_ends_before_beginnings_are_counted(regular):
    rows = [{"id": "c001", "at": datetime(2025, 3, 1 + i), "done": datetime(2025, 2, 1)} for i in range(30)]
    company.tables(regular.parent, tickets=rows)
    stream = "data.streams.ticket={table: tickets.parquet, at: at, until: done}"
    (finding,) = found(regular, "time order", [stream]).values()
    assert finding.code == "ending_before_they_begin" and "30 rows (100.0%) end before they begin" in finding.text


@pytest.mark.parametrize(
    ("early", "expected"), [(timedelta(hours=3), {"known_too_early"}), (timedelta(minutes=5), {"fine"})]
)
def test_rows_known_before_they_happen_are_named_beyond_a_clocks_skew(regular, early, expected):
    rewrite(regular, "logins", lambda rows: rows.assign(loaded=rows["at"] - early))
    assert {code for _, _, code in found(regular, "time order", ["data.streams.login.known=loaded"])} == expected


def test_a_date_may_be_known_on_its_day_at_an_earlier_clock(regular):
    rewrite(regular, "logins", lambda rows: rows.assign(loaded=rows["at"].dt.date))
    assert {code for _, _, code in found(regular, "time order", ["data.streams.login.known=loaded"])} == {"fine"}


# repeated rows


def test_rows_that_stand_twice_are_counted(regular):
    rewrite(regular, "logins", lambda rows: pd.concat([rows, rows.iloc[:100]]))
    ((key, finding),) = found(regular, "repeated rows").items()
    assert key == ("warning", "login", "same") and finding.values["rows"] == 100
    assert finding.values["share"] == pytest.approx(100 / (len(pd.read_parquet(regular.parent / "logins.parquet"))))


def test_a_second_load_is_a_repeat_whatever_its_row_numbers_and_load_times(regular):
    def loaded_twice(rows):
        both = pd.concat([rows.assign(loaded=rows["at"]), rows.assign(loaded=rows["at"] + timedelta(days=1))])
        return both.assign(number=range(len(both)))

    rewrite(regular, "logins", loaded_twice)
    ((key, finding),) = found(regular, "repeated rows", ["data.streams.login.known=loaded"]).items()
    assert key == ("warning", "login", "same") and finding.values["share"] == 0.5


def test_rows_that_differ_in_another_column_are_events_of_their_own(regular):
    def two_lines(rows):
        return pd.concat([rows.assign(product="bread"), rows.assign(product="milk")])

    rewrite(regular, "logins", two_lines)
    assert list(found(regular, "repeated rows")) == [("ok", "login", "differing")]


def test_a_value_or_an_entity_tells_rows_apart(regular):
    rewrite(regular, "logins", lambda rows: pd.concat([rows.assign(amount=1.0), rows.assign(amount=2.0)]))
    assert list(found(regular, "repeated rows", ["data.streams.login.value=amount"])) == [("ok", "", "fine")]


# time zone


@pytest.fixture
def office(tmp_path):
    """Writes a company that works from 9 to 18 o'clock, all times moved by some hours; returns churn.yaml."""

    def written(hours, **data):
        people, rows = company.logins(weeks=60)
        rows["at"] = rows["at"].dt.normalize() + pd.to_timedelta(9 * 60 + np.arange(len(rows)) * 7 % 540, "min")
        company.tables(tmp_path, customers=people, logins=rows.assign(at=rows["at"] + timedelta(hours=hours)))
        return company.configs(tmp_path, data)

    return written


def test_quiet_in_the_daytime_is_named(office):
    """Tokyo's clock taken for UTC: work from 18 to 3 o'clock."""
    ((key, finding),) = found(office(0, timezone="Asia/Tokyo"), "time zone").items()
    assert key == ("warning", "login", "quiet_days")
    assert (finding.values["begin"], finding.values["end"]) == (3, 18)


@pytest.mark.parametrize(
    ("hours", "data"),
    [(0, {}), (-9, {"timezone": "Asia/Tokyo"}), (0, {"timezone": "Asia/Tokyo", "naive_times": "Asia/Tokyo"})],
)
def test_quiet_at_night_is_fine(office, hours, data):
    assert list(found(office(hours, **data), "time zone")) == [("ok", "", "fine")]


def test_a_job_that_writes_once_a_night_is_fine(regular):
    rewrite(regular, "logins", lambda rows: rows.assign(at=rows["at"].dt.normalize() + timedelta(hours=2, minutes=30)))
    assert list(found(regular, "time zone")) == [("ok", "", "fine")]


@pytest.mark.parametrize(("zone", "level"), [("America/New_York", "warning"), ("Asia/Tokyo", "ok"), ("UTC", "ok")])
@pytest.mark.parametrize("form", ["naive", "zoned"])
def test_dates_in_disguise_are_named_where_they_become_the_day_before(regular, zone, level, form):
    midnight = (
        (lambda at: at.dt.normalize()) if form == "naive" else (lambda at: at.dt.normalize().dt.tz_localize("UTC"))
    )
    rewrite(regular, "logins", lambda rows: rows.assign(at=midnight(rows["at"])))
    expected = ("warning", "login", "shifted_dates") if level == "warning" else ("ok", "", "fine")
    assert list(found(regular, "time zone", [f"data.timezone={zone}"])) == [expected]


def test_true_dates_have_no_zone(regular):
    rewrite(regular, "logins", lambda rows: rows.assign(at=rows["at"].dt.date))
    assert list(found(regular, "time zone", ["data.timezone=America/New_York"])) == [("ok", "", "fine")]


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        (range(9, 18), None),
        (range(8, 24), None),
        ([*range(18, 24), 0, 1, 2], (3, 18)),
        ([2], None),
        (range(24), None),
        ([], None),
    ],
)
def test_the_quiet_stretch_of_a_day(busy, expected):
    hours = np.zeros(24)
    hours[list(busy)] = 100
    assert tables._quiet(hours) == expected


# feeds, volume, observed until


def test_a_dead_feed_is_named(regular):
    rows = [{"id": "c001", "at": datetime(2025, 1, 6) + timedelta(days=d)} for d in range(200)]
    company.tables(regular.parent, clicks=rows)
    stream = ["data.streams.click={table: clicks.parquet, at: at}"]
    assert "click: silent for 220 days" in found(regular, "feeds", stream)["error", "click", "silent"].text
    known = facts.read(settings(regular, stream).data)
    assert {f.level for f in health.feeds(known, as_of=date(2025, 7, 1))} == {"ok"}
    assert "login" in {f.about for f in health.feeds(known, as_of=date(2026, 6, 1))}


def test_a_sudden_lasting_drop_is_named_with_its_week(regular):
    def half_the_tracking(rows):
        return rows[(rows["at"] < "2026-01-19") | (rows.groupby("id").cumcount() % 3 == 0)]

    assert list(found(regular, "volume")) == [("ok", "", "fine")]
    rewrite(regular, "logins", half_the_tracking)
    ((key, finding),) = found(regular, "volume").items()
    assert key == ("warning", "login", "dropped") and finding.values["weeks"] >= 2
    assert abs(date.fromisoformat(finding.values["since"]) - date(2026, 1, 19)) <= timedelta(days=7)


def test_a_week_of_holidays_is_no_drop(regular):
    rewrite(regular, "logins", lambda rows: rows[(rows["at"] < "2025-12-22") | (rows["at"] >= "2026-01-05")])
    assert list(found(regular, "volume")) == [("ok", "", "fine")]


def test_outcomes_do_not_mature_beyond_today(regular):
    late = ["data.observed_until=2099-01-01"]
    known = facts.read(settings(regular, late).data, today=date(2026, 3, 10))
    made = snapshot.build(
        settings(regular, late), [date(2026, 2, 1), date(2026, 2, 20)], labels=True, known=known
    ).frame
    assert made.groupby("as_of")["outcome"].count().tolist()[1] == 0
    assert list(found(regular, "observed until", late)) == [("error", "", "beyond")]
    assert list(found(regular, "observed until", ["data.observed_until=2026-03-02"])) == [("ok", "", "fine")]


# history, customers, outcomes, test dates


def test_an_outcome_nobody_can_have_is_named(regular):
    company.tables(regular.parent, calls=[{"id": "stranger", "at": datetime(2025, 3, 1)}])
    streams = "data.streams.call={table: calls.parquet, at: at}"
    own = settings(regular, [streams, "outcome={kind: event, streams: [call], horizon_days: 30}"])
    with pytest.raises(DataError, match="call: no event of a known customer, so the outcome is never seen"):
        quality.check(own)


def test_too_little_history_is_named(regular):
    assert {code for _, _, code in found(regular, "history")} == {"fine"}
    assert list(found(regular, "history", ["outcome.horizon_days=340"])) == [("error", "", "short")]
    nothing = ["windows.days=[900]", "data.history_days=1800"]
    assert list(found(regular, "history", nothing)) == [("error", "", "no_date")]
    far = ["outcome.horizon_days=200", "as_of.every=7d", "as_of.test_dates=1"]
    assert list(found(regular, "history", far)) == [("error", "", "no_train")]


def test_few_outcomes_customers_and_test_outcomes_are_warnings(regular):
    report = quality.check(settings(regular))
    few = {f.check: f for f in report.findings if f.code == "few"}
    assert set(few) == {"outcomes", "customers", "test dates"} and {f.level for f in few.values()} == {"warning"}
    assert few["outcomes"].needed.startswith("50") and "(" in few["test dates"].values["days"]


def made_of(outcomes_by_date):
    """A snapshot whose dates hold so many customers with and without the outcome."""
    rows = []
    for as_of, (had, had_not) in outcomes_by_date.items():
        outcome = [1.0] * had + [0.0] * had_not
        rows.append(
            pd.DataFrame(
                {"customer_id": [f"{i}" for i in range(len(outcome))], "as_of": pd.Timestamp(as_of), "outcome": outcome}
            )
        )
    return snapshot.Snapshot(pd.concat(rows, ignore_index=True), (), pd.DataFrame())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((60, 60), {("customers", "fine"), ("outcomes", "fine"), ("test dates", "fine"), ("history", "fine")}),
        ((60, 9), {("customers", "fine"), ("outcomes", "fine"), ("test dates", "few"), ("history", "fine")}),
        ((10, 10), {("customers", "few"), ("outcomes", "few"), ("test dates", "fine"), ("history", "fine")}),
        ((0, 60), {("customers", "fine"), ("outcomes", "none"), ("test dates", "few"), ("history", "fine")}),
        ((60, 0), {("customers", "fine"), ("outcomes", "all"), ("test dates", "few"), ("history", "fine")}),
    ],
)
def test_how_much_is_enough(regular, counts, expected):
    made = made_of({date(2025, month, 1): counts for month in (3, 5, 7, 9)})
    assert {(f.check, f.code) for f in quality.enough(settings(regular), made)} == expected


# leakage


def test_an_attribute_of_today_is_named(regular):
    last = pd.read_parquet(regular.parent / "logins.parquet").groupby("id")["at"].max()

    def with_last(people):
        seconds = last.reindex(people["id"]).to_numpy().astype("datetime64[s]").astype("int64").astype(float)
        return people.assign(last_seen=seconds, last_seen_ms=seconds * 1_000)

    rewrite(regular, "customers", with_last)
    for column in ("last_seen", "last_seen_ms"):
        attribute = [f"data.customers.attributes.{column}={{type: number, static: true}}"]
        assert ("error", column, "later_times") in found(regular, "leakage", attribute)


def large(regular, change):
    """The regular snapshot three times over, so that its dates are large enough, with a column changed."""
    own = settings(regular, ["data.customers.attributes.group={type: category, static: true}"])
    rewrite(regular, "customers", lambda people: people.assign(group=people["id"].str[-1]))
    made = snapshot.build(own, snapshot.dates(own), labels=True)
    change(made.frame)
    copies = [made.frame.assign(customer_id=made.frame["customer_id"] + f"-{i}") for i in range(3)]
    rows = pd.concat(copies, ignore_index=True)
    return {
        f.about for f in leaks.of_features(snapshot.Snapshot(rows, made.features, made.left_out)) if f.level == "error"
    }


def test_a_feature_that_is_the_outcome_is_named(regular):
    assert large(regular, lambda frame: None) == set()
    tells = {"login_count_7d": lambda rows: 1 - rows["outcome"]}
    assert large(regular, lambda rows: rows.update(rows.assign(**{k: make(rows) for k, make in tells.items()}))) == {
        "login_count_7d"
    }


def test_a_category_that_is_the_outcome_is_named_and_one_value_a_customer_is_not(regular):
    def left(rows):
        rows["group"] = np.where(rows["outcome"] == 1, "left", "here")

    def own(rows):
        rows["group"] = rows["customer_id"]

    assert large(regular, left) == {"group"}
    assert large(regular, own) == set()


@pytest.fixture
def changing(regular):
    """Writes the history of a plan that every silent customer changes some days after the silence began."""

    def written(days):
        begins = [{"id": f"c{i:03}", "valid_from": datetime(2025, 1, 2), "plan": "a"} for i in range(40)]
        silence = datetime(2025, 1, 6) + timedelta(days=60 * 7 // 2)
        changes = [
            {"id": f"c{i:03}", "valid_from": silence + timedelta(days=days + n), "plan": f"p{n}"}
            for i in range(0, 40, 5)
            for n in range(6)
        ]
        company.tables(regular.parent, plans=begins + changes)
        plan = "data.customers.attributes.plan={type: category, changes: {table: plans.parquet}}"
        return found(regular, "leakage", [plan])

    return written


def test_an_attribute_that_changes_after_the_outcome_is_named(changing):
    ((key, finding),) = changing(60).items()
    assert key == ("warning", "plan", "changes_after") and finding.values["after"] == finding.values["changes"] == 48


def test_an_attribute_that_changes_before_the_outcome_is_fine(changing):
    assert list(changing(-120)) == [("ok", "", "fine")]


def test_last_session_creation_time_of_relax_is_refused(datasets):
    attribute = "data.customers.attributes.last_session_creation_time={type: number, static: true}"
    report = quality.check(settings("configs/relax/churn.yaml", [attribute]))
    assert "last_session_creation_time" in {f.about for f in report.findings if f.level == "error"}


# recomputation


def recomputed(path):
    own = settings(path)
    known = facts.read(own.data)
    return leaks.recomputed(own, known, snapshot.dates(own, known))


def test_every_feature_of_rich_data_is_made_of_the_past_alone(regular):
    """Late rows, tickets that close later, entities, ratings, a plan that changes, subscriptions with a notice."""
    random = np.random.default_rng(0)
    moments = datetime(2025, 1, 6) + pd.to_timedelta(random.integers(0, 420 * 24, 2_000), "h")
    rows = pd.DataFrame({"id": random.choice([f"c{i:03}" for i in range(40)], 2_000), "at": moments})
    rows["loaded"] = rows["at"] + pd.to_timedelta(random.integers(0, 40, 2_000), "D")
    rows["closed"] = rows["at"] + pd.to_timedelta(random.integers(0, 90, 2_000), "D")
    rows["score"], rows["user"] = random.integers(0, 11, 2_000).astype(float), random.integers(0, 9, 2_000).astype(str)
    starts = pd.DataFrame({"id": [f"c{i:03}" for i in range(40)], "start": datetime(2025, 1, 1)})
    starts["end"] = pd.to_datetime(["2025-11-01" if i % 3 else None for i in range(40)])
    terms = starts.assign(notice=starts["end"] - timedelta(days=45), renewal=datetime(2025, 12, 1), worth=5.0)
    plans = rows.rename(columns={"at": "valid_from", "user": "plan"})[["id", "valid_from", "plan", "loaded"]]
    company.tables(regular.parent, rich=rows, terms=terms, plans=plans)
    data = {
        "customers": {
            "attributes": {"plan": {"type": "category", "changes": {"table": "plans.parquet", "known": "loaded"}}}
        },
        "subscriptions": {
            "table": "terms.parquet",
            "start": "start",
            "end": "end",
            "notice": "notice",
            "renewal": "renewal",
            "value": "worth",
        },
        "streams": {
            "ticket": {
                "table": "rich.parquet",
                "at": "at",
                "known": "loaded",
                "until": "closed",
                "entity": "user",
                "value": "score",
            },
            "nps": {"table": "rich.parquet", "at": "at", "value": "score", "kind": "rating"},
        },
    }
    for population in ({"subscription": "active"}, {"seen": {"streams": ["ticket"], "days": 60}}):
        path = company.configs(regular.parent, data, {"population": None})
        path.write_text(path.read_text() + f"population: {json.dumps(population)}\n")
        (finding,) = recomputed(path)
        assert finding.code == "fine" and finding.values["rows"] > 40


def test_a_measure_that_peeks_is_caught(regular, monkeypatch):
    def whole(known, days):
        activity = known.stream.activity
        return np.bincount(activity.customer, activity.count, known.key[0].max() + 1)[known.key[0]]

    monkeypatch.setitem(windows._FORMULAS, "recency", whole)
    assert {(f.level, f.about) for f in recomputed(regular)} == {("error", "login_recency")}


def test_an_open_event_that_knows_its_end_is_caught(regular, monkeypatch):
    rows = [
        {"id": f"c{i:03}", "at": datetime(2025, 1, 20) + timedelta(days=i), "done": datetime(2026, 1, 1)}
        for i in range(40)
    ]
    company.tables(regular.parent, tickets=rows)
    company.configs(regular.parent, {"streams": {"ticket": {"table": "tickets.parquet", "at": "at", "until": "done"}}})

    def until_the_end(known, days):
        ends = np.zeros(known.key[0].max() + 1)
        np.maximum.at(ends, known.stream.activity.open_customer, known.stream.activity.open_until)
        return ends[known.key[0]]

    monkeypatch.setitem(windows._FORMULAS, "oldest_open_days", until_the_end)
    assert {f.about for f in recomputed(regular) if f.level == "error"} == {"ticket_oldest_open_days"}


def test_a_population_that_peeks_is_caught(regular, monkeypatch):
    seen = snapshot.population._seen
    monkeypatch.setattr(snapshot.population, "_seen", lambda rule, part, days: seen(rule, part, days + 60))
    (finding,) = recomputed(regular)
    assert (finding.level, finding.code) == ("error", "other_rows")


# the door


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
    code, said = run(monkeypatch, capsys, "check", regular, "--set", "outcome.horizon_days=340")
    assert code == 1 and "ERROR" in said.out and said.out.rstrip().endswith(f"python -m features check {regular}")
    code, said = run(monkeypatch, capsys, "catalogue", regular)
    assert code == 0 and "login_recency" in said.out
    out = tmp_path / "made" / "table.parquet"
    code, said = run(monkeypatch, capsys, "snapshot", regular, "--as-of", "latest", "--out", out, "--json")
    answer = json.loads(said.out.splitlines()[-1])
    assert code == 0 and len(pd.read_parquet(out)) == answer["rows"]
    code, said = run(monkeypatch, capsys, "snapshot", regular, "--labels", "--as-of", "2025-08-01")
    assert code == 0 and "content hash" in said.out


def test_a_table_made_while_somebody_was_erased_is_not_kept(regular, monkeypatch, capsys, tmp_path):
    out, parts = tmp_path / "made" / "table.parquet", snapshot.parts
    monkeypatch.setenv("TSUNAGI_WORKSPACE", str(tmp_path / "workspace"))
    home = workspace(config.load(regular, SnapshotConfig).data)

    def meanwhile(*arguments):
        yield from parts(*arguments)
        erased.add(home, "c1", date(2026, 1, 1))

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "parts", meanwhile)
        code, said = run(monkeypatch, capsys, "snapshot", regular, "--as-of", "latest", "--out", out)
    assert code == 2 and "erased while this was made" in said.err and list(out.parent.iterdir()) == []
    assert run(monkeypatch, capsys, "snapshot", regular, "--as-of", "latest", "--out", out)[0] == 0


def test_the_keys_for_machines(regular, monkeypatch, capsys):
    code, said = run(monkeypatch, capsys, "check", regular, "--json", "--set", "outcome.horizon_days=340")
    (line,) = said.out.splitlines()
    answer = json.loads(line)
    assert code == 1 and answer.keys() == {"passed", "findings", "page"} and answer["passed"] is False
    keys = {"check", "level", "about", "code", "found", "needed", "todo", "values", "text"}
    assert all(finding.keys() == keys for finding in answer["findings"])
    short = next(f for f in answer["findings"] if f["check"] == "history")
    assert (short["level"], short["code"], short["values"]["wanted"]) == ("error", "short", 4)
    assert short["todo"] == "give more history, or shorten outcome.horizon_days or windows.days"


def test_machines_hear_japanese_when_they_ask(regular, monkeypatch, capsys):
    _, said = run(monkeypatch, capsys, "check", regular, "--json", "--lang", "ja")
    answer = json.loads(said.out.splitlines()[-1])
    assert any("顧客" in finding["found"] for finding in answer["findings"])
    assert {finding["check"] for finding in answer["findings"]} <= set(findings.words()["checks"])


def test_the_text_of_a_finding_is_one_line():
    values = {"quiet": 20, "last": "2025-01-01", "pause": 2, "limit": 7}
    text = "click: silent for 20 days since 2025-01-01; its longest pause before was 2 days; check the feed"
    assert Finding("feeds", "error", "click", "silent", values).text == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["check", "DATA"], "says what the tables mean, not what is predicted; check"),
        (["check", "CONFIG", "--html", "/proc/none/page.html"], "cannot be written"),
        (["snapshot", "CONFIG", "--as-of", "soon"], "write a date such as 2025-12-01"),
        (["snapshot", "CONFIG", "--out", "/proc/none/table.parquet"], "cannot be written"),
        (["snapshot", "CONFIG", "--out", "FIFO"], "is a folder or a device, not a file; choose another --out"),
        (["check", "CONFIG", "--html", "FIFO"], "is a folder or a device, not a file; choose another --html"),
        (["catalogue", "CONFIG", "--set", "x"], "write path=value"),
        (["snapshot", "CONFIG", "--out", "."], "--out names a .parquet file; choose a name that ends so"),
        (["check", "CONFIG", "--html", "page.txt"], "--html names a .html file; choose a name that ends so"),
        (["snapshot", "CONFIG", "--out", "TABLE"], "is the table logins.parquet of data.yaml; choose another --out"),
        (["snapshot", "CONFIG", "--as-of", "2035-01-01"], "nobody is in the population as of 2035-01-01"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(regular, monkeypatch, capsys, arguments, message):
    fifo = regular.with_name("fifo.parquet" if "--out" in arguments else "fifo.html")
    os.mkfifo(fifo)
    table = regular.with_name("logins.parquet")
    before = table.read_bytes()
    named = {"CONFIG": regular, "DATA": regular.with_name("data.yaml"), "FIFO": fifo, "TABLE": table}
    code, said = run(monkeypatch, capsys, *(named.get(word, word) for word in arguments))
    errors = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert code == 2 and len(errors) == 1 and message in errors[0] and "Traceback" not in said.err
    assert fifo.is_fifo() and table.read_bytes() == before


def test_bad_input_is_json_for_machines(regular, monkeypatch, capsys):
    code, said = run(monkeypatch, capsys, "snapshot", regular, "--as-of", "soon", "--json")
    assert code == 2 and list(json.loads(said.out)) == ["error"]
    assert said.err.splitlines()[-1] == "error: " + json.loads(said.out)["error"]


def test_an_empty_feature_is_null_in_the_file_and_a_date_counts_once(regular, monkeypatch, capsys):
    out, first = regular.with_name("made.parquet"), pd.read_parquet(regular.parent / "logins.parquet")["at"].min()
    early = str((first + timedelta(days=3)).date())  # too early for a gap between two days
    run(monkeypatch, capsys, "snapshot", regular, "--as-of", early, "--as-of", early, "--out", out)
    table = pq.read_table(out)
    assert table.num_rows == len(set(table["customer_id"].to_pylist())) > 0
    floats = [name for name in table.column_names if pa.types.is_floating(table[name].type)]
    assert not any(pc.any(pc.is_nan(table[name])).as_py() for name in floats)
    assert sum(table[name].null_count for name in floats) > 0


def test_a_terminal_without_our_signs_gets_no_trace(regular):
    command = [sys.executable, "-m", "features", "catalogue", str(regular)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and done.stderr == b"" and b"?" in done.stdout


def test_a_reader_that_has_gone_is_no_error(regular):
    command = [sys.executable, "-m", "features", "catalogue", str(regular)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        assert (running.stderr.read(), running.wait()) == ("", 128 + signal.SIGPIPE)


def test_a_data_yaml_names_the_models_beside_it(regular, monkeypatch, capsys):
    _, said = run(monkeypatch, capsys, "check", regular.with_name("data.yaml"))
    assert said.err.rstrip().endswith(f"check {regular}")


def test_every_command_has_help_with_an_example():
    for command in ("check", "snapshot", "catalogue"):
        done = subprocess.run([sys.executable, "-m", "features", command, "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and "example:\n  python -m features" in done.stdout
