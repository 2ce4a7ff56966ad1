"""A store opened by a command: its newest tables, and whose it is. A store is one data set's."""

from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from features.errors import DataError
from serving.config import ServingConfig
from serving.stores.database import connect, migrate, patiently, retried, writing
from serving.stores.records import DataSet, Run

OWN = "give each data set a database of its own: TSUNAGI_STORE, or `store` in serving.yaml"


def opened(config: ServingConfig, make: bool = False, patience: float = 0.0) -> Engine:
    """The store of a config with its newest tables.

    make: make it where there is none, and let one that is nobody's be this data set's from now on. patience: seconds to
    wait for a database that is away. Raises DataError as ``migrate`` does, and where it is another data set's, which is
    then not touched.
    """
    engine = connect(config.store_url)
    _check(config, _owner(engine))
    patiently(lambda: migrate(engine, make), patience) if patience else migrate(engine, make)
    with Session(engine) as session:
        if make:
            _claim(session, config)
        _check(config, session.scalar(select(DataSet.name)))
    return engine


def check(config: ServingConfig) -> None:
    """See that a store is not another data set's. Raises DataError.

    One that cannot be read, or whose tables know no owner yet, is nobody's.
    """
    engine = connect(config.store_url)
    try:
        _check(config, _owner(engine))
    finally:
        engine.dispose()


def _owner(engine: Engine) -> str | None:
    try:
        with Session(engine) as session:
            return session.scalar(select(DataSet.name))
    except SQLAlchemyError:
        return None


def _check(config: ServingConfig, owner: str | None) -> None:
    if owner not in (None, config.data.name):
        raise DataError(f"store: it is the store of the data set {owner}, and this is {config.data.name}; {OWN}")


@retried
def _claim(session: Session, config: ServingConfig) -> None:
    writing(session)
    if session.get(DataSet, 1) is not None:
        return
    bundles = set(session.scalars(select(Run.bundle).distinct()))
    if bundles and not any((config.home / "bundles" / name).is_dir() for name in bundles):
        raise DataError(
            f"store: it holds lists of models that {config.home / 'bundles'} does not have, perhaps another data "
            f"set's; {OWN}. If they are of {config.data.name}, tell the store: "
            f"INSERT INTO data_set VALUES (1, '{config.data.name}')"
        )
    session.add(DataSet(id=1, name=config.data.name))
    try:
        session.commit()
    except IntegrityError:
        session.rollback()  # somebody else was quicker; ``_check`` tells who
