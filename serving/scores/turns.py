"""One piece of work on the event loop at a time, and no more waiting than can be answered soon."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager

# A new connection is accepted per round of the loop; without some rounds a turn, callers would wait unseen.
ROUNDS = 4
WEIGHT = 1 / 16
OUTLIER = 8  # a turn counts as no longer than this many usual ones: a pause of the machine says nothing of the next
BURST = 4  # times the patience may who comes after quiet wait: all who came in a pause come in one crowd

# Returns an answer, and pauses wherever others may be let in.
Work = Generator[None, None, bytes]


def finished(work: Work) -> bytes:
    """The answer, without pauses."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


class Turns:
    """Hands out turns in the order in which they are asked for.

    patience: seconds that a piece of work may be expected to wait while others have been waiting for that long; as in
    "Controlling Queue Delay" (Nichols and Jacobson, 2012) a queue that is soon empty again is a burst, not an overload.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.perf_counter):
        self._patience, self._clock = patience, clock
        self._lock, self._waiting, self._seconds, self._ended = asyncio.Lock(), 0, 0.001, 0.0
        self._crowded = 0.0  # seconds of turns since the last one for which nobody waited

    @property
    def full(self) -> bool:
        """Whether who comes now would wait too long, as turns went lately."""
        most = self._patience if self._crowded > self._patience else BURST * self._patience
        return (self._waiting + self._lock.locked()) * self._seconds > most

    async def through(self, work: Work) -> bytes:
        """The answer, with a turn for all that lies between two pauses."""
        while True:
            async with self._turn():
                try:
                    next(work)
                except StopIteration as end:
                    return end.value

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a turn. What the loop does meanwhile, such as reading and refusing others, is part of its length."""
        waited = self._lock.locked()
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        began = self._ended if waited else self._clock()
        try:
            for _ in range(ROUNDS if self._waiting else 1):
                await asyncio.sleep(0)
            yield
        finally:
            self._ended = self._clock()
            length = min(self._ended - began, OUTLIER * self._seconds)
            self._seconds += WEIGHT * (length - self._seconds)
            self._crowded = self._crowded + length if self._waiting else 0.0
            self._lock.release()
