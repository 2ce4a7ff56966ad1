"""``serving.yaml``: which models of which data are listed and served, and the limits of the doors."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from sqlalchemy.engine import make_url

from features.config import SECRET, Language, Strict
from features.data_config import Data, workspace
from serving import environment


class Limits(Strict):
    """What one worker takes on. A request beyond a limit is answered with a 4xx or a 503, never dropped.

    wait_seconds: a request for scores that would wait longer for its turn is refused, as is one over ``concurrency``; a
    burst may wait a few times as long (``serving.scores.turns``).
    """

    body_bytes: int = Field(default=2_000_000, ge=1_000)
    body_seconds: float = Field(default=10.0, gt=0)
    handler_seconds: float = Field(default=30.0, gt=0)
    concurrency: int = Field(default=128, ge=1)
    wait_seconds: float = Field(default=0.06, gt=0)


class ServingConfig(Strict):
    """``lang``: the language of the files and the printed list; the service answers in the one asked for.

    keep_days, list_days: how long the reasons of older lists are kept, and their rows.
    """

    data: Data
    models: tuple[str, ...] = Field(min_length=1)
    store: str | None = None
    lang: Language = "en"
    keep_days: int = Field(default=30, ge=1)
    list_days: int = Field(default=400, ge=1)
    limits: Limits = Limits()

    @field_validator("store")
    @classmethod
    def _no_secret(cls, store: str | None) -> str | None:
        if store is not None and not environment.possible(store):
            shown = "is no address of a store; write sqlite:///FILE or postgresql+psycopg://HOST/DATABASE"
            raise PydanticCustomError(SECRET, shown)
        if store is not None and environment.driverless(store):
            raise PydanticCustomError(SECRET, environment.NO_DRIVER)
        if store is not None and (make_url(store).password or "password" in make_url(store).query):
            raise PydanticCustomError(SECRET, "holds a password; put the whole address into the variable TSUNAGI_STORE")
        return store

    @property
    def home(self) -> Path:
        """The workspace folder of these data."""
        return workspace(self.data)

    @property
    def store_url(self) -> str:
        """The store's SQLAlchemy address: TSUNAGI_STORE, else what the config says, else SQLite in the workspace."""
        secret = environment.read().store
        return secret.get_secret_value() if secret else self.store or f"sqlite:///{self.home / 'serving.db'}"
