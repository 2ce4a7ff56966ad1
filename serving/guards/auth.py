"""API keys: random, shown once, stored as SHA-256, with scopes, an end and a rate."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from features.errors import ConfigError, DataError
from serving.stores.database import writing
from serving.stores.records import Key

PREFIX = "tsu_"
Scope = Literal["score", "read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("score", "read", "write", "admin")
USUAL: tuple[Scope, ...] = ("score", "read")


def create(
    session: Session,
    name: str,
    now: datetime,
    expires_at: datetime | None = None,
    *,
    scopes: Sequence[Scope] = USUAL,
    per_minute: int | None = None,
    replace: bool = False,
    witness: Callable[[], None] = lambda: None,
) -> str:
    """Make a key and return it: the only time it can be read. ``witness`` is called before it counts.

    Raises DataError for a name that cannot be one or that is taken, unless ``replace``: then the old key ends.
    """
    if not name.strip() or name != name.strip() or len(name) > 64 or not name.isprintable():
        raise DataError("--name: a key needs a name of 1 to 64 printable characters; give one, such as crm")
    taken = DataError(f"--name: there is a key {name}; add --replace to end it, or take another name")
    key = PREFIX + secrets.token_urlsafe(32)
    made = Key(name=name, hash=hashed(key), created_at=now, expires_at=expires_at)
    made.scopes, made.per_minute = ",".join(scopes), per_minute
    with _whole(session):
        if replace:
            session.execute(delete(Key).where(Key.name == name))
        elif session.scalar(select(Key.id).where(Key.name == name)) is not None:
            raise taken
        session.add(made)
        try:
            session.flush()
        except IntegrityError:  # somebody else took it just now
            raise taken from None
        witness()
    return key


def revoke(session: Session, name: str, witness: Callable[[], None] = lambda: None) -> bool:
    """Delete a key; False when there is none of this name. ``witness``: as in ``create``."""
    with _whole(session):
        gone = session.scalars(delete(Key).where(Key.name == name).returning(Key.id)).all()
        if gone:
            witness()
    return bool(gone)


@contextmanager
def _whole(session: Session) -> Iterator[None]:
    """A transaction that counts whole or, after any error, not at all."""
    writing(session)
    try:
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a key: all but the key."""

    name: str
    hash: str
    scopes: tuple[str, ...]
    per_minute: int | None
    created_at: datetime
    expires_at: datetime | None

    def ended(self, now: datetime) -> bool:
        """Whether it is valid no more."""
        return self.expires_at is not None and now >= self.expires_at


def listed(session: Session) -> list[Known]:
    """Every key, by name."""
    rows = session.execute(select(*COLUMNS).order_by(Key.name)).mappings()
    return [Known(**{**row, "scopes": tuple(row["scopes"].split(","))}) for row in rows]


COLUMNS = (Key.name, Key.hash, Key.scopes, Key.per_minute, Key.created_at, Key.expires_at)


def scopes(text: str) -> tuple[Scope, ...]:
    """``score,read`` as scopes. Raises ConfigError for a word that is none."""
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in SCOPES]:
        raise ConfigError(f"--scopes: {unknown[0] or 'nothing'} is no scope; known scopes: {', '.join(SCOPES)}")
    return tuple(one for one in SCOPES if one in words)


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The key a request brought, in X-API-Key or else as a bearer token; empty when there is none."""
    bearer = ""
    for name, value in headers:
        if name == b"x-api-key" and value:
            return value.strip().decode("latin-1")
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip().decode("latin-1")
    return bearer


def hashed(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
