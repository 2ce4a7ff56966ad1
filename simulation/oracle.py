"""The true probability of each outcome, given the state of an account on an as-of date.

Causes are independent, so the share of paths still without a decision after t weeks is a product over causes,
exact, nothing drawn: S(t) = exp(-base hazard) * prod_c E[exp(-hazard added by c)], each expectation by one
forward pass over the chain. Later episodes, recoveries and contacts of the usual policy are averaged out.
"""

from dataclasses import dataclass

import numpy as np

from simulation import causes
from simulation.accounts import Accounts
from simulation.causes import CHURN, PAYMENTS, UPSELL
from simulation.chain import IDLE, Chain
from simulation.history import NEVER, History
from simulation.settings import Settings

GAP, HORIZON, MIN_TENURE = 7, 90, 28
WEEKS = -(-(GAP + HORIZON) // 7) + 1


@dataclass(frozen=True)
class Spine:
    """Accounts at risk on as-of dates, with their state on that date; arrays of length k."""

    account: np.ndarray  # int64, row of the block
    as_of: np.ndarray  # int32, days since the first day with events
    age: np.ndarray  # int8[k, causes]
    strength: np.ndarray  # int8[k, causes]
    base: np.ndarray  # float64[k, WEEKS], churn hazard without causes; the rest of the running week first
    held_out: np.ndarray  # bool

    @property
    def over(self) -> np.ndarray:
        """Days of the running week that are over: int32[k]."""
        return self.as_of % 7


@dataclass(frozen=True)
class Truth:
    """Truth of one outcome on a spine; arrays of length k."""

    probability: np.ndarray  # float64
    happened: np.ndarray  # float64, 1 or 0, NaN while the horizon is not over or when it ended inside the gap
    main_cause: np.ndarray  # int8, the cause that adds most to the hazard on the date, -1 for none
    drawn_cause: np.ndarray  # int8, the cause the decision was drawn from, -1 for none of them
    contact_effect: np.ndarray  # float64, factor on the probability if the team contacts on the date; NaN for upsell


def spine(accounts: Accounts, history: History, settings: Settings) -> Spine:
    """At risk: a customer for four weeks, no decision to leave before the date."""
    dates = settings.as_of()[:, None]
    at_risk = (accounts.signup + MIN_TENURE <= dates) & (history.decided >= dates)
    row, account = np.nonzero(at_risk)
    as_of = dates[row, 0]
    week = as_of // 7
    age = history.age[week, account].copy()
    age[history.upgrade[week, account] < as_of, len(CHURN) :] = IDLE
    starts = (7 * week)[:, None] + 7 * np.arange(WEEKS)
    base = causes.CHURN_BASE * causes.exposure(starts, accounts.signup[account, None], accounts.factor[account, None])
    base[:, 0] *= (7 - as_of % 7) / 7
    return Spine(account, as_of, age, history.strength[week, account], base, accounts.held_out[account])


def churn(spine: Spine, history: History, settings: Settings) -> tuple[Truth, np.ndarray]:
    """Truth of churn, and the share of paths without a decision before each week: float64[k, WEEKS + 1]."""
    chains = [Chain(cause, settings.signal) for cause in CHURN]
    leaving = [causes.leaving(cause, spine.held_out) for cause in CHURN]
    walks = [
        chain.walk(spine.age[:, c], spine.strength[:, c], spine.base, leaving[c]) for c, chain in enumerate(chains)
    ]
    alone = np.column_stack([np.ones(len(spine.base)), np.exp(-np.cumsum(spine.base, axis=1))])
    survival = alone * np.prod([walk.left for walk in walks], axis=0)
    added = np.stack([walk.added for walk in walks])
    probability = _ends_in_horizon(survival, added, spine.over)
    main, effect = _main(chains, spine, 0), np.ones(len(probability))
    for c, chain in enumerate(chains):
        rows = np.flatnonzero(main == c)
        idle = np.full(len(rows), IDLE, dtype=np.int8)
        solved = chain.walk(idle, idle, spine.base[rows], leaving[c][rows])
        rest = added[:, rows].copy()
        rest[c] = solved.added
        cleared = _ends_in_horizon(survival[rows] / walks[c].left[rows] * solved.left, rest, spine.over[rows])
        effect[rows] = 1 - chain.cause.solved * (1 - cleared / probability[rows])
    happened = _ended(spine, history, settings)
    drawn = np.where(happened == 1, history.cause[spine.account], IDLE).astype(np.int8)
    return Truth(probability, happened, main, drawn, effect), survival


def upsell(spine: Spine, survival: np.ndarray, history: History, settings: Settings) -> Truth:
    """Truth of upsell: an upgrade in the horizon, before any decision to leave."""
    chains = [Chain(cause, settings.signal) for cause in UPSELL]
    base = np.full(spine.base.shape, causes.UPSELL_BASE)
    base[:, 0] *= (7 - spine.over) / 7
    waits = np.column_stack([np.ones(len(base)), np.exp(-np.cumsum(base, axis=1))])
    for c, chain in enumerate(chains, len(CHURN)):
        end = np.full(len(base), chain.cause.end)
        waits = waits * chain.walk(spine.age[:, c], spine.strength[:, c], base, end).left
    inside = _hits(0, HORIZON)[0][spine.over]
    probability = (survival[:, 1:] * (waits[:, :-1] - waits[:, 1:]) * inside).sum(axis=1)
    bought = _first_upgrade(spine, history) < spine.as_of + HORIZON
    happened = np.where(spine.as_of + HORIZON <= settings.days, bought, np.nan)
    nobody, nothing = np.full(len(base), IDLE, dtype=np.int8), np.full(len(base), np.nan)
    return Truth(probability, happened, _main(chains, spine, len(CHURN)), nobody, nothing)


def _main(chains: list[Chain], spine: Spine, first: int) -> np.ndarray:
    now = [chain.added(spine.age[:, c], spine.strength[:, c]) for c, chain in enumerate(chains, first)]
    return np.where(np.max(now, axis=0) > 0, first + np.argmax(now, axis=0), IDLE).astype(np.int8)


def _ended(spine: Spine, history: History, settings: Settings) -> np.ndarray:
    after = history.ended[spine.account].astype(np.int64) - spine.as_of
    mature = (spine.as_of + GAP + HORIZON <= settings.days) & (after >= GAP)
    return np.where(mature, after < GAP + HORIZON, np.nan)


def _first_upgrade(spine: Spine, history: History) -> np.ndarray:
    """Day of the first upgrade on or after the date, NEVER without one: int32[k]."""
    first = np.full(len(spine.account), NEVER, dtype=np.int32)
    for days in history.upgrade:
        day = days[spine.account]
        first = np.minimum(first, np.where(day >= spine.as_of, day, NEVER))
    return first


def _ends_in_horizon(survival: np.ndarray, added: np.ndarray, over: np.ndarray) -> np.ndarray:
    """P(end in the horizon | not in the gap): float64[k]; added: float64[causes, k, WEEKS]."""
    decides = survival[:, :-1] - survival[:, 1:]
    unpaid = added[PAYMENTS] / (1 + added.sum(axis=0))
    horizon, gap = _hits(GAP, GAP + HORIZON)[:, over], _hits(0, GAP)[:, over]
    inside = (decides * (unpaid * horizon[0] + (1 - unpaid) * horizon[1])).sum(axis=1)
    early = (decides * (unpaid * gap[0] + (1 - unpaid) * gap[1])).sum(axis=1)
    return inside / (1 - early)


def _hits(low: int, high: int) -> np.ndarray:
    """P(the end falls in [low, high) days | decided in a week): float64[2, 7, WEEKS], the axes being
    without and with notice, days of the running week that are over, weeks from now."""
    lags = 1 + np.arange(causes.NOTICE_DAYS)
    shares = np.zeros((2, 7, WEEKS))
    for over in range(7):
        for week in range(WEEKS):
            day = np.arange(max(7 * week - over, 0), 7 * week - over + 7)
            end = day[:, None] + lags
            shares[0, over, week] = np.mean((day >= low) & (day < high))
            shares[1, over, week] = np.mean((end >= low) & (end < high))
    return shares
