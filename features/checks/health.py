"""Is what was read sound: usable rows, times in order, every feed alive and as full as before."""

from collections import Counter
from collections.abc import Iterator
from datetime import date

import numpy as np

from features.calendar import day_of, number
from features.checks.findings import Finding, level
from features.facts import Facts, Part

SUSPECT, GRAVE = 0.001, 0.05
FAR_DAYS, RARE = 3 * 365, 0.01
_UNUSED = ("without_time", "without_id", "of_unknown_customers")
KEPT, WEEKS_BEFORE, WEEKS_SINCE, ENOUGH_A_WEEK = 0.6, 8, 52, 50


def usable(known: Facts) -> list[Finding]:
    """How many rows could not be used, by stream and reason."""
    out, used = [], 0
    for stream, lost in known.lost.items():
        own = _events(known, stream)
        every, used = own + sum(lost[reason] for reason in _UNUSED), used + own
        for reason in _UNUSED:
            if lost[reason]:
                values = {"rows": lost[reason], "share": lost[reason] / every}
                out.append(Finding("usable rows", level(values["share"] > 0.1), stream, reason, values))
    return out or [Finding("usable rows", "ok", "", "fine", {"rows": used})]


def future(known: Facts) -> list[Finding]:
    """Rows that occurred or became known after today."""
    out = []
    for stream, lost in known.lost.items():
        if late := lost["after_today"]:
            values = {"rows": late, "share": late / (_events(known, stream) + late)}
            out.append(Finding("future times", "error", stream, "after_today", values))
    return out or [Finding("future times", "ok", "", "fine")]


def time_order(known: Facts) -> list[Finding]:
    """Events before their customer is known or subscribes, and ends before beginnings; empty when there are none."""
    early: Counter[tuple[str, str]] = sum(known.each(_early), Counter())
    for stream, lost in known.lost.items():
        early[stream, "ending_before_they_begin"] += lost["ending_before_they_begin"]
    out = []
    for (stream, code), rows in sorted(early.items()):
        share = rows / max(_events(known, stream), 1)
        if share > SUSPECT:
            values = {"rows": rows, "share": share, "limit": SUSPECT}
            out.append(Finding("time order", level(share > GRAVE), stream, code, values))
    return [*out, *_far_before(known)]


def _far_before(known: Facts) -> Iterator[Finding]:
    """A few rows years before all others: dates that stand for nothing, such as 1970-01-01."""
    for stream, own in known.calendar.items():
        gaps = np.flatnonzero(np.diff(own.days) > FAR_DAYS)
        if len(gaps) == 0:
            continue
        rows, share = int(own.counts[: gaps[-1] + 1].sum()), own.counts[: gaps[-1] + 1].sum() / own.counts.sum()
        if share < RARE:
            values = {"rows": rows, "oldest": str(day_of(own.days[0])), "others": str(day_of(own.days[gaps[-1] + 1]))}
            yield Finding("time order", "warning", stream, "far_before", values)


def _early(part: Part) -> Counter[tuple[str, str]]:
    begins = {"before_known": part.customers["known_from"].to_numpy(np.int64)}
    if part.subscriptions is not None:
        first = np.full(len(part.customers), 2**31 - 1, np.int64)
        np.minimum.at(first, part.subscriptions.customer, part.subscriptions.start)
        begins["before_subscription"] = first
    return Counter(
        {
            (stream, code): int(activity.count[activity.day < since[activity.customer]].sum())
            for stream, activity in part.activity.items()
            for code, since in begins.items()
        }
    )


def observed(known: Facts) -> list[Finding]:
    """Whether ``observed_until`` claims more than the tables show."""
    if known.data.observed_until is None:
        return []
    newest = max((int(own.days[-1]) for own in known.calendar.values() if len(own.days)), default=0)
    beyond = number(known.data.observed_until) - newest
    code, values = "beyond" if beyond > 7 else "fine", {"beyond": beyond, "newest": str(day_of(newest))}
    return [Finding("observed until", level(beyond > 7, False), "", code, values)]


def feeds(known: Facts, as_of: date | None = None) -> list[Finding]:
    """Streams that have gone silent against their own rhythm.

    A feed is dead when it has been quiet for over 7 days and over twice its longest pause in the 180 days before. The
    newest day of all streams is the yardstick; as_of: look only at days before it, and measure silence up to it.
    """
    end = number(as_of) if as_of else _end(known)
    out = []
    for name in known.data.behaviour():
        days = known.calendar[name].days
        days = days[days < end]
        if not len(days):
            out.append(Finding("feeds", "error", name, "empty"))
            continue
        recent = days[days >= days[-1] - 180]
        pause = int(np.diff(recent).max()) if len(recent) > 1 else 180
        quiet, limit = int(end - 1 - days[-1]), max(7, 2 * pause)
        if quiet > limit:
            values = {"quiet": quiet, "limit": limit, "pause": pause, "last": str(day_of(days[-1]))}
            out.append(Finding("feeds", "error", name, "silent", values))
    return out or [Finding("feeds", "ok", "", "fine", {"streams": len(known.data.behaviour())})]


def volume(known: Facts) -> list[Finding]:
    """Streams of which every week since some week holds far less than the quietest of the eight weeks before it.

    Whole weeks are compared, counted back from the newest day of all streams, so that a weekend is no drop; at least
    two weeks make it last. A stream that has stopped is what ``feeds`` tells.
    """
    stopped = {finding.about for finding in feeds(known)}
    out = []
    for name in known.data.behaviour():
        if name not in stopped and (values := _drop(*weeks(known, name))):
            out.append(Finding("volume", "warning", name, "dropped", values))
    return out or [Finding("volume", "ok", "", "fine")]


def weeks(known: Facts, stream: str) -> tuple[np.ndarray, np.ndarray]:
    """The first day of each whole week of a stream, oldest first, and its events: int64 (w,), int64 (w,)."""
    calendar, end = known.calendar[stream], _end(known)
    if not len(calendar.days):
        return np.zeros((2, 0), np.int64)[0], np.zeros(0, np.int64)
    back = (end - 1 - calendar.days.astype(np.int64)) // 7
    whole = (end - int(calendar.days[0])) // 7
    counts = np.bincount(back, calendar.counts, minlength=whole)[:whole][::-1].astype(np.int64)
    return end - 7 * np.arange(whole, 0, -1), counts


def _drop(begins: np.ndarray, counts: np.ndarray) -> dict[str, object]:
    for since in range(2, min(WEEKS_SINCE, len(counts) - WEEKS_BEFORE) + 1):
        after, before = counts[-since:], counts[-since - WEEKS_BEFORE : -since]
        if np.median(before) >= ENOUGH_A_WEEK and after.max() < KEPT * before.min():
            share = 1 - after.mean() / before.mean()
            weekly = {"after": round(after.mean()), "before": round(before.mean()), "share": float(share)}
            return weekly | {"since": str(day_of(begins[-since])), "weeks": since, "kept": KEPT}
    return {}


def _end(known: Facts) -> int:
    """The day after the newest event of any stream of behaviour."""
    own = [known.calendar[name].days for name in known.data.behaviour()]
    return max((int(days[-1]) for days in own if len(days)), default=-1) + 1


def _events(known: Facts, stream: str) -> int:
    return int(known.calendar[stream].counts.sum())
