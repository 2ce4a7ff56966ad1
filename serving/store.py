"""What was scored and published. Rows of a run are seen once a short transaction points to it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, delete, event, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from serving.records import LeftOut, Published, Run, Score

BATCH = 2_000


@cache
def connect(url: str) -> Engine:
    """The engine of a store; SQLite waits up to 30 s for another writer."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine = create_engine(url, connect_args={"timeout": 30} if sqlite else {})
    if sqlite:
        event.listen(engine, "connect", _sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _sqlite(connection: Any, _: Any) -> None:
    """Transactions begin where SQLAlchemy says, so that a killed migration leaves nothing half made."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA foreign_keys=ON")


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest version; makes the folder of a new SQLite file."""
    from alembic import command
    from alembic.config import Config

    if engine.url.get_backend_name() == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def begin(session: Session, run: Run) -> int:
    """Enter a run in the ledger; returns its id."""
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
    """Write rows nobody sees yet, ``batch`` in a transaction, so that readers never wait long."""
    for some in _batches(rows, batch):
        session.execute(insert(table), [{"run_id": run_id, **row} for row in some])
        session.commit()


def publish(session: Session, run: Run, now: datetime) -> None:
    """Point the list of the run's model and date to it: the one moment at which readers see the new list."""
    pointer = session.get(Published, (run.model, run.as_of))
    if pointer is None:
        session.add(Published(model=run.model, as_of=run.as_of, run_id=run.id))
    else:
        session.execute(update(Run).where(Run.id == pointer.run_id).values(state="replaced"))
        pointer.run_id = run.id
    run.state, run.ended_at = "published", now
    session.commit()


def clean(session: Session, now: datetime) -> int:
    """Remove what killed runs staged; returns how many. Call it only while holding the daily lock."""
    dead = list(session.scalars(select(Run.id).where(Run.state == "staging")))
    for run_id in dead:
        for table in (Score, LeftOut):
            session.execute(delete(table).where(table.run_id == run_id))
        session.execute(update(Run).where(Run.id == run_id).values(state="abandoned", ended_at=now))
        session.commit()
    return len(dead)


def published(session: Session, model: str, as_of: date | None = None) -> Run | None:
    """The published run of a model and date; of the latest date without one."""
    found = select(Run).join(Published, Published.run_id == Run.id).where(Published.model == model)
    if as_of is not None:
        found = found.where(Published.as_of == as_of)
    return session.scalars(found.order_by(Published.as_of.desc()).limit(1)).first()


def before(session: Session, model: str, as_of: date) -> dict[str, float]:
    """customer_id -> score of the model's newest list older than ``as_of``; empty when there is none."""
    older = select(Published.run_id).where(Published.model == model, Published.as_of < as_of)
    run_id = session.scalar(older.order_by(Published.as_of.desc()).limit(1))
    rows = session.execute(
        select(Score.customer_id, Score.score).where(Score.run_id == run_id), execution_options={"yield_per": BATCH}
    )
    return {row.customer_id: row.score for row in rows}


def listed(session: Session, run_id: int, limit: int | None = None, after: int = 0) -> Iterator[Score]:
    """The rows of a list in rank order, those after a rank."""
    rows = select(Score).where(Score.run_id == run_id, Score.rank > after).order_by(Score.rank).limit(limit)
    return iter(session.scalars(rows.execution_options(yield_per=BATCH)))


def left_out(session: Session, run_id: int, customers: Sequence[str]) -> dict[str, str]:
    """customer_id -> status of those asked for that a run left out."""
    rows = select(LeftOut.customer_id, LeftOut.status).where(LeftOut.run_id == run_id)
    return dict(session.execute(rows.where(LeftOut.customer_id.in_(customers))).all())


def history(session: Session, customer_id: str) -> list[tuple[Run, Score]]:
    """Everything published about one customer, newest first."""
    rows = select(Run, Score).join(Published, Published.run_id == Run.id).join(Score, Score.run_id == Run.id)
    ordered = rows.where(Score.customer_id == customer_id).order_by(Run.as_of.desc(), Run.model)
    return [(run, score) for run, score in session.execute(ordered)]


def _batches(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(rows)
    while some := list(islice(remaining, size)):
        yield some
