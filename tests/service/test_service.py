"""The doors, over a socket, on the real server."""

import csv
import io
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest

from serving.guards import auth
from tests.service import world as worlds
from tests.service.conftest import TRUST

OPEN = ["/livez", "/readyz"]
CLOSED = [
    "/",
    "/docs.json",
    "/schema.json",
    "/healthz",
    "/metrics",
    "/v1/customers/C-0001",
    "/score",
    "/nothing",
]
SECRET = "Nakamura-Private-Ltd"
KEYLESS = [{}, {"x-api-key": "tsu_wrong"}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}]


def problem(response, status):
    """Asserts that an answer is a problem of this status which repeats nothing; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"} and body["status"] == status
    assert body["title"] and body["detail"] and SECRET not in response.text
    assert all(set(error) == {"path", "message"} for error in body["errors"])
    return body


def test_live_and_ready_need_no_key_and_tell_the_truth(service):
    for path in OPEN:
        assert httpx.get(service.url + path).status_code == 200
    state = httpx.get(service.url + "/readyz").json()
    assert state["models"]["churn"]["as_of"] == "2026-02-01"


def test_it_listens_on_this_machine_only(service):
    assert "listening on http://127.0.0.1:" in service.log.read_text()


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("headers", KEYLESS)
def test_everything_else_needs_a_key(service, path, headers):
    body = problem(httpx.get(service.url + path, headers=headers, verify=TRUST), 401)
    assert "X-API-Key" in body["detail"]
    problem(httpx.post(service.url + path, headers=headers, content=b"{}", verify=TRUST), 401)


def test_a_key_may_come_as_a_bearer_and_ends_when_it_is_revoked(service):
    with service.world.session() as session:
        key = auth.create(session, "short", worlds.NOON, worlds.NOON + timedelta(days=36_500))
        expired = auth.create(session, "expired", worlds.NOON, worlds.NOON)
    url, bearer = service.url + "/openapi.json", {"authorization": f"Bearer {key}"}
    assert _within(5, lambda: httpx.get(url, headers=bearer).status_code == 200)
    problem(httpx.get(url, headers={"x-api-key": expired}), 401)
    with service.world.session() as session:
        auth.revoke(session, "short")
    assert _within(5, lambda: httpx.get(url, headers=bearer).status_code == 401)


def _within(seconds, true):
    """Whether it comes true in time: workers read the keys about once a second."""
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.1)
    return true()


def test_the_description_names_the_scoring_door(service):
    assert "/score" in service.get("/openapi.json").json()["paths"]


def test_there_are_no_metrics_and_pages_of_bentoml(service):
    assert "bentoml" not in service.get("/metrics").text
    for path in ("/", "/docs.json", "/schema.json", "/healthz"):
        problem(service.get(path), 404)


def test_scores_come_in_order_and_each_row_stands_alone(service):
    ids = ["C-0005", "unknown", worlds.LEAVING, worlds.OPTED_OUT, "C-0005", worlds.SILENT]
    answer = service.score(*({"customer_id": one} for one in ids)).json()
    results = answer["results"]
    assert [result["customer_id"] for result in results] == ids
    statuses = ["ok", "unknown_customer", "already_leaving", "opted_out", "ok", "ok"]
    assert [result["status"] for result in results] == statuses
    assert results[0] == results[4]
    for result in results:
        assert (result["score"] is None) == (result["status"] != "ok")
        assert result["as_of"] == "2026-02-01" and result["horizon"] == {
            "start": "2026-02-08",
            "end": "2026-04-09",
        }
        assert result["grade"] == "B" and len(result["model_version"]) == 12


def test_the_online_score_is_the_listed_score(service):
    listed = service.get("/v1/risk-lists/churn/latest").json()["rows"]
    answer = service.score(*({"customer_id": row["customer_id"]} for row in listed)).json()["results"]
    assert [(r["score"], r["band"], r["percentile"]) for r in answer] == [
        (r["score"], r["band"], r["percentile"]) for r in listed
    ]
    assert [r["reasons"] for r in answer] == [r["reasons"] for r in listed]


def test_points_of_all_families_sum_to_the_way_from_the_reference(service):
    everything = [{"customer_id": f"C-{n:04d}", "changes": {"login_recency": 5 * n}} for n in range(20, 40)]
    for result in service.score(*everything, reasons=50).json()["results"]:
        assert abs(sum(r["points"] for r in result["reasons"]) - (result["score"] - result["reference"])) < 1e-9
        assert all((r["direction"] == "raises") == (r["points"] > 0) for r in result["reasons"])


def test_a_what_if_changes_only_its_row(service):
    plain, silent, back = service.score(
        {"customer_id": "C-0005"},
        {"customer_id": "C-0005", "changes": {"login_recency": 80, "login_count_28d": 0, "plan": None}},
        {"customer_id": "C-0005", "changes": {}},
    ).json()["results"]
    assert plain == back and silent["score"] > plain["score"]


def test_a_what_if_does_not_mix_two_worlds_in_one_sentence(service):
    (result,) = service.score({"customer_id": "C-0005", "changes": {"login_recency": 80}}).json()["results"]
    (login,) = [reason for reason in result["reasons"] if reason["family"] == "login"]
    assert login["text"].startswith("Logins: the last on record was 80 days ago.") and "gap" not in login["facts"]


def test_reasons_speak_the_language_asked_for(service):
    one = {"customer_id": "C-0009"}
    english, japanese = (service.score(one, lang=lang).json()["results"][0]["reasons"] for lang in ("en", "ja"))
    assert english[0]["text"].startswith("Logins: the last was 80 days ago")
    assert japanese[0]["text"].startswith("最後のログインは80日前で")
    assert [(r["family"], r["points"]) for r in english] == [(r["family"], r["points"]) for r in japanese]
    assert service.score(one, reasons=0).json()["results"][0]["reasons"] == []


def test_1000_rows_are_taken_and_1001_refused(service):
    rows = [{"customer_id": f"C-{n % 60:04d}"} for n in range(1001)]
    assert len(service.score(*rows[:1000], reasons=1).json()["results"]) == 1000
    assert problem(service.score(*rows), 422)["errors"][0]["path"] == "customers"


ROW = {"customer_id": "C-0005"}
MISFITS = [
    ({"model": "churn"}, "customers"),
    ({"model": "churn", "customers": []}, "customers"),
    ({"customers": [ROW]}, "model"),
    ({"model": "other", "customers": [ROW]}, "model"),
    ({"model": 3, "customers": [ROW]}, "model"),
    ({"model": "churn", "customers": [ROW], SECRET: 1}, ""),
    ({"model": "churn", "customers": [{**ROW, SECRET: 1}]}, "customers[0]"),
    ({"model": "churn", "customers": [ROW, {"customer_id": 7}]}, "customers[1].customer_id"),
    ({"model": "churn", "customers": [{"customer_id": ""}]}, "customers[0].customer_id"),
    ({"model": "churn", "customers": [{"customer_id": SECRET * 50}]}, "customers[0].customer_id"),
    ({"model": "churn", "customers": [SECRET]}, "customers[0]"),
    ({"model": "churn", "customers": SECRET}, "customers"),
    ({"model": "churn", "customers": [ROW], "reasons": "3"}, "reasons"),
    ({"model": "churn", "customers": [ROW], "reasons": -1}, "reasons"),
    ({"model": "churn", "customers": [ROW], "reasons": 2.5}, "reasons"),
    ({"model": "churn", "customers": [ROW], "lang": SECRET}, "lang"),
]
CHANGES = [
    {SECRET: 1},
    {"login_recency": SECRET},
    {"plan": SECRET},
    {"plan": 3},
    {"login_recency": True},
    {"login_recency": [1]},
    {"login_recency": {}},
    {"login_recency": 10**400},
    {"login_count_27d": 0},
    {"outcome": 1},
    {"login_gap": 1},
    {"x" * 2_000: 1},
]


@pytest.mark.parametrize(("body", "path"), MISFITS)
def test_what_does_not_fit_is_named_by_its_place(service, body, path):
    errors = problem(service.post(body), 422)["errors"]
    assert [error["path"] for error in errors] == [path]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: next(iter(changes))[:20])
def test_changes_that_do_not_fit(service, changes):
    errors = problem(service.score(ROW, {**ROW, "changes": changes}), 422)["errors"]
    assert {error["path"] for error in errors} == {"customers[1].changes"}


def test_a_count_or_a_number_of_days_is_never_negative(service):
    errors = problem(service.score({**ROW, "changes": {"login_count_28d": -1, "login_recency": -0.5}}), 422)["errors"]
    assert [error["message"].partition(";")[0] for error in errors] == [
        "login_count_28d cannot be negative",
        "login_recency cannot be negative",
    ]


def test_every_wrong_place_is_named_at_once(service):
    wrong = [
        {**ROW, "changes": {"plan": SECRET, "login_recency": "x"}},
        ROW,
        {**ROW, "changes": {"login_recensy": 1}},
    ]
    errors = problem(service.score(*wrong), 422)["errors"]
    assert [error["path"] for error in errors] == ["customers[0].changes"] * 2 + ["customers[2].changes"]
    assert "allowed: basic, free, pro" in errors[0]["message"] and "login_recency" in errors[2]["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400"])
def test_numbers_that_are_none(service, number):
    body = '{"model": "churn", "customers": [{"customer_id": "C-0005", "changes": {"login_recency": N}}]}'
    body = body.replace("N}", f"{number}}}")
    assert problem(service.post(body.encode()), 422)["errors"][0]["path"] == "customers[0].changes"


BROKEN = [
    b"",
    b"null",
    b"[]",
    b"3",
    b'"' + SECRET.encode() + b'"',
    b"{",
    b"{'a': 1}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"model": "churn", "customers": [{"customer_id": "' + b"\xff" + b'"}]}',
    b"nul",
    b"{}{}",
    b"http://127.0.0.1:1/" + SECRET.encode(),
    b'{"model": "\\ud800", "customers": [{"customer_id": "\\ud800"}]}',
    b'{"model": "churn", "customers": [{"customer_id": "\\u0000"}], "lang": "fr"}',
]


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:24]))
def test_broken_bodies_are_never_an_error_of_ours(service, body):
    response = service.post(body)
    problem(response, response.status_code)
    assert response.status_code in (400, 422)


KINDS = ["text/plain", "multipart/form-data; boundary=x", "application/vnd.bentoml+pickle", "application/xml"]


@pytest.mark.parametrize("kind", [*KINDS, "application/json; charset=latin-1", ""])
def test_only_json_is_taken(service, kind):
    problem(service.post({"model": "churn", "customers": [ROW]}, **{"content-type": kind}), 415)


def test_a_compressed_body_is_refused(service):
    problem(service.post({"model": "churn", "customers": [ROW]}, **{"content-encoding": "gzip"}), 415)


def test_a_body_that_is_too_large_is_refused_announced_or_not(service):
    large = b'{"model": "' + b"x" * 2_100_000 + b'"}'
    problem(service.post(large), 413)

    def drip():
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    headers = {"x-api-key": service.key, "content-type": "application/json"}
    with suppress(httpx.WriteError):
        problem(httpx.post(service.url + "/score", content=drip(), headers=headers, timeout=60), 413)


def test_a_connection_that_ends_half_way_harms_nobody(service):
    host, port = service.url.removeprefix("http://").split(":")
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nX-API-Key: {service.key}\r\nContent-Type: application/json\r\n"
    for body in (b"", b'{"model"'):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + b"Content-Length: 100\r\n\r\n" + body)
    assert service.score(ROW).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/score", 405),
        ("DELETE", "/v1/customers/C-0001", 403),
        ("GET", "/nothing", 404),
        ("GET", "/v1/customers/nobody", 404),
        ("GET", "/v1/risk-lists/other/latest", 404),
        ("GET", "/v1/risk-lists/churn/2020-01-01", 404),
        ("GET", "/v1/risk-lists/churn/yesterday", 422),
        ("GET", "/v1/risk-lists/churn/latest?format=xml", 422),
        ("GET", "/v1/risk-lists/churn/latest?lang=fr", 422),
        ("GET", "/v1/risk-lists/churn/latest?top=0", 422),
        ("GET", "/v1/risk-lists/churn/latest?top=1&top=2", 422),
        ("GET", "/v1/customers/C-0005?reasons=many", 422),
        ("GET", f"/v1/customers/C-0005?{SECRET}=1", 422),
        ("OPTIONS", "/score", 405),
    ],
)
def test_addresses_and_queries_that_are_none(service, method, path, status):
    headers = {"x-api-key": service.key, "content-type": "application/json"}
    problem(httpx.request(method, service.url + path, headers=headers, timeout=60, verify=TRUST), status)


def test_a_customers_scores_and_history(service):
    body = service.get("/v1/customers/C-0009?lang=ja&reasons=1").json()
    churn = body["models"]["churn"]
    assert churn["status"] == "ok" and churn["as_of"] == "2026-02-01" and churn["rank"] >= 1
    assert len(churn["reasons"]) == 1 and churn["reasons"][0]["text"].startswith("最後のログインは80日前")
    assert [past["as_of"] for past in body["history"]] == ["2026-02-01", "2026-01-25"]
    assert abs(churn["change"] - (body["history"][0]["score"] - body["history"][1]["score"])) < 1e-12


def test_a_customer_who_gave_notice_or_opted_out(service):
    for customer, status in ((worlds.LEAVING, "already_leaving"), (worlds.OPTED_OUT, "opted_out")):
        churn = service.get(f"/v1/customers/{customer}").json()["models"]["churn"]
        assert churn["status"] == status and "score" not in churn


def test_lists_as_json_and_csv(service):
    whole = service.get("/v1/risk-lists/churn/2026-02-01").json()
    assert whole == service.get("/v1/risk-lists/churn/latest", accept="application/json").json()
    assert [row["rank"] for row in whole["rows"]] == list(range(1, 59))
    assert len(service.get("/v1/risk-lists/churn/latest?limit=3").json()["rows"]) == 3
    asked = service.get("/v1/risk-lists/churn/latest?format=csv")
    for response in (asked, service.get("/v1/risk-lists/churn/latest", accept="text/csv")):
        assert response.headers["content-type"].startswith("text/csv") and response.content.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
        assert [row["customer_id"] for row in rows] == [row["customer_id"] for row in whole["rows"]]
        named = {row["customer_id"]: row["name"] for row in rows}
        assert named["C-0000"] == "'=Company 0"


def test_many_at_once_all_get_their_own_answer(service):
    def ask(number):
        (result,) = service.score({"customer_id": f"C-{number % 60:04d}"}).json()["results"]
        return result["customer_id"] == f"C-{number % 60:04d}"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(80)))


def test_the_log_repeats_no_input_and_holds_no_traceback(service):
    service.score({"customer_id": SECRET, "changes": {SECRET: SECRET}})
    service.post({"model": SECRET, "customers": [ROW], SECRET: SECRET})
    text = service.log.read_text()
    assert "Traceback" not in text and SECRET not in text and service.key not in text and "C-0005" not in text


def test_the_workers_import_neither_mlflow_nor_shap(service):
    code = (
        "import sys\nfrom serving import service\nfrom serving.scores import online\n"
        "from serving.scores.schema import ScoreRequest\n"
        "request = ScoreRequest(model='churn', customers=[{'customer_id': 'C-0005'}])\n"
        "assert online.answer(service.worker().live, request).results[0].status == 'ok'\n"
        "print(sorted({'mlflow', 'shap', 'matplotlib'} & set(sys.modules)))"
    )
    environment = {"TSUNAGI_CONFIG": str(service.world.path)}
    assert _python(code, environment) == "[]"


def _run(code, environment):
    inherited = {name: value for name, value in os.environ.items() if name != "TSUNAGI_CONFIG"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)


def _python(code, environment):
    done = _run(code, environment)
    assert done.returncode == 0, done.stderr
    return json.dumps(done.stdout.strip()).strip('"')


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of bentoml, where it is imported
def test_a_start_that_fails_is_told_and_not_tried_again_at_once(monkeypatch, caplog):
    from serving import service as hosted

    slept = []

    def failing(config):
        raise OSError(SECRET)

    monkeypatch.setattr(hosted, "configured", lambda: None)
    monkeypatch.setattr(hosted, "Worker", failing)
    monkeypatch.setattr(hosted, "time", SimpleNamespace(sleep=slept.append))
    with caplog.at_level("ERROR"), pytest.raises(OSError, match=SECRET):
        hosted.worker.__wrapped__()
    assert slept == [hosted.START_AGAIN_SECONDS]
    (told,) = (record for record in caplog.records if record.msg == "not_started")
    assert told.fields["error"] == "OSError" and SECRET not in str(told.fields)
