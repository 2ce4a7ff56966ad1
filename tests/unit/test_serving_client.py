"""The client against a server that fails as networks do: what is sent again, what never is, what is raised."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from serving import client as clients
from serving.client import Client, Problem, Unreachable
from serving.http import examples

PROBLEM = {"type": "about:blank", "title": "x", "status": 422, "detail": "does not fit", "errors": [
    {"path": "customers[0]", "message": "an unknown key"}]}  # fmt: skip
EMPTY = {"model": "churn", "note": None, "interval": None, "results": []}
CONTACT = {"id": 1, "customer_id": "A/1", "at": "2026-01-30T01:00:00Z", "channel": "call", "note": None, "by": "crm",
           "created_at": "2026-01-30T02:00:00Z"}  # fmt: skip
AT = datetime(2026, 1, 30, 1, tzinfo=UTC)


@contextmanager
def serving(*script):
    """A server that answers each request with the next of (status, headers, body); None hangs up."""
    asked, answers = [], iter(script)

    class Scripted(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append(
                (
                    self.command,
                    self.path,
                    {k.lower(): v for k, v in self.headers.items()},
                    json.loads(body) if body else None,
                )
            )
            said = next(answers)
            if said is None:
                self.close_connection = True
                return
            status, headers, content = said
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def waits(monkeypatch):
    """How long the client would have waited; it does not."""
    seconds = []
    monkeypatch.setattr(clients, "time", SimpleNamespace(sleep=seconds.append))  # threads of others go on sleeping
    return seconds


def test_rows_are_ids_or_mappings_and_the_key_goes_along():
    with serving((200, {}, EMPTY)) as (url, asked):
        rows = ["A-1", {"customer_id": "株式会社", "changes": {"plan": None}}]
        assert Client(url + "/", "tsu_x").score("churn", rows, lang="ja").results == []
    ((method, path, headers, body),) = asked
    assert (method, path, headers["x-api-key"]) == ("POST", "/score", "tsu_x")
    assert body == {"model": "churn", "customers": [{"customer_id": "A-1"}, rows[1]], "reasons": 3, "lang": "ja"}


def test_several_models_are_one_call():
    with serving((200, {}, {"answers": [EMPTY, {**EMPTY, "model": "upsell"}]})) as (url, asked):
        found = Client(url, "k").score_models(["churn", "upsell"], ["A-1"])
    assert [one.model for one in found] == ["churn", "upsell"] == asked[0][3]["models"]


@pytest.mark.parametrize("first", [(429, {"retry-after": "7"}, PROBLEM), (503, {}, b"<html>"), None])
def test_a_write_is_sent_again_under_the_same_name(first, waits):
    with serving(first, first, (201, {}, CONTACT)) as (url, asked):
        made = Client(url, "k").contact("A/1", AT, "call")
    assert made.id == 1 and len(asked) == 3 and len({headers["idempotency-key"] for _, _, headers, _ in asked}) == 1
    assert len({json.dumps(body) for _, _, _, body in asked}) == 1
    assert waits == ([7.0, 7.0] if first and first[0] == 429 else [0.2, 0.4])


def test_two_writes_have_two_names_unless_told_otherwise():
    acted = {**CONTACT, "model": "churn", "as_of": "2026-02-01", "kind": "snoozed", "until": "2026-02-03"}
    acted = {name: acted[name] for name in acted if name not in ("at", "channel")}
    with serving(*[(201, {}, CONTACT)] * 2, *[(201, {}, acted)] * 2) as (url, asked):
        client = Client(url, "k")
        client.contact("A/1", AT, "call")
        client.contact("A/1", AT, "call")
        for _ in range(2):
            client.act("churn", "A/1", date(2026, 2, 1), "snoozed", until=date(2026, 2, 3), once="mine")
    names = [headers["idempotency-key"] for _, _, headers, _ in asked]
    assert len(set(names)) == 3 and names[2:] == ["mine", "mine"]
    assert asked[2][3]["until"] == "2026-02-03" and asked[2][1] == "/v1/actions"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_a_no_is_an_error_at_once(status, waits):
    with serving((status, {}, {**PROBLEM, "status": status})) as (url, asked), pytest.raises(Problem) as caught:
        Client(url, "k").score("churn", ["A-1"])
    problem = caught.value
    assert (problem.status, problem.detail, problem.errors[0].path) == (status, "does not fit", "customers[0]")
    assert len(asked) == 1 and waits == [] and "an unknown key" in str(problem)


def test_waiting_ends(waits):
    with serving(*[(503, {"retry-after": "3600"}, PROBLEM)] * 2) as (url, asked), pytest.raises(Problem):
        Client(url, "k", retries=1).score("churn", ["A-1"])
    assert len(asked) == 2 and waits == [clients.LONGEST_WAIT]


def test_nobody_there(waits):
    with serving() as (url, _):
        pass
    with pytest.raises(Unreachable):
        Client(url, "k", retries=2).customer("A-1")
    assert waits == [0.2, 0.4]


def test_a_key_follows_no_redirect():
    with serving((302, {"location": "/other"}, b"")) as (url, asked), pytest.raises(Problem) as caught:
        Client(url, "k").customer("A-1")
    assert caught.value.status == 302 and len(asked) == 1


def test_what_cannot_be_meant_is_refused_before_it_is_sent():
    with pytest.raises(ValueError, match="address of the service"):
        Client("127.0.0.1:3000", "k")
    client = Client("http://127.0.0.1:9", "k", retries=0)
    with pytest.raises(ValueError, match="offset"):
        client.contact("A-1", datetime(2026, 1, 30), "call")
    with pytest.raises(ValueError, match="JSON"):
        client.score("churn", [{"customer_id": "A-1", "changes": {"x": float("nan")}}])


def test_ids_keep_their_slashes_and_spaces():
    body = {"customer_id": "A/1 株", "models": {}, "contacts": [], "history": []}
    with serving((200, {}, body)) as (url, asked):
        assert Client(url, "k").customer("A/1 株", lang="ja").customer_id == "A/1 株"
    assert asked[0][1] == "/v1/customers/A%2F1%20%E6%A0%AA?reasons=3&lang=ja"


def test_it_needs_nothing_but_pydantic():
    code = "import sys, serving.client; print({'numpy', 'yaml', 'orjson', 'sqlalchemy', 'features'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_filter_that_is_none_is_not_sent():
    with serving((200, {}, {**examples.ANSWERS["list"], "rows": [], "next": None})) as (url, asked):
        assert list(Client(url, "k").risk_list("churn", owner=None, band="high")) == []
    assert "owner" not in asked[0][1] and "band=high" in asked[0][1]
