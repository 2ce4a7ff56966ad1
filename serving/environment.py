"""What is said outside the YAML, as environment variables: where the config lies, the store's address, the workers."""

import tomllib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from features.errors import ConfigError

STORES = {"sqlite", "postgresql+psycopg"}
ADDRESS = "write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, with %40 for an @ in the password"
NO_DRIVER = "is a PostgreSQL, whose driver is not installed; type pip install -c constraints.txt -e '.[postgres]' first"


class Environment(BaseSettings):
    """TSUNAGI_CONFIG, TSUNAGI_STORE and TSUNAGI_WORKERS. store: with its password, so it is never printed."""

    model_config = SettingsConfigDict(env_prefix="TSUNAGI_", extra="ignore", hide_input_in_errors=True)
    config: Path | None = None
    store: SecretStr | None = None
    workers: int = Field(default=1, ge=1, le=64)

    @field_validator("store")
    @classmethod
    def _address(cls, store: SecretStr | None) -> SecretStr | None:
        if store is not None and not possible(store.get_secret_value()):
            raise ValueError(f"is no address of a store; {ADDRESS}")
        if store is not None and driverless(store.get_secret_value()):
            raise ValueError(NO_DRIVER)
        return store


def read() -> Environment:
    """The environment, checked. Raises ConfigError naming the variable, never its value."""
    try:
        return Environment()
    except ValidationError as error:
        problems = (f"TSUNAGI_{str(one['loc'][0]).upper()}: {_plain(one['msg'])}" for one in error.errors())
        raise ConfigError("; ".join(problems)) from None


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should be", "should be")


def possible(address: str) -> bool:
    """Whether an SQLAlchemy address can be that of a store."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return False
    if url.drivername == "sqlite":
        return bool(url.database) and url.database != ":memory:" and not url.query
    return url.drivername in STORES and "@" not in (url.host or "") and (url.port is None or 0 < url.port < 65_536)


def driverless(address: str) -> bool:
    """Whether a possible address needs a driver that is not there."""
    return make_url(address).drivername != "sqlite" and find_spec("psycopg") is None


@cache
def release() -> str:
    """The version of these doors: a new one may say the same things in other words.

    A checkout and a Bento have it beside the source, where nothing is installed; else it is the installed one's.
    """
    beside = Path(__file__).parents[1] / "pyproject.toml"
    if beside.is_file():
        return str(tomllib.loads(beside.read_text(encoding="utf-8"))["project"]["version"])
    return version("tsunagi")
