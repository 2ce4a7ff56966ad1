"""The reading door: a small ASGI app over what is published. It scores nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from serving import risk_list, sentences, store
from serving.live import Live
from serving.problem import MEDIA_TYPE, Detail, Problem, Refusal
from serving.records import Run, Score

LANGUAGES, FORMATS = ("en", "ja"), ("json", "csv")
MOST_REASONS, MOST_ROWS = 50, 1_000_000


class Reader:
    """The answers, made from the store of one configuration."""

    def __init__(self, live: Live):
        self._live = live

    def live(self, request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    def ready(self, request: Request) -> Response:
        """Every model of the config has a bundle and a published list; else 503 with the reasons."""
        missing = self._live.why_not()
        if missing:
            details = [Detail(model, reason) for model, reason in missing.items()]
            raise Refusal(503, "not every model can be served; errors[] says why", details)
        return JSONResponse({"status": "ready", "models": {name: self._state(name) for name in self._models()}})

    def customer(self, request: Request) -> Response:
        """A customer's latest score per model with reasons, and the history of published scores."""
        asked = _query(request, "lang", "reasons")
        customer_id = request.path_params["customer_id"]
        with self._reading() as session:
            latest = [run for model in self._models() if (run := store.published(session, model))]
            past = [(run, row) for run, row in store.history(session, customer_id) if run.model in self._models()]
            now = {run.model: self._now(session, run, customer_id, past, asked) for run in latest}
        history = [
            {
                "model": run.model,
                "as_of": run.as_of.isoformat(),
                "score": row.score,
                "low": row.low,
                "high": row.high,
                "band": row.band,
                "rank": row.rank,
            }
            for run, row in past
        ]
        if not history and all(state["status"] == "unknown_customer" for state in now.values()):
            raise Refusal(404, "no list knows this customer")
        return JSONResponse({"customer_id": customer_id, "models": now, "history": history})

    def _now(
        self,
        session: Session,
        run: Run,
        customer_id: str,
        past: list[tuple[Run, Score]],
        asked: dict[str, Any],
    ) -> dict[str, Any]:
        """One model's latest word on a customer."""
        about = risk_list.about(run, asked["lang"])
        for its_run, row in past:
            if its_run.id == run.id:
                (told,) = risk_list.told(run, [row], asked["lang"], asked["reasons"])
                return {"status": "ok", **told, **about}
        status = store.left_out(session, run.id, [customer_id]).get(customer_id, "unknown_customer")
        return {"status": status, "status_text": sentences.words(asked["lang"])["statuses"][status], **about}

    def risk_list(self, request: Request) -> Response:
        """A published list, as JSON or CSV."""
        asked = _query(request, "lang", "format", "top")
        wants_csv = asked["format"] == "csv" if asked["format"] else _prefers_csv(request)
        model, as_of = request.path_params["model"], _as_of(request.path_params["as_of"])
        with self._reading() as session:
            run = store.published(session, model, as_of) if model in self._models() else None
            if run is None:
                known = ", ".join(self._models())
                raise Refusal(404, f"no list of this model and date is published; models: {known}; or ask for latest")
            rows = store.listed(session, run.id, asked["top"])
            if wants_csv:
                name = f'attachment; filename="{run.model}-{run.as_of}.csv"'
                text = "".join(risk_list.as_csv(run, rows, asked["lang"]))
                return Response(text, media_type="text/csv", headers={"content-disposition": name})
            text = "".join(risk_list.as_json(run, rows, asked["lang"]))
            return Response(text, media_type="application/json")

    def _models(self) -> tuple[str, ...]:
        return self._live.config.models

    def _state(self, model: str) -> dict[str, Any] | None:
        served = self._live.get(model)
        if served is None:
            return None
        return {"as_of": served.run.as_of.isoformat(), "model_version": served.bundle.version}

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        try:
            with Session(self._live.engine) as session:
                yield session
        except SQLAlchemyError:
            raise Refusal(503, "the store cannot be read now; try again soon", retry_after="5") from None


def app(live: Live) -> Starlette:
    """The ASGI app of the reading door."""
    reader = Reader(live)
    routes = [
        Route("/livez", reader.live),
        Route("/readyz", reader.ready),
        Route("/v1/customers/{customer_id:path}", reader.customer),
        Route("/v1/risk-lists/{model}/{as_of}", reader.risk_list),
    ]
    return Starlette(routes=routes, exception_handlers={Refusal: _refused, HTTPException: _plain})


def _query(request: Request, *allowed: str) -> dict[str, Any]:
    """The query, checked: lang, reasons, format, top. Raises Refusal naming what is allowed."""
    given, problems = dict(request.query_params), []
    if set(given) - set(allowed) or len(given) < len(request.query_params.multi_items()):
        problems.append(Detail("query", f"unknown or repeated; known: {', '.join(allowed)}, each once"))
    for name, choices in (("lang", LANGUAGES), ("format", FORMATS)):
        if name in given and given[name] not in choices:
            problems.append(Detail(name, f"one of {', '.join(choices)}"))
    for name, most in (("reasons", MOST_REASONS), ("top", MOST_ROWS)):
        text = given.get(name, "1")
        if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= most):
            problems.append(Detail(name, f"a whole number from 1 to {most:,}"))
    if problems:
        raise Refusal(422, "the query does not fit; errors[] names every place", problems)
    return {
        "lang": given.get("lang", "en"),
        "format": given.get("format"),
        "reasons": int(given.get("reasons", risk_list.REASONS)),
        "top": int(given["top"]) if "top" in given else None,
    }


def _as_of(text: str) -> date | None:
    if text == "latest":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = "a date such as 2026-01-31, or latest"
        raise Refusal(422, "the date does not fit", [Detail("as_of", message)]) from None


def _prefers_csv(request: Request) -> bool:
    accepted = request.headers.get("accept", "*/*")
    return "text/csv" in accepted and "application/json" not in accepted


async def _refused(request: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, Refusal):
        raise refusal
    return _response(refusal.problem)


async def _plain(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    details = {404: "there is nothing at this address", 405: "this address does not take this method"}
    return _response(Problem(error.status_code, details.get(error.status_code, "the request cannot be answered")))


def _response(problem: Problem) -> Response:
    return Response(problem.text(), problem.status, dict(problem.headers), MEDIA_TYPE)
