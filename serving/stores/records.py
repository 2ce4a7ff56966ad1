"""The tables of the store; ``migrations`` makes them. Times are UTC without zone."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What Alembic compares with."""


class Raw(str):
    """JSON as text: a column of JSON keeps it as it is."""

    __slots__ = ()


class DataSet(Base):
    """Whose store it is: one row, the ``name`` of its data.yaml; none where nobody has claimed it yet."""

    __tablename__ = "data_set"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))


class Run(Base):
    """The ledger: one row per attempt to make one list.

    state: refused (a check said no), staging, published, replaced (by a newer list of the same date), removing and then
    abandoned (a killed run); and of old lists thinned (the reasons were removed), pruned (the rows were removed) and
    removed (the rows of one that had been replaced).
    """

    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    as_of: Mapped[date]
    state: Mapped[str] = mapped_column(String(16))
    bundle: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(12))
    grade: Mapped[str] = mapped_column(String(1))
    rule: Mapped[str | None] = mapped_column(String(64))
    base_rate: Mapped[float]
    reference: Mapped[float]
    horizon_start: Mapped[date]
    horizon_end: Mapped[date]
    features: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    snapshot: Mapped[str] = mapped_column(String(255))
    content: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int]
    message: Mapped[str] = mapped_column(String(2000))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Score(Base):
    """One customer in one run. ``families``: every reason as numbers; sentences are made on reading.

    low, high: the score's interval. risks: days of a horizon -> risk. None where the bundle knew none.
    """

    __tablename__ = "scores"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    rank: Mapped[int]
    name: Mapped[str | None] = mapped_column(String(255))
    owner: Mapped[str | None] = mapped_column(String(255))
    renewal: Mapped[date | None]
    score: Mapped[float]
    low: Mapped[float | None]
    high: Mapped[float | None]
    risks: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True))
    margin: Mapped[float]
    percentile: Mapped[float]
    band: Mapped[str] = mapped_column(String(8))
    change: Mapped[float | None]
    segment: Mapped[str | None] = mapped_column(String(16))
    stage: Mapped[str | None] = mapped_column(String(16))
    rfm: Mapped[str | None] = mapped_column(String(16))
    value_at_risk: Mapped[float]
    gain: Mapped[float]
    held_out: Mapped[bool]
    action: Mapped[str] = mapped_column(String(16))
    families: Mapped[dict[str, Any]] = mapped_column(JSON)
    __table_args__ = (Index("scores_by_customer", "customer_id"), Index("scores_by_rank", "run_id", "rank"))


class LeftOut(Base):
    """A customer in sight but not at risk in one run, with its ``status``: see ``features.population``."""

    __tablename__ = "left_out"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    status: Mapped[str] = mapped_column(String(32))


class Published(Base):
    """The pointer: which run is the list of a model and date."""

    __tablename__ = "published"
    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    as_of: Mapped[date] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))


class Key(Base):
    """An API key. Only its SHA-256 is kept. scopes: some of score, read, write, admin, with commas between.

    per_minute: how many requests a minute it may make of one worker; None is as many as the worker takes.
    """

    __tablename__ = "keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(64), default="score,read", server_default="score,read")
    per_minute: Mapped[int | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class Contact(Base):
    """The team contacted a customer. ``channel``: call, email, meeting or other; ``by``: who says so."""

    __tablename__ = "contacts"
    __table_args__ = {"sqlite_autoincrement": True}  # an id that was erased is never given again
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(255), index=True)
    at: Mapped[datetime]
    channel: Mapped[str] = mapped_column(String(16))
    note: Mapped[str | None] = mapped_column(String(1000))
    by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class Action(Base):
    """What the team decided about a row of a list; the newest of a customer and model holds. Nothing is changed.

    kind: planned, done, snoozed or dismissed; until: the day a snoozed row comes back.
    """

    __tablename__ = "actions"
    __table_args__ = {"sqlite_autoincrement": True}  # an id that was erased is never given again
    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    customer_id: Mapped[str] = mapped_column(String(255), index=True)
    as_of: Mapped[date]
    kind: Mapped[str] = mapped_column(String(16))
    until: Mapped[date | None]
    note: Mapped[str | None] = mapped_column(String(1000))
    by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class Replay(Base):
    """The answer given to an idempotency key of one API key, so that a write sent twice is made once.

    digest: SHA-256 of method, path and body: the same key with another request is refused.
    """

    __tablename__ = "replays"
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
