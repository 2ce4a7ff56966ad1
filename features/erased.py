"""Who was erased: one keyed hash a customer, so that a table that is read again does not bring anyone back."""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import DataError

NAME, LOCK, MADE = "erased.json", "erased.lock", "erased.made"
REMEMBERED = 2_000_000
_NOBODY: dict[str, date] = {}
Stamp = tuple[int, int, int] | None


class Erased:
    """The tombstones of one workspace, as they were read. An id is compared as ``columns.text`` gives it.

    salt: 32 bytes of this workspace alone; without it nobody can tell whose a hash is. dates: hash -> day of erasure.
    """

    def __init__(self, home: Path, salt: bytes = b"", dates: Mapping[str, date] = _NOBODY, stamp: Stamp = None):
        self._home, self.salt, self.dates, self._stamp = home, salt, dict(dates), stamp
        self._passed: set[str] = set()

    @classmethod
    def of(cls, home: Path) -> "Erased":
        """Those of a workspace. Raises DataError on a file that is damaged, cannot be read, or was there and is gone:
        nobody must come back because of that.
        """
        path = home / NAME
        try:
            stamp = _stamp(path)
            if stamp is None and (home / MADE).exists():
                raise DataError(f"{path}: is gone, and it says who was erased; put it back from a backup (mode 0600)")
            if stamp is None:
                return cls(home)
            own = json.loads(path.read_text(encoding="utf-8"))
            dates = {text: date.fromisoformat(day) for text, day in own["erased"].items()}
            return cls(home, bytes.fromhex(own["salt"]), dates, stamp)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror or error}), and it says who was erased; check its disk and "
                "permissions, or put it back from a backup (mode 0600)"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                f"{path}: cannot be read, and it says who was erased; put it back from a backup (mode 0600)"
            ) from None

    def fresh(self) -> "Erased":
        """These, or those that the file names now; these while it cannot be read. Costs one look at the file."""
        if self.current:
            return self
        try:
            return Erased.of(self._home)
        except DataError:
            return self

    @property
    def current(self) -> bool:
        """Whether the file is still the one that was read; not while that cannot be told."""
        try:
            return _stamp(self._home / NAME) == self._stamp
        except OSError:
            return False

    def __bool__(self) -> bool:
        return bool(self.dates)

    def __contains__(self, customer: object) -> bool:
        return bool(self.dates) and self.hash(str(customer)) in self.dates

    def hash(self, customer: str) -> str:
        """What stands for a customer in tombstones, receipts and records of training: 32 hexadecimal digits."""
        return hashlib.blake2b(customer.encode("utf-8", "surrogatepass"), key=self.salt, digest_size=16).hexdigest()

    def alias(self, customer: str) -> str:
        """What those who belong to a customer have as their unit once it is erased."""
        return f"~{self.hash(customer)}"

    @property
    def salted(self) -> str:
        """Tells salts apart without telling the salt."""
        return hashlib.sha256(b"salt " + self.salt).hexdigest()[:16]

    def kept(self, ids: pa.ChunkedArray) -> pa.ChunkedArray | None:
        """Which rows stay, by their ids (text or whole numbers, null stays): bool (n,); None where all do."""
        if not self:
            return None
        words = ids.cast(pa.string())
        gone = [word for word in pc.unique(words).to_pylist() if word is not None and not self._pass(word)]
        return pc.invert(pc.is_in(words, pa.array(gone, pa.string()))) if gone else None

    def without(self, frame: pd.DataFrame, column: str) -> pd.DataFrame:
        """The rows of the others, numbered anew, where somebody is left out."""
        if not self:
            return frame
        stays = np.fromiter((self._pass(word) for word in frame[column]), bool, len(frame))
        return frame if stays.all() else frame[stays].reset_index(drop=True)

    def renamed(self, units: pd.Series) -> pd.Series:
        """Parents by their ids, the erased ones by their hashes, so that who belonged to one still belongs together."""
        if not self:
            return units
        gone = {word: self.alias(word) for word in units.dropna().unique() if not self._pass(word)}
        return units.replace(gone) if gone else units

    def _pass(self, word: str) -> bool:
        """Whether an id is nobody's that was erased; the same ids come in every batch and are hashed once."""
        if word in self._passed:
            return True
        if word in self:
            return False
        if len(self._passed) >= REMEMBERED:
            self._passed.clear()
        self._passed.add(word)
        return True


def salted(home: Path) -> Erased:
    """The tombstones of a workspace, with a salt, made now where there is none yet. Raises DataError, OSError."""
    with _alone(home):
        own = Erased.of(home)
        return own if own.salt else _save(home, secrets.token_bytes(32), {})


def add(home: Path, customer: str, day: date) -> Erased:
    """Set a customer's tombstone, on the disk when this returns; the day of an earlier one stays."""
    salted(home)
    with _alone(home):
        own = Erased.of(home)
        digest = own.hash(customer)
        return own if digest in own.dates else _save(home, own.salt, own.dates | {digest: day})


def _save(home: Path, salt: bytes, dates: Mapping[str, date]) -> Erased:
    """Replaced as a whole, readable by its owner alone."""
    half = home / f".{NAME}.half"
    text = json.dumps({"salt": salt.hex(), "erased": {own: str(day) for own, day in dates.items()}}, indent=1)
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, home / NAME)
    (home / MADE).touch()
    place = os.open(home, os.O_RDONLY)
    os.fsync(place)
    os.close(place)
    return Erased.of(home)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _stamp(path: Path) -> Stamp:
    """Tells one state of a file from the next; None where there is none. Raises OSError where the disk does not say."""
    try:
        about = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
