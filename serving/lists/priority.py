"""Whom to contact first: expected gain within capacity, rest days and the hold-out."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from features.calendar import period_start
from features.holdout import held_out
from serving.stores.records import Contact
from training.bundle import Info
from training.value import Capacity, amounts, gains, lost

ACTIONS = ("contact", "held_out", "resting", "beyond_capacity", "no_gain")


def columns(info: Info) -> list[str]:
    """The columns of a snapshot that ``plan`` reads."""
    return ["customer_id", "unit", "owner", "last_contact", *info.value.columns]


def matters_from(capacity: Capacity, as_of: date) -> date:
    """Contacts before this day change no list of this date."""
    return min(as_of - timedelta(days=capacity.rest_days), period_start(as_of, capacity.per))


def days(contacts: Iterable[Contact], timezone: str, until: date | None) -> dict[str, date]:
    """customer_id -> the day of the newest contact, in the zone of the data; of those up to ``until``, or of all."""
    zone, found = ZoneInfo(timezone), dict[str, date]()
    for contact in contacts:
        day = contact.at.replace(tzinfo=UTC).astimezone(zone).date()
        if until is None or day <= until:
            found[contact.customer_id] = max(day, found.get(contact.customer_id, day))
    return found


def contacted(frame: pd.DataFrame, days: Mapping[str, date]) -> pd.DataFrame:
    """The frame with the newer of its last_contact and these days."""
    place = pd.Index(frame["customer_id"]).get_indexer(list(days))
    there = place >= 0
    given = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[s]")
    given.iloc[place[there]] = pd.to_datetime(pd.Series(list(days.values())))[there].to_numpy("datetime64[s]")
    last = pd.to_datetime(frame["last_contact"]).astype("datetime64[s]")
    return frame.assign(last_contact=last.where(last.notna() & ~(given > last), given))


def plan(frame: pd.DataFrame, score: np.ndarray, info: Info, as_of: date) -> pd.DataFrame:
    """One row per customer, in the frame's order: value_at_risk, gain, held_out, action, rank (1 = first).

    value_at_risk is score × what is lost when the customer leaves: the amount, of a contract the ``lost`` share of it.
    Contacts of the running period are counted from ``last_contact``, one per customer. Who is to be contacted comes
    first, then the rest, each by gain; ties by customer. Raises DataError when the amount cannot be told.
    """
    amount = amounts(frame, info.value, info.lifetime) * lost(score, info.value, info.outcome)
    result = pd.DataFrame({"value_at_risk": score * amount, "gain": gains(score, amount, info.value)})
    result["held_out"] = held_out(frame["unit"].tolist(), info.holdout)
    contacted = pd.to_datetime(frame["last_contact"]).reset_index(drop=True)
    resting = contacted >= pd.Timestamp(as_of - timedelta(days=info.capacity.rest_days))
    blocked = {"held_out": result["held_out"], "resting": resting, "no_gain": ~(result["gain"] > 0)}
    result["action"] = np.select(list(blocked.values()), list(blocked), "beyond_capacity")
    by_gain = _by_gain(result, frame)
    free = (result["action"] == "beyond_capacity").to_numpy()
    lately = (contacted >= pd.Timestamp(period_start(as_of, info.capacity.per))).to_numpy()
    first = np.zeros(len(frame), bool)
    first[_within(info.capacity, _teams(frame, info.capacity.by), lately, by_gain[free[by_gain]])] = True
    result.loc[first, "action"] = "contact"
    order = np.concatenate([by_gain[first[by_gain]], by_gain[~first[by_gain]]])
    result["rank"] = 0
    result.loc[order, "rank"] = np.arange(1, len(order) + 1)
    return result


def _by_gain(result: pd.DataFrame, frame: pd.DataFrame) -> np.ndarray:
    keys = pd.DataFrame({"gain": -result["gain"], "id": frame["customer_id"].to_numpy()})
    return keys.sort_values(["gain", "id"]).index.to_numpy()


def _within(capacity: Capacity, team: np.ndarray, lately: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """The ranked rows within the capacity of their team. lately: who was contacted in the running period, (n,)."""
    left = capacity.contacts - np.bincount(team[lately], minlength=team.max(initial=0) + 1)
    place = pd.Series(team[ranked]).groupby(team[ranked]).cumcount().to_numpy()
    return ranked[place < left[team[ranked]]]


def _teams(frame: pd.DataFrame, by: str | None) -> np.ndarray:
    """The number of the team, (n,), whose capacity counts: of the owner (no owner is one too), or the one there is."""
    if by is None:
        return np.zeros(len(frame), np.int64)
    return pd.factorize(frame["owner"].fillna(""))[0]
