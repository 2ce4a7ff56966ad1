"""Which customers, which dates, which windows and which outcome: the questions a model's YAML asks of the data."""

from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from features.config import Days, Strict, Wait
from features.data_config import Data


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
    """The part of a model's YAML from which snapshots are made; training reads the rest."""

    others: ClassVar[tuple[str, ...]] = ("model", "candidates", "value", "capacity", "holdout", "gate")

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
        self._trends_fit_the_history()
        outcome = self.outcome
        if not isinstance(outcome, Increase):
            return self
        if outcome.over_days > self.data.history_days:
            raise ValueError(f"outcome.over_days: longer than history_days ({self.data.history_days})")
        if outcome.measure == "sum" and self.data.streams[outcome.stream].value is None:
            raise ValueError(f"outcome.measure: stream {outcome.stream} has no value to sum; use count")
        return self

    def _trends_fit_the_history(self) -> None:
        history, longest = self.data.history_days, self.windows.days[-1]
        if longest > history:
            raise ValueError(
                f"windows.days: {longest} is over history_days ({history}); shorten the window or raise it"
            )
        trends = [f"{stream}_trend_{longest}d" for stream in self.data.behaviour()]
        left_out = all(any(fnmatchcase(trend, pattern) for pattern in self.exclude) for trend in trends)
        if 2 * longest > history and not left_out:
            raise ValueError(
                f"windows.days: {longest} is over half of history_days ({history}); a trend compares a window with the "
                f'one before it: shorten the window, raise history_days, or exclude ["*_trend_{longest}d"]'
            )

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
