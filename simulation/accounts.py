"""Accounts and their lasting traits."""

from dataclasses import dataclass

import numpy as np

from simulation.causes import HOLD_OUT, INDUSTRY

PLANS = ("starter", "business", "enterprise")
PRICES = np.array([24.0, 38.0, 55.0])  # a seat and month
REGIONS = ("kanto", "kansai", "chubu", "kyushu", "europe", "north_america")
FEATURES = (
    "dashboard", "report", "export", "import", "search", "alert", "calendar", "comment", "api",
    "mobile", "template", "workflow", "approval", "audit", "billing", "chart", "chat", "forecast", "form",
    "integration", "map", "survey", "tag", "timeline",
)  # fmt: skip
OLDEST = 3 * 365


@dataclass(frozen=True)
class Accounts:
    """One block of accounts; arrays of length n. Days are counted from the first day with events."""

    number: np.ndarray  # int64, 1, 2, … over all blocks
    signup: np.ndarray  # int32, negative for those who were there before
    held_out: np.ndarray  # bool
    opted_out: np.ndarray  # bool
    industry: np.ndarray  # int8
    region: np.ndarray  # int8
    plan: np.ndarray  # int8, at signup
    seats: np.ndarray  # int32, at signup
    discount: np.ndarray  # float64, factor on the list price
    seat_use: np.ndarray  # float64, usual share of seats in use
    logins: np.ndarray  # float64, per user and week
    breadth: np.ndarray  # int8, features used as a rule
    favourite: np.ndarray  # int8, where its features start in FEATURES
    mood: np.ndarray  # float64, shift of its survey scores

    def __len__(self) -> int:
        return len(self.number)

    @property
    def factor(self) -> np.ndarray:
        """Factor of the industry on the churn hazard: float64[n]."""
        return np.array(list(INDUSTRY.values()))[self.industry]


def draw(rng: np.random.Generator, first: int, n: int, days: int) -> Accounts:
    """n accounts numbered from `first`; three in five were there before the first day with events."""
    stock = rng.random(n) < 0.6
    joined = np.where(stock, -rng.integers(1, OLDEST, n), rng.integers(0, days - 14, n))
    return Accounts(
        number=np.arange(first, first + n),
        signup=joined.astype(np.int32),
        held_out=rng.random(n) < HOLD_OUT,
        opted_out=rng.random(n) < 0.005,
        industry=rng.integers(0, len(INDUSTRY), n).astype(np.int8),
        region=rng.integers(0, len(REGIONS), n).astype(np.int8),
        plan=rng.choice(len(PLANS), n, p=[0.45, 0.4, 0.15]).astype(np.int8),
        seats=np.clip(rng.lognormal(2.3, 0.55, n), 5, 60).astype(np.int32),
        discount=rng.uniform(0.85, 1.0, n),
        seat_use=rng.uniform(0.68, 0.82, n),
        logins=rng.uniform(0.8, 1.05, n),
        breadth=rng.integers(4, 7, n).astype(np.int8),
        favourite=rng.integers(0, len(FEATURES), n).astype(np.int8),
        mood=rng.normal(0, 0.8, n),
    )
