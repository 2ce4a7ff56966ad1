"""Is there enough data, is every feed alive, is the time order sound, does anything leak."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from features import facts, snapshot
from features.calendar import day_of, number
from features.catalogue import Feature
from features.facts import Facts
from features.snapshot import Snapshot
from features.snapshot_config import SnapshotConfig

LEAK_AUC = 0.99
ENOUGH = 50
_MIN_ROWS = 50
_LOST = {
    "without_time": "have no time and are not used",
    "without_id": "have no customer id and are not used",
    "of_unknown_customers": "belong to no known customer and are not used",
    "after_today": "lie after today and are not used",
    "ending_before_they_begin": "end before they begin and count as ended",
}
_SECONDS, _MILLISECONDS = (5e8, 5e9), (5e11, 5e12)


@dataclass(frozen=True)
class Finding:
    """One result of a check: ``error`` means the numbers made from these data cannot be trusted."""

    check: str
    level: Literal["ok", "warning", "error"]
    text: str


def check(config: SnapshotConfig, today: date | None = None) -> list[Finding]:
    """All checks on the data of one model. today: rows after it are left out and named."""
    known = facts.read(config.data, today=today)
    findings = [*usable(known), *time_order(known), *feeds(known), *observed(config, known)]
    days = snapshot.dates(config, known)
    if not days:
        text = f"no as-of date: the data are shorter than the longest window ({config.windows.days[-1]} days)"
        return [*findings, Finding("history", "error", f"{text}; shorten windows.days or give more history")]
    made = snapshot.build(config, days, labels=True, known=known)
    return [*findings, *enough(config, made), *leaks(made)]


def usable(known: Facts) -> list[Finding]:
    """How many rows could not be used, by stream and reason."""
    out = []
    for stream, lost in known.lost.items():
        used = int(known.activity[stream].count.sum())
        for reason, rows in lost.items():
            if rows:
                share = rows / (used + rows)
                text = f"{stream}: {rows:,} rows ({share:.1%}) {_LOST[reason]}; correct them"
                grave = share > 0.1 or reason == "after_today"
                out.append(Finding("usable rows", "error" if grave else "warning", text))
    return out or [Finding("usable rows", "ok", "every row has a time and a known customer")]


def observed(config: SnapshotConfig, known: Facts) -> list[Finding]:
    """Whether ``observed_until`` claims more than the tables show."""
    if config.data.observed_until is None:
        return []
    newest = max((int(a.day.max()) for a in known.activity.values() if len(a.day)), default=0)
    beyond = number(config.data.observed_until) - newest
    if beyond <= 7:
        return [Finding("observed until", "ok", f"the tables reach {day_of(newest)}")]
    text = f"observed_until is {beyond} days after the newest event ({day_of(newest)}): silence would count as outcome"
    return [Finding("observed until", "error", f"{text}; give the day until which the tables are complete")]


def time_order(known: Facts) -> list[Finding]:
    """Events before their customer is known, or before the customer's first subscription."""
    out = []
    begins = {"the customer is known": known.customers["known_from"].to_numpy(np.int64)}
    if known.subscriptions is not None:
        first = np.full(len(known.customers), 2**31 - 1, np.int64)
        np.minimum.at(first, known.subscriptions.customer, known.subscriptions.start)
        begins["the first subscription"] = first
    for stream, activity in known.activity.items():
        for what, since in begins.items():
            early = int(activity.count[activity.day < since[activity.customer]].sum())
            share = early / max(int(activity.count.sum()), 1)
            if share > 0.001:
                text = f"{stream}: {share:.1%} of the events ({early:,}) lie before {what}; check the time columns"
                out.append(Finding("time order", "error" if share > 0.05 else "warning", text))
    return out or [Finding("time order", "ok", "no stream begins before its customers")]


def feeds(known: Facts, as_of: date | None = None) -> list[Finding]:
    """Streams that have gone silent against their own rhythm.

    A feed is dead when it has been quiet for over 7 days and over twice its longest pause in the 180 days before. The
    newest day of all streams is the yardstick; as_of: look only at days before it, and measure silence up to it.
    """
    limit = number(as_of) if as_of else 2**31 - 1
    behaviour = known.source.data.behaviour()
    days = {name: np.unique(known.activity[name].day) for name in behaviour}
    days = {name: own[own < limit] for name, own in days.items()}
    newest = max((own[-1] for own in days.values() if len(own)), default=limit - 1)
    end = limit if as_of else newest + 1
    out = []
    for name, own in days.items():
        if not len(own):
            out.append(Finding("feeds", "error", f"{name}: no event of a known customer; check the feed"))
            continue
        recent = own[own >= own[-1] - 180]
        pause = int(np.diff(recent).max()) if len(recent) > 1 else 180
        quiet = int(end - 1 - own[-1])
        if quiet > max(7, 2 * pause):
            last, usual = day_of(own[-1]), f"its longest pause before was {pause} days"
            out.append(
                Finding("feeds", "error", f"{name}: silent for {quiet} days since {last}; {usual}: check the feed")
            )
    return out or [Finding("feeds", "ok", f"all {len(days)} streams are alive")]


def enough(config: SnapshotConfig, made: Snapshot) -> list[Finding]:
    """Is there enough history, and are there enough outcomes, for this model?"""
    mature = made.frame[made.frame["outcome"].notna()]
    dates, wanted = mature["as_of"].nunique(), config.as_of.test_dates + 2
    out = []
    if dates < wanted:
        text = f"{dates} mature as-of dates found, {wanted} needed ({config.as_of.test_dates} to test, 2 to train)"
        todo = "give more history, or shorten outcome.horizon_days or windows.days"
        out.append(Finding("history", "error", f"{text}; {todo}"))
    else:
        out.append(Finding("history", "ok", f"{dates} mature as-of dates, {len(mature):,} rows"))
    had = mature.loc[mature["outcome"] == 1, "customer_id"].nunique()
    level: Literal["ok", "warning", "error"] = "ok" if had >= ENOUGH else "warning" if had else "error"
    text = f"{had:,} customers with the outcome"
    if had < ENOUGH:
        text += f"; under {ENOUGH} only simple models compete, under 20 only rules"
    return [*out, Finding("outcomes", level, text)]


def leaks(made: Snapshot) -> list[Finding]:
    """Features that know the future: an attribute holding later times, or one that alone tells the outcome."""
    rows = made.frame[made.frame["outcome"].notna()]
    out = []
    for feature in made.features:
        if feature.kind != "number":
            continue
        later = _later_times(rows, feature) if feature.measure == "attribute" else 0
        if later:
            text = f"{feature.name}: {later:,} of {len(rows):,} rows hold a time at or after their as-of date"
            out.append(Finding("leakage", "error", f"{text}; it is today's value: remove it or give its history"))
            continue
        auc = _separation(rows, feature.name)
        if auc > LEAK_AUC:
            text = f"{feature.name}: alone it tells the outcome (ROC AUC {auc:.3f}); exclude it or correct its times"
            out.append(Finding("leakage", "error", text))
    return out or [Finding("leakage", "ok", f"none of {len(made.features)} features tells the outcome alone")]


def leaking(made: Snapshot) -> list[str]:
    """What the leakage check refuses, in words."""
    return [finding.text for finding in leaks(made) if finding.level == "error"]


def _later_times(rows: pd.DataFrame, feature: Feature) -> int:
    """How many values, read as seconds or milliseconds since 1970, lie at or after the as-of date."""
    value = rows[feature.name].dropna()
    seconds = rows.loc[value.index, "as_of"].to_numpy().astype("datetime64[s]").astype(np.int64)
    for (low, high), unit in ((_SECONDS, 1), (_MILLISECONDS, 1_000)):
        if len(value) and value.between(low, high).all():
            return int((value.to_numpy() >= seconds * unit).sum())
    return 0


def _separation(rows: pd.DataFrame, name: str) -> float:
    """ROC AUC of one feature, in whichever direction is better, averaged over the dates with enough rows."""
    found = []
    for _, date_rows in rows.groupby("as_of"):
        outcome = date_rows["outcome"].to_numpy() == 1
        positive, negative = outcome.sum(), (~outcome).sum()
        if min(positive, negative) == 0 or len(outcome) < _MIN_ROWS:
            continue
        ranks = date_rows[name].fillna(-np.inf).rank().to_numpy()
        auc = (ranks[outcome].sum() - positive * (positive + 1) / 2) / (positive * negative)
        found.append(auc)
    mean = float(np.mean(found)) if found else 0.5
    return max(mean, 1 - mean)
