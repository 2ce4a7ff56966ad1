"""Logins, feature use, administrator actions and seat reports: what the users of an account do."""

from dataclasses import dataclass

import numpy as np

from simulation.accounts import FEATURES, Accounts
from simulation.causes import ADOPTION, KEY_USER, SATURATION, SEATS, STRENGTHS, USAGE
from simulation.chain import IDLE
from simulation.history import History
from simulation.moments import NO_MOMENT, Clock, draw_known, draw_moment
from simulation.records import Rows

KINDS = ("login", "feature_use", "admin_action")
FADE = 1.4  # usage falls to exp(-FADE * strength)
EMPTIED = 0.48  # share of the usual users who stop at strength 1
FEATURE_SHARE = 0.75  # feature uses per login
ADMIN_RATE = 3.0  # administrator actions a week, all by the key user
NEW_FEATURES = 7  # further features at strength 1


@dataclass(frozen=True)
class Marks:
    """What the episodes do to the users: arrays of shape [n, w]."""

    users: np.ndarray  # int32, users who come at all
    level: np.ndarray  # float64, factor on usage
    gone: np.ndarray  # bool, the key user is gone
    breadth: np.ndarray  # int32, features in use
    adopting: np.ndarray  # bool
    keys: np.ndarray  # int32, key users before the present one


def marks(accounts: Accounts, history: History, rng: np.random.Generator) -> Marks:
    """Each cause shows at once and in full; the hazard follows over weeks."""
    depth = [_depth(history, cause) for cause in (USAGE, SEATS, SATURATION, ADOPTION)]
    usage, emptied, saturated, adopting = depth
    gone = history.age[:, :, KEY_USER].T != IDLE
    began = np.diff(gone.astype(np.int8), axis=1, prepend=0) == 1
    share = accounts.seat_use[:, None] * (1 - EMPTIED * emptied)
    share = np.where((saturated > 0) & (emptied == 0), np.minimum(0.89 + 0.07 * saturated, 0.99), share)
    users = np.maximum(np.rint(history.seats.T * share), 2).astype(np.int32)
    noise = rng.lognormal(0, 0.06, users.shape)
    level = np.exp(-FADE * usage) * np.where(gone, 0.8, 1.0) * np.where(saturated > 0, 1.15, 1.0) * noise
    breadth = (accounts.breadth[:, None] + np.rint(NEW_FEATURES * adopting)).astype(np.int32)
    return Marks(users, level, gone, breadth, adopting > 0, np.cumsum(began, axis=1).astype(np.int32))


def _depth(history: History, cause: int) -> np.ndarray:
    """Strength of the episode, 0 when idle: float64[n, w]."""
    strength = STRENGTHS[history.strength[:, :, cause].T]
    return np.where(history.age[:, :, cause].T == IDLE, 0.0, strength)


def events(accounts: Accounts, history: History, found: Marks, clock: Clock, rng: np.random.Generator) -> Rows:
    """Rows of events.parquet; a feature of -1 is none, a user below 0 is a later key user."""
    parts = [_kind(kind, accounts, history, found, clock, rng) for kind in range(len(KINDS))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rate(kind: int, accounts: Accounts, history: History, found: Marks) -> np.ndarray:
    """Expected events of a week: float64[n, w]."""
    usual = history.seats.T * (accounts.seat_use * accounts.logins)[:, None] * found.level
    return (
        usual,
        usual * FEATURE_SHARE * np.where(found.adopting, 1.3, 1.0),
        np.where(found.gone, 0.0, ADMIN_RATE),
    )[kind]


def _kind(
    kind: int, accounts: Accounts, history: History, found: Marks, clock: Clock, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    weeks = np.arange(history.seats.shape[0])
    rate = _rate(kind, accounts, history, found)
    rate = rate * ((7 * weeks + 6 >= accounts.signup[:, None]) & (7 * weeks < history.ended[:, None]))
    cell = np.repeat(np.arange(rate.size, dtype=np.int32), rng.poisson(rate).ravel())
    account = cell // len(weeks)
    day, occurred = draw_moment(7 * (cell % len(weeks)), clock, rng)
    known = draw_known(occurred, rng)
    keep = (day >= accounts.signup[account]) & (day < history.ended[account]) & (known < clock.until)
    cell, account, occurred, known = cell[keep], account[keep], occurred[keep], known[keep]
    draw = rng.random(len(cell), dtype=np.float32)
    user = np.zeros(len(cell), np.int32) if kind == 2 else _user(cell, found, draw)
    feature = np.full(len(cell), NO_MOMENT, np.int32)
    if kind == 1:
        place = (rng.random(len(cell), dtype=np.float32) * found.breadth.ravel()[cell]).astype(np.int32)
        feature = (accounts.favourite[account] + 5 * place) % len(FEATURES)
    key = user == 0
    user = np.where(key & (found.keys.ravel()[cell] > 0), -found.keys.ravel()[cell], user)
    return {
        "account": account, "user": user, "event": np.full(len(cell), kind, np.int8), "feature": feature,
        "occurred_at": occurred, "loaded_at": known,
    }  # fmt: skip


def _user(cell: np.ndarray, found: Marks, draw: np.ndarray) -> np.ndarray:
    """Number of the user: 0 is the key user with the largest share, the others share evenly."""
    users = found.users.ravel()
    key = np.where(found.gone.ravel(), 0.0, np.minimum(0.2 + 0.8 / users, 0.6))[cell]
    rest = (draw - key) / (1 - key)
    return np.where(draw < key, 0, 1 + (rest * (users[cell] - 1)).astype(np.int32)).astype(np.int32)


def seat_reports(accounts: Accounts, history: History, found: Marks, clock: Clock, rng: np.random.Generator) -> Rows:
    """Rows of seat_usage.parquet: every week, the seats and how many of them were used."""
    weeks = found.users.shape[1]
    days = 7 * np.arange(weeks)
    due = (days >= accounts.signup[:, None] + 7) & (days < np.minimum(history.ended, clock.days)[:, None])
    account, week = np.nonzero(due)
    seats = history.seats[week, account]
    active = np.minimum(rng.binomial(found.users[account, week], 0.97), seats)
    return {
        "account": account, "measured_at": clock.at(7 * week, 1.0), "seats": seats, "active_users": active,
        "share": np.round(active / seats, 4),
    }  # fmt: skip
