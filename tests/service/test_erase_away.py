"""Erasing while the database is away says so, and leaves the lists as they are."""

import hashlib

import pytest

from features.errors import DataError
from serving.erasure import erase
from serving.stores import store
from tests.service import world as worlds


def test_an_erasure_without_its_database_is_no_erasure(workspace, tmp_path):
    world = worlds.make(tmp_path / tmp_path.name)
    world.place(worlds.bundle())
    world.publish()
    home, customer = world.config.home, "C-0005"
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (home / "snapshots").iterdir()}
    store.connect(world.config.store_url).dispose()
    (home / "serving.db").rename(home / "away.db")
    with pytest.raises(DataError, match="is gone; put it back"):
        erase.erase(world.config, customer, worlds.NOON)
    assert not (home / "serving.db").exists()
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (home / "snapshots").iterdir()} == files
    (home / "away.db").rename(home / "serving.db")
    assert erase.erase(world.config, customer, worlds.NOON)["status"] == "erased"
    with world.session() as session:
        run = store.published(session, "churn")
        assert store.row(session, run.id, customer) is None
        assert (home / "snapshots" / run.snapshot).is_file()
