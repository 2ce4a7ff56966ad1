"""What people write about customers, each write once; and how everything about one customer is removed."""

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from features.errors import DataError
from serving.stores.database import is_sqlite, retried, writing
from serving.stores.records import Action, Base, Contact, LeftOut, Replay, Score

AT_ONCE = 10_000
Write = Callable[[Session], tuple[int, dict[str, Any]]]


class Reused(Exception):
    """An idempotency key came back with another request."""


@dataclass(frozen=True)
class Answer:
    """What a write is answered. replayed: it had been made before."""

    status: int
    answer: dict[str, Any]
    replayed: bool


def add_contact(
    session: Session, now: datetime, *, customer_id: str, at: datetime, channel: str, by: str, note: str | None = None
) -> Contact:
    """Note that the team contacted a customer; the caller commits."""
    made = Contact(customer_id=customer_id, at=at, channel=channel, note=note, by=by, created_at=now)
    session.add(made)
    session.flush()
    return made


def add_action(
    session: Session,
    now: datetime,
    *,
    model: str,
    customer_id: str,
    as_of: date,
    kind: str,
    by: str,
    until: date | None = None,
    note: str | None = None,
) -> Action:
    """Note what the team decided about a row of a list; the caller commits."""
    told = {"kind": kind, "until": until, "note": note, "by": by, "created_at": now}
    made = Action(model=model, customer_id=customer_id, as_of=as_of, **told)
    session.add(made)
    session.flush()
    return made


@retried
def contacts_since(session: Session, customers: Collection[str] | None, since: datetime) -> list[Contact]:
    """Contacts from a moment on, by time; of these customers, or of all."""
    found = select(Contact).where(Contact.at >= since)
    if customers is None:
        rows = list(session.scalars(found))
    else:
        rows = [row for some in _some(customers) for row in session.scalars(found.where(Contact.customer_id.in_(some)))]
    return sorted(rows, key=lambda row: (row.at, row.id))


def latest_actions(session: Session, model: str, customer_ids: Collection[str]) -> dict[str, Action]:
    """customer_id -> the newest action on the model's row of it."""
    newest = select(func.max(Action.id)).where(Action.model == model).group_by(Action.customer_id)
    rows = (
        row
        for some in _some(customer_ids)
        for row in session.scalars(select(Action).where(Action.id.in_(newest.where(Action.customer_id.in_(some)))))
    )
    return {row.customer_id: row for row in rows}


def contacts(
    session: Session, customer_id: str | None = None, limit: int = 100, before: int | None = None
) -> list[Contact]:
    """Contacts, of a customer or all, the last written first, those written before one of this id."""
    found = select(Contact) if customer_id is None else select(Contact).where(Contact.customer_id == customer_id)
    found = found if before is None else found.where(Contact.id < before)
    return list(session.scalars(found.order_by(Contact.id.desc()).limit(limit)))


def actions(
    session: Session,
    customer_id: str | None = None,
    limit: int = 100,
    before: int | None = None,
    model: str | None = None,
) -> list[Action]:
    """Actions, on a customer or a model's rows or all, the last written first, those before one of this id."""
    asked = [(Action.customer_id, customer_id), (Action.model, model)]
    found = select(Action).where(*(column == value for column, value in asked if value is not None))
    found = found if before is None else found.where(Action.id < before)
    return list(session.scalars(found.order_by(Action.id.desc()).limit(limit)))


def digest(method: str, path: str, body: bytes) -> str:
    """SHA-256 of a request."""
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).hexdigest()


@retried
def once(session: Session, now: datetime, owner: str, key: str, digest: str, write: Write) -> Answer:
    """Make a write and keep its answer, both or neither; the same key later, or at the same time, gets that answer.

    write: makes it, without a commit, and gives status and answer. Raises Reused for a key of another request. On a
    ``patient`` session a lost connection is no failure: the key says whether the write was made.
    """
    writing(session)
    kept = replayed(session, owner, key)
    if kept is None:
        try:
            claim = remember(session, now, owner, key, digest, 0, {})  # another with this key waits here
        except IntegrityError:
            session.rollback()
            kept = replayed(session, owner, key)
            if kept is None:
                raise
        else:
            claim.status, claim.answer = write(session)
            made = Answer(claim.status, claim.answer, False)
            session.commit()
            return made
    found = Answer(kept.status, kept.answer, True)
    same = kept.digest == digest
    session.commit()
    if not same:
        raise Reused
    return found


def replayed(session: Session, owner: str, key: str) -> Replay | None:
    """The answer kept for an owner's idempotency key."""
    return session.get(Replay, (owner, key))


def remember(
    session: Session, now: datetime, owner: str, key: str, digest: str, status: int, answer: dict[str, Any]
) -> Replay:
    """Keep an answer; the caller commits. Raises IntegrityError when there is one."""
    kept = Replay(owner=owner, key=key, digest=digest, status=status, answer=answer, created_at=now)
    session.add(kept)
    session.flush()
    return kept


def forget_replays(session: Session, before: datetime) -> int:
    """Let go of answers kept before a moment; returns how many. The caller commits."""
    return session.connection().execute(delete(Replay).where(Replay.created_at < before)).rowcount


def erase(session: Session, customer_id: str) -> dict[str, int]:
    """Remove everything about one customer; table -> rows removed. The caller commits, and ``scrub``s.

    An answer kept for an idempotency key goes when it is about the customer; a write repeated after that is a new
    write. Whoever is writing is waited for, and whoever comes later waits, as SQLite always has it.
    """
    removed = {}
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("LOCK TABLE replays, contacts, actions IN SHARE ROW EXCLUSIVE MODE")
    whose: dict[type[Base], Any] = {table: table.customer_id for table in (Score, LeftOut, Contact, Action)}
    whose[Replay] = Replay.answer["customer_id"].as_string()
    for table, owner in whose.items():
        removed[table.__tablename__] = connection.execute(delete(table).where(owner == customer_id)).rowcount
    return removed


def scrub(engine: Engine) -> None:
    """Give back the space of what was deleted, so that its bytes go too. Nobody can write to SQLite meanwhile.

    SQLite overwrites what it deletes, and this removes copies that moving pages left. PostgreSQL's log and
    backups are beyond it. Raises DataError when SQLite has no room for its copy or waits too long for others.
    """
    if is_sqlite(engine):
        with closing(engine.raw_connection()) as connection:
            try:
                connection.cursor().execute("VACUUM")
            except sqlite3.Error as error:
                raise DataError(
                    f"store: what was deleted could not be overwritten ({error}); that takes room for a second copy of "
                    "the file, also where SQLITE_TMPDIR says, and a moment without other users; type the same command "
                    "again"
                ) from None
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as server:
            server.exec_driver_sql("SET statement_timeout = 0")
            try:
                server.exec_driver_sql("VACUUM scores, left_out, contacts, actions, replays")
            finally:
                server.invalidate()  # the next one has its limit again


def _some(customers: Collection[str]) -> Iterator[list[str]]:
    remaining = iter(dict.fromkeys(customers))
    while some := list(islice(remaining, AT_ONCE)):
        yield some
