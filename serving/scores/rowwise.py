"""Rows of a request, some at a time: each listed, changed or made from events, or with the status that says why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from features.config import Language
from features.erased import Erased
from features.online import Found
from features.population import OPTED_OUT, TOO_NEW
from serving.life.prepared import Prepared
from serving.life.takeover import Served
from serving.lists import scoring
from serving.scores.schema import Basis, Customer
from serving.words import reasons, sentences
from serving.words.reasons import Facts, Parts, plain
from serving.words.sentences import Fact

NOT_AT_RISK = "not_in_population"
FIGURES: dict[str, Any] = dict.fromkeys(("score", "low", "high", "risks", "band", "percentile"))


@dataclass(frozen=True)
class Asked:
    """A row of the request; ``events``: its events by stream, as ``features.online`` takes them."""

    customer: Customer
    events: dict[str, pa.Table]


@dataclass
class Row:
    """A row that is scored anew. position: in the list, None for a customer of whom only events are known.

    given: the features that are not as listed.
    """

    place: int
    asked: Asked
    position: int | None
    basis: Basis
    given: dict[str, Fact] = field(default_factory=dict)
    values: dict[str, Fact] = field(default_factory=dict)
    ignored: int = 0
    status: str = "ok"


class Rowwise:
    """The results of one model for one call.

    erased: who was erased, as of now. newer: what other models' newer lists serve; who refused since is known there
    first.
    """

    def __init__(
        self,
        served: Served,
        model: Prepared,
        erased: Callable[[], Erased],
        newer: Sequence[Served],
        limit: int,
        lang: Language,
    ):
        self._served, self._model, self._limit, self._lang = served, model, limit, lang
        self._erased, self._newer = erased, [other.rows for other in newer]
        self._withheld = served.refused.union(*(other.refused for other in newer))
        self._about = {**model.about, "stale": served.stale is not None}
        self._statuses = sentences.words(lang)["statuses"]

    def results(self, asked: list[Asked]) -> list[dict[str, Any]]:
        """One result a row, in order, as ``schema.Result`` has it."""
        results, fresh, erased = list[dict[str, Any]](), list[Row](), self._erased()
        for place, one in enumerate(asked):
            status, position = self._state(one, erased)
            customer = one.customer
            if status != "ok":
                results.append(self._without(customer.customer_id, status))
            elif position is not None and self._served.same and not (customer.changes or one.events):
                results.append(self._stored(customer.customer_id, position))
            else:
                basis: Basis = "events" if one.events else "changes" if customer.changes else "list"
                fresh.append(Row(place, one, position, basis))
                results.append({})
        if fresh:
            for row, result in zip(fresh, self._fresh(fresh)):
                results[row.place] = result
        return results

    def _state(self, asked: Asked, erased: Erased) -> tuple[str, int | None]:
        """Whether a row is to be scored, and where the list has it."""
        customer_id, rows = asked.customer.customer_id, self._served.rows
        if customer_id in erased or customer_id in self._withheld or self._refused_since(customer_id):
            return OPTED_OUT, None
        position = rows.position(customer_id)
        if position is not None:
            return "ok", position
        status = rows.status(customer_id)
        return ("ok" if status == "unknown_customer" and asked.events else status), None

    def _refused_since(self, customer_id: str) -> bool:
        return any(other.status(customer_id) == OPTED_OUT for other in self._newer)

    def _without(self, customer_id: str, status: str, basis: Basis | None = None, ignored: int = 0) -> dict[str, Any]:
        return {
            "customer_id": customer_id,
            "status": status,
            "status_text": self._statuses[status],
            "basis": basis,
            **FIGURES,
            "reasons": [],
            "missing": [],
            "ignored_events": ignored,
            **self._about,
        }

    def _stored(self, customer_id: str, position: int) -> dict[str, Any]:
        found = self._served.rows.stored(position, self._limit)
        return {
            "customer_id": customer_id,
            "status": "ok",
            "status_text": None,
            "basis": "list",
            "score": found.score,
            "low": found.low,
            "high": found.high,
            "risks": found.risks,
            "band": found.band,
            "percentile": found.percentile,
            "reasons": reasons.told(found.families, self._served.features, self._limit, self._lang),
            "missing": [],
            "ignored_events": 0,
            **self._about,
        }

    def _fresh(self, rows: list[Row]) -> list[dict[str, Any]]:
        for row in rows:
            self._as_known(row)
        self._behave([row for row in rows if row.asked.events])
        good = [row for row in rows if row.status == "ok"]
        for row in good:
            changes = row.asked.customer.changes
            row.given |= dict(zip(changes, plain(changes.values())))
            row.values |= row.given
        scored = iter(self._scored(good) if good else ())
        return [next(scored) if row.status == "ok" else self._refused(row) for row in rows]

    def _as_known(self, row: Row) -> None:
        """A row as listed; of a customer who is not, nothing is known but what no events say."""
        if row.position is not None:
            row.values = self._served.rows.values(row.position)
        else:
            row.values = dict.fromkeys(self._served.features)
            row.given = dict(self._model.nothing)

    def _refused(self, row: Row) -> dict[str, Any]:
        return self._without(row.asked.customer.customer_id, row.status, None, row.ignored)

    def _behave(self, rows: list[Row]) -> None:
        """Put in what the events say, and who they say is not at risk."""
        model = self._model
        if not rows or model.online is None:
            return
        seats = [model.seats(row.values | row.asked.customer.changes) for row in rows]
        found = model.online.many([row.asked.events for row in rows], self._served.run.as_of, np.array(seats))
        values = {
            stream: {name: plain(column.tolist()) for name, column in own.items()}
            for stream, own in found.values.items()
        }
        for place, row in enumerate(rows):
            for stream in row.asked.events:
                row.given |= {name: column[place] for name, column in values[stream].items()}
            row.ignored = int(found.ignored[place])
            row.status = self._standing(row, found, place)

    def _standing(self, row: Row, found: Found, place: int) -> str:
        """The status that follows from the events: at risk, as the model's population is defined, or not."""
        population = self._served.bundle.info.population
        streams = population.seen.streams if population.seen else ()
        judged = row.position is None or any(name in row.asked.events for name in streams)
        if streams and judged and not any(self._seen(row, found, place, name) for name in streams):
            return NOT_AT_RISK
        if row.position is not None:
            return "ok"
        tenure = row.asked.customer.changes.get("tenure_days")
        new = isinstance(tenure, float) and tenure < population.min_tenure_days
        return TOO_NEW if new or found.visible[place] == 0 else "ok"

    def _seen(self, row: Row, found: Found, place: int, stream: str) -> bool:
        """Whether a stream of the population has a recent event: by the events given, else as listed."""
        if stream in row.asked.events:
            return bool(found.seen[stream][place])
        seen, name = self._served.bundle.info.population.seen, f"{stream}_recency"
        if name not in row.values:
            return row.position is not None
        since = row.values[name]
        return seen is not None and isinstance(since, int | float) and since <= seen.days

    def _scored(self, rows: list[Row]) -> list[dict[str, Any]]:
        model, matrix = self._model, np.array([self._model.cells(row.values) for row in rows], np.float64)
        scores = scoring.of(self._served.bundle, matrix)
        facts = Facts(model.plan, Columns(rows))
        figures = {**scores.beside, "score": scores.score.tolist(), "band": scores.band.tolist()}
        figures["percentile"] = scores.percentile.tolist()
        results = []
        for place, row in enumerate(rows):
            families = self._largest(scores.parts, facts, place, row.given)
            customer, unknown = row.asked.customer, row.position is None
            results.append({
                "customer_id": customer.customer_id,
                "status": "ok",
                "status_text": None,
                "basis": row.basis,
                **{name: figures[name][place] for name in FIGURES},
                "reasons": reasons.told(families, self._served.features, self._limit, self._lang),
                "missing": model.missing(row.given, customer.changes, row.asked.events) if unknown else [],
                "ignored_events": row.ignored,
                **self._about,
            })  # fmt: skip
        return results

    def _largest(self, split: Parts, facts: Facts, place: int, given: dict[str, Fact]) -> dict[str, dict[str, Any]]:
        """``reasons.record`` of the families that are told alone: the facts of the others are never looked up."""
        each = zip(split.families, split.log_odds[place].tolist(), split.points[place].tolist(), split.lead[place])
        every = {family: {"log_odds": odds, "points": points, "feature": lead} for family, odds, points, lead in each}
        told = {family: every[family] for family in reasons.top(every, self._limit)}
        for own in told.values():
            own["feature"] = self._model.names[own["feature"]]
            own["facts"] = facts.of(own["feature"], place, given)
        return told


class Columns(dict[str, list[Fact]]):
    """Feature -> its value in every row, made when it is asked for."""

    def __init__(self, rows: list[Row]):
        super().__init__()
        self._rows = rows

    def __missing__(self, name: str) -> list[Fact]:
        self[name] = [row.values[name] for row in self._rows]
        return self[name]
