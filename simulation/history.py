"""What happens to a block of accounts, week by week."""

from dataclasses import dataclass

import numpy as np

from simulation import causes
from simulation.accounts import PRICES, Accounts
from simulation.causes import CAUSES, CHURN, PRICE, STRENGTHS
from simulation.chain import IDLE
from simulation.settings import Settings

NEVER = 2**31 - 1
BILLING_WEEKS = 13
PRICE_RISE = 0.20  # at strength 1
CUT_RATE = 0.0006  # weekly, seats given back without any cause
SWITCH_RATE = 0.0005  # weekly, to the next dearer plan without any cause


@dataclass(frozen=True)
class History:
    """States and facts of n accounts over w weeks, counted from the first day with events."""

    age: np.ndarray  # int8[w, n, causes], week of the episode, -1 when idle; stays at the last ramp week
    strength: np.ndarray  # int8[w, n, causes], index into STRENGTHS
    contacts: np.ndarray  # int8[w, n], contacts made in the week
    upgrade: np.ndarray  # int32[w, n], day of the upgrade in the week, NEVER without one
    cut: np.ndarray  # bool[w, n], seats given back at the start of the week
    invoice: np.ndarray  # bool[w, n], an invoice is issued on the first day of the week
    seats: np.ndarray  # int32[w, n], at the start of the week
    plan: np.ndarray  # int8[w, n], at the start of the week
    price: np.ndarray  # float64[w, n], per seat and month, at the start of the week
    decided: np.ndarray  # int32[n], day of the decision to leave, NEVER without one
    ended: np.ndarray  # int32[n], first day without service, NEVER without one
    cause: np.ndarray  # int8[n], cause of the decision, -1 for none of them

    @property
    def involuntary(self) -> np.ndarray:
        """Ended by failed payments, without any notice: bool[n]."""
        return self.cause == causes.PAYMENTS


class _Week:
    """The moving state of a block; `step` goes one week on."""

    def __init__(self, accounts: Accounts, settings: Settings, rng: np.random.Generator):
        n, kinds = len(accounts), len(CAUSES)
        self.accounts, self.rng = accounts, rng
        self.weights = np.zeros((kinds, len(STRENGTHS), causes.LONGEST))
        for c, cause in enumerate(CAUSES):
            self.weights[c, :, : len(cause.ramp)] = causes.weights(cause, settings.signal)
        self.last = np.array([len(cause.ramp) - 1 for cause in CAUSES], dtype=np.int8)
        self.fixed = np.array([cause.fixed for cause in CAUSES])
        self.onset = np.array([cause.onset for cause in CAUSES])
        self.end = np.array([cause.end for cause in CAUSES])
        self.solved = np.array([cause.solved for cause in CAUSES])
        self.strength = rng.integers(0, len(STRENGTHS), (n, kinds)).astype(np.int8)
        self.age = np.where(self._already_in(), self.last, IDLE).astype(np.int8)
        self.seats, self.plan = accounts.seats.copy(), accounts.plan.copy()
        self.price = np.round(accounts.discount * PRICES[accounts.plan], 2)
        self.due = np.where(accounts.signup < 0, rng.integers(0, BILLING_WEEKS, n), 0)
        self.decided = np.full(n, NEVER, dtype=np.int32)
        self.cause = np.full(n, IDLE, dtype=np.int8)
        self.contacts = np.zeros((n, kinds), dtype=bool)
        self.courtesy = np.zeros(n, dtype=bool)
        self.upgrade = np.full(n, NEVER, dtype=np.int32)
        self.cut = np.zeros(n, dtype=bool)

    def _already_in(self) -> np.ndarray:
        """Episodes under way on the first day, about as many as there are later on."""
        base = np.where(np.arange(len(CAUSES)) < len(CHURN), causes.CHURN_BASE, causes.UPSELL_BASE)
        hazard = base * self.weights[:, 1, :].max(axis=1)
        share = self.onset / (self.onset + self.end + hazard + causes.CONTACT_RATE * self.solved)
        before = (self.accounts.signup < 0)[:, None] & ~self.fixed
        return before & (self.rng.random(before.shape) < share)

    def step(self, day: int) -> None:
        """The week that starts on `day`: states move, then decisions, contacts and upgrades."""
        here = (self.accounts.signup <= day) & (self.decided == NEVER)
        if day > 0:
            self._move(here)
            self._change_contract(here)
        self._bill(here)
        self._decide(here, day)
        self._contact(here & (self.decided == NEVER))
        self._upgrade(here & (self.decided == NEVER), day)

    def _move(self, here: np.ndarray) -> None:
        idle, shape = self.age == IDLE, self.age.shape
        begins = idle & here[:, None] & (self.rng.random(shape) < self.onset)
        ends = self.rng.random(shape) < self.end
        ends |= self.contacts & (self.rng.random(shape) < self.solved)
        ends |= self.fixed & (self.age == self.last)
        ends[:, len(CHURN) :] |= (self.upgrade != NEVER)[:, None]
        drawn = self.rng.integers(0, len(STRENGTHS), shape).astype(np.int8)
        self.strength = np.where(begins, drawn, self.strength)
        older = np.minimum(self.age + 1, self.last).astype(np.int8)
        self.age = np.where(begins, 0, np.where(idle | ends, IDLE, older)).astype(np.int8)

    def _change_contract(self, here: np.ndarray) -> None:
        n, rng = len(here), self.rng
        upgraded = self.upgrade != NEVER
        more = np.ceil(self.seats * rng.uniform(1.2, 1.35, n)).astype(np.int32)
        self.seats = np.where(upgraded, more, self.seats)
        self.cut = here & ~upgraded & (self.seats > 6) & (rng.random(n) < CUT_RATE)
        self.seats = np.where(self.cut, np.ceil(self.seats * 0.85), self.seats).astype(np.int32)
        switched = here & (self.plan < len(PRICES) - 1) & (rng.random(n) < SWITCH_RATE)
        dearer = PRICES[self.plan + switched] / PRICES[self.plan]
        self.plan = (self.plan + switched).astype(np.int8)
        rise = np.where(self.age[:, PRICE] == 0, PRICE_RISE * STRENGTHS[self.strength[:, PRICE]], 0.0)
        self.price = np.round(self.price * dearer * (1 + rise), 2)

    def _bill(self, here: np.ndarray) -> None:
        """A quarter ahead; a price rise starts a new billing quarter at once."""
        self.invoice = here & ((self.due <= 0) | (self.age[:, PRICE] == 0))
        self.due = np.where(self.invoice, BILLING_WEEKS, self.due) - here

    def _added(self) -> np.ndarray:
        """Hazard added by each cause in multiples of the base: float64[n, causes]."""
        kind = np.arange(len(CAUSES))
        return np.where(self.age == IDLE, 0.0, self.weights[kind, self.strength, self.age])

    def _decide(self, here: np.ndarray, day: int) -> None:
        accounts, n = self.accounts, len(here)
        added = np.cumsum(np.column_stack([np.ones(n), self._added()[:, : len(CHURN)]]), axis=1)
        scale = causes.CHURN_BASE * causes.exposure(day, accounts.signup, accounts.factor)
        leaves = here & (self.rng.random(n) < -np.expm1(-scale * added[:, -1]))
        drawn = (added <= (self.rng.random(n) * added[:, -1])[:, None]).sum(axis=1) - 1
        when = day + self.rng.integers(0, 7, n)
        self.decided = np.where(leaves, when, self.decided).astype(np.int32)
        self.cause = np.where(leaves, drawn, self.cause).astype(np.int8)

    def _contact(self, here: np.ndarray) -> None:
        allowed = here & ~self.accounts.held_out
        active = self.age != IDLE
        active[:, len(CHURN) :] = False
        self.contacts = active & allowed[:, None] & (self.rng.random(active.shape) < causes.CONTACT_RATE)
        self.courtesy = allowed & ~active.any(axis=1) & (self.rng.random(len(here)) < causes.COURTESY_RATE)

    def _upgrade(self, here: np.ndarray, day: int) -> None:
        n = len(here)
        hazard = causes.UPSELL_BASE * (1 + self._added()[:, len(CHURN) :].sum(axis=1))
        buys = here & (self.rng.random(n) < -np.expm1(-hazard))
        self.upgrade = np.where(buys, day + self.rng.integers(0, 7, n), NEVER).astype(np.int32)


def simulate(accounts: Accounts, settings: Settings, rng: np.random.Generator) -> History:
    """Walk a block of accounts through all weeks of the settings."""
    now = _Week(accounts, settings, rng)
    names = ("age", "strength", "upgrade", "cut", "invoice", "seats", "plan", "price")
    rows: dict[str, list[np.ndarray]] = {name: [] for name in (*names, "contacts")}
    for week in range(settings.weeks):
        now.step(7 * week)
        for name in names:
            rows[name].append(getattr(now, name))
        rows["contacts"].append((now.contacts.sum(axis=1) + now.courtesy).astype(np.int8))
    lag = np.where(now.cause == causes.PAYMENTS, 0, rng.integers(1, causes.NOTICE_DAYS + 1, len(accounts)))
    ended = np.where(now.decided == NEVER, NEVER, now.decided.astype(np.int64) + lag).astype(np.int32)
    stacked = {name: np.stack(values) for name, values in rows.items()}
    return History(**stacked, decided=now.decided, ended=ended, cause=now.cause)
