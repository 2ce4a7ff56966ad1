"""The registry's champion is taken over when it is what the registry says and graded; else the last good one serves."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from serving.life.follow import Follower
from serving.life.live import Live
from serving.stores import good
from tests.service import world as worlds
from tests.unit.bundles import frame, rule_bundle
from training import tracking
from training.bundle import champion, give_back, save

NAME = "followed-churn"


@pytest.fixture(scope="module")
def world(workspace, tmp_path_factory):
    """A company with a list, whose champion of today is no registered version."""
    made = worlds.make(tmp_path_factory.mktemp("followed") / "followed")
    made.place(made_of(0))
    made.publish()
    return made


def made_of(seed, **changes):
    return worlds.bundle(seed=seed, **{"data": "followed", **changes})


@pytest.fixture(scope="module")
def register(world, tmp_path_factory):
    """Registers a bundle as the next version, with the champion's alias; returns its number."""

    def registered(bundle, version=None):
        folder = tmp_path_factory.mktemp("run")
        save(bundle, folder / "bundle")
        tags = {"version": version or bundle.version}
        made = tracking.record(world.config.home, NAME, folder, {}, tags, {}, {}).registered
        tracking.crown(world.config.home, NAME, made)
        return made

    return registered


@pytest.fixture
def lines():
    return []


@pytest.fixture
def follower(world, lines):
    return Follower(world.config, lines.append)


def placed(world):
    pointer = json.loads((world.config.home / "champion-churn.json").read_text())
    return pointer["sha256"], pointer["sequence"]


def served(world):
    own = Live(world.config, lambda: worlds.NOON).get("churn")
    return own.bundle.sha256, own.stale


def test_without_a_champion_in_the_registry_nothing_changes_and_no_registry_is_made(world, follower, lines):
    before = placed(world)
    follower.look()
    assert placed(world) == before and follower.problems() == ["churn"]
    assert "there is no registry" in lines[0] and not (world.config.home / "mlflow.db").exists()


def test_the_registrys_champion_is_placed_once_and_served(world, register, follower, lines):
    fresh = made_of(1)
    number = register(fresh)
    follower.look()
    after = placed(world)
    assert after[0] == fresh.sha256 and follower.problems() == []
    assert served(world) == (fresh.sha256, None)
    follower.look()
    Follower(world.config, lines.append).look()
    assert placed(world) == after, "no second time, nor after a restart"
    assert [line for line in lines if "is the registry's champion" in line] == [
        f"churn: version {number} of {NAME} ({fresh.version}) is the registry's champion"
    ]


def test_a_champion_given_back_by_hand_stays_until_the_alias_moves(world, register, follower):
    fresh, later = made_of(2), made_of(3)
    register(fresh)
    follower.look()
    before = give_back(world.config.home, "churn").sha256
    follower.look()
    assert placed(world)[0] == before != fresh.sha256
    register(later)
    follower.look()
    assert placed(world)[0] == later.sha256


def artifact(world, bundle):
    """A registered bundle's files, where the registry keeps them."""
    every = (world.config.home / "mlartifacts").rglob("bundle/manifest.json")
    (found,) = {path.parent for path in every if hashlib.sha256(path.read_bytes()).hexdigest() == bundle.sha256}
    return found


def tampered(world, bundle):
    folder = artifact(world, bundle)
    (folder / "model.txt").write_text("tree")


def resealed(world, bundle):
    folder = artifact(world, bundle)
    shutil.rmtree(folder)
    save(made_of(99), folder)


REFUSED = {
    "ungraded": ({"grade": "C"}, None, "grade C, which is never served"),
    "of another data set": ({"data": "another"}, None, "trained on the data set another"),
    "of another model": ({"model": "upsell"}, None, "holds the model upsell"),
    "tampered": ({}, tampered, "model.txt was changed"),
    "resealed": ({}, resealed, "they were changed"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bundle_that_is_not_to_be_served_is_refused_and_the_last_good_one_serves(
    world, register, follower, lines, kind
):
    changes, damage, reason = REFUSED[kind]
    follower.look()
    before, bad = placed(world), made_of(10 + list(REFUSED).index(kind), **changes)
    kept = tracking.crowned(world.config.home, NAME)
    register(bad)
    if damage:
        damage(world, bad)
    lines.clear()
    follower.look()
    follower.look()
    assert placed(world) == before and follower.problems() == ["churn"]
    assert len(lines) == 1 and reason in lines[0], lines
    assert served(world) == (before[0], "registry_refused")
    tracking.crown(world.config.home, NAME, kept[0])
    follower.look()
    assert placed(world) == before and served(world) == (before[0], None)


def test_a_rule_is_placed_though_its_grade_is_c(world, register, follower):
    rule = rule_bundle(frame(200), data="followed")
    assert rule.info.grade == "C"
    register(rule)
    follower.look()
    assert placed(world)[0] == rule.sha256
    register(made_of(4))
    follower.look()


def test_the_registry_goes_and_comes_back(world, follower, lines):
    follower.look()
    before, path = placed(world), world.config.home / "mlflow.db"
    away = path.rename(path.with_name("away.db"))
    lines.clear()
    for _ in range(3):
        follower.look()
    assert len(lines) == 1 and "cannot be reached" in lines[0] and not path.exists()
    assert placed(world) == before and served(world) == (before[0], "registry_unreachable")
    away.rename(path)
    follower.look()
    assert follower.problems() == [] and served(world) == (before[0], None)


def test_a_registry_server_that_is_down_is_said_without_its_password(world, follower, lines, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:private@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = placed(world)
    follower.look()
    assert follower.problems() == ["churn"] and placed(world) == before
    assert "cannot be reached" in lines[0] and "private" not in "".join(lines)


def test_a_damaged_memory_of_what_was_followed_is_begun_anew(world, lines):
    (world.config.home / good.FOLLOWED).write_text("[")
    follower = Follower(world.config, lines.append)
    before = placed(world)
    follower.look()
    assert follower.problems() == [] and placed(world) == before


def test_the_command_follows_until_it_is_ended(world, register):
    fresh = made_of(5)
    register(fresh)
    command = [sys.executable, "-m", "serving", "follow", str(world.path), "--every", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        said = next((line for line in process.stderr if fresh.version in line), "")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert said.endswith("is the registry's champion\n")
    assert champion(world.config.home, "churn").name == fresh.sha256
    once = subprocess.run([*command[:5], "--once", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(once.stdout)["models"]["churn"]["version"] == fresh.version
