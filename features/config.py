"""The data half of the YAML, typed and frozen. An unknown key is an error with its path."""

import difflib
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from features.errors import ConfigError

TRAINING_KEYS = ("model", "candidates", "value", "capacity", "holdout", "gate")
Days = Annotated[int, Field(strict=True, ge=1, le=36_500)]
Wait = Annotated[int, Field(strict=True, ge=0, le=3_650)]
Scalar = bool | int | float | str
Language = Literal["en", "ja"]
M = TypeVar("M", bound="Strict")


class Strict(BaseModel):
    """Base of every section: frozen, and an unknown key is refused with the keys there are."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, section: Any) -> Any:
        if not isinstance(section, Mapping):
            return section
        for key in section:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                known = ", ".join(cls.model_fields)
                raise PydanticCustomError("unknown_key", "{key}", {"key": str(key), "hint": hint, "known": known})
        return section


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
    grace_days: Wait = 0


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


class Data(Strict):
    """``data.yaml``: the tables of one company and what their columns mean."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    root: Root
    engine: Literal["duckdb"] = "duckdb"
    timezone: str = "UTC"
    naive_times: str = "UTC"
    history_days: Days = 400
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
            near = difflib.get_close_matches(zone, available_timezones(), 1)
            raise ValueError(f"no such time zone; use an IANA name such as {near[0] if near else 'Asia/Tokyo'}")
        return zone

    @model_validator(mode="after")
    def _names_fit(self) -> "Data":
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

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def behaviour(self) -> dict[str, Stream]:
        """The streams that become features."""
        return {name: stream for name, stream in self.streams.items() if stream.role == "behaviour"}


class Seen(Strict):
    streams: tuple[str, ...] = Field(min_length=1)
    days: Days


class Population(Strict):
    """Who is at risk on an as-of date: an active subscription, or seen within the last days."""

    subscription: Literal["active"] | None = None
    seen: Seen | None = None
    min_tenure_days: Wait = 0

    @model_validator(mode="after")
    def _one_definition(self) -> "Population":
        if (self.subscription is None) == (self.seen is None):
            raise ValueError("give either `subscription: active` or `seen: {streams: […], days: N}`")
        return self


class Horizon(Strict):
    horizon_days: Days
    gap_days: Wait = 0
    settle_days: Wait = 0


class Inactivity(Horizon):
    kind: Literal["inactivity"]
    streams: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_gap(self) -> "Inactivity":
        if self.gap_days:
            raise ValueError("gap_days: silence has no gap; leave it out")
        return self


class SubscriptionEnd(Horizon):
    kind: Literal["subscription_end"]


class Event(Horizon):
    kind: Literal["event"]
    streams: tuple[str, ...] = Field(min_length=1)


class Increase(Horizon):
    """The measure over the horizon is at least ``ratio`` × the own mean and at least ``amount`` more."""

    kind: Literal["increase"]
    stream: str
    measure: Literal["sum", "count"] = "sum"
    over_days: Days = 90
    ratio: float = Field(default=1.25, ge=1)
    amount: float = Field(default=0.0, ge=0)

    @property
    def streams(self) -> tuple[str, ...]:
        return (self.stream,)


Outcome = Annotated[Inactivity | SubscriptionEnd | Event | Increase, Field(discriminator="kind")]


class AsOfDates(Strict):
    every: str = Field(default="month", pattern=r"^(month|[1-9][0-9]{0,3}d)$")
    test_dates: Annotated[int, Field(strict=True, ge=1, le=60)] = 4
    first: date | None = None


class Windows(Strict):
    days: tuple[Days, ...] = Field(default=(7, 14, 28, 90), min_length=1)

    @field_validator("days")
    @classmethod
    def _ascending(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if list(days) != sorted(set(days)):
            raise ValueError(f"windows ascend and differ; write {sorted(set(days))}")
        return days


class SnapshotConfig(Strict):
    """The part of a model's YAML from which snapshots are made."""

    data: Data
    population: Population
    outcome: Outcome
    as_of: AsOfDates = AsOfDates()
    windows: Windows = Windows()
    exclude: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_the_data(self) -> "SnapshotConfig":
        wanted = {"outcome.streams": getattr(self.outcome, "streams", ())}
        if self.population.seen:
            wanted["population.seen.streams"] = self.population.seen.streams
        for path, names in wanted.items():
            for name in names:
                if name not in self.data.streams:
                    raise ValueError(f"{path}: no stream {name}; streams: {', '.join(self.data.streams)}")
        if self.data.subscriptions is None and (
            self.population.subscription or isinstance(self.outcome, SubscriptionEnd)
        ):
            raise ValueError(
                "population or outcome speaks of subscriptions; name the table in data.yaml: subscriptions"
            )
        if 2 * self.windows.days[-1] > self.data.history_days:
            raise ValueError(
                f"windows.days: {self.windows.days[-1]} is over half of history_days ({self.data.history_days}); "
                "a trend compares a window with the one before it: shorten the window or raise history_days"
            )
        if isinstance(self.outcome, Increase) and self.outcome.over_days > self.data.history_days:
            raise ValueError(f"outcome.over_days: longer than history_days ({self.data.history_days})")
        if isinstance(self.outcome, Increase) and self.outcome.measure == "sum":
            if self.data.streams[self.outcome.stream].value is None:
                raise ValueError(f"outcome.measure: stream {self.outcome.stream} has no value to sum; use count")
        return self

    @property
    def grace_days(self) -> int:
        """Days within which a return undoes the end of a subscription; 0 for other outcomes."""
        if isinstance(self.outcome, SubscriptionEnd) and self.data.subscriptions:
            return self.data.subscriptions.grace_days
        return 0

    @property
    def span_days(self) -> int:
        """Days after an as-of date until its outcome is mature: gap + horizon + grace + settle."""
        outcome = self.outcome
        return outcome.gap_days + outcome.horizon_days + self.grace_days + outcome.settle_days


class _Yaml(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, and only true and false are booleans: `on` and `no` are words."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$", re.IGNORECASE), list("tTfF"))


def read(path: Path) -> dict:
    """The mapping in a YAML file. Raises ConfigError when it cannot be read."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Yaml)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a valid YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds {type(content).__name__}; a mapping of keys is needed")
    return content


def load(path: Path, model: type[M], overrides: Sequence[str] = ()) -> M:
    """Read and check one YAML file; its ``data: FILE`` is read too, relative to it.

    ``overrides`` are ``path=value`` with a YAML value: ``windows.days=[7,28]``. Raises ConfigError.
    """
    path = Path(path)
    content = read(path)
    data_file = path
    if "data" in model.model_fields and isinstance(content.get("data"), str):
        data_file = path.parent / content["data"]
        content["data"] = read(data_file)
    for override in overrides:
        _set(content, override)
    if model is SnapshotConfig:
        content = {key: value for key, value in content.items() if key not in TRAINING_KEYS}
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(_say(path, data_file, detail) for detail in error.errors())) from None


def workspace(data: Data) -> Path:
    """The folder in which everything made for these tables is kept."""
    return Path(os.environ.get("TSUNAGI_WORKSPACE", "workspace")) / data.name


def _set(content: dict, override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write path=value, as in --set windows.days=[7,28]")
    *parents, last = key.strip().split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {override}: {parent} holds a value, not a section")
    try:
        content[last] = yaml.load(value, _Yaml)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from None


def _say(path: Path, data_file: Path, detail: ErrorDetails) -> str:
    tags = {"inactivity", "subscription_end", "event", "increase"}
    where = [str(part) for i, part in enumerate(detail["loc"]) if not (i == 1 and part in tags)]
    file = path.name
    if where[:1] == ["data"] and data_file != path:
        where, file = where[1:], data_file.name
    context = detail.get("ctx", {})
    if detail["type"] == "unknown_key":
        where.append(context["key"])
        return f"{file}: {'.'.join(where)}: unknown key{context['hint']}; known keys: {context['known']}"
    if detail["type"] == "missing":
        return f"{file}: {'.'.join(where)}: this key is missing; add it"
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if isinstance(detail["input"], Scalar):
        message += f"; found {detail['input']!r}"
    return f"{file}: {'.'.join(where)}: {message}" if where else f"{file}: {message}"
