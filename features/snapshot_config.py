"""Which customers, which dates, which windows and which outcome: the questions a model's YAML asks of the data."""

from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from features.config import Days, Strict, Wait
from features.data_config import Data
from features.outcome import Event, Inactivity, Increase, Label, Outcome, SubscriptionEnd
from features.ready.config import Table

__all__ = ["AsOfDates", "Population", "Seen", "SnapshotConfig", "Windows"]
__all__ += ["Event", "Inactivity", "Increase", "Label", "Outcome", "SubscriptionEnd"]


class Seen(Strict):
    streams: tuple[str, ...] = Field(min_length=1)
    days: Days


class Population(Strict):
    """Who is at risk on an as-of date: an active subscription, seen within the last days, or in a ready-made table."""

    subscription: Literal["active"] | None = None
    seen: Seen | None = None
    table: Literal["all"] | None = None
    min_tenure_days: Wait = 0

    @model_validator(mode="after")
    def _one_definition(self) -> "Population":
        if [self.subscription, self.seen, self.table].count(None) != 2:
            raise ValueError(
                "give either `subscription: active` or `seen: {streams: […], days: N}`; for a ready-made table "
                "`table: all`"
            )
        if self.table and self.min_tenure_days:
            raise ValueError("min_tenure_days: a ready-made table is taken as it is; leave the rows out there")
        return self


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

    hidden: ClassVar[tuple[str, ...]] = ("buying",)
    others: ClassVar[tuple[str, ...]] = (
        *("model", "candidates", "value", "capacity", "holdout", "gate", "settings", "slices"),
    )

    data: SerializeAsAny[Data]
    population: Population
    outcome: Outcome
    as_of: AsOfDates = AsOfDates()
    windows: Windows = Windows()
    exclude: tuple[str, ...] = ()
    curve: tuple[Days, ...] = Field(default=(), max_length=12)
    buying: str | None = Field(default=None, exclude=True)

    @field_validator("curve")
    @classmethod
    def _curve_ascends(cls, curve: tuple[int, ...]) -> tuple[int, ...]:
        if list(curve) != sorted(set(curve)):
            raise ValueError(f"horizons ascend and differ; write {sorted(set(curve))}")
        return curve

    @model_validator(mode="after")
    def _fits_the_data(self) -> "SnapshotConfig":
        self._fits_a_table()
        for name in self.population.seen.streams if self.population.seen else ():
            if name not in self.data.streams:
                raise ValueError(f"population.seen.streams: no stream {name}; streams: {', '.join(self.data.streams)}")
        if self.population.subscription and self.data.subscriptions is None:
            raise ValueError("population speaks of subscriptions; name the table in data.yaml: subscriptions")
        self.outcome.fit(self.data)
        self._trends_fit_the_history()
        if self.curve and isinstance(self.outcome, Increase):
            raise ValueError(
                "curve: an increase is known only when its horizon is over, so it happens on no day; leave the curve "
                "out, or take an outcome with a day, such as event, growth or upgrade"
            )
        return self

    def _fits_a_table(self) -> None:
        """A ready-made table brings its population, its outcome and its dates, and nothing else can."""
        ready = isinstance(self.data, Table)
        if ready != isinstance(self.outcome, Label):
            raise ValueError("outcome.kind: a ready-made table has its outcome in its label, and only it; write label")
        if ready != (self.population.table is not None):
            raise ValueError("population: `table: all` is that of a ready-made table, and only of it")
        unlike = {"windows": self.windows != Windows(), "curve": self.curve != (), "buying": self.buying is not None}
        unlike["as_of.every"] = self.as_of.every != AsOfDates().every
        given = [name for name, unusual in unlike.items() if unusual]
        if ready and given:
            raise ValueError(f"{given[0]}: a ready-made table has its own columns and dates; leave it out")

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
        """Days within which a return undoes the end of a subscription; 0 where the outcome does not depend on it."""
        terms = self.data.subscriptions
        return terms.grace_days if terms and self.outcome.ends_with_service(self.data) else 0

    @property
    def span_days(self) -> int:
        """Days after an as-of date until its outcome is mature: gap + horizon + grace + settle."""
        outcome = self.outcome
        return outcome.gap_days + outcome.horizon_days + self.grace_days + outcome.settle_days
