"""``serving.yaml``: which models of which data are listed and served, and the limits of the doors."""

from pathlib import Path

from pydantic import Field

from features.config import Language, Strict
from features.data_config import Data, workspace


class Limits(Strict):
    """What one worker takes on. A request beyond a limit is answered with a 4xx or a 503, never dropped."""

    body_bytes: int = Field(default=2_000_000, ge=1_000)
    body_seconds: float = Field(default=10.0, gt=0)
    handler_seconds: float = Field(default=30.0, gt=0)
    concurrency: int = Field(default=64, ge=1)


class ServingConfig(Strict):
    """``lang``: the language of the files and the printed list; the service answers in the one asked for."""

    data: Data
    models: tuple[str, ...] = Field(min_length=1)
    store: str | None = Field(default=None, pattern=r"^(sqlite:///|postgresql\+psycopg://).+")
    lang: Language = "en"
    limits: Limits = Limits()

    @property
    def home(self) -> Path:
        """The workspace folder of these data."""
        return workspace(self.data)

    @property
    def store_url(self) -> str:
        """The SQLAlchemy address of the store: SQLite in the workspace unless the config says otherwise."""
        return self.store or f"sqlite:///{self.home / 'serving.db'}"
