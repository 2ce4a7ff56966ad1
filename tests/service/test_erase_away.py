"""Erasing on either database; while it is away erasing says so, and leaves the lists as they are."""

import hashlib

import pytest
from sqlalchemy import inspect, text

from features.errors import DataError
from serving.erasure import erase
from serving.stores import journal, store
from serving.stores.opened import opened
from tests.service import databases
from tests.service import world as worlds

NOTE = "社長は佐藤"


def rows(world):
    """Every row of every table as text, by table; the number of listed customers, which changes, is left out."""
    with world.session() as session:
        names = [name for name in inspect(session.connection()).get_table_names() if name != "runs"]
        return {name: set(map(repr, session.execute(text(f"SELECT * FROM {name}")))) for name in names}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_on_either_database_the_customers_rows_go_and_all_others_stay(workspace, tmp_path, kind):
    world, customer = databases.placed(worlds.make(tmp_path / tmp_path.name), kind), "C-0005"
    world.place(worlds.bundle())
    for as_of in (worlds.LAST_WEEK, worlds.TODAY):
        world.publish(as_of)
    with world.session() as session:
        for one in (customer, "C-0011"):
            told = {"customer_id": one, "by": "crm", "note": f"{NOTE} {one}"}
            journal.add_contact(session, worlds.NOON, at=worlds.NOON, channel="call", **told)
            journal.add_action(session, worlds.NOON, model="churn", as_of=worlds.TODAY, kind="done", **told)
            journal.remember(session, worlds.NOON, "crm", one, "0" * 64, 201, told)
        session.commit()
    opened(world.config, make=True)  # as every command does that writes
    before = rows(world)
    told = erase.erase(world.config, customer, worlds.NOON)
    after = rows(world)
    gone = {name: before[name] - after[name] for name in before}
    assert told["status"] == "erased" and all(after[name] <= before[name] for name in before)
    assert {name: len(some) for name, some in gone.items() if some} == {
        "scores": 2, "contacts": 1, "actions": 1, "replays": 1
    }  # fmt: skip
    assert all(customer in row for some in gone.values() for row in some)
    assert not any(customer in row for some in after.values() for row in some)
    with world.session() as session:
        assert store.published(session, "churn").rows == len(list(store.listed(session, 2)))
    assert erase.erase(world.config, customer, worlds.NOON)["status"] == "already_erased"


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
