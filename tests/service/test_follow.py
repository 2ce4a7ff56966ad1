"""A new champion or list is taken over without a restart; what does not fit waits."""

import pytest

from serving import live as lives
from serving import store
from serving.live import Live, Rows
from tests.service import world as worlds
from training.bundle import seal


@pytest.fixture
def world(workspace, tmp_path):
    made = worlds.make(tmp_path / tmp_path.name)
    made.place(worlds.bundle())
    return made


@pytest.fixture(autouse=True)
def look_always(monkeypatch):
    monkeypatch.setattr(lives, "LOOK_AGAIN_SECONDS", 0.0)


def test_not_ready_says_why_and_becomes_ready_by_itself(world):
    live = Live(world.config)
    assert live.get("churn") is None and "store cannot be read" in live.why_not()["churn"]
    store.migrate(live.engine)
    assert live.get("churn") is None and "no list is published" in live.why_not()["churn"]
    world.publish()
    assert live.get("churn").run.as_of == worlds.TODAY and live.why_not() == {}


def test_a_new_list_and_a_new_champion_are_followed(world):
    world.publish(worlds.LAST_WEEK)
    live = Live(world.config)
    first = live.get("churn")
    assert live.get("churn") is first
    world.publish(worlds.TODAY)
    second = live.get("churn")
    assert (first.run.as_of, second.run.as_of) == (worlds.LAST_WEEK, worlds.TODAY)
    fresh = worlds.bundle(seed=1)
    world.place(fresh)
    assert live.get("churn").bundle.version == fresh.version != second.bundle.version
    assert live.get("churn").run.id == second.run.id


def test_a_champion_that_does_not_fit_the_list_waits_for_the_next(world):
    world.publish()
    live = Live(world.config)
    good = live.get("churn").bundle.version
    fresh = worlds.bundle(seed=2)
    first, *others = fresh.info.features
    info = fresh.info.model_copy(update={"features": [{**first, "name": "login_recency_9d"}, *others]})
    world.place(seal(info, fresh.model, fresh.calibrator, fresh.reference))
    assert live.get("churn").bundle.version == good and live.why_not() == {}
    assert Live(world.config).get("churn").bundle.version == good


def test_a_damaged_champion_never_replaces_a_good_one(world):
    world.publish()
    live = Live(world.config)
    good = live.get("churn").bundle.version
    fresh = worlds.bundle(seed=3)
    world.place(fresh)
    (world.config.home / "bundles" / fresh.sha256 / "model.txt").write_text("tree")
    assert live.get("churn").bundle.version == good


def test_with_everything_damaged_it_is_not_ready(world):
    world.publish()
    for folder in (world.config.home / "bundles").iterdir():
        (folder / "model.txt").write_text("tree")
    live = Live(world.config)
    assert live.get("churn") is None and "cannot be loaded" in live.why_not()["churn"]


def test_rows_are_read_by_id_across_row_groups(world, tmp_path):
    world.publish()
    (path,) = (world.config.home / "snapshots").iterdir()
    whole = Rows(path)
    frame = whole.read(range(len(whole)))
    frame.to_parquet(tmp_path / "small.parquet", index=False, row_group_size=7)
    small = Rows(tmp_path / "small.parquet")
    asked = [50, 3, 3, 21, 0, 57]
    assert small.read(asked).equals(frame.iloc[asked].reset_index(drop=True))
    assert small.position("C-0003") == 3 and small.position("C-00") is None and small.position("zzz") is None
    frame.iloc[::-1].to_parquet(tmp_path / "unsorted.parquet", index=False, row_group_size=7)
    unsorted = Rows(tmp_path / "unsorted.parquet")
    places = [unsorted.position(customer) for customer in frame["customer_id"]]
    assert unsorted.read(places).equals(frame) and unsorted.position("C-00") is None
