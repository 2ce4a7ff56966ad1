"""What stands outside the YAML, and the secret that may not stand inside it."""

import sys

import pytest

from features import config as configs
from features.errors import ConfigError
from serving import environment
from serving.config import ServingConfig
from tests.service import world as worlds

SECRET = "hunter2-geheim"
ADDRESS = f"postgresql+psycopg://tsunagi:{SECRET}@127.0.0.1:5432/scores"


@pytest.fixture
def config(workspace, tmp_path):
    return worlds.make(tmp_path / "company", customers=3).path


def test_the_store_is_sqlite_in_the_workspace_unless_something_is_said(config):
    loaded = configs.load(config, ServingConfig)
    assert loaded.store_url == f"sqlite:///{loaded.home / 'serving.db'}"
    said = configs.load(config, ServingConfig, ["store=postgresql+psycopg://db.internal/scores"])
    assert said.store_url == "postgresql+psycopg://db.internal/scores"


def test_the_environment_wins_and_is_never_printed(config, monkeypatch):
    monkeypatch.setenv("TSUNAGI_STORE", ADDRESS)
    loaded = configs.load(config, ServingConfig, ["store=sqlite:///other.db"])
    assert loaded.store_url == ADDRESS
    assert SECRET not in repr(environment.read()) and SECRET not in repr(loaded)


def test_a_password_in_the_yaml_is_refused_without_repeating_it(config):
    with pytest.raises(ConfigError, match="TSUNAGI_STORE") as refused:
        configs.load(config, ServingConfig, [f"store={ADDRESS}"])
    assert SECRET not in str(refused.value)


WRONG = [
    f"postgresql://u:{SECRET}@h/d",
    f"postgresql+psycopg://u:{SECRET}@h:99999/d",
    f"postgresql+psycopg:/u:{SECRET}@h/d",
    f"postgresql+psycopg://h/d?password={SECRET}",
    f"postgresql+psycopg://u:a@{SECRET}@h/d",
    f"sqlite:////tmp/x.db?password={SECRET}",
]


@pytest.mark.parametrize("store", WRONG)
def test_a_password_in_a_wrong_address_is_refused_without_repeating_it(config, store):
    with pytest.raises(ConfigError, match="store: ") as refused:
        configs.load(config, ServingConfig, [f"store={store}"])
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "store",
    [
        "mysql://h/d",
        "nothing",
        "sqlite",
        "sqlite://",
        "postgresql://h/d",
        "postgresql+psycopg://u:p@h:0/d",
        "postgresql+psycopg://u:p@q@h/d",
        "",
    ],
)
def test_another_database_is_refused_at_both_places(config, monkeypatch, store):
    with pytest.raises(ConfigError, match="sqlite:///FILE"):
        configs.load(config, ServingConfig, [f"store={store or 'nothing'}"])
    monkeypatch.setenv("TSUNAGI_STORE", store)
    with pytest.raises(ConfigError, match=r"^TSUNAGI_STORE: "):
        environment.read()


def test_a_database_without_its_driver_is_said_at_both_places(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match="driver is not installed"):
        configs.load(config, ServingConfig, ["store=postgresql+psycopg://db.internal/scores"])
    assert configs.load(config, ServingConfig).store_url.startswith("sqlite")
    monkeypatch.setenv("TSUNAGI_STORE", ADDRESS)
    with pytest.raises(ConfigError, match=r"^TSUNAGI_STORE: .*\[postgres\]") as refused:
        environment.read()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("workers", ["0", "65", "two", "1.5"])
def test_workers_are_a_whole_number_from_1_to_64(monkeypatch, workers):
    monkeypatch.setenv("TSUNAGI_WORKERS", workers)
    with pytest.raises(ConfigError, match="TSUNAGI_WORKERS"):
        environment.read()
