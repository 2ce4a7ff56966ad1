"""A small client of the service: typed answers, errors as exceptions, retries that never write twice.

It needs pydantic and nothing else of the project than ``schema`` and ``answers``::

    client = Client("http://127.0.0.1:3000", os.environ["TSUNAGI_KEY"])
    for result in client.score("churn", ["A-000001"], lang="ja").results:
        print(result.status, result.score, [reason.text for reason in result.reasons])
"""

import http.client
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import BaseModel

from serving.http import answers
from serving.scores.schema import ScoreResponse, ScoreResponses

TRY_AGAIN = (429, 503)
LONGEST_WAIT = 30.0
Row = str | Mapping[str, Any]
Language = Literal["en", "ja"]
Channel = Literal["call", "email", "meeting", "other"]
Kind = Literal["planned", "done", "snoozed", "dismissed"]
A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True)
class Detail:
    """Where in the request, and what is allowed there."""

    path: str
    message: str


class Problem(Exception):
    """The service said no. ``errors``: every place that did not fit."""

    def __init__(self, status: int, detail: str, errors: Sequence[Detail] = ()):
        super().__init__(f"{status}: {detail}" + "".join(f"; {error.path}: {error.message}" for error in errors))
        self.status, self.detail, self.errors = status, detail, tuple(errors)


class Unreachable(Exception):
    """No answer came. A write may have been made; sending it again with the same ``once`` makes it no second time."""


class _NoRedirects(HTTPRedirectHandler):
    """A key is never carried elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """``retries``: how often a request is sent again after 429, 503 or a lost connection, as late as the service asks.

    timeout: seconds without a byte. Use one from as many threads as you like: it keeps no connection.
    """

    def __init__(self, url: str, key: str, timeout: float = 10.0, retries: int = 2):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("url: give the address of the service, such as http://127.0.0.1:3000")
        if not (key.isascii() and key.isprintable()):
            raise ValueError("key: an API key is one line of visible ASCII; give it without blanks around it")
        self._url, self._key, self._timeout, self._retries = url.rstrip("/"), key, timeout, retries
        self._opener = build_opener(_NoRedirects)

    def score(self, model: str, customers: Iterable[Row], reasons: int = 3, lang: Language = "en") -> ScoreResponse:
        """Up to 1,000 customers: an id each, or a mapping with ``customer_id`` and ``changes`` or ``events``.

        Results come in the order of the customers. Raises Problem, Unreachable.
        """
        return self._post(ScoreResponse, "/score", {"model": model, **_asked(customers, reasons, lang)})

    def score_models(
        self, models: Sequence[str], customers: Iterable[Row], reasons: int = 3, lang: Language = "en"
    ) -> list[ScoreResponse]:
        """``score`` of several models in one call, in their order; customers × models: up to 1,000."""
        body = {"models": list(models), **_asked(customers, reasons, lang)}
        return self._post(ScoreResponses, "/score", body).answers

    def customer(self, customer_id: str, reasons: int = 3, lang: Language = "en") -> answers.Customer:
        """The newest word of every model about a customer, contacts, earlier scores. Raises Problem, Unreachable."""
        return self._get(answers.Customer, f"/v1/customers/{quote(customer_id, safe='')}", reasons=reasons, lang=lang)

    def risk_list(
        self, model: str, as_of: date | Literal["latest"] = "latest", page: int = 500, **filters: Any
    ) -> Iterator[answers.Row]:
        """The rows of a list, read page by page; all are of the list the first page was of.

        filters: owner, band, segment, stage, action, min_value, sort, lang; None is no filter. Raises Problem,
        Unreachable.
        """
        path, cursor = f"/v1/risk-lists/{quote(model, safe='')}/{as_of}", None
        while True:
            given = {**filters, "limit": page} | ({"cursor": cursor} if cursor else {})
            found = self._get(answers.List, path, **given)
            yield from found.rows
            cursor = found.next
            if cursor is None:
                return

    def contact(
        self, customer_id: str, at: datetime, channel: Channel, note: str | None = None, once: str | None = None
    ) -> answers.Contacted:
        """Say that a customer was contacted. ``at`` needs its offset from UTC.

        once: the text that tells this write from others; made here when not given, and the same in every retry. Raises
        Problem, Unreachable; ValueError for a time without an offset.
        """
        if at.tzinfo is None:
            raise ValueError("at: give a time with its offset from UTC, such as datetime.now(UTC)")
        body = {"customer_id": customer_id, "at": at.isoformat(), "channel": channel, "note": note}
        return self._post(answers.Contacted, "/v1/contacts", body, once or str(uuid.uuid4()))

    def act(
        self,
        model: str,
        customer_id: str,
        as_of: date,
        kind: Kind,
        until: date | None = None,
        note: str | None = None,
        once: str | None = None,
    ) -> answers.Acted:
        """Say what was decided about a row of a list; ``snoozed`` takes ``until``, the day it comes back."""
        body = {"model": model, "customer_id": customer_id, "as_of": as_of.isoformat(), "kind": kind, "note": note}
        body |= {"until": until.isoformat()} if until else {}
        return self._post(answers.Acted, "/v1/actions", body, once or str(uuid.uuid4()))

    def _get(self, answer: type[A], path: str, **query: Any) -> A:
        asked = {name: value for name, value in query.items() if value is not None}
        return answer.model_validate_json(self._sent(Request(f"{self._url}{path}?{urlencode(asked)}")))

    def _post(self, answer: type[A], path: str, body: Mapping[str, Any], once: str | None = None) -> A:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        headers = {"content-type": "application/json"} | ({"idempotency-key": once} if once else {})
        return answer.model_validate_json(self._sent(Request(f"{self._url}{path}", content, headers, method="POST")))

    def _sent(self, request: Request) -> bytes:
        """The body of the answer, waited for and asked again as far as ``retries`` go."""
        request.add_unredirected_header("X-API-Key", self._key)
        request.add_unredirected_header("Accept", "application/json")
        for left in range(self._retries, -1, -1):
            wait = 0.2 * 2 ** (self._retries - left)
            try:
                with self._opener.open(request, timeout=self._timeout) as response:
                    return response.read()
            except HTTPError as error:
                with error:
                    problem, wait = _problem(error), _seconds(error.headers.get("retry-after"), wait)
                if error.code not in TRY_AGAIN or not left:
                    raise problem from None
            except (OSError, http.client.HTTPException) as error:
                if not left:
                    raise Unreachable(f"{self._url}: no answer ({type(error).__name__})") from None
            time.sleep(wait)
        raise AssertionError("unreachable")


def _asked(customers: Iterable[Row], reasons: int, lang: Language) -> dict[str, Any]:
    rows = [{"customer_id": one} if isinstance(one, str) else dict(one) for one in customers]
    return {"customers": rows, "reasons": reasons, "lang": lang}


def _problem(error: HTTPError) -> Problem:
    """What the service said; a proxy's own words where it was not the service that answered."""
    try:
        body = json.loads(error.read())
        return Problem(error.code, body["detail"], [Detail(one["path"], one["message"]) for one in body["errors"]])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return Problem(error.code, str(error.reason))


def _seconds(after: str | None, otherwise: float) -> float:
    """How long to wait: as asked for, within reason."""
    return min(float(after), LONGEST_WAIT) if after and after.isdecimal() else otherwise
