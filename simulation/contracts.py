"""Subscriptions, plan history and seat history: what an account has agreed to, and since when."""

import numpy as np

from simulation.accounts import Accounts
from simulation.causes import TERM_DAYS
from simulation.history import NEVER, History
from simulation.moments import HOUR, NO_MOMENT, Clock
from simulation.records import Rows

UNCHANGED = -1.0
REASONS = ("initial", "expansion", "contraction")


def seat_history(accounts: Accounts, history: History, clock: Clock) -> Rows:
    """Seats at signup and after each change; `after` is the number of seats from that day on."""
    week, account = np.nonzero(history.upgrade[:-1] != NEVER)
    up = (account, history.upgrade[week, account], history.seats[week + 1, account])
    week, account = np.nonzero(history.cut)
    down = (account, 7 * week, history.seats[week, account])
    first = (np.arange(len(accounts)), accounts.signup, accounts.seats)
    rows = [np.concatenate(columns) for columns in zip(first, up, down, strict=True)]
    reason = np.repeat(np.arange(3, dtype=np.int8), [len(first[0]), len(up[0]), len(down[0])])
    return _before_the_end(history, clock, {"account": rows[0], "day": rows[1], "seats": rows[2], "reason": reason})


def plan_history(accounts: Accounts, history: History, clock: Clock) -> Rows:
    """Plan at signup and after each switch."""
    week, account = np.nonzero(np.diff(history.plan, axis=0))
    rows = {
        "account": np.concatenate([np.arange(len(accounts)), account]),
        "day": np.concatenate([accounts.signup, 7 * (week + 1)]),
        "plan": np.concatenate([accounts.plan, history.plan[week + 1, account]]),
    }
    return _before_the_end(history, clock, rows)


def _before_the_end(history: History, clock: Clock, rows: Rows) -> Rows:
    """Rows up to the end of the account and of the data, with the second they became known (the same day)."""
    keep = (rows["day"] < history.ended[rows["account"]]) & (rows["day"] < clock.days)
    rows = {name: values[keep] for name, values in rows.items()}
    return {**rows, "known_at": clock.at(rows["day"], 9.0) + rows["account"] % HOUR}


def subscriptions(accounts: Accounts, history: History, seats: Rows, plans: Rows, clock: Clock) -> Rows:
    """One row for each stretch with one term, plan, price and number of seats, back to back."""
    changes = _changes(accounts, history, seats, plans, clock)
    account, day = changes["account"], changes["day"]
    last = np.append(account[1:] != account[:-1], True)
    ended = history.ended[account].astype(np.int64)
    told = _notice(history, clock)[account]
    known_end = (ended < clock.days) | (told != NO_MOMENT)
    follows = np.append(day[1:], NEVER)
    start_of_term = accounts.signup[account] + (day - accounts.signup[account]) // TERM_DAYS * TERM_DAYS
    nth = np.arange(len(account)) - np.flatnonzero(np.append(True, last[:-1]))[account]
    return {
        "account": account, "nth": nth, "start": day, "plan": changes["plan"],
        "end": np.where(~last, follows, np.where(known_end, ended, NEVER)),
        "recorded_at": clock.at(day, 0.0) - HOUR - (account * 7919 + day) % (12 * HOUR),
        "notice_at": np.where(last, told, NO_MOMENT),
        "arr": np.round(12 * changes["price"] * changes["seats"], 2),
        "renewal": start_of_term + TERM_DAYS,
    }  # fmt: skip


def _notice(history: History, clock: Clock) -> np.ndarray:
    """UTC second of the notice, NO_MOMENT without one: int64[n]."""
    given = (history.decided < clock.days) & ~history.involuntary
    return np.where(given, clock.at(np.where(given, history.decided, 0), 10.0), NO_MOMENT)


def _changes(accounts: Accounts, history: History, seats: Rows, plans: Rows, clock: Clock) -> Rows:
    """One row per account and day with a change, sorted, with everything as it is from that day on.

    Nothing is renewed once notice is given, so the row that carries the notice is the one in force.
    """
    end = np.minimum(history.decided, clock.days)
    everyone = np.arange(len(accounts))
    term, renewed = np.nonzero(accounts.signup + TERM_DAYS * np.arange(1, 20)[:, None] < end)
    week, repriced = np.nonzero(np.diff(history.price, axis=0))
    kept = 7 * (week + 1) < end[repriced]
    week, repriced = week[kept] + 1, repriced[kept]
    parts = (
        {"account": everyone, "day": accounts.signup, "price": history.price[0]},
        {"account": renewed, "day": accounts.signup[renewed] + TERM_DAYS * (term + 1)},
        {"account": repriced, "day": 7 * week, "price": history.price[week, repriced]},
        {"account": seats["account"], "day": seats["day"], "seats": seats["seats"]},
        {"account": plans["account"], "day": plans["day"], "plan": plans["plan"]},
    )
    names = ("account", "day", "price", "seats", "plan")
    unknown = [np.full(len(part["account"]), UNCHANGED) for part in parts]
    rows = {
        name: np.concatenate([part.get(name, none) for part, none in zip(parts, unknown, strict=True)])
        for name in names
    }
    order = np.lexsort((rows["day"], rows["account"]))
    account, day = rows["account"][order].astype(np.int64), rows["day"][order].astype(np.int64)
    keep = np.append((account[1:] != account[:-1]) | (day[1:] != day[:-1]), True)
    filled = {name: _carry_forward(rows[name][order])[keep] for name in names[2:]}
    return {"account": account[keep], "day": day[keep], **filled}


def _carry_forward(column: np.ndarray) -> np.ndarray:
    """Fill UNCHANGED with the value before it; each account has every value on its first day."""
    known = np.maximum.accumulate(np.where(column != UNCHANGED, np.arange(len(column)), 0))
    return column[known]
