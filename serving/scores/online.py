"""The answer of the scoring door: customers as listed, as they would be, or by their own events."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date

import orjson
import pyarrow as pa

from features.config import Language
from features.data_config import Stream
from features.errors import DataError, InputError
from features.online import table
from serving.life.live import Live
from serving.life.prepared import Prepared, prepared
from serving.life.takeover import Served
from serving.lists import risk_list
from serving.problem import MOST_NAMED, Detail, Refusal
from serving.scores import misfits, turns
from serving.scores.rowwise import Asked, Rowwise
from serving.scores.schema import MOST_SCORES, ScoreAnswer, ScoreRequest, ScoreResponse, ScoreResponses
from serving.scores.turns import Work
from serving.words import sentences

AT_ONCE, MOST_HINTS = 25, 10
Noted = Callable[[str, str, Iterable[str], Iterable[float]], None]


def answer(live: Live, request: ScoreRequest) -> ScoreResponse | ScoreResponses:
    """What ``answer_bytes`` says, as objects."""
    return ScoreAnswer.model_validate_json(answer_bytes(live, request)).root


def answer_bytes(live: Live, request: ScoreRequest, noted: Noted | None = None) -> bytes:
    """Score the customers of a request, order kept: the JSON of a ``ScoreAnswer``.

    noted: told model, version, statuses and scores of what is answered. Raises Refusal: 422 for a misfit, 503 when not
    ready.
    """
    return turns.finished(work(live, request, noted))


def work(live: Live, request: ScoreRequest, noted: Noted | None = None) -> Work:
    """``answer_bytes`` with a pause every few milliseconds; what is refused is so before ``noted`` is told a thing."""
    ready = _ready(live, request)
    asked, problems, hints = list[Asked](), dict[Detail, None](), iter(range(MOST_HINTS))
    for start in range(0, len(request.customers), AT_ONCE):
        if start:
            yield
        rows, wrong = _asked([model for _, model in ready], request, start, hints)
        asked += rows
        problems |= dict.fromkeys(wrong)
        if len(problems) >= MOST_NAMED:
            break
    if problems:
        detail = "changes or events do not fit the model; errors[] names every place"
        raise Refusal(422, detail, list(problems))
    answers = list[bytes]()
    for served, model in ready:
        if answers or len(asked) > AT_ONCE:
            yield
        others = [found for name in live.config.models if (found := live.get(name))]
        newer = [other for other in others if _when(other) > _when(served)]
        rowwise = Rowwise(served, model, live.erased, newer, request.reasons, request.lang)
        answers.append((yield from _one(served, rowwise, asked, request.lang, noted)))
    return b'{"answers":[' + b",".join(answers) + b"]}" if request.models else answers[0]


def _when(served: Served) -> tuple[date, int]:
    """The later, the more is known of who refused: by its date, and of one date by when it was made."""
    return served.run.as_of, served.run.id


def _one(served: Served, rowwise: Rowwise, asked: list[Asked], lang: Language, noted: Noted | None) -> Work:
    """One model's answer: its head, then some results at a time."""
    interval = sentences.words(lang)["interval"] if served.bundle.spread else None
    head = {"model": served.run.model, "note": risk_list.note(served.head, lang), "interval": interval, "results": ()}
    parts = list[bytes]()
    for start in range(0, len(asked), AT_ONCE):
        if parts:
            yield
        results = rowwise.results(asked[start : start + AT_ONCE])
        if noted:
            scores = [result["score"] for result in results if result["score"] is not None]
            noted(served.run.model, served.bundle.version, [result["status"] for result in results], scores)
        parts.append(orjson.dumps(results)[1:-1])
    return orjson.dumps(head).removesuffix(b"]}") + b",".join(parts) + b"]}"


def _ready(live: Live, request: ScoreRequest) -> list[tuple[Served, Prepared]]:
    """Those asked for, ready. Raises Refusal."""
    if bool(request.model) == bool(request.models):
        raise Refusal(422, "which model?", [Detail("model", "give either model, one name, or models, a list of names")])
    names = request.models or [request.model]
    places = [f"models[{place}]" for place in range(len(names))] if request.models else ["model"]
    known = ", ".join(live.config.models)
    unknown = [
        Detail(place, f"no such model; models: {known}")
        for place, name in zip(places, names)
        if name not in live.config.models
    ]
    if unknown:
        raise Refusal(422, "no such model", unknown)
    if len(names) * len(request.customers) > MOST_SCORES:
        allowed = f"customers × models: up to {MOST_SCORES:,} a call; send fewer customers at a time"
        raise Refusal(422, "too many scores in one call", [Detail("models", allowed)])
    return [_one_ready(live, name) for name in names]


def _one_ready(live: Live, name: str) -> tuple[Served, Prepared]:
    served = live.get(name)
    if served is None:
        raise Refusal(503, f"{name} is not ready: {live.why_not().get(name, 'try again')}", retry_after="5")
    try:
        return served, prepared(served, live.config.data)
    except InputError:
        why = "data.yaml does not fit it any more; whoever runs the service must train it again"
        raise Refusal(503, f"{name} is not ready: {why}", retry_after="60") from None


def _asked(
    models: list[Prepared], request: ScoreRequest, start: int, hints: Iterator[int]
) -> tuple[list[Asked], list[Detail]]:
    """Some rows of the request, with their events read, and every place that does not fit."""
    streams = {name: spec for model in models if model.online for name, spec in model.online.streams.items()}
    rows, problems = list[Asked](), list[Detail]()
    for place, customer in enumerate(request.customers[start : start + AT_ONCE], start):
        path, tables = f"customers[{place}]", dict[str, pa.Table]()
        if customer.changes or customer.events:
            for model in models:
                problems += misfits.of(model, customer, path, hints)
        for name, events in customer.events.items():
            found = _read(models, streams, name, events, f"{path}.events")
            if isinstance(found, Detail):
                problems.append(found)
            else:
                tables[name] = found
        rows.append(Asked(customer, tables))
    return rows, problems


def _read(models: list[Prepared], streams: dict[str, Stream], name: str, events: list, path: str) -> pa.Table | Detail:
    if name not in streams:
        known = f"streams: {', '.join(streams)}" if streams else "the data have no events; give changes instead"
        return Detail(path, f"no such stream; {known}")
    online = next(model.online for model in models if model.online)
    try:
        return table(events, streams[name], online.data)
    except DataError as error:
        return Detail(f"{path}.{name}", str(error))
