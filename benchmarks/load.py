"""Requests to a service on this machine, from a process of its own: as fast as they are answered, or at a set rate.

    python -m benchmarks.load URL --body FILE --key KEY --connections 8 --seconds 10
    python -m benchmarks.load URL --body FILE --key KEY --rate 300 --seconds 600

FILE holds one JSON body a line; they are sent in turn. With ``--rate`` a request is due at its time whether or not the
ones before it were answered, and waiting counts from then on: a slow answer cannot slow the asking down. Prints one
JSON object: requests, answers a second, how many of each status, errors, latencies in milliseconds of all and of 200s.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.work import Parser

MOST_CONNECTIONS = 512
PATIENCE_SECONDS = 30.0


@dataclass
class Seen:
    """What came back. Latencies in seconds, with the second in which each request was due."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[tuple[float, float, bool]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: "Load"):
        self._load, self._due, self._buffer = load, 0.0, b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        self._due, self._buffer = due, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) >= length:
            self._load.answered(self, self._due, head[9:12].decode(), b"connection: close" in lines)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost(self, self._due)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Load:
    """Sends requests of its bodies over connections that are kept."""

    def __init__(self, url: str, bodies: Sequence[bytes], key: str):
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        top = f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
        top += f"x-api-key: {key}\r\n" if key else ""
        self._requests = cycle([f"{top}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies])
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._waiting: deque[float] = deque()
        self._closed_loop_until: float | None = None
        self._opening = 0
        self._tasks: set[asyncio.Future[None]] = set()
        self.seen = Seen()
        self.began = 0.0

    async def closed(self, connections: int, seconds: float) -> None:
        """Each connection asks again as soon as it is answered."""
        opened = [await self._open() for _ in range(connections)]
        self.began = time.perf_counter()
        self._closed_loop_until = self.began + seconds
        for one in opened:
            self._send(one, time.perf_counter())
        await self._settle(seconds + PATIENCE_SECONDS)

    async def open(self, rate: float, seconds: float) -> None:
        """``rate`` requests a second, each due at its own time."""
        for _ in range(8):
            self._idle.append(await self._open())
        self.began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = self.began + number / rate
            late = due - time.perf_counter()
            if late > 0:
                await asyncio.sleep(late)
            self._ask(due)
        await self._settle(PATIENCE_SECONDS)

    def _ask(self, due: float) -> None:
        if self._idle:
            self._send(self._idle.pop(), due)
            return
        self._waiting.append(due)
        if len(self._busy) + self._opening < MOST_CONNECTIONS:
            self._opening += 1
            task = asyncio.ensure_future(self._another())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _another(self) -> None:
        try:
            connection = await self._open()
        except OSError as error:
            self.seen.errors[type(error).__name__] += 1
            if self._waiting:
                self._waiting.popleft()
            return
        finally:
            self._opening -= 1
        self._free(connection)

    async def _open(self) -> Connection:
        _, made = await asyncio.get_running_loop().create_connection(lambda: Connection(self), self._host, self._port)
        return made

    def _send(self, connection: Connection, due: float) -> None:
        self._busy.add(connection)
        connection.send(next(self._requests), due)

    def _free(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def answered(self, connection: Connection, due: float, status: str, closing: bool) -> None:
        now = time.perf_counter()
        self._busy.discard(connection)
        self.seen.statuses[status] += 1
        self.seen.latencies.append((due - self.began, now - due, status == "200"))
        if self._closed_loop_until is not None:
            if now < self._closed_loop_until:
                self._send(connection, now)
        elif not closing:
            self._free(connection)

    def lost(self, connection: Connection, due: float) -> None:
        if connection in self._busy:
            self._busy.discard(connection)
            self.seen.errors["connection lost"] += 1
        elif connection in self._idle:
            self._idle.remove(connection)

    async def _settle(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while (self._busy or self._waiting or self._opening) and time.perf_counter() < until:
            await asyncio.sleep(0.02)
        self.seen.errors["no answer"] += len(self._busy) + len(self._waiting)
        for one in (*self._idle, *self._busy):
            one.close()


def figures(seen: Seen) -> dict[str, object]:
    """The JSON object that is printed."""
    due, taken, good = (np.array(column) for column in zip(*seen.latencies)) if seen.latencies else [np.zeros(0)] * 3
    whole = float((due + taken).max(initial=0.0))
    return {
        "requests": len(taken) + sum(seen.errors.values()),
        "per_second": round(len(taken) / whole, 1) if whole else 0.0,
        "statuses": dict(sorted(seen.statuses.items())),
        "errors": {name: count for name, count in sorted(seen.errors.items()) if count},
        "ms": _quantiles(taken),
        "ms_of_200": _quantiles(taken[good.astype(bool)]),
    }


def _quantiles(seconds: np.ndarray) -> dict[str, float]:
    if not len(seconds):
        return {}
    asked = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "most": 1.0}
    return {name: round(1_000 * float(np.quantile(seconds, q)), 2) for name, q in asked.items()}


def main() -> int:
    import uvloop

    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True, metavar="FILE")
    parser.add_argument("--key", default="")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float)
    chosen = parser.parse_args()
    load = Load(chosen.url, chosen.body.read_bytes().split(b"\n"), chosen.key)
    try:
        asked = (
            load.open(chosen.rate, chosen.seconds) if chosen.rate else load.closed(chosen.connections, chosen.seconds)
        )
        uvloop.run(asked)
    except OSError as error:
        print(f"error: {chosen.url}: {error.strerror or error}; is the service there?", file=sys.stderr)
        return 2
    print(json.dumps(figures(load.seen)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
