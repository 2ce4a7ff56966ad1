"""A store is one data set's: whoever claims it first keeps it, and no door of another one comes in."""

import json
import os
import subprocess
import sys
import threading

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from features.errors import DataError
from serving import worker
from serving.stores import opened, store
from serving.stores.records import DataSet
from tests.service import databases
from tests.service import world as worlds

url = databases.url
OTHERS = "store: it is the store of the data set saas, and this is grocery; give each data set a database of its own"


def test_the_first_who_makes_it_keeps_it(url):
    for _ in range(2):
        opened.opened(url, "saas", make=True)
        opened.opened(url, "saas")
        opened.check(url, "saas")
    for refused in (lambda: opened.opened(url, "grocery", make=True), lambda: opened.opened(url, "grocery")):
        with pytest.raises(DataError, match=OTHERS):
            refused()
    with pytest.raises(DataError, match=OTHERS):
        opened.check(url, "grocery")


def test_reading_claims_nothing(url):
    store.migrate(store.connect(url))
    opened.opened(url, "grocery")
    opened.check(url, "grocery")
    opened.opened(url, "saas", make=True)
    with pytest.raises(DataError, match=OTHERS):
        opened.opened(url, "grocery")


def test_of_many_at_once_one_gets_it(url):
    store.migrate(store.connect(url))
    names, refused = [f"data-{number}" for number in range(8)], []

    def claim(name):
        try:
            opened.opened(url, name, make=True)
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


def test_a_store_that_is_away_is_not_taken_for_anothers(tmp_path):
    with pytest.raises(SQLAlchemyError):
        opened.check(f"sqlite:///{tmp_path}/away.db", "saas")
    assert not list(tmp_path.iterdir())


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
    assert typed("list", str(ours.path), "churn", "--json", **said).stdout == before
    assert len(json.loads(before.splitlines()[-1])["rows"]) == 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSUNAGI_STORE", url)
        worker.owned(ours.config)
        with pytest.raises(SystemExit, match="error: store: it is the store of the data set ours"):
            worker.owned(theirs.config)
        patch.setenv("TSUNAGI_STORE", f"sqlite:///{tmp_path}/away.db")
        worker.owned(theirs.config)
