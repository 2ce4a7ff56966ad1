"""The answer of the scoring door: customers by id, as they are or as they would be."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from serving import reasons, risk_list, scoring, sentences, store
from serving.live import Live, Served
from serving.problem import Detail, Refusal
from serving.schema import Customer, Result, ScoreRequest, ScoreResponse

NEVER_NEGATIVE = ("count", "days", "weeks", "share")


def answer(live: Live, request: ScoreRequest) -> ScoreResponse:
    """Score the customers of a request, order kept. Raises Refusal: 422 for a misfit, 503 when not ready."""
    if request.model not in live.config.models:
        known = ", ".join(live.config.models)
        raise Refusal(422, "no such model", [Detail("model", f"no such model; models: {known}")])
    served = live.get(request.model)
    if served is None:
        raise Refusal(503, f"{request.model} is not ready: {live.why_not().get(request.model, 'try again')}")
    problems = list(_misfits(served, request.customers))
    if problems:
        raise Refusal(422, "changes do not fit the model; errors[] names every place", problems)
    results = _results(live, served, request)
    note = risk_list.note(served.run, request.lang)
    interval = sentences.words(request.lang)["interval"] if served.bundle.spread else None
    return ScoreResponse(model=request.model, note=note, interval=interval, results=results)


def _results(live: Live, served: Served, request: ScoreRequest) -> list[Result]:
    asked = [(customer, served.rows.position(customer.customer_id)) for customer in request.customers]
    scored = iter(_scored(served, request, [(one, place) for one, place in asked if place is not None]))
    absent = [customer.customer_id for customer, place in asked if place is None]
    with Session(live.engine) as session:
        statuses = store.left_out(session, served.run.id, absent) if absent else {}
    about, results = _about(served), []
    for customer, place in asked:
        status = statuses.get(customer.customer_id, "unknown_customer")
        text = sentences.words(request.lang)["statuses"][status]
        found = {"status": status, "status_text": text} if place is None else {"status": "ok", **next(scored)}
        results.append(Result(customer_id=customer.customer_id, **found, **about))
    return results


def _scored(served: Served, request: ScoreRequest, asked: list[tuple[Customer, int]]) -> Iterator[dict[str, Any]]:
    if not asked:
        return
    changes = [customer.changes for customer, _ in asked]
    frame = _changed(served.rows.read([place for _, place in asked]), changes)
    scores = scoring.score(served.bundle, frame)
    facts, names = reasons.Facts(served.features.values(), frame), served.bundle.info.names
    beside = scores.beside
    for row, changed in enumerate(changes):
        families = reasons.record(scores.parts, names, facts, row, changed)
        yield {
            "score": float(scores.score[row]),
            **{name: values[row] for name, values in beside.items()},
            "band": str(scores.band[row]),
            "percentile": float(scores.percentile[row]),
            "reasons": reasons.told(families, served.features, request.reasons, request.lang),
        }


def _about(served: Served) -> dict[str, Any]:
    """What is the same for every row; from the bundle, which may be newer than the list."""
    info, head = served.bundle.info, risk_list.about(served.run, "en")
    return {
        "as_of": head["as_of"],
        "horizon": head["horizon"],
        "base_rate": info.base_rate,
        "reference": served.bundle.base_probability,
        "model_version": served.bundle.version,
        "grade": info.grade,
    }


def _changed(frame: pd.DataFrame, changes: Sequence[dict[str, Any]]) -> pd.DataFrame:
    names = {name for change in changes for name in change}
    new = {}
    for name in names:
        values = frame[name].astype(object).tolist()
        given = [change.get(name, value) for change, value in zip(changes, values)]
        number = pd.api.types.is_numeric_dtype(frame[name])
        new[name] = pd.Series(given, dtype="float64" if number else object)
    return frame.assign(**new)


def _misfits(served: Served, customers: Sequence[Customer]) -> Iterator[Detail]:
    """What in ``changes`` the model cannot take. The input itself is never repeated, only where it stands."""
    columns = {column["name"]: column for column in served.bundle.info.features}
    for row, customer in enumerate(customers):
        for place, (name, value) in enumerate(customer.changes.items(), 1):
            path = f"customers[{row}].changes"
            if name not in columns:
                near = difflib.get_close_matches(name[:100], columns, 1)
                hint = f"; the nearest name is {near[0]}" if near else ""
                yield Detail(path, f"entry {place} is no feature of this model{hint}")
            elif columns[name]["kind"] == "number" and isinstance(value, str):
                yield Detail(path, f"{name} is a number; give a finite number or null")
            elif columns[name]["unit"] in NEVER_NEGATIVE and isinstance(value, int | float) and value < 0:
                yield Detail(path, f"{name} cannot be negative; give 0 or more, or null")
            elif columns[name]["kind"] == "category" and value is not None:
                allowed = columns[name]["categories"] or []
                if value not in allowed:
                    yield Detail(path, f"{name} is a category; allowed: {', '.join(allowed)}, or null")
