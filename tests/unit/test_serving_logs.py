"""The log: one JSON object a line, words of ours only, and never a flood."""

import io
import json
import logging
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from serving.guards import logs
from serving.problem import Refusal

SECRET = "canary-7f3a"


@pytest.fixture
def out(monkeypatch):
    """What is logged to stderr by every logger, with the loggers put back afterwards."""
    names = [None, "tsunagi", "bentoml.tsunagi", "asyncio", *logs.FOREIGN]
    before = [(one, one.handlers, one.propagate, one.level) for one in map(logging.getLogger, names)]
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up()
    yield stream
    for one, handlers, propagate, level in before:
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


def told(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(out):
    logs.event("champion.taken", logging.INFO, model="churn", version="abc", why=None)
    (line,) = told(out)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "tsunagi",
        "event": "champion.taken",
        "model": "churn",
        "version": "abc",
    }


@given(st.text(st.sampled_from('a"\\\n\r\x00\x1b\u2028é鍵')))
def test_nothing_in_a_field_breaks_the_line(text):
    record = logging.LogRecord("tsunagi", logging.INFO, "", 0, "event", None, None)
    record.fields = {"owner": text}
    line = logs.Lines().format(record)
    assert "\n" not in line and "\r" not in line and json.loads(line)["owner"] == text


def test_each_logger_speaks_once_and_in_one_shape(out):
    for name in ("tsunagi", "bentoml.tsunagi", "bentoml", "uvicorn.error", "circus", "some.package"):
        logging.getLogger(name).warning("something happened")
    assert [(line["logger"], line["event"]) for line in told(out)] == [
        (name, "something happened")
        for name in ("tsunagi", "bentoml.tsunagi", "bentoml", "uvicorn.error", "circus", "some.package")
    ]


class Model(BaseModel):
    number: int


def caught(make):
    try:
        make()
    except Exception:
        return sys.exc_info()


def fail(error):
    raise error


def test_what_a_request_did_wrong_is_not_the_library_s_to_tell(out):
    for make in (lambda: Model(number=SECRET), lambda: fail(Refusal(422, SECRET))):
        logging.getLogger("bentoml._internal.server.http_app").error("Exception on %s", SECRET, exc_info=caught(make))
    assert out.getvalue() == ""


def test_of_other_errors_the_kind_and_the_place_stay(out):
    for name in ("bentoml", "tsunagi", "asyncio"):
        logging.getLogger(name).error(f"failed on {SECRET}", exc_info=caught(lambda: fail(KeyError(SECRET))))
    lines = told(out)
    assert SECRET not in out.getvalue() and len(lines) == 3
    assert {line["event"].split(":")[0] for line in lines} == {"KeyError at test_serving_logs.py"}


def test_what_a_library_puts_into_its_words_goes(out):
    logging.getLogger("uvicorn.error").warning("no such path: %s", f"/v1/{SECRET}")
    logging.getLogger("uvicorn.error").warning("no such path: %(path)s", {"path": SECRET}, stack_info=True)
    logging.getLogger("tsunagi").warning("%s is ready", "churn")
    assert [line["event"] for line in told(out)] == [
        "no such path: …",
        "no such path: …",
        "churn is ready",
    ]


def test_a_subclass_of_a_refusal_is_one():
    class Own(Refusal):
        pass

    assert logs.refused(Own(400, "")) and not logs.refused(KeyError())
    assert logs.place(KeyError()) == "unknown"
    with pytest.raises(ValidationError) as error:
        Model(number="x")
    assert logs.refused(error.value)


def test_a_refused_request_has_a_line_without_inputs(out):
    logs.Requests().line("score", "POST", 422, 0.00123, "crm", "ab-1")
    (line,) = told(out)
    del line["time"]
    assert line == {
        "level": "info",
        "logger": "tsunagi",
        "event": "request",
        "operation": "score",
        "method": "POST",
        "status": 422,
        "ms": 1.2,
        "owner": "crm",
        "request": "ab-1",
    }
    logs.Requests().line("score", "POST", 500, 0.1, None, "ab-2")
    assert (told(out)[1]["level"], "owner" in told(out)[1]) == ("error", False)


@given(st.integers(1, 5), st.lists(st.floats(0, 1.5), max_size=60))
def test_no_second_has_more_lines_than_allowed_and_none_is_lost_count_of(most, pauses):
    written = []
    clock = [100.0]
    requests = logs.Requests(most, lambda: clock[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "event", lambda *_, **fields: written.append((int(clock[0]), fields["left_out"])))
        for pause in pauses:
            clock[0] += pause
            requests.line("score", "POST", 422, 0.1, None, "a")
        clock[0] += 2
        requests.line("score", "POST", 422, 0.1, None, "a")
    seconds = [second for second, _ in written]
    assert max(map(seconds.count, seconds)) <= most
    assert len(written) + sum(left_out or 0 for _, left_out in written) == len(pauses) + 1


def test_a_request_has_a_short_name_of_its_own():
    names = [logs.request_id() for _ in range(1_000)]
    assert len(set(names)) == 1_000 and max(map(len, names)) < 20
    assert orjson.loads(orjson.dumps(names)) == names
