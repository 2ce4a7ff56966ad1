"""What a simulated company is made from."""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

SMALLEST, LARGEST = 500, 1_000_000
SHORTEST, LONGEST = 12, 60
EPOCH = date(1970, 1, 1)


class SimulationError(Exception):
    """Settings that cannot give a believable company: what came, what is allowed, what to do."""


@dataclass(frozen=True)
class Settings:
    """A company of `customers` accounts, watched for `months` months up to (not including) `end`.

    `signal` multiplies the weight of every cause. Raises SimulationError on a value outside its limits.
    """

    out: Path
    customers: int = 5000
    months: int = 24
    seed: int = 7
    end: date = date(2026, 1, 1)
    signal: float = 1.0

    def __post_init__(self) -> None:
        _between("customers", self.customers, SMALLEST, LARGEST)
        _between("months", self.months, SHORTEST, LONGEST)
        _between("seed", self.seed, 0, 2**32 - 1)
        _between("end year", self.end.year, 2000, 2200)
        if not (math.isfinite(self.signal) and 0 <= self.signal <= 10):
            raise SimulationError(f"--signal {self.signal}: allowed is 0 to 10; 1 is the documented company")

    @property
    def start(self) -> date:
        """First day with events."""
        return _months_before(self.end, self.months)

    @property
    def days(self) -> int:
        """Number of days with events, also the number of `end` counted from `start`."""
        return (self.end - self.start).days

    @property
    def weeks(self) -> int:
        """Number of weeks, counted from `start`, that hold all days, `end` and what the last change led to."""
        return self.days // 7 + 2

    def as_of(self) -> np.ndarray:
        """Month starts with at least four weeks of events behind them: int32[dates], days since `start`."""
        days = (self.start + timedelta(days=n) for n in range(28, self.days + 1))
        return np.array([(day - self.start).days for day in days if day.day == 1], dtype=np.int32)


def _between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise SimulationError(f"--{name} {value}: allowed is {low} to {high}".replace("end year", "end"))


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    first = date(year, month + 1, 1)
    return first + timedelta(days=min(day.day, 28) - 1)
