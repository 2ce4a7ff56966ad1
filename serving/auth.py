"""API keys: random, shown once, stored as SHA-256, expiring."""

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from features.errors import DataError
from serving.records import Key

PREFIX = "tsu_"


def create(session: Session, name: str, now: datetime, expires_at: datetime | None = None) -> str:
    """Make a key, replacing the one of the same name, and return it: the only time it can be read."""
    if not name.strip() or len(name) > 64:
        raise DataError("--name: a key needs a name of 1 to 64 characters; give one, such as crm")
    key = PREFIX + secrets.token_urlsafe(32)
    session.execute(delete(Key).where(Key.name == name))
    session.add(Key(name=name, hash=_hash(key), created_at=now, expires_at=expires_at))
    session.commit()
    return key


def revoke(session: Session, name: str) -> bool:
    """Delete a key; False when there is none of this name."""
    gone = session.scalars(delete(Key).where(Key.name == name).returning(Key.id)).all()
    session.commit()
    return bool(gone)


def owner(session: Session, key: str, now: datetime) -> str | None:
    """The name of a valid key; None for an unknown or expired one."""
    found = session.scalars(select(Key).where(Key.hash == _hash(key))).first()
    return found.name if found and (found.expires_at is None or now < found.expires_at) else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
