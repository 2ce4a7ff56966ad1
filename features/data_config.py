"""``data.yaml``: the tables of one company and what their columns mean."""

import difflib
import importlib.util
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from features.config import Days, Language, Scalar, Strict, Wait
from features.errors import ConfigError


class Root(Strict):
    """The folder of the tables: a path, or a path below an environment variable or an installed package."""

    path: str = "."
    env: str | None = None
    package: str | None = None

    def folder(self) -> Path:
        """The folder. Raises ConfigError when the variable is unset or the package is not installed."""
        if self.env:
            if not os.environ.get(self.env):
                raise ConfigError(f"root.env: the environment variable {self.env} is not set; set it to a folder")
            return Path(os.environ[self.env]) / self.path
        if self.package:
            found = importlib.util.find_spec(self.package)
            if found is None or found.origin is None:
                raise ConfigError(f"root.package: {self.package} is not installed; install it with pip")
            return Path(found.origin).parent / self.path
        return Path(self.path)

    def place(self) -> str:
        """The folder as Spark wants it: an address (s3a://…, hdfs://…) as it stands, or an absolute path."""
        return self.path if "://" in self.path else str(self.folder().resolve())


class Postgres(Strict):
    """A PostgreSQL database. ``env`` names the environment variable that holds its address: no secret in a YAML."""

    env: str

    def address(self) -> str:
        """The address. Raises ConfigError when the variable is unset."""
        if not os.environ.get(self.env):
            raise ConfigError(
                f"engine.postgres.env: the environment variable {self.env} is not set; "
                "set it to postgresql://user:password@host:5432/database"
            )
        return os.environ[self.env]


class Spark(Strict):
    """A Spark to start (``master``) or to call (``remote``, Spark Connect), with configuration items of Spark's own."""

    master: str | None = None
    remote: str | None = None
    config: dict[str, Scalar] = {}

    @model_validator(mode="after")
    def _one_place(self) -> "Spark":
        if self.master and self.remote:
            raise ValueError("give either `master` (a Spark to start) or `remote` (one to call), not both")
        if "token=" in (self.remote or ""):
            raise ValueError("remote: no secret belongs here; leave `remote` out and set SPARK_REMOTE instead")
        return self


class Engine(Strict):
    """Where the tables are read and rolled up: DuckDB in this process, unless another engine is named."""

    postgres: Postgres | None = None
    spark: Spark | None = None

    @model_validator(mode="before")
    @classmethod
    def _word_alone(cls, engine: Any) -> Any:
        if isinstance(engine, str):
            if engine not in ("duckdb", "spark"):
                raise ValueError("allowed: duckdb, spark, {postgres: {env: SHOP_DATABASE_URL}}, {spark: {master: …}}")
            return {"spark": {}} if engine == "spark" else {}
        return engine

    @model_validator(mode="after")
    def _one_engine(self) -> "Engine":
        if self.postgres and self.spark:
            raise ValueError("give one engine, postgres or spark, not both")
        return self

    @property
    def name(self) -> Literal["duckdb", "postgres", "spark"]:
        return "postgres" if self.postgres else "spark" if self.spark else "duckdb"


class Changes(Strict):
    """The history of an attribute: one row a change."""

    table: str
    at: str = "valid_from"
    known: str | None = None
    value: str | None = None


class Attribute(Strict):
    """A property of a customer. It needs a history (``changes``) or the promise that it never changes."""

    type: Literal["category", "number", "flag"]
    column: str | None = None
    table: str | None = None
    changes: Changes | None = None
    static: bool = False
    label: dict[Language, str] = {}

    @field_validator("changes", mode="before")
    @classmethod
    def _table_alone(cls, changes: Any) -> Any:
        return {"table": changes} if isinstance(changes, str) else changes

    @model_validator(mode="after")
    def _has_a_history(self) -> "Attribute":
        if self.static == (self.changes is not None):
            raise ValueError(
                "an attribute needs either `changes` (the table of its history) or `static: true` (it never "
                "changes); today's value must not stand in for the past"
            )
        return self


class Seats(Strict):
    """How many seats a customer has (an attribute), and whose users take them (a stream with ``users: true``)."""

    attribute: str = "seats"
    stream: str
    days: Days = 28


class Segments(Strict):
    """The stream by whose recency, frequency and value customers are told apart, over about so many days."""

    stream: str
    days: Days = 90


class Customers(Strict):
    table: str | None = None
    from_stream: str | None = None
    id: str = "customer_id"
    parent: str | None = None
    known_from: str | None = None
    name: str | None = None
    owner: str | None = None
    opted_out: str | None = None
    attributes: dict[str, Attribute] = {}
    seats: Seats | None = None
    segments: Segments | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Customers":
        if (self.table is None) == (self.from_stream is None):
            raise ValueError("give either `table` or `from_stream`, not both and not neither")
        columns = (self.parent, self.known_from, self.name, self.owner, self.opted_out)
        if self.from_stream and any(columns):
            raise ValueError("parent, known_from, name, owner and opted_out are columns of `table`; give a table")
        for name, attribute in self.attributes.items():
            if self.table is None and attribute.changes is None and attribute.table is None:
                raise ValueError(f"attributes.{name}: without a customer table an attribute names its own `table`")
        return self


class Subscriptions(Strict):
    table: str
    id: str | None = None
    start: str
    end: str
    known: str | None = None
    notice: str | None = None
    value: str | None = None
    renewal: str | None = None
    reason: str | None = None
    involuntary: tuple[str, ...] = ()
    grace_days: Wait = 0

    @model_validator(mode="after")
    def _reasons_are_told_apart(self) -> "Subscriptions":
        if (self.reason is None) != (not self.involuntary):
            raise ValueError("give both or neither: `reason`, a column, and `involuntary`, its values for payment")
        return self

    def meaning(self) -> str:
        """As text; a reason that is not named leaves no trace, so that older models still fit."""
        return self.model_dump_json(exclude=None if self.reason else {"reason", "involuntary"})


class Lookup(Strict):
    """One column taken from another table: ``table.on`` equals this table's ``key`` (default: the same name)."""

    table: str
    on: str
    take: str
    key: str | None = None


class Stream(Strict):
    table: str
    at: str
    id: str | None = None
    where: dict[str, Scalar | list[Scalar]] = {}
    known: str | None = None
    until: str | None = None
    entity: str | None = None
    users: bool = False
    value: str | None = None
    kind: Literal["event", "rating"] = "event"
    role: Literal["behaviour", "contact"] = "behaviour"
    lookup: Lookup | None = None
    label: dict[Language, str] = {}

    @model_validator(mode="after")
    def _rating_has_a_value(self) -> "Stream":
        if self.kind == "rating" and self.value is None:
            raise ValueError("a rating needs a `value` column")
        return self

    @model_validator(mode="after")
    def _users_are_entities(self) -> "Stream":
        if self.users and self.entity is None:
            raise ValueError("users: name the column of the user in `entity`")
        if self.users and self.kind == "rating":
            raise ValueError("users: a rating has no active users; leave it out")
        return self


class Store(Strict):
    """Activity is kept between runs; a row known longer than the horizon before the newest one is not read again."""

    horizon_days: Wait = 3


class Data(Strict):
    """``data.yaml``: the tables of one company and what their columns mean."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    root: Root | None = None
    engine: Engine = Engine()
    timezone: str = "UTC"
    naive_times: str = "UTC"
    history_days: Days = 400
    store: Store | None = None
    observed_until: date | None = None
    customers: Customers
    subscriptions: Subscriptions | None = None
    streams: dict[str, Stream] = Field(min_length=1)

    @field_validator("root", mode="before")
    @classmethod
    def _path_alone(cls, root: Any) -> Any:
        return {"path": root} if isinstance(root, str) else root

    @field_validator("timezone", "naive_times")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        if zone not in available_timezones():
            near = difflib.get_close_matches(zone, [name for name in available_timezones() if "/" in name], 1)
            raise ValueError(f"no such time zone; use an IANA name such as {near[0] if near else 'Asia/Tokyo'}")
        return zone

    @model_validator(mode="after")
    def _names_fit(self) -> "Data":
        if self.root is None and self.engine.name == "duckdb":
            raise ValueError("root: this key is missing; add it: the folder of the tables")
        origin = self.customers.from_stream
        if origin is not None and origin not in self.streams:
            raise ValueError(f"customers.from_stream: no stream {origin}; streams: {', '.join(self.streams)}")
        for name in (*self.streams, *self.customers.attributes):
            if not name.isidentifier():
                raise ValueError(f"{name}: a stream or attribute name is made of letters, digits and _")
        both = set(self.streams) & set(self.customers.attributes)
        if both:
            raise ValueError(f"{both.pop()}: a stream and an attribute share this name; rename one")
        return self

    @model_validator(mode="after")
    def _seats_and_segments_fit(self) -> "Data":
        seats, segments = self.customers.seats, self.customers.segments
        if seats:
            self._is_behaviour("customers.seats.stream", seats.stream)
            if not self.streams[seats.stream].users:
                raise ValueError(f"customers.seats.stream: say `users: true` in streams.{seats.stream}")
            attribute = self.customers.attributes.get(seats.attribute)
            if attribute is None or attribute.type != "number":
                raise ValueError(f"customers.seats.attribute: no attribute {seats.attribute} of type number; add it")
            if seats.days > self.history_days:
                raise ValueError(f"customers.seats.days: longer than history_days ({self.history_days})")
        if segments:
            self._is_behaviour("customers.segments.stream", segments.stream)
        return self

    def _is_behaviour(self, path: str, name: str) -> None:
        allowed = [own for own, stream in self.behaviour().items() if stream.kind == "event"]
        if name not in allowed:
            raise ValueError(f"{path}: no stream of behaviour {name}; allowed: {', '.join(allowed)}")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def meaning(self) -> dict[str, str]:
        """What each part says of the tables, as text: equal text, equal facts. Labels and folders do not matter."""
        parts = {
            "naive_times": self.naive_times,
            "customers": self.customers.model_dump_json(
                include={"table", "from_stream", "id", "parent", "known_from", "seats"}
            ),
            "subscriptions": self.subscriptions.meaning() if self.subscriptions else "none",
        }
        streams = {f"streams.{name}": stream for name, stream in self.streams.items()}
        attributes = {f"customers.attributes.{name}": own for name, own in self.customers.attributes.items()}
        return parts | {path: own.model_dump_json(exclude={"label"}) for path, own in (streams | attributes).items()}

    def tables(self) -> set[str]:
        """The names of all tables."""
        customers, streams = self.customers, self.streams.values()
        attributes = customers.attributes.values()
        lookups, changes = (stream.lookup for stream in streams), (one.changes for one in attributes)
        every: list[Any] = [customers, *attributes, *streams, *lookups, *changes, self.subscriptions]
        return {one.table for one in every if one and one.table}

    def today(self) -> date:
        """The local date by the clock: for the doors only."""
        return datetime.now(self.zone).date()

    def behaviour(self) -> dict[str, Stream]:
        """The streams that become features."""
        return {name: stream for name, stream in self.streams.items() if stream.role == "behaviour"}


def workspace(data: Data) -> Path:
    """The folder in which everything made for these tables is kept."""
    return Path(os.environ.get("TSUNAGI_WORKSPACE", "workspace")) / data.name
