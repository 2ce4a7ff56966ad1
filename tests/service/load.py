"""Requests without pause on some connections, kept open, while a test does something to the service."""

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

WAIT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """connection: which of the connections that were opened. status: None where it ended before the answer did."""

    connection: int
    status: int | None
    body: Any = None


def request(method: str, path: str, key: str, body: object = None) -> bytes:
    """A request as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


class Load:
    """``with Load(url, request) as load``: asks on ``connections`` connections until it is left.

    answers: in the order in which they ended. A connection that breaks is one failed answer; then a new one is opened.
    """

    def __init__(self, url: str, asked: bytes, connections: int = 8):
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._asked, self._connections = asked, connections
        self.answers: list[Answer] = []
        self._opened = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def failed(self) -> list[Answer]:
        """What was not answered, or not with 200."""
        return [answer for answer in self.answers if answer.status != 200]

    async def _all(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(self._connections)))

    async def _one(self) -> None:
        while not self._over.is_set():
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            number = self._opened = self._opened + 1
            try:
                await self._ask(number, reader, writer)
            except (OSError, EOFError, TimeoutError):
                self.answers.append(Answer(number, None))
            finally:
                writer.close()

    async def _ask(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._over.is_set():
            writer.write(self._asked)
            status, headers, body = await asyncio.wait_for(answered(reader), WAIT_SECONDS)
            self.answers.append(Answer(number, status, json.loads(body)))
            if headers.get("connection") == "close":
                return
