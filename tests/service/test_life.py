"""What is served follows list and champion without a restart, and goes on with the last good state when they fail."""

import json
import resource
import shutil
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import delete

from features import config as configs
from serving.config import ServingConfig
from serving.life import live, watched
from serving.life.live import Live
from serving.stores import good, records, store
from serving.words.sentences import words
from tests.service import world as worlds
from tests.service.world import World
from training.bundle import give_back, save, seal

SERVED = "served-churn.json"


@pytest.fixture(autouse=True)
def try_at_once(monkeypatch):
    monkeypatch.setattr(watched, "TRY_AGAIN_SECONDS", 0.0)


@pytest.fixture
def bare(workspace, tmp_path):
    """A company with a champion and no list."""
    made = worlds.make(tmp_path / tmp_path.name)
    made.place(worlds.bundle())
    return made


@pytest.fixture(scope="module")
def listed(workspace, tmp_path_factory):
    """A company with a champion and a list made by it, once for all tests; they work on copies."""
    made = worlds.make(tmp_path_factory.mktemp("listed") / "listed")
    made.place(worlds.bundle())
    made.publish()
    return made


@pytest.fixture
def world(listed, tmp_path):
    """A copy of that company, with a workspace of its own."""
    folder = tmp_path / tmp_path.name
    folder.mkdir()
    text = (listed.path.with_name("data.yaml")).read_text("utf-8")
    name = folder.name.lower().replace("_", "-")
    (folder / "data.yaml").write_text(text.replace("name: listed\n", f"name: {name}\n", 1), "utf-8")
    path = shutil.copy(listed.path, folder / "serving.yaml")
    made = World(path, configs.load(path, ServingConfig))
    shutil.copytree(listed.config.home, made.config.home)
    return made


class Looking(Live):
    """Looks whenever it is asked, so that a test need not wait for the thread."""

    def get(self, model):
        self.look()
        return super().get(model)

    def state(self):
        self.look()
        return self.ready()[1]["models"]["churn"]


def told(caplog, words):
    """How often the log says this."""
    return sum(words in record.fields["detail"] for record in caplog.records if hasattr(record, "fields"))


def looking(world, clock=lambda: worlds.NOON):
    return Looking(world.config, clock)


def moved(world, name):
    """Moves a file or folder of the workspace away; the function it returns moves it back."""
    path = world.config.home / name
    away = path.rename(path.with_name(f"away-{path.name}"))
    return lambda: away.rename(path)


def placed(world, seed):
    fresh = worlds.bundle(seed=seed)
    world.place(fresh)
    return fresh


def misfit(seed):
    """A bundle that wants a feature no list has."""
    fresh = worlds.bundle(seed=seed)
    first, *others = fresh.info.features
    info = fresh.info.model_copy(update={"features": [{**first, "name": "login_recency_9d"}, *others]})
    return seal(info, fresh.model, fresh.calibrator, fresh.reference)


def test_not_ready_says_why_and_becomes_ready_by_itself(bare):
    own = looking(bare)
    assert own.get("churn") is None and "store cannot be read" in own.why_not()["churn"]
    assert own.ready()[0] is False and own.state()["status"] == "not_ready"
    store.migrate(store.connect(bare.config.store_url))
    assert own.get("churn") is None and "no list is published" in own.why_not()["churn"]
    bare.publish()
    assert own.get("churn").run.as_of == worlds.TODAY and own.why_not() == {}
    assert own.ready()[0] is True and own.state()["status"] == "ready"


def test_a_new_list_and_a_new_champion_are_followed(bare):
    bare.publish(worlds.LAST_WEEK)
    own = looking(bare)
    first = own.get("churn")
    assert own.get("churn") is first and first.same and first.stale is None
    bare.publish(worlds.TODAY)
    second = own.get("churn")
    assert (first.run.as_of, second.run.as_of) == (worlds.LAST_WEEK, worlds.TODAY)
    fresh = placed(bare, 1)
    third = own.get("churn")
    assert third.bundle.version == fresh.version != second.bundle.version
    assert third.run.id == second.run.id and not third.same and third.stale is None


def test_the_thread_takes_over_by_itself_and_outlives_any_error(world, monkeypatch, caplog):
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    looked = []
    published = store.published

    def failing(*arguments):
        looked.append(1)
        raise RuntimeError("private words")

    own = Live(world.config, lambda: worlds.NOON)
    own.start()
    try:
        assert own.get("churn").stale is None
        monkeypatch.setattr(store, "published", failing)
        until(lambda: len(looked) > 3)
        assert own.get("churn").stale == "look_failed"
        monkeypatch.setattr(store, "published", published)
        fresh = placed(world, 1)
        until(lambda: own.get("churn").bundle.version == fresh.version and own.get("churn").stale is None)
    finally:
        own.stop()
    assert told(caplog, "RuntimeError") == 1 and "private words" not in caplog.text


def test_the_thread_outlives_a_look_that_fails_as_a_whole(world, monkeypatch, caplog):
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    looked, followed = [], good.followed

    def failing(home):
        looked.append(1)
        raise RuntimeError("private words")

    own = Live(world.config, lambda: worlds.NOON)
    own.start()
    try:
        monkeypatch.setattr(good, "followed", failing)
        until(lambda: len(looked) > 2)
        monkeypatch.setattr(good, "followed", followed)
        fresh = placed(world, 1)
        until(lambda: own.get("churn").bundle.version == fresh.version)
    finally:
        own.stop()
    lines = [record for record in caplog.records if record.getMessage() == "look.failed"]
    assert lines and lines[0].fields["error"] == "RuntimeError" and "private words" not in caplog.text


def test_a_take_over_that_failed_in_no_foreseen_way_is_tried_again(world, monkeypatch):
    monkeypatch.setattr(watched, "TRY_AGAIN_SECONDS", 60.0)
    own = looking(world)
    first = own.get("churn").bundle.version
    fresh = placed(world, 1)
    with monkeypatch.context() as patch:
        patch.setattr(watched, "tried", lambda *_: (_ for _ in ()).throw(MemoryError()))
        at_once = own.get("churn")
    for found in (at_once, own.get("churn")):  # the second look comes before its time
        assert (found.bundle.version, found.stale) == (first, "look_failed")
    later = time.monotonic() + watched.TRY_AGAIN_SECONDS
    monkeypatch.setattr(watched, "time", SimpleNamespace(monotonic=lambda: later))
    found = own.get("churn")
    assert (found.bundle.version, found.stale) == (fresh.version, None)


def test_an_older_champion_is_not_taken_back_after_one_that_was_away_for_a_moment(world):
    own = looking(world)
    pointer = world.config.home / "champion-churn.json"
    old = pointer.read_bytes()
    fresh = placed(world, 1)
    assert own.get("churn").bundle.version == fresh.version
    pointer.unlink()
    own.look()
    pointer.write_bytes(old)
    found = own.get("churn")
    assert (found.bundle.version, found.stale) == (fresh.version, "champion_older")
    pointer.unlink()
    assert placed(world, 2).version == own.get("churn").bundle.version  # one that is placed anew is newer


def until(true):
    """Waits for what the thread does; a test that hangs here has failed."""
    from threading import Event

    for _ in range(2_000):
        if true():
            return
        Event().wait(0.01)
    pytest.fail("it did not happen")


def test_a_request_needs_neither_disk_nor_store(world):
    own = Live(world.config, lambda: worlds.NOON)
    served = own.get("churn")
    own.engine.dispose()
    shutil.rmtree(world.config.home)
    assert own.get("churn") is served and own.get("other") is None


def test_a_champion_that_does_not_fit_the_list_waits_for_the_next(world):
    own = looking(world)
    good_one = own.get("churn").bundle.version
    world.place(misfit(2))
    for one in (own, looking(world)):
        found = one.get("churn")
        assert found.bundle.version == good_one and found.stale is None and one.why_not() == {}


def test_behind_a_misfit_the_champion_before_it_goes_on_and_not_an_older_one(world):
    own = looking(world)
    before = placed(world, 1)
    assert own.get("churn").bundle.version == before.version
    world.place(misfit(2))
    for one in (own, looking(world)):
        assert one.get("churn").bundle.version == before.version


def changed(world, fresh):
    (world.config.home / "bundles" / fresh.sha256 / "model.txt").write_text("tree")


def resealed(world, fresh):
    """Another model under the name of this one, with a manifest that fits it."""
    folder = world.config.home / "bundles" / fresh.sha256
    shutil.rmtree(folder)
    save(worlds.bundle(seed=9), folder)


def gone(world, fresh):
    shutil.rmtree(world.config.home / "bundles" / fresh.sha256)


@pytest.mark.parametrize("damage", [changed, resealed, gone])
def test_a_damaged_champion_never_replaces_a_good_one_and_is_told(world, damage, caplog):
    own = looking(world)
    good_one = own.get("churn").bundle.version
    fresh = placed(world, 3)
    folder = world.config.home / "bundles" / fresh.sha256
    whole = shutil.copytree(folder, folder.with_name("whole"))
    damage(world, fresh)
    for one in (own, looking(world)):
        found = one.get("churn")
        assert (found.bundle.version, found.stale) == (good_one, "champion_refused")
        one.get("churn")
        state = one.state()
        assert state["status"] == "degraded" and state["model_version"] == good_one
    assert told(caplog, "cannot be loaded") == 2, "once per worker"
    shutil.rmtree(folder, ignore_errors=True)
    whole.rename(folder)
    found = own.get("churn")
    assert (found.bundle.version, found.stale) == (fresh.version, None)


@pytest.mark.parametrize("change", [{"grade": "C"}, {"model": "upsell"}, {"data": "another"}])
def test_an_ungraded_or_foreign_champion_is_not_served(world, change):
    own = looking(world)
    before = own.get("churn").bundle.version
    fresh = worlds.bundle(seed=4, **change)
    folder = world.config.home / "bundles" / fresh.sha256
    save(fresh, folder)
    pointer = world.config.home / "champion-churn.json"
    later = json.loads(pointer.read_text())["sequence"] + 1
    pointer.write_text(json.dumps({"sha256": fresh.sha256, "sequence": later, "before": []}))
    found = own.get("churn")
    assert (found.bundle.version, found.stale) == (before, "champion_refused")


def test_an_older_champion_file_is_never_followed_back_nor_after_a_restart(world):
    own = looking(world)
    pointer = world.config.home / "champion-churn.json"
    old = pointer.read_text()
    fresh = placed(world, 1)
    assert own.get("churn").bundle.version == fresh.version
    pointer.write_text(old)
    for one in (own, looking(world)):
        found = one.get("churn")
        assert (found.bundle.version, found.stale) == (fresh.version, "champion_older")


def test_given_back_the_champion_before_is_served_for_its_number_is_higher(world):
    first = looking(world).get("churn").bundle.version
    placed(world, 1)
    own = looking(world)
    assert own.get("churn").bundle.version != first
    give_back(world.config.home, "churn")
    assert own.get("churn").bundle.version == first and own.get("churn").stale is None


def test_once_its_file_is_removed_the_champion_may_be_placed_anew(world):
    own = looking(world)
    for seed in (1, 2):
        placed(world, seed)
    assert own.get("churn").sequence == 0 and own.get("churn").stale is None
    (world.config.home / "champion-churn.json").unlink()
    assert own.get("churn").stale is None
    fresh = placed(world, 3)
    assert own.get("churn").bundle.version == fresh.version


def test_a_champion_placed_anew_while_nobody_looked_is_served_after_the_restart(world):
    for seed in (1, 2):
        placed(world, seed)
    assert looking(world).get("churn").stale is None
    (world.config.home / "champion-churn.json").unlink()
    fresh = placed(world, 3)
    found = looking(world).get("churn")
    assert (found.bundle.version, found.stale) == (fresh.version, None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": "x"}', '{"sha256": "x", "sequence": null}', "\ud7ff"])
def test_a_damaged_champion_file_changes_nothing(world, text):
    fresh = placed(world, 1)
    own = looking(world)
    assert own.get("churn").bundle.version == fresh.version
    (world.config.home / "champion-churn.json").write_text(text)
    for one in (own, looking(world)):
        found = one.get("churn")
        assert (found.bundle.version, found.stale) == (fresh.version, "champion_damaged")


def test_a_list_that_cannot_be_loaded_leaves_the_one_before(bare):
    bare.publish(worlds.LAST_WEEK)
    own = looking(bare)
    before = own.get("churn").run.id
    bare.publish(worlds.TODAY)
    with bare.session() as session:
        name = store.published(session, "churn").snapshot
    back = moved(bare, f"snapshots/{name}")
    for one in (own, looking(bare)):
        found = one.get("churn")
        assert (found.run.id, found.run.as_of, found.stale) == (before, worlds.LAST_WEEK, "list_damaged")
    back()
    assert own.get("churn").run.as_of == worlds.TODAY and own.get("churn").stale is None


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:99])])
def test_after_a_restart_the_list_before_goes_on_where_the_newest_was_served_and_is_damaged(bare, harm):
    bare.publish(worlds.LAST_WEEK)
    bare.publish(worlds.TODAY)
    with bare.session() as session:
        path = bare.config.home / "snapshots" / store.published(session, "churn").snapshot
    content = path.read_bytes()
    assert looking(bare).get("churn").run.as_of == worlds.TODAY
    path.rename(path.with_name("mapped"))
    path.write_bytes(content)
    harm(path)
    restarted = looking(bare)
    for one in (restarted, looking(bare)):
        assert (one.get("churn").run.as_of, one.get("churn").stale) == (worlds.LAST_WEEK, "list_damaged")
    path.write_bytes(content)
    assert (restarted.get("churn").run.as_of, restarted.get("churn").stale) == (worlds.TODAY, None)


def test_a_list_in_which_one_byte_is_wrong_is_not_served(bare):
    bare.publish(worlds.LAST_WEEK)
    own = looking(bare)
    before = own.get("churn").run.id
    bare.publish(worlds.TODAY)
    with bare.session() as session:
        path = bare.config.home / "snapshots" / store.published(session, "churn").snapshot
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for one in (own, looking(bare)):
        assert (one.get("churn").run.id, one.get("churn").stale) == (before, "list_damaged")


def test_features_that_are_written_anew_under_the_same_name_are_read_anew(world):
    own = looking(world)
    first = own.get("churn")
    path = world.config.home / "snapshots" / first.run.snapshot
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)
    second = own.get("churn")
    assert second.rows is not first.rows and second.bundle is first.bundle


def test_with_everything_damaged_it_is_not_ready(world):
    for folder in (world.config.home / "bundles").iterdir():
        (folder / "model.txt").write_text("tree")
    own = looking(world)
    assert own.get("churn") is None and "cannot be loaded" in own.why_not()["churn"]
    assert own.state()["status"] == "not_ready"


def test_the_store_goes_and_comes_back(world):
    own = looking(world)
    found = own.get("churn")
    assert found.stale is None
    back = moved(world, "serving.db")
    lost = own.get("churn")
    assert (lost.bundle, lost.run, lost.rows) == (found.bundle, found.run, found.rows)
    state = own.state()
    assert state["status"] == "degraded" and state["stale"] == "store_unreachable" and own.ready()[0] is True
    assert state["since"] == "2026-02-01T12:00:00Z"
    back()
    assert own.get("churn").stale is None and own.state()["status"] == "ready" and "since" not in own.state()


def test_a_worker_that_starts_without_a_store_serves_the_last_good_state(world):
    fresh = placed(world, 1)
    before = looking(world).get("churn")
    back = moved(world, "serving.db")
    own = looking(world)
    found = own.get("churn")
    assert (found.bundle.version, found.stale) == (fresh.version, "store_unreachable")
    assert kept(found.run) == kept(before.run) and found.features == before.features and own.ready()[0] is True
    later = placed(world, 2)
    assert own.get("churn").bundle.version == later.version, "the champion is followed without the store"
    back()
    assert own.get("churn").stale is None


def kept(run):
    return {column.name: getattr(run, column.name) for column in type(run).__table__.columns}


def test_another_store_in_its_place_is_read_at_once(world):
    path = world.config.home / "serving.db"
    other = shutil.copy(path, path.with_name("other.db"))
    fresh = placed(world, 1)
    world.publish(worlds.TODAY)
    own = looking(world)
    assert own.get("churn").run.bundle == fresh.sha256
    other.replace(path)
    assert own.get("churn").run.bundle != fresh.sha256 and own.get("churn").stale is None


def test_a_store_without_lists_in_its_place_is_no_end(world):
    own = looking(world)
    before = own.get("churn").run.id
    path = world.config.home / "serving.db"
    first = shutil.copy(path, path.with_name("first.db"))
    with world.session() as session:
        session.execute(delete(records.Published))
        session.commit()
    assert own.get("churn") is None and "no list is published" in own.why_not()["churn"]
    first.replace(path)
    assert own.get("churn").run.id == before and own.ready()[0] is True


BROKEN = [
    lambda text: "",
    lambda text: text[:-9],
    lambda text: text.replace("2026", "2025", 1),
    lambda text: "[]",
    lambda text: '{"sha256": 3}',
    lambda text: '{"sha256": "x", "body": null}',
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_damaged_last_good_state_is_left_aside_and_named_in_the_log(world, broken, caplog):
    looking(world).get("churn")
    path = world.config.home / SERVED
    path.write_text(broken(path.read_text()))
    back = moved(world, "serving.db")
    own = looking(world)
    assert own.get("churn") is None and "store cannot be read" in own.why_not()["churn"]
    assert told(caplog, f"{SERVED} is damaged") == 1
    back()
    assert own.get("churn").stale is None and good.last(world.config.home, "churn") is not None


@contextmanager
def full_disk():
    """No file of this process may grow beyond 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_nothing_and_is_made_good_later(world, caplog):
    own = looking(world)
    with full_disk():
        assert own.get("churn").stale is None and own.get("churn") is not None
    left = [path.name for path in world.config.home.iterdir() if "served" in path.name]
    assert left == [] and told(caplog, "cannot be written") == 1
    own.look()
    assert good.last(world.config.home, "churn").bundle == own.get("churn").bundle.sha256


def test_a_full_disk_leaves_the_state_that_was_there(world):
    looking(world).get("churn")
    before = (world.config.home / SERVED).read_bytes()
    fresh = placed(world, 1)
    own = looking(world)
    with full_disk():
        assert own.get("churn").bundle.version == fresh.version
    assert (world.config.home / SERVED).read_bytes() == before


@pytest.mark.parametrize("jump", [timedelta(days=-20_000), timedelta(days=4_000), timedelta(0)])
def test_a_jump_of_the_clock_changes_what_is_told_and_nothing_else(world, jump):
    times = [worlds.NOON]
    own = looking(world, lambda: times[-1])
    first = own.get("churn")
    moved(world, "serving.db")
    times.append(worlds.NOON + jump)
    fresh = placed(world, 1)
    found = own.get("churn")
    assert (found.bundle.version, found.stale, first.stale) == (fresh.version, "store_unreachable", None)
    state = own.state()
    assert state["age_days"] == jump.days and state["since"] == f"{times[-1].isoformat()}Z"


def test_the_age_of_the_data_counts_days_in_the_zone_of_the_data(world):
    ages = {"2026-02-01T14:59": 0, "2026-02-01T15:00": 1, "2026-01-31T15:00": 0, "2026-01-31T14:59": -1}
    for text, age in ages.items():
        at = datetime.fromisoformat(text).replace(tzinfo=UTC).replace(tzinfo=None)
        assert looking(world, lambda at=at: at).state()["age_days"] == age, text


def test_what_a_restart_may_need_is_named(world):
    assert good.named(world.config.home) == set()
    first = looking(world).get("churn")
    fresh = placed(world, 1)
    looking(world).get("churn")
    assert good.named(world.config.home) == {fresh.sha256, first.run.bundle, first.run.snapshot}
    (world.config.home / SERVED).write_text("{")
    assert good.named(world.config.home) == set()


def test_every_reason_is_told_in_both_languages(world):
    told = {
        "store_unreachable",
        "list_damaged",
        "champion_refused",
        "champion_damaged",
        "champion_older",
        "look_failed",
    }
    told |= {"registry_unreachable", "registry_refused"}
    for lang in ("en", "ja"):
        assert set(words(lang)["stale"]) == told


def test_one_model_that_cannot_be_served_does_not_keep_the_other_from_it(workspace, tmp_path):
    both = worlds.make(tmp_path / tmp_path.name, models="[churn, upsell]")
    both.place(worlds.bundle())
    both.place(worlds.bundle(model="upsell"))
    for model in ("churn", "upsell"):
        both.publish(model=model)
    looking(both).get("churn")
    (both.config.home / "champion-upsell.json").write_text("{")
    own = looking(both)
    own.look()
    fine, state = own.ready()
    assert fine and state["status"] == "degraded"
    assert {model: one["stale"] for model, one in state["models"].items()} == {
        "churn": None,
        "upsell": "champion_damaged",
    }
