"""All checks on the data of one model: sound tables, enough of everything, no feature that knows the future."""

from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from features import facts, snapshot
from features.calendar import day_of
from features.checks import health, leaks, tables
from features.checks.findings import Finding, level, ordered
from features.config import Language
from features.facts import Facts
from features.ready.config import Table
from features.snapshot import Snapshot
from features.snapshot_config import SnapshotConfig

ENOUGH_OUTCOMES, ENOUGH_CUSTOMERS, ENOUGH_A_DATE = 50, 50, 10
_MORE_DATES: dict[Language, str] = {
    "en": "give a table of more dates, or lower as_of.test_dates",
    "ja": "基準日の多い表を用意するか、as_of.test_dates を小さくしてください",
}


class _FewDates(Finding):
    """A ready-made table of too few dates: it has no windows to shorten."""

    def told(self, lang: Language) -> tuple[str, str, str]:
        return *super().told(lang)[:2], _MORE_DATES[lang]


@dataclass(frozen=True)
class Report:
    """What the checks found, the gravest first, and what they looked at.

    made: the labelled snapshot of every as-of date; None where the data allow no date.
    """

    config: SnapshotConfig
    known: Facts
    made: Snapshot | None
    findings: list[Finding]

    @property
    def passed(self) -> bool:
        return not self.count("error")

    @property
    def span(self) -> tuple[date, date]:
        """The first and the last day with an event of any stream."""
        own = [calendar.days for calendar in self.known.calendar.values() if len(calendar.days)]
        return day_of(min(days[0] for days in own)), day_of(max(days[-1] for days in own))

    def count(self, level: str) -> int:
        """How many findings are of the level."""
        return sum(finding.level == level for finding in self.findings)


def check(config: SnapshotConfig, today: date | None = None) -> Report:
    """All checks on the data of one model. today: rows after it are left out and named.

    Raises DataError or ConfigError where the tables cannot be read at all.
    """
    known = facts.read(config.data, today=today)
    days = snapshot.dates(config, known)
    made = snapshot.build(config, days, labels=True, known=known) if days else None
    found = [*_of_tables(known), *health.feeds(known), *health.volume(known), *health.observed(known)]
    if made is None:
        values = {"longest": config.windows.days[-1]}
        return Report(config, known, None, ordered([*found, Finding("history", "error", "", "no_date", values)]))
    late = list(leaks.of_attributes(config, known, made))
    alone = [finding for finding in leaks.of_features(made) if finding.level != "ok" or not late]
    found += [*enough(config, made), *alone, *late, *leaks.recomputed(config, known, days)]
    return Report(config, known, made, ordered(found))


def leaking(made: Snapshot) -> list[str]:
    """What the leakage check refuses, in words."""
    return [finding.text for finding in leaks.of_features(made) if finding.level == "error"]


def _of_tables(known: Facts) -> list[Finding]:
    """Rows and their times; a check that found nothing says so, once."""
    found = [*health.time_order(known), *tables.findings(known.data)]
    silent = [name for name in ("time order", "repeated rows", "time zone") if name not in {f.check for f in found}]
    fine = [Finding(name, "ok", "", "fine", {"zone": known.data.timezone}) for name in silent]
    return [*health.usable(known), *health.future(known), *found, *fine]


def enough(config: SnapshotConfig, made: Snapshot) -> list[Finding]:
    """Are there enough dates, customers and outcomes for this model, in all and on each test date?

    A ready-made table of one day is not asked about its dates.
    """
    mature = made.frame[made.frame["outcome"].notna()]
    if isinstance(config.data, Table) and config.data.cross_section:
        return [_customers(made), _outcomes(mature)]
    dates = [moment.date() for moment in sorted(mature["as_of"].unique())]
    found = [_history(config, dates, len(mature)), _customers(made), _outcomes(mature)]
    return [*found, *_test_dates(config, mature, dates)]


def trains(config: SnapshotConfig, mature: list[date], test: date) -> list[date]:
    """The dates whose outcomes are known on the test date."""
    return [day for day in mature if day + timedelta(days=config.span_days) <= test]


def _history(config: SnapshotConfig, dates: list[date], rows: int) -> Finding:
    tests = config.as_of.test_dates
    values = {"dates": len(dates), "rows": rows, "wanted": tests + 2, "tests": tests, "span": config.span_days}
    if len(dates) < tests + 2:
        kind = _FewDates if isinstance(config.data, Table) else Finding
        return kind("history", "error", "", "short", values)
    served = trains(config, dates, dates[-1])
    return Finding("history", "ok" if served else "error", "", "fine" if served else "no_train", values)


def _customers(made: Snapshot) -> Finding:
    """Those at risk on the newest date."""
    newest = made.frame["as_of"].max()
    number = int((made.frame["as_of"] == newest).sum())
    values = {"customers": number, "enough": ENOUGH_CUSTOMERS, "day": str(newest)[:10] if number else "–"}
    few = number < ENOUGH_CUSTOMERS
    return Finding("customers", level(number == 0, few), "", "few" if few else "fine", values)


def _outcomes(mature: pd.DataFrame) -> Finding:
    had = int(mature.loc[mature["outcome"] == 1, "customer_id"].nunique())
    values = {"had": had, "share": float(mature["outcome"].mean()) if len(mature) else 0.0, "enough": ENOUGH_OUTCOMES}
    if not had or values["share"] == 1:
        return Finding("outcomes", "error", "", "all" if had else "none", values)
    few = had < ENOUGH_OUTCOMES
    return Finding("outcomes", level(False, few), "", "few" if few else "fine", values)


def _test_dates(config: SnapshotConfig, mature: pd.DataFrame, dates: list[date]) -> list[Finding]:
    tests = dates[-config.as_of.test_dates :]
    if not tests:
        return []
    counts = mature.groupby("as_of")["outcome"].agg(["sum", "size"]).iloc[-len(tests) :]
    pairs = [(int(row["sum"]), int(row["size"] - row["sum"])) for _, row in counts.iterrows()]
    few = [f"{day} ({had}/{had_not})" for day, (had, had_not) in zip(tests, pairs) if min(had, had_not) < ENOUGH_A_DATE]
    values = {"least": min(map(min, pairs)), "enough": ENOUGH_A_DATE, "days": ", ".join(few)}
    return [Finding("test dates", level(False, bool(few)), "", "few" if few else "fine", values)]
