"""A store opened by a command: its newest tables, and whose it is. A store is one data set's."""

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from features.errors import DataError
from serving.stores.database import connect, migrate, retried, writing
from serving.stores.records import DataSet


def opened(url: str, data: str, make: bool = False) -> Engine:
    """The store with its newest tables, for the data set named ``data``.

    make: make it where there is none, and let one that is nobody's be this data set's from now on. Raises DataError as
    ``migrate`` does, and where it is another data set's.
    """
    engine = connect(url)
    migrate(engine, make)
    with Session(engine) as session:
        if make:
            _claim(session, data)
        _check(session, data)
    return engine


def check(url: str, data: str) -> None:
    """See that a store is not another data set's; one with older tables is nobody's yet. Raises DataError.

    Raises SQLAlchemyError where it cannot be read, or has no such table.
    """
    engine = connect(url)
    try:
        with Session(engine) as session:
            _check(session, data)
    finally:
        engine.dispose()


@retried
def _claim(session: Session, data: str) -> None:
    writing(session)
    if session.get(DataSet, 1) is None:
        session.add(DataSet(id=1, name=data))
    try:
        session.commit()
    except IntegrityError:
        session.rollback()  # somebody else was quicker; ``_check`` tells who


def _check(session: Session, data: str) -> None:
    its = session.scalar(select(DataSet.name))
    if its not in (None, data):
        raise DataError(
            f"store: it is the store of the data set {its}, and this is {data}; give each data set a database of its "
            "own: TSUNAGI_STORE, or `store` in serving.yaml"
        )
