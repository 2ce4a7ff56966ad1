"""``data`` as one ready-made feature table: one row per customer (and date), features and label included."""

import re
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from features.config import Language, Scalar
from features.data_config import Customers, Data, Stream

SOURCE = "table"
_DAY = re.compile("[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
Kind = Literal["number", "category", "flag"]
_TEXT, _DATES = ("parent", "customer_name", "owner"), ("renewal", "last_contact")


class Table(Data):
    """A table whose columns are the features: no events, so no streams, no windows and no look-back.

    ``as_of``: the column of the dates, or one day of which all rows speak (a cross-section). ``label``: true, 1 or the
    text ``positive`` where the outcome happened, null where it is not known yet. ``exclude``: columns, or patterns of
    them, that are no features. ``types``: of columns that would be read otherwise. ``families``: columns that share a
    reason; any other is a family of its own. ``value``: a column kept for ``value.amount`` that is no feature.
    """

    hidden: ClassVar[tuple[str, ...]] = (
        *("customers", "subscriptions", "streams", "store"),
        *("history_days", "naive_times", "observed_until"),
    )

    table: str
    id: str
    as_of: str | date
    label: str
    positive: Scalar | None = None
    exclude: tuple[str, ...] = ()
    types: dict[str, Kind] = {}
    families: dict[str, tuple[str, ...]] = {}
    labels: dict[str, dict[Language, str]] = {}
    parent: str | None = None
    customer_name: str | None = None
    owner: str | None = None
    value: str | None = None
    renewal: str | None = None
    last_contact: str | None = None
    streams: dict[str, Stream] = {}
    customers: Customers = Field(default_factory=lambda: Customers(table="-"))

    @field_validator("as_of", mode="before")
    @classmethod
    def _one_day(cls, as_of: Any) -> Any:
        """A text that is a date is one, as in the record of a run."""
        return date.fromisoformat(as_of) if isinstance(as_of, str) and _DAY.fullmatch(as_of) else as_of

    @model_serializer(mode="wrap")
    def _as_given(self, everything: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What a YAML gives, so that a recorded config can be read again."""
        return {name: value for name, value in everything(self).items() if name not in self.hidden}

    @model_validator(mode="after")
    def _each_column_once(self) -> "Table":
        named = list(self.roles.values())
        twice = sorted({column for column in named if named.count(column) > 1})
        if twice:
            raise ValueError(f"{twice[0]}: this column is named for two things; give each its own")
        members = [column for columns in self.families.values() for column in columns]
        twice = sorted({column for column in members if members.count(column) > 1})
        if twice:
            raise ValueError(f"families: {twice[0]} is in two families; a column belongs to one")
        return self

    @property
    def cross_section(self) -> bool:
        """Whether all rows speak of one day, so that no later date can be seen."""
        return isinstance(self.as_of, date)

    @property
    def roles(self) -> dict[str, str]:
        """The columns that the YAML names for something, by the key that names them."""
        keys = ("id", "as_of", "label", *_TEXT, *_DATES, "value")
        named = {key: getattr(self, key) for key in keys}
        return {key: column for key, column in named.items() if isinstance(column, str)}

    def family(self, column: str) -> str:
        """The family of a feature."""
        return next((name for name, columns in self.families.items() if column in columns), column)

    def meaning(self) -> dict[str, str]:
        """Who a row is about and what its label says, as text; equal text, equal rows."""
        said: dict[str, Any] = {name: getattr(self, name) for name in ("id", "parent", "label", "positive")}
        return {"table": repr(said | {"as_of": None if self.cross_section else self.as_of})}

    def tables(self) -> set[str]:
        return {self.table}
