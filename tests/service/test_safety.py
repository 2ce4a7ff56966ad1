"""What the running service lets in, writes down, counts and never repeats."""

import json
import random
import socket
import time
from urllib.parse import quote, urlsplit

import httpx
import pytest

from serving.guards import audit, auth, safety, trail
from tests.service import world as worlds
from tests.service.conftest import TRUST
from tests.unit.test_serving_metrics import read, value

SECRET = "canary7f3aZ9"
SCOPES = ("score", "read", "write", "admin")


@pytest.fixture(scope="module")
def keys(service):
    """name -> key: one for every scope, one that has none of its requests left soon."""
    with service.world.session() as session:
        made = {scope: auth.create(session, f"only {scope}", worlds.NOON, scopes=(scope,)) for scope in SCOPES}
        made["slow"] = auth.create(session, "slow", worlds.NOON, per_minute=2)
    until = time.monotonic() + 30
    while _get(service, "/v1/no/such", made["slow"]).status_code == 401 and time.monotonic() < until:
        time.sleep(0.1)
    return made


def _get(service, path, key, **headers):
    return httpx.get(service.url + path, headers={"x-api-key": key, **headers}, timeout=60, verify=TRUST)


def _page(service):
    return service.get("/metrics").raise_for_status().content


REQUESTS = [
    ("score", "POST", "/score", {"model": "churn", "customers": [{"customer_id": "C-0001"}]}),
    ("read", "GET", "/v1/customers/C-0001", None),
    ("read", "GET", "/v1/risk-lists/churn/latest", None),
    ("write", "POST", "/v1/contacts", {"customer_id": "C-0001", "at": "2026-01-30T10:00:00Z", "channel": "call"}),
    ("admin", "DELETE", "/v1/customers/C-9999", None),
]


@pytest.mark.parametrize(("scope", "method", "path", "body"), REQUESTS)
def test_a_key_does_what_it_was_made_for_and_nothing_else(service, keys, scope, method, path, body):
    for held in SCOPES:
        answer = httpx.request(method, service.url + path, json=body, headers={"x-api-key": keys[held]}, timeout=60)
        if held == scope:
            assert answer.status_code not in (401, 403)
        else:
            assert answer.status_code == 403 and scope in answer.json()["detail"]


def test_a_key_that_asks_too_often_is_told_when_to_come_again(service, keys):
    answers = [_get(service, "/v1/models", keys["slow"]) for _ in range(4)]
    assert answers[-1].status_code == 429 and 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert service.get("/v1/models").status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/models", "/v1/no/such", "/v1/risk-lists/churn/latest"])
@pytest.mark.parametrize("with_key", [True, False])
def test_every_answer_is_safe_in_a_browser(service, path, with_key):
    answer = service.get(path) if with_key else httpx.get(service.url + path)
    for name, expected in safety.HEADERS:
        assert answer.headers[name.decode()] == expected.decode()
    assert answer.headers["cache-control"] in ("no-store", "private, no-cache")


def test_a_body_nested_too_deeply_is_refused_before_it_is_read(service):
    answer = service.post(b'{"model":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    assert answer.status_code == 400 and answer.json()["detail"] == safety.TOO_DEEP


def test_who_scored_and_who_read_a_customer_is_written_down(service):
    home = service.world.config.home
    before = len(trail.entries(home, "C-0021"))
    assert service.score({"customer_id": "C-0021"}, {"customer_id": "C-0022"}).status_code == 200
    assert service.get("/v1/customers/C-0021").status_code == 200
    entries = trail.entries(home, "C-0021")[before:]
    assert [(one["owner"], one["action"], one["count"]) for one in entries] == [
        ("test", "score", 2),
        ("test", "customer", 1),
    ]
    assert entries[0]["model"] == "churn" and trail.verify(home).problems == []
    assert service.get("/v1/actions?model=churn&customer_id=C-0021").status_code == 200
    (last,) = trail.entries(home, "C-0021")[before + 2 :]
    assert (last["action"], last["model"], last["count"]) == ("actions", "churn", 1)


def test_what_is_counted_is_what_happened(service):
    scored = {"operation": "score", "method": "POST", "status": "200"}
    before = _page(service)
    assert service.score({"customer_id": "C-0001"}, {"customer_id": "nobody"}).status_code == 200
    after = _page(service)

    def more(name, **labels):
        return value(after, name, **labels) - (value(before, name, **labels) or 0)

    assert more("tsunagi_requests_total", **scored) == 1
    assert more("tsunagi_request_seconds_count", operation="score") == 1
    assert more("tsunagi_rows_total", model="churn", status="ok") == 1
    assert more("tsunagi_rows_total", model="churn", status="unknown_customer") == 1
    assert more("tsunagi_score_bucket", model="churn", le="+Inf") == 1
    assert sum(name == "tsunagi_model_info" for name, _ in read(after)) == 1


def test_ten_thousand_unknown_paths_leave_the_metrics_as_long_as_they_were(service):
    _unknown(service, 10)
    before = read(_page(service))
    _unknown(service, 10_000)
    after = read(_page(service))
    assert after.keys() == before.keys()
    unknown = ("tsunagi_requests_total", frozenset({("operation", "unknown"), ("method", "GET"), ("status", "404")}))
    assert after[unknown] - before[unknown] == 10_000


def _unknown(service, count):
    """Ask for so many addresses that do not exist, fifty at a time on one connection."""
    place = urlsplit(service.url)
    form = "GET /{}/{} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port)) as connection:
        answers = connection.makefile("rb")
        for first in range(0, count, 50):
            some = (form.format(random.random(), n, place.netloc, service.key) for n in range(first, first + 50))
            connection.sendall("".join(list(some)[: count - first]).encode())
            for _ in range(min(50, count - first)):
                assert b" 404 " in answers.readline()
                length = 0
                while line := answers.readline().strip():
                    name, _, text = line.partition(b":")
                    length = int(text) if name.lower() == b"content-length" else length
                answers.read(length)
        answers.close()


def hostile(number):
    """A request with the secret somewhere; most are refused, each for another reason."""
    random.seed(number)
    secret = f"{SECRET}{number}"
    odd = random.choice(["", "%00", "%2F..%2F", "'\"--", "é鍵", "\\u0000", "{{7*7}}", "<script>", "%n%s", "A" * 3_000])
    path = random.choice([
        f"/{secret}", f"/v1/customers/{secret}{quote(odd)}", f"/v1/risk-lists/{secret}/latest", "/score",
        f"/v1/risk-lists/churn/{secret}", f"/v1/models/{secret}/card", "/v1/contacts", "/v1/actions", "/score",
        f"/v1/risk-lists/churn/latest?owner={secret}&band={secret}&cursor={secret}&lang={secret}",
    ])  # fmt: skip
    name = random.choice(["X-Request-ID", "Cookie", "User-Agent", "X-Forwarded-For", "Accept", "If-None-Match"])
    headers = {name: secret, "Idempotency-Key": secret}
    kind = random.choice(["application/json", "application/json", "application/json", f"text/{secret}"])
    row = random.choice([
        {"customer_id": secret + odd}, {"customer_id": "C-0001", "changes": {secret: 1}}, {secret: secret},
        {"customer_id": "C-0001", "changes": {"login_count_28d": secret}}, {"customer_id": [secret]},
        {"customer_id": "C-0001", "events": [{"stream": secret, "at": secret}]},
        {"customer_id": secret, "events": [{secret: secret}]},
    ])  # fmt: skip
    body = random.choice([
        {"model": "churn", "customers": [row]}, {"model": secret, "customers": [row]}, [secret], secret,
        {"customer_id": secret, "note": secret, "channel": secret, "at": secret}, {secret: {secret: secret}},
        {"model": "churn", "customers": [row], "lang": secret}, {"models": [secret, "churn"], "customers": [row]},
    ])  # fmt: skip
    text = json.dumps(body).encode()
    text = random.choice([text, text, text, text[:-1], b"\xff" + text, text * 2])
    method = random.choice(["POST", "POST", "POST", "GET", "DELETE", "PUT", SECRET.upper()])
    return method, path, headers | {"content-type": kind}, b"" if method == "GET" else text


def test_three_hundred_hostile_requests_leave_no_trace_of_what_they_sent(service, keys):
    statuses, told = [], []
    with httpx.Client(base_url=service.url, timeout=60) as client:
        for number in range(300):
            method, path, headers, content = hostile(number)
            key = random.choice([service.key, keys["write"], keys["read"], f"tsu_{SECRET}", ""])
            answer = client.request(method, path, headers={"x-api-key": key, **headers}, content=content)
            statuses.append(answer.status_code)
            if answer.status_code >= 400 and SECRET.lower() in answer.text.lower():
                told.append((method, path, answer.text))
    assert max(statuses) < 500 and len({*statuses}) >= 5 and told == []
    home = service.world.config.home
    places = [service.log, home / "keys.json", *(home / "audit").iterdir(), *(home / "metrics").rglob("*.db")]
    assert len(places) >= 5 and all(path.stat().st_size for path in places)
    assert [path for path in places if SECRET.lower().encode() in path.read_bytes().lower()] == []
    assert SECRET.lower().encode() not in _page(service).lower()
    assert '"event":"request"' in service.log.read_text()


def test_the_log_holds_lines_of_json_without_a_trace_of_python(service):
    service.post(b"{")
    lines = service.log.read_text().splitlines()
    ours = [json.loads(line) for line in lines if line.startswith("{")]
    assert all({"time", "level", "event"} <= line.keys() for line in ours) and ours
    assert [line for line in lines if not line.startswith("{") and "[cli]" not in line] == []
    assert "Traceback" not in service.log.read_text()


def test_the_chain_holds_after_all_of_this(service):
    report = trail.verify(service.world.config.home)
    assert report.problems == [] and report.entries > 10
    content = b"".join(path.read_bytes() for path in audit.files(service.world.config.home / "audit"))
    assert b"C-00" not in content
