"""How the store is reached: engine, newest tables, patience with a lost connection, one daily job at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import orjson
import stamina
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from features.errors import DataError, InputError
from serving.stores.records import Raw

PATIENCE = 60.0
STATEMENT_SECONDS = 60
LOCK_SECONDS = 2
LOCKED = "55P03"
POSTGRES: dict[str, Any] = {
    "pool_pre_ping": True,
    "pool_recycle": 1_800,
    "pool_timeout": 10,
    "max_overflow": 10,
    "connect_args": {
        "connect_timeout": 5,
        "application_name": "tsunagi",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    },
}
DAILY, MIGRATION = 7_865_001, 7_865_002
PASSING = ("08", "57P0", "53300", "40001", "40P01")
BUSY, FULL = {5, 6}, {10, 13}
FULL_STATES = ("53100", "58030")
NO_ROOM = "could not extend file"  # a quota or a limit on the size of files has no state of its own
HIDDEN = "nothing half-made is shown"
NONE = "`python -m serving daily` and `keys create` make one"
JSON_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY

Given = ParamSpec("Given")
Result = TypeVar("Result")


class NotOurs(SQLAlchemyError):
    """The store belongs to another data set."""


class Busy(Exception):
    """Another daily job runs on the same workspace or store."""


@cache
def connect(url: str, data: str | None = None) -> Engine:
    """The engine of a store. SQLite waits up to 30 s for another writer; PostgreSQL ends a statement after 60 s.

    Errors never show the values of a statement. data: the data set it is for; while the store is another one's, every
    transaction begins with ``NotOurs``, as if it could not be read.
    """
    sqlite = make_url(url).get_backend_name() == "sqlite"
    special: dict[str, Any] = {"connect_args": {"timeout": 30}} if sqlite else POSTGRES
    engine = create_engine(
        url, json_serializer=json_text, json_deserializer=orjson.loads, hide_parameters=True, **special
    )
    event.listen(engine, "connect", _sqlite if sqlite else _postgres)
    if sqlite:
        event.listen(engine, "do_connect", _only_there)
        event.listen(engine, "begin", _begin)
    if data is not None:
        event.listen(engine, "begin", partial(_ours, data))
    return engine


def json_text(value: Any) -> str:
    """A value as JSON; what is ``Raw`` already stays as it is."""
    return str(value) if isinstance(value, Raw) else orjson.dumps(value, option=JSON_OPTIONS).decode()


def _only_there(dialect: Any, record: Any, where: list[Any], options: dict[str, Any]) -> None:
    """Open a SQLite file that is there: one that is gone for a while must not become an empty one."""
    where[0] = f"{Path(where[0]).absolute().as_uri()}?mode=rw"
    options["uri"] = True


def _sqlite(connection: Any, _: Any) -> None:
    """Transactions begin where SQLAlchemy says, so that a killed migration leaves nothing half made."""
    connection.isolation_level = None
    for pragma in ("journal_mode=DELETE", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _postgres(connection: Any, _: Any) -> None:
    connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    connection.commit()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _ours(data: str, connection: Connection) -> None:
    owner = connection.exec_driver_sql("SELECT name FROM data_set").scalar()
    if owner not in (None, data):
        raise NotOurs(f"the store is that of the data set {owner}, and this is {data}")


def writing(session: Session) -> Connection:
    """End what the session did so far, and begin a transaction that writes.

    On SQLite it waits for other writers now: a reader that turns into a writer could wait for one that waits for it.
    """
    session.commit()
    return session.connection(execution_options={"writes": True})


def migrate(engine: Engine, make: bool = True) -> None:
    """Bring the tables to the newest version, in a new store where there is none and there never was one.

    make: False raises DataError instead of making one. DataError too when the store was made before and is gone, or was
    made by a newer version of this software; nothing is touched then.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if is_sqlite(engine):
        _file(engine, make)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    newest, known = script.get_current_head(), {one.revision for one in script.walk_revisions()}
    with engine.connect() as connection:
        there = MigrationContext.configure(connection).get_current_revision()
    if there == newest:
        _made(engine)
        return
    if there is None and not make:
        raise DataError(f"store: it holds no tables; {NONE}")
    if there is not None and there not in known:
        raise DataError(
            f"store: its tables are of version {there}, and this program knows versions up to {newest}; "
            "install the program that made them; nothing was changed"
        )
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if not is_sqlite(engine):
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    _made(engine)


def _file(engine: Engine, make: bool) -> None:
    """See that the file of a SQLite store is there. Raises DataError."""
    path = Path(engine.url.database or "")
    if path.exists() and path.stat().st_size:
        return
    if _mark(path).exists():
        gone = f"{path}: the store was made here before and is gone; put it back"
        raise DataError(f"{gone} (to begin anew, without its lists and keys, remove {_mark(path).name})")
    if not make and not path.exists():
        raise DataError(f"{path}: there is no store; {NONE}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)


def _made(engine: Engine) -> None:
    if is_sqlite(engine) and engine.url.database:
        _mark(Path(engine.url.database)).touch(0o600)


def _mark(path: Path) -> Path:
    """What stays when the file goes."""
    return path.with_name(f"{path.name}.made")


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Be the only daily job of a PostgreSQL store, on whatever machine. Raises Busy.

    It waits 2 s for one that was killed a moment ago. The server frees the lock with its connection; a job that lost
    it so is stopped by ``store.stage`` or ``publish`` once another has begun. A SQLite file needs no more than the lock
    of its workspace.
    """
    if is_sqlite(engine):
        yield
        return
    connection = patiently(lambda: _locked(engine), PATIENCE)
    try:
        yield
    finally:
        connection.invalidate()
        connection.close()


def _locked(engine: Engine) -> Connection:
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        connection.execute(select(func.pg_advisory_lock(DAILY)))
        return connection
    except OperationalError as error:
        connection.invalidate()
        connection.close()
        if getattr(error.orig, "sqlstate", None) != LOCKED:
            raise
        raise Busy("another daily job is running on this store, perhaps on another machine; wait for it") from None


def patient(engine: Engine, seconds: float | None = None) -> Session:
    """A session whose ``retried`` functions bear a lost connection for so long (60 s); its objects outlive commits."""
    return Session(engine, expire_on_commit=False, info={"patience": PATIENCE if seconds is None else seconds})


def retried(
    work: Callable[Concatenate[Session, Given], Result],
) -> Callable[Concatenate[Session, Given], Result]:
    """Let a function of a session, one that may safely run twice, run again after the connection was lost.

    It runs again after growing pauses, for as long as its session is ``patient``; ``tries`` of ``session.info`` counts.
    On such a session it is a whole transaction, or within another such function a part of that one's. Raises InputError
    when patience was not enough or the disk is full.
    """

    @wraps(work)
    def whole(session: Session, *arguments: Given.args, **named: Given.kwargs) -> Result:
        if session.info.get("inside"):
            return work(session, *arguments, **named)
        session.info["tries"] = 0
        seconds = session.info.get("patience", 0.0)

        def once() -> Result:
            session.info["tries"] += 1
            session.info["inside"] = True
            try:
                result = work(session, *arguments, **named)
                if seconds:
                    _settle(session)
                return result
            except BaseException:
                session.rollback()
                raise
            finally:
                session.info["inside"] = False

        return patiently(once, seconds) if seconds else once()

    return whole


def _settle(session: Session) -> None:
    """End a transaction with nothing left to be read later, when the connection may be lost again."""
    for one in list(session) if session.info["tries"] > 1 else ():
        if inspect(one).expired_attributes:
            session.refresh(one)
    session.commit()


def patiently(work: Callable[[], Result], seconds: float) -> Result:
    """Do what may safely be done twice until the connection holds. Raises InputError when the time is over."""
    again = stamina.RetryingCaller(attempts=None, timeout=seconds, wait_max=2.0, wait_jitter=0.2)
    try:
        return again.on(passing)(work)  # it has no arguments, as they would be logged and name customers
    except DBAPIError as error:
        raise explained(error, seconds) from None


def passing(error: Exception) -> bool:
    """Whether a failure may pass by itself: the connection or the server is gone, or SQLite's file is locked."""
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    code, state = getattr(cause, "sqlite_errorcode", None), getattr(cause, "sqlstate", None)
    if code is not None:
        return code & 255 in BUSY
    if state is not None:
        return state.startswith(PASSING)
    return error.connection_invalidated or type(cause).__name__ == "OperationalError"


def explained(error: DBAPIError, seconds: float) -> Exception:
    """A failure in one sentence where it can be put right outside; else the failure itself."""
    code, state = getattr(error.orig, "sqlite_errorcode", 0), getattr(error.orig, "sqlstate", None)
    if passing(error):
        said = (
            f"the database could not be reached, or was locked, for {seconds:.0f} seconds; {HIDDEN}: see that it runs"
        )
    elif code & 255 in FULL or state in FULL_STATES or NO_ROOM in str(error.orig):
        said = f"the disk of the database is full, or cannot be written; {HIDDEN}: free some space"
    else:
        return error
    return InputError(f"store: {said}, then type the same command again")


def is_sqlite(engine: Engine) -> bool:
    """Whether a store is one SQLite file."""
    return engine.dialect.name == "sqlite"
