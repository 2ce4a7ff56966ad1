"""A store is one data set's: whoever claims it first keeps it, and no door of another one comes in."""

import json
import os
import re
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from features.errors import DataError
from serving import worker
from serving.guards import auth
from serving.lists import risk_list
from serving.stores import database, opened, store
from serving.stores.records import DataSet
from tests.service import databases
from tests.service import world as worlds

url = databases.url
OTHERS = "store: it is the store of the data set saas, and this is grocery; give each data set a database of its own"


def config(url, name, home):
    """As much of a serving.yaml as opening needs."""
    return SimpleNamespace(store_url=url, home=home / name, data=SimpleNamespace(name=name))


@pytest.fixture
def saas(url, tmp_path):
    return config(url, "saas", tmp_path)


@pytest.fixture
def grocery(url, tmp_path):
    return config(url, "grocery", tmp_path)


def listed(url, bundle):
    """A store of before it had an owner, with a list made by this bundle."""
    engine = store.connect(url)
    store.migrate(engine)
    with Session(engine) as session:
        store.begin(session, risk_list.entry(bundle, worlds.TODAY, worlds.NOON))


def test_the_first_who_makes_it_keeps_it(saas, grocery):
    for _ in range(2):
        opened.opened(saas, make=True)
        opened.opened(saas)
        opened.check(saas)
    for refused in (partial(opened.opened, make=True), opened.opened, opened.check):
        with pytest.raises(DataError, match=OTHERS):
            refused(grocery)


def test_reading_claims_nothing(saas, grocery):
    store.migrate(store.connect(saas.store_url))
    opened.opened(grocery)
    opened.check(grocery)
    opened.opened(saas, make=True)
    with pytest.raises(DataError, match=OTHERS):
        opened.opened(grocery)


def test_a_store_with_lists_and_without_owner_is_whose_models_made_them(saas, grocery):
    bundle = worlds.bundle()
    listed(saas.store_url, bundle)
    (saas.home / "bundles" / bundle.sha256).mkdir(parents=True)
    with pytest.raises(DataError, match=r"lists of models that .*grocery.bundles does not have") as caught:
        opened.opened(grocery, make=True)
    opened.opened(saas, make=True)
    with pytest.raises(DataError, match=OTHERS):
        opened.opened(grocery, make=True)
    with Session(store.connect(saas.store_url)) as session:
        session.execute(delete(DataSet))
        session.execute(text(re.search("INSERT.*", str(caught.value))[0]))  # what it says to type works
        session.commit()
    opened.opened(grocery)


def test_another_data_sets_store_is_not_brought_forward(saas, grocery, monkeypatch):
    opened.opened(saas, make=True)
    monkeypatch.setattr(opened, "migrate", lambda *_: pytest.fail("touched"))
    with pytest.raises(DataError, match=OTHERS):
        opened.opened(grocery, make=True)


def test_of_many_at_once_one_gets_it(url, tmp_path):
    store.migrate(store.connect(url))
    names, refused = [f"data-{number}" for number in range(8)], []

    def claim(name):
        try:
            opened.opened(config(url, name, tmp_path), make=True)
        except DataError:
            refused.append(name)

    threads = [threading.Thread(target=claim, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Session(store.connect(url)) as session:
        assert session.scalar(select(func.count()).select_from(DataSet)) == 1
        assert [session.scalar(select(DataSet.name))] == sorted({*names} - {*refused})


def test_a_store_that_is_away_is_nobodys_and_is_not_made(tmp_path):
    opened.check(config(f"sqlite:///{tmp_path}/away.db", "saas", tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_running_service_cannot_read_a_store_that_became_anothers(url, saas, grocery):
    engine = store.connect(url, "grocery")
    store.migrate(store.connect(url))
    with Session(engine) as session:
        assert auth.listed(session) == []
    opened.opened(saas, make=True)
    for _ in range(2):
        with pytest.raises(database.NotOurs), Session(engine) as session:
            auth.listed(session)
    with Session(store.connect(url, "saas")) as session:
        assert auth.listed(session) == []


def test_a_database_that_starts_is_waited_for(saas, monkeypatch):
    tries = []

    def away(*_):
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("SELECT 1", None, ConnectionError(), connection_invalidated=True)
        store.migrate(store.connect(saas.store_url))

    monkeypatch.setattr(opened, "migrate", away)
    with pytest.raises(OperationalError):
        opened.opened(saas, make=True)
    opened.opened(saas, make=True, patience=30.0)
    assert len(tries) == 3


def typed(*words, **environment):
    command = [sys.executable, "-m", "serving", *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def test_every_command_and_the_service_refuse_the_store_of_another_company(tmp_path):
    """As on a machine whose TSUNAGI_STORE is set once, for two data sets."""
    url = databases.fresh("sqlite", tmp_path)
    ours, theirs = (worlds.make(tmp_path / name) for name in ("ours", "theirs"))
    for world in (ours, theirs):
        world.place(worlds.bundle())
    said = {"TSUNAGI_STORE": url}
    assert typed("daily", str(ours.path), "--as-of", str(worlds.TODAY), **said).returncode == 0
    config, before = str(theirs.path), typed("list", str(ours.path), "churn", "--json", **said).stdout
    for words in (
        ("daily", config, "--as-of", str(worlds.TODAY)),
        ("list", config, "churn"),
        ("keys", "create", config, "--name", "crm"),
        ("keys", "list", config),
        ("erase", config, "C-0001", "--yes"),
    ):
        done = typed(*words, **said)
        assert done.returncode == 2 and "store of the data set ours, and this is theirs" in done.stderr, words
        assert "Traceback" not in done.stderr and "tsu_" not in done.stdout
    assert not (theirs.config.home / "erased.json").exists()  # nobody is left out where nothing could be erased
    assert typed("list", str(ours.path), "churn", "--json", **said).stdout == before
    assert len(json.loads(before.splitlines()[-1])["rows"]) == 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSUNAGI_STORE", url)
        worker.owned(ours.config)
        with pytest.raises(SystemExit, match="error: store: it is the store of the data set ours"):
            worker.owned(theirs.config)
        patch.setenv("TSUNAGI_STORE", f"sqlite:///{tmp_path}/away.db")
        worker.owned(theirs.config)
