"""The outcomes a model's YAML can ask for: what must be seen in the horizon, and which tables say so."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from features.config import Days, Strict, Wait
from features.data_config import Data
from features.ready.config import Table


class Horizon(Strict):
    horizon_days: Days
    gap_days: Wait = 0
    settle_days: Wait = 0

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes whose changes are the outcome."""
        return ()

    def fit(self, data: Data) -> None:
        """Raise ValueError, with the path in the YAML, when ``data.yaml`` does not have what the outcome reads."""
        for name in getattr(self, "streams", ()):
            if name not in data.streams:
                key = next(key for key in ("streams", "stream", "payment") if key in type(self).model_fields)
                raise ValueError(f"outcome.{key}: no stream {name}; streams: {', '.join(data.streams)}")

    def ends_with_service(self, data: Data) -> bool:
        """Whether the outcome depends on the end of the service, which a return within the grace undoes."""
        return False


class Inactivity(Horizon):
    kind: Literal["inactivity"]
    streams: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_gap(self) -> "Inactivity":
        if self.gap_days:
            raise ValueError("gap_days: silence has no gap; leave it out")
        return self


class SubscriptionEnd(Horizon):
    """The service ends, in any way or, with ``how``, in one of three; see ``Subscriptions.ways``."""

    kind: Literal["subscription_end"]
    how: Literal["cancellation", "non_renewal", "involuntary"] | None = None
    renewal_days: Wait = 3
    payment: str | None = None
    within_days: Days = 30

    @property
    def streams(self) -> tuple[str, ...]:
        return (self.payment,) if self.payment else ()

    def fit(self, data: Data) -> None:
        if data.subscriptions is None:
            raise ValueError("outcome speaks of subscriptions; name the table in data.yaml: subscriptions")
        super().fit(data)
        if self.payment and self.how is None:
            raise ValueError("outcome.payment: it tells how a service ended; say `how`, or leave it out")
        if self.how == "non_renewal" and data.subscriptions.renewal is None:
            raise ValueError("outcome.how: non_renewal needs a date of renewal; name data.yaml: subscriptions.renewal")
        if self.how == "involuntary" and not (self.payment or data.subscriptions.reason):
            raise ValueError(
                "outcome.how: involuntary is told by failed payments or by a reason; give `payment: STREAM`, or name "
                "data.yaml: subscriptions.reason and subscriptions.involuntary"
            )

    def ends_with_service(self, data: Data) -> bool:
        return True


class Event(Horizon):
    kind: Literal["event"]
    streams: tuple[str, ...] = Field(min_length=1)


class NewEntity(Horizon):
    """An event with an entity (a product, a feature) the customer did not have within the history: cross-sell."""

    kind: Literal["new_entity"]
    stream: str

    @property
    def streams(self) -> tuple[str, ...]:
        return (self.stream,)

    def fit(self, data: Data) -> None:
        super().fit(data)
        if data.streams[self.stream].entity is None:
            raise ValueError(f"outcome.stream: {self.stream} has no entity; name its column in streams.{self.stream}")


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

    def fit(self, data: Data) -> None:
        super().fit(data)
        if self.over_days > data.history_days:
            raise ValueError(f"outcome.over_days: longer than history_days ({data.history_days})")
        if self.measure == "sum" and data.streams[self.stream].value is None:
            raise ValueError(f"outcome.measure: stream {self.stream} has no value to sum; use count")


class Level(Horizon):
    """What moves is a number attribute with a history, or without ``attribute`` the value of the subscriptions."""

    attribute: str | None = None

    @property
    def attributes(self) -> tuple[str, ...]:
        return (self.attribute,) if self.attribute else ()

    def fit(self, data: Data) -> None:
        if self.attribute:
            _changing(data, self.attribute, "number")
        elif data.subscriptions is None or data.subscriptions.value is None:
            raise ValueError(
                "outcome: without `attribute` it reads the value of the subscriptions; name data.yaml: "
                "subscriptions.value, or give an attribute"
            )

    def ends_with_service(self, data: Data) -> bool:
        return data.subscriptions is not None


class Contraction(Level):
    """The level falls to at most ``ratio`` of that on the as-of date while the service goes on."""

    kind: Literal["contraction"]
    ratio: float = Field(default=0.9, gt=0, lt=1)


class Growth(Level):
    """The level rises above that on the as-of date, to at least ``ratio`` × it and by at least ``amount``."""

    kind: Literal["growth"]
    ratio: float = Field(default=1.0, ge=1)
    amount: float = Field(default=0.0, ge=0)


class Upgrade(Horizon):
    """A category attribute with a history moves up in the ``order``, lowest first."""

    kind: Literal["upgrade"]
    attribute: str
    order: tuple[str, ...] = Field(min_length=2)

    @property
    def attributes(self) -> tuple[str, ...]:
        return (self.attribute,)

    def fit(self, data: Data) -> None:
        _changing(data, self.attribute, "category")
        if len(set(self.order)) < len(self.order):
            raise ValueError("outcome.order: every value stands in it once, the lowest first")

    def ends_with_service(self, data: Data) -> bool:
        return data.subscriptions is not None


class Label(Horizon):
    """What the label of a ready-made table says; the days are those it looks ahead, beyond the as-of date."""

    kind: Literal["label"]

    def fit(self, data: Data) -> None:
        if not isinstance(data, Table):
            raise ValueError("outcome.kind: label is read from a ready-made table; name one in data.yaml: table")


def _changing(data: Data, name: str, kind: str) -> None:
    own = data.customers.attributes
    allowed = [other for other, spec in own.items() if spec.type == kind and spec.changes]
    if name not in allowed:
        raise ValueError(
            f"outcome.attribute: {name} is no attribute of type {kind} with `changes`; allowed: "
            f"{', '.join(allowed) or 'none in data.yaml: customers.attributes'}"
        )


KINDS = Inactivity | SubscriptionEnd | Event | NewEntity | Increase | Contraction | Growth | Upgrade | Label
Outcome = Annotated[KINDS, Field(discriminator="kind")]
