"""When things happen within a week, and when they become known."""

from dataclasses import dataclass

import numpy as np

HOUR = 3600
DAY = 24 * HOUR
ZONE_HOURS = 9  # local days are days in Tokyo, stored times are UTC
NO_MOMENT = -1
WEEKDAYS = np.array([0.19, 0.2, 0.2, 0.19, 0.16, 0.03, 0.03])  # Monday first


@dataclass(frozen=True)
class Clock:
    """Turns days since the first day with events into UTC seconds since 1970."""

    first: int  # first day with events, days since 1970-01-01 (a Thursday)
    days: int  # days with events

    @property
    def until(self) -> int:
        """UTC second at which the data end."""
        return int(self.at(self.days, 0.0))

    def at(self, day: np.ndarray | int, hour: np.ndarray | float) -> np.ndarray:
        """UTC second of a local day and hour: int64."""
        return (
            (np.asarray(day, dtype=np.int64) + self.first) * DAY
            + np.int64(HOUR) * -ZONE_HOURS
            + np.asarray(np.asarray(hour) * HOUR, dtype=np.int64)
        )

    def weekdays(self) -> np.ndarray:
        """256 days of the week as counted from the first day, as often as people work on them: int32[256]."""
        monday_first = np.roll(WEEKDAYS, -((self.first + 3) % 7))
        return np.repeat(
            np.arange(7, dtype=np.int32), np.diff(np.rint(np.cumsum([0, *monday_first]) * 256).astype(int))
        )


def draw_moment(week: np.ndarray, clock: Clock, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A working moment in the weeks that start on the given days: local day int32[n], UTC second int64[n]."""
    day = week.astype(np.int32) + clock.weekdays()[rng.integers(0, 256, len(week), dtype=np.uint8)]
    hour = 8 + 5.5 * (rng.random(len(week), dtype=np.float32) + rng.random(len(week), dtype=np.float32))
    return day, clock.at(day, hour)


def draw_known(occurred: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """When the warehouse has it: mostly within hours, three in a hundred one to three days late: int64[n]."""
    draw = rng.random(len(occurred), dtype=np.float32)
    late = draw < 0.03
    soon = rng.standard_exponential(len(occurred), dtype=np.float32) * HOUR
    delay = np.where(late, DAY + 2 * DAY * (draw / 0.03), 120 + soon)
    return occurred + delay.astype(np.int64)
