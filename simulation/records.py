"""Tickets, surveys, invoices, payments and contacts: what the company itself writes down."""

import numpy as np

from simulation.accounts import Accounts
from simulation.causes import ADOPTION, PAYMENTS, PRICE, STRENGTHS, TICKETS
from simulation.chain import IDLE
from simulation.history import History
from simulation.moments import DAY, HOUR, NO_MOMENT, Clock, draw_moment

ORDINARY_TICKETS = 0.10  # a week
STRAY_FAILURES = 0.001  # failed payments a week without any episode
SURVEY_WEEKS = 13
CHANNELS = ("call", "email", "meeting")
Rows = dict[str, np.ndarray]


def _served(accounts: Accounts, history: History) -> np.ndarray:
    """Weeks in which the account is a customer on the first and the last day: bool[n, w]."""
    first = 7 * np.arange(len(history.seats))
    return (first >= accounts.signup[:, None]) & (first + 6 < history.ended[:, None])


def _cells(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Account and week of every single one of the counted things."""
    account, week = np.nonzero(counts)
    times = counts[account, week]
    return np.repeat(account, times), np.repeat(week, times)


def _in_episode(history: History, cause: int) -> np.ndarray:
    """Strength of the episode, 0 when idle: float64[n, w]."""
    return np.where(history.age[:, :, cause] == IDLE, 0.0, STRENGTHS[history.strength[:, :, cause]]).T


def tickets(accounts: Accounts, history: History, clock: Clock, rng: np.random.Generator) -> Rows:
    """Ordinary tickets close within days; those of an episode stay open until it ends."""
    served, strength = _served(accounts, history), _in_episode(history, TICKETS)
    begins = history.age[:, :, TICKETS].T == 0
    ordinary = _cells(np.where(served, rng.poisson(ORDINARY_TICKETS, served.shape), 0))
    rate = np.where(begins, 1.5, 0.25) * strength
    stuck = _cells(np.where(served & (strength > 0), rng.poisson(rate) + begins, 0))
    account, week = (np.concatenate(pair) for pair in zip(ordinary, stuck, strict=True))
    waits = np.arange(len(account)) >= len(ordinary[0])
    _, opened = draw_moment(7 * week, clock, rng)
    quick = opened + (HOUR + rng.exponential(2.5 * DAY, len(account))).astype(np.int64)
    solved = clock.at(7 * _end_week(strength)[account, week], 0.0) + rng.integers(9 * HOUR, 5 * DAY, len(account))
    closed = np.where(waits, np.maximum(solved, quick), quick)
    severity = np.where(waits, rng.integers(2, 5, len(account)), rng.integers(1, 4, len(account)))
    known = opened + rng.integers(60, 2 * HOUR, len(account))
    keep = known < clock.until
    closed = np.where(closed < clock.until, closed, NO_MOMENT)
    rows = {
        "account": account,
        "opened_at": opened,
        "recorded_at": known,
        "closed_at": closed,
        "severity": severity,
    }
    return {name: values[keep] for name, values in rows.items()}


def _end_week(strength: np.ndarray) -> np.ndarray:
    """First idle week after each week, far away when there is none: int64[n, w]."""
    end = np.full(strength.shape, 10_000, dtype=np.int64)
    for week in range(strength.shape[1] - 2, -1, -1):
        end[:, week] = np.where(strength[:, week + 1] == 0, week + 1, end[:, week + 1])
    return end


def surveys(accounts: Accounts, history: History, opened: Rows, clock: Clock, rng: np.random.Generator) -> Rows:
    """NPS (0-10) every quarter, half of it answered; CSAT (1-5) after every fourth closed ticket."""
    served = _served(accounts, history)
    turn = (np.arange(served.shape[1]) + rng.integers(0, SURVEY_WEEKS, len(accounts))[:, None]) % SURVEY_WEEKS == 0
    account, week = np.nonzero(served & turn & (rng.random(served.shape) < 0.5))
    worry = _in_episode(history, TICKETS) + 0.7 * _in_episode(history, PRICE) - 0.5 * _in_episode(history, ADOPTION)
    noise = rng.normal(7.6, 1.2, len(account))
    nps = np.clip(np.rint(noise + accounts.mood[account] - 1.5 * worry[account, week]), 0, 10)
    _, answered = draw_moment(7 * week, clock, rng)
    asked = (opened["closed_at"] != NO_MOMENT) & (rng.random(len(opened["account"])) < 0.25)
    delay = rng.integers(HOUR, 2 * DAY, asked.sum())
    csat = np.clip(np.rint(rng.normal(5.0 - 0.35 * opened["severity"][asked], 0.8)), 1, 5)
    rows = {
        "account": np.concatenate([account, opened["account"][asked]]),
        "answered_at": np.concatenate([answered, opened["closed_at"][asked] + delay]),
        "kind": np.repeat(np.array([0, 1], dtype=np.int8), [len(account), len(csat)]),
        "score": np.concatenate([nps, csat]),
    }
    return {name: values[rows["answered_at"] < clock.until] for name, values in rows.items()}


def invoices(history: History, clock: Clock) -> Rows:
    """Every quarter in advance, and at once when the price rises."""
    weeks = np.arange(len(history.seats))
    issued = history.invoice.T & (7 * weeks < np.minimum(history.ended, clock.days)[:, None])
    account, week = np.nonzero(issued)
    price, seats = history.price[week, account], history.seats[week, account]
    return {
        "account": account, "issued_at": clock.at(7 * week, 6.0), "seats": seats, "unit_price": price,
        "amount": np.round(3 * price * seats, 2), "week": week,
    }  # fmt: skip


def payments(accounts: Accounts, history: History, billed: Rows, clock: Clock, rng: np.random.Generator) -> Rows:
    """An invoice is paid within days; in an episode the weekly attempts fail instead."""
    served, strength = _served(accounts, history), _in_episode(history, PAYMENTS)
    rate = np.where(strength > 0, 0.4 + 0.6 * strength, STRAY_FAILURES)
    begins = history.age[:, :, PAYMENTS].T == 0
    account, week = _cells(np.where(served, rng.poisson(rate) + begins, 0))
    _, failed = draw_moment(7 * week, clock, rng)
    amount = np.round(3 * history.price[week, account] * history.seats[week, account], 2)
    fine = strength[billed["account"], billed["week"]] == 0
    paid = billed["issued_at"][fine] + rng.integers(DAY, 5 * DAY, fine.sum())
    rows = {
        "account": np.concatenate([account, billed["account"][fine]]),
        "attempted_at": np.concatenate([failed, paid]),
        "amount": np.concatenate([amount, billed["amount"][fine]]),
        "status": np.repeat(np.array([0, 1], dtype=np.int8), [len(account), len(paid)]),
    }
    return {name: values[rows["attempted_at"] < clock.until] for name, values in rows.items()}


def contacts(history: History, clock: Clock, rng: np.random.Generator) -> Rows:
    """What the team did, on a working moment of the week; whether it helped shows from the next week on."""
    account, week = _cells(history.contacts.T.astype(np.int64))
    day, moment = draw_moment(7 * week, clock, rng)
    keep = (moment < clock.until) & (day < history.decided[account])
    channel = rng.integers(0, len(CHANNELS), len(account)).astype(np.int8)
    return {"account": account[keep], "contacted_at": moment[keep], "channel": channel[keep]}
