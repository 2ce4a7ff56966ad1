"""What the golden tests share: RavenStack walked through the doors, and a small world of each shipped data set."""

from collections.abc import Callable
from functools import cache

import pytest

from features import config as configs
from serving.config import ServingConfig
from tests.golden import house
from tests.golden.house import ROOT, Said
from tests.service.world import World


@pytest.fixture(scope="session")
def ravenstack(datasets) -> tuple[Said, World]:
    """What ``train`` said, and the world it left with its list published, all by commands."""
    folder = ROOT / "tests" / "ravenstack"
    said = house.door("training", "train", folder / "churn.yaml", "--json")
    path = folder / "serving.yaml"
    assert house.door("serving", "daily", path).code == 0
    return said, World(path, configs.load(path, ServingConfig))


@pytest.fixture(scope="session")
def world_of(simulated, tmp_path_factory) -> Callable[[str], World]:
    """By the name of a data set: its small world, made once."""
    folder = tmp_path_factory.mktemp("worlds")

    @cache
    def made(name: str) -> World:
        return house.make(folder / name, name, simulated if name == "saas" else None)

    return made
