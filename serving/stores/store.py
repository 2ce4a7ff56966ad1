"""What was scored and published. Rows of a run are seen once a short transaction points to it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from itertools import islice
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from features.population import OPTED_OUT
from serving.stores.bulk import insert
from serving.stores.database import Busy, alone, connect, migrate, patient, retried, writing
from serving.stores.records import LeftOut, Published, Run, Score

__all__ = ["Busy", "alone", "connect", "migrate", "patient"]  # whoever keeps lists needs these too

BATCH = 10_000
AT_ONCE = 1_000
SORTS = {"rank": False, "score": True, "value_at_risk": True, "gain": True, "change": True, "renewal": False}
Place = tuple[float | int | str | date | None, str]


@dataclass(frozen=True)
class Filters:
    """Which rows of a list: those whose columns equal these; None is any. least_value_at_risk: no less than this."""

    owner: str | None = None
    band: str | None = None
    segment: str | None = None
    stage: str | None = None
    action: str | None = None
    least_value_at_risk: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """What the rows fulfil."""
        equal = [(field.name, getattr(self, field.name)) for field in fields(self) if hasattr(Score, field.name)]
        found = [getattr(Score, name) == value for name, value in equal if value is not None]
        least = self.least_value_at_risk
        return found if least is None else [*found, Score.value_at_risk >= least]


@retried
def begin(session: Session, run: Run) -> int:
    """Enter a run in the ledger; returns its id."""
    writing(session)
    if session.info["tries"] > 1 and run.id is not None:
        session.execute(delete(Run).where(Run.id == run.id))  # a commit whose answer was lost
    session.add(run)
    session.commit()
    return run.id


def stage(
    session: Session,
    run_id: int,
    table: type[Score] | type[LeftOut],
    rows: Iterable[dict[str, Any]],
    batch: int = BATCH,
) -> None:
    """Write rows nobody sees yet, ``batch`` in a transaction, so that readers never wait long.

    Rows hold plain Python values under the names of the columns, what is absent is NULL; fastest in order of
    customer_id and with JSON as ``records.Raw``. Raises DataError for a text that a database cannot keep, Busy when
    another daily job has removed the run, InputError when the connection stays lost or the disk is full.
    """
    remaining = iter(rows)
    while some := list(islice(remaining, batch)):
        _stage(session, run_id, table, some)


@retried
def _stage(session: Session, run_id: int, table: type[Score] | type[LeftOut], rows: list[dict[str, Any]]) -> None:
    try:
        insert(writing(session), cast(Table, table.__table__), run_id, rows)
        if _locked(session, run_id) != "staging":
            raise Busy("another daily job has begun on this store and removed what this one had made; start it again")
        session.commit()
    except IntegrityError:
        session.rollback()
        names = [row["customer_id"] for row in rows]
        there = select(func.count()).where(table.run_id == run_id, table.customer_id.in_(names))
        if session.info["tries"] == 1 or session.scalar(there) != len(rows):
            raise
        session.commit()  # the batch was written, only the answer had been lost


@retried
def publish(session: Session, run: Run, now: datetime) -> None:
    """Point the list of the run's model and date to it: the one moment at which readers see the new list.

    Raises Busy when another daily job has removed the run meanwhile.
    """
    writing(session)
    state = _locked(session, run.id)
    if state != "published":
        if state != "staging":
            raise Busy("another daily job has begun on this store and removed what this one had made; start it again")
        pointer = session.get(Published, (run.model, run.as_of))
        if pointer is None:
            session.add(Published(model=run.model, as_of=run.as_of, run_id=run.id))
        else:
            session.execute(update(Run).where(Run.id == pointer.run_id).values(state="replaced", ended_at=now))
            pointer.run_id = run.id
        run.state, run.ended_at = "published", now
    session.commit()


def _locked(session: Session, run_id: int) -> str | None:
    """The state of a run, that nobody changes before this transaction ends."""
    return session.scalar(select(Run.state).where(Run.id == run_id).with_for_update())


@retried
def clean(session: Session, now: datetime) -> int:
    """Remove what killed runs staged; returns how many. Call it only while being the only daily job."""
    session.execute(update(Run).where(Run.state == "staging").values(state="removing"))
    session.commit()
    dead = list(session.scalars(select(Run.id).where(Run.state == "removing")))
    for run_id in dead:
        remove(session, run_id)
        session.execute(update(Run).where(Run.id == run_id).values(state="abandoned", ended_at=now))
        session.commit()
    session.commit()
    return len(dead)


def remove(session: Session, run_id: int) -> None:
    """Delete the rows of a run, some in a transaction."""
    for table in (Score, LeftOut):
        some = select(table.run_id, table.customer_id).where(table.run_id == run_id).limit(BATCH)
        doomed = delete(table).where(tuple_(table.run_id, table.customer_id).in_(some))
        while session.connection().execute(doomed).rowcount:
            session.commit()
        session.commit()


@retried
def published(session: Session, model: str, as_of: date | None = None) -> Run | None:
    """The published run of a model and date; of the latest date without one."""
    found = select(Run).join(Published, Published.run_id == Run.id).where(Published.model == model)
    if as_of is not None:
        found = found.where(Published.as_of == as_of)
    return session.scalars(found.order_by(Published.as_of.desc()).limit(1)).first()


def previous(session: Session, run: Run) -> Run | None:
    """The published list of the same model before this one."""
    older = select(Run).join(Published, Published.run_id == Run.id)
    older = older.where(Published.model == run.model, Published.as_of < run.as_of)
    return session.scalars(older.order_by(Published.as_of.desc()).limit(1)).first()


def refused(session: Session, run_id: int) -> frozenset[str]:
    """Who had refused to be scored when a run was made."""
    found = select(LeftOut.customer_id).where(LeftOut.run_id == run_id, LeftOut.status == OPTED_OUT)
    return frozenset(session.scalars(found))


@retried
def snapshots(session: Session, model: str) -> set[str]:
    """The feature files that lists of a model need: those of lists kept whole."""
    named = select(Run.snapshot).join(Published, Published.run_id == Run.id)
    found = set(session.scalars(named.where(Run.model == model, Run.state == "published")))
    session.commit()
    return found


@retried
def faded(session: Session) -> list[Run]:
    """The lists that have lost their reasons, or all."""
    found = select(Run).join(Published, Published.run_id == Run.id).where(Run.state.in_(("thinned", "pruned")))
    runs = list(session.scalars(found))
    session.commit()
    return runs


@retried
def before(session: Session, model: str, as_of: date) -> dict[str, float]:
    """customer_id -> score of the model's newest list older than ``as_of``; empty when there is none."""
    older = select(Published.run_id).where(Published.model == model, Published.as_of < as_of)
    run_id = session.scalar(older.order_by(Published.as_of.desc()).limit(1))
    rows = session.execute(select(Score.customer_id, Score.score).where(Score.run_id == run_id))
    return {row.customer_id: row.score for row in rows}


def listed(session: Session, run_id: int, limit: int | None = None, after: int = 0) -> Iterator[Score]:
    """The rows of a list in rank order, those after a rank."""
    rows = select(Score).where(Score.run_id == run_id, Score.rank > after).order_by(Score.rank).limit(limit)
    return iter(session.scalars(rows.execution_options(yield_per=AT_ONCE)))


def whole(session: Session, run_id: int) -> Iterator[Score]:
    """The rows of a list in rank order, some at a time, so that nobody who writes waits for the whole list."""
    after = 0
    while some := _some(session, run_id, after):
        yield from some
        after = some[-1].rank


@retried
def _some(session: Session, run_id: int, after: int) -> list[Score]:
    rows = select(Score).where(Score.run_id == run_id, Score.rank > after).order_by(Score.rank).limit(AT_ONCE)
    some = list(session.scalars(rows))
    session.commit()
    return some


def page(
    session: Session,
    run_id: int,
    filters: Filters = Filters(),
    sort: str = "rank",
    limit: int | None = None,
    after: Place | None = None,
    descending: bool | None = None,
) -> list[Score]:
    """Some rows of a list in the order of one of ``SORTS``, empty cells last, equal ones by customer_id.

    after: the ``place`` of the last row seen; none is skipped or repeated. descending: None is the way of ``SORTS``.
    Raises KeyError for another sort.
    """
    column, largest = getattr(Score, sort), SORTS[sort] if descending is None else descending
    rows = select(Score).where(Score.run_id == run_id, *filters.conditions())
    if after is not None:
        rows = rows.where(_beyond(column, largest, *after))
    empty = [column.is_(None)] if Score.__table__.c[sort].nullable else []
    order = column.desc() if largest else column.asc()
    return list(session.scalars(rows.order_by(*empty, order, Score.customer_id).limit(limit)))


def place(row: Score, sort: str) -> Place:
    """Where a row stands in an order, as values that JSON keeps exactly."""
    value = getattr(row, sort)
    return (value.isoformat() if isinstance(value, date) else value), row.customer_id


def _beyond(
    column: Any, largest: bool, value: float | int | str | date | None, customer_id: str
) -> ColumnElement[bool]:
    if value is None:
        return and_(column.is_(None), Score.customer_id > customer_id)
    at = date.fromisoformat(value) if isinstance(value, str) else value
    further = column < at if largest else column > at
    return or_(further, and_(column == at, Score.customer_id > customer_id), column.is_(None))


def row(session: Session, run_id: int, customer_id: str) -> Score | None:
    """One customer of a list."""
    return session.get(Score, (run_id, customer_id))


def left_out(session: Session, run_id: int, customers: Sequence[str]) -> dict[str, str]:
    """customer_id -> status of those asked for that a run left out."""
    rows = select(LeftOut.customer_id, LeftOut.status).where(LeftOut.run_id == run_id)
    return dict(session.execute(rows.where(LeftOut.customer_id.in_(customers))).all())


def history(
    session: Session,
    customer_id: str,
    limit: int | None = None,
    before: tuple[date, str] | None = None,
    models: Collection[str] | None = None,
) -> list[tuple[Run, Score]]:
    """What is published about one customer, newest first, before a list of this date and model; by these models."""
    rows = select(Run, Score).join(Published, Published.run_id == Run.id).join(Score, Score.run_id == Run.id)
    rows = rows.where(Score.customer_id == customer_id)
    if models is not None:
        rows = rows.where(Run.model.in_(models))
    if before is not None:
        as_of, model = before
        rows = rows.where(or_(Run.as_of < as_of, and_(Run.as_of == as_of, Run.model > model)))
    return [(run, row) for run, row in session.execute(rows.order_by(Run.as_of.desc(), Run.model).limit(limit))]
