"""Who scored, read, changed or erased what: append-only files in which every line holds the hash of the one before."""

import hashlib
import hmac
import logging
import os
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from features.errors import DataError
from serving.guards import logs
from serving.problem import Refusal

FOLDER, SECRET, LINES, HEAD = "audit", "secret", ".jsonl", ".head"
START, STAMP = "0" * 64, "%Y%m%dT%H%M%S"
NAMED = 16  # how many older files a new one names: more than the workers that may start at the same moment
SEAL = b',"hash":"'


class Unaudited(Refusal):
    """What cannot be entered is not done: the disk is full, or the folder is not ours to write."""

    def __init__(self) -> None:
        super().__init__(503, "the audit log cannot be written, so this is not done; try again later", retry_after="30")


class Audit:
    """The entries of one process. It begins a file at its first entry and at the first of each later day (UTC)."""

    def __init__(self, home: Path):
        self._folder = home / FOLDER
        self._lock = threading.Lock()
        self._pen: Pen | None = None
        self._secret, self._failing = b"", False

    def write(
        self,
        now: datetime,
        owner: str,
        action: str,
        model: str | None = None,
        customers: Iterable[str] = (),
        count: int | None = None,
        key: str | None = None,
        refused: int | None = None,
    ) -> None:
        """Enter what ``owner`` (the name of a key) is about to do. Raises Unaudited when it cannot be written.

        now: UTC without zone. customers: ids, kept as keyed hashes only. count: how many, when not all are named.
        key: the name of the key that is made or revoked. refused: the status with which what was entered before ended,
        undone.
        """
        with self._lock:
            try:
                pen = self._ready(now)
                hashes = [pseudonym(self._secret, one) for one in customers]
                entry: dict[str, Any] = {"owner": owner, "action": action}
                entry |= {"model": model} if model else {}
                entry |= {"key": key} if key else {}
                entry |= {"refused": refused} if refused else {}
                pen.enter(now, entry | {"count": len(hashes) if count is None else count, "customers": hashes})
                self._failing = False
            except (OSError, DataError) as error:
                if not self._failing:
                    logs.event("audit.not_written", logging.ERROR, error=type(error).__name__)
                self._failing = True
                raise Unaudited from None

    def close(self) -> None:
        """Let go of the file, with everything on the disk."""
        with self._lock:
            if self._pen is not None:
                self._pen.close()
                self._pen = None

    def _ready(self, now: datetime) -> "Pen":
        pen = self._pen
        if pen is None or now.date() > pen.day or pen.worn:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._secret = secret(self._folder)
            before = pen
            self._pen = pen = Pen(self._folder, now, {before.path.name: before.hash} if before else {})
            if before is not None:
                before.close()
        return pen


class Pen:
    """Writes one file. Beside it, its ``.head`` says how far it has come, so that a cut-off end shows."""

    def __init__(self, folder: Path, now: datetime, before: dict[str, str]):
        """before: file -> its last hash as this process knows it, should the file be gone by now."""
        self.process, self.day, self.hash = os.getpid(), now.date(), START
        after = {path.name: last for path in files(folder)[-NAMED:] if (last := last_hash(path))} | before
        self.path = folder / f"{_begun(folder, now):{STAMP}}-{secrets.token_hex(6)}{LINES}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._lines = os.open(self.path, flags | os.O_APPEND, 0o600)
        self._head = os.open(self.path.with_suffix(HEAD), flags, 0o600)
        self._number, self._size = 0, 0
        try:
            self.enter(now, {"owner": "tsunagi", "action": "begin", "after": after})
        except OSError:
            self.close()
            self.path.unlink()
            self.path.with_suffix(HEAD).unlink()
            raise

    @property
    def worn(self) -> bool:
        """Whether it must not be used any more: in a child process, or when somebody removed its file."""
        return self.process != os.getpid() or os.fstat(self._lines).st_nlink == 0

    def enter(self, now: datetime, entry: dict[str, Any]) -> None:
        """One line, written at once so that a killed process leaves it whole. Raises OSError with nothing added."""
        body = orjson.dumps(
            {"seq": self._number, "at": now.isoformat(timespec="milliseconds") + "Z", **entry, "prev": self.hash}
        )
        sealed = hashlib.sha256(body).hexdigest()
        line = b'%b%b%b"}\n' % (body[:-1], SEAL, sealed.encode())
        try:
            written = os.write(self._lines, line)
            if written < len(line):
                raise OSError("no space is left")
            os.pwrite(self._head, b"%010d %b\n" % (self._number, sealed.encode()), 0)
        except OSError:
            os.ftruncate(self._lines, self._size)
            raise
        self.hash, self._size = sealed, self._size + written
        self._number += 1

    def close(self) -> None:
        """Force it to the disk."""
        for file in (self._lines, self._head):
            with suppress(OSError):
                os.fsync(file)
            os.close(file)


def files(folder: Path) -> list[Path]:
    """The files of entries, oldest first."""
    return sorted(folder.glob(f"*{LINES}"))


def _begun(folder: Path, now: datetime) -> datetime:
    """The time in the name of a new file: now, or just after the newest file where the clock was ahead of now.

    A new file names the newest by their names, so their order must be that in which they were begun.
    """
    for path in reversed(files(folder)):
        with suppress(ValueError, OverflowError):  # a name that is none of ours
            newest = datetime.strptime(path.name.partition("-")[0], STAMP)
            return newest + timedelta(seconds=1) if newest > now else now
    return now


def last_hash(path: Path) -> str | None:
    """The hash that ends the last whole line of a file; None when there is none."""
    with path.open("rb") as file:
        end, read = file.seek(0, os.SEEK_END), 4096
        while True:
            file.seek(max(0, end - read))
            lines = file.read().split(b"\n")
            if len(lines) > 2 or read >= end:
                break
            read *= 8
    return unsealed(lines[-2])[1] if len(lines) > 1 else None


def unsealed(line: bytes) -> tuple[bytes, str]:
    """A line without its hash, and the hash; an empty hash for a line that has none."""
    body, found, sealed = line.rpartition(SEAL)
    return (body + b"}", sealed[:64].decode("ascii", "replace")) if found and sealed[64:] == b'"}' else (line, "")


def secret(folder: Path) -> bytes:
    """The key under which customers are hashed; made by whoever is first. Raises DataError when it is damaged."""
    path, half = folder / SECRET, folder / f".{SECRET}.{secrets.token_hex(4)}"
    if not path.exists():
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(half, path)
        except FileExistsError:
            pass
        finally:
            half.unlink()
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        found = b""
    if len(found) != 32:
        raise DataError(f"{path}: must hold 64 hex digits; restore it from a backup, or move the folder away")
    return found


def pseudonym(key: bytes, customer_id: str) -> str:
    """What stands for a customer in the log: HMAC-SHA256, the first 16 hex digits."""
    return hmac.digest(key, customer_id.encode(errors="surrogatepass"), "sha256")[:8].hex()
