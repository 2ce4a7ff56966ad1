"""The scoring door over a socket: row forms, several models, and our own client against the real server."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from serving.client import Client, Problem
from serving.guards import auth
from tests.service import world as worlds
from tests.service.test_service import SECRET, problem

FIGURES = ("score", "low", "high", "risks", "band", "percentile")
LOGIN = {"at": "2026-01-30T10:00:00+09:00", "entity": "U1"}


@pytest.fixture(scope="module")
def client(service) -> Client:
    with service.world.session() as session:
        key = auth.create(session, "client", worlds.NOON, scopes=("score", "read", "write"))
    found = Client(service.url, key, timeout=60)
    for _ in range(100):  # a new key is known within about a second
        if httpx.get(f"{service.url}/v1/limits", headers={"x-api-key": key}).status_code == 200:
            return found
        time.sleep(0.1)
    pytest.fail("the key is not taken")


def test_every_form_over_the_socket(service):
    rows = [
        {"customer_id": "C-0005"},
        {"customer_id": "C-0005", "changes": {"login_recency": 80}},
        {"customer_id": "C-0005", "events": {"login": [LOGIN]}},
        {"customer_id": "新規顧客", "events": {"login": [LOGIN]}, "changes": {"plan": "pro"}},
        {"customer_id": "新規顧客"},
    ]
    results = service.score(*rows, lang="ja").json()["results"]
    assert [result["basis"] for result in results] == ["list", "changes", "events", "events", None]
    assert [result["status"] for result in results] == ["ok"] * 4 + ["unknown_customer"]
    assert results[3]["missing"] == ["tenure_days"] and all(reason["text"] for reason in results[2]["reasons"])


def test_the_answer_equals_the_published_list_field_by_field(service):
    for lang in ("en", "ja"):
        listed = service.get(f"/v1/risk-lists/churn/latest?lang={lang}").json()["rows"]
        results = service.score(*({"customer_id": row["customer_id"]} for row in listed), lang=lang).json()["results"]
        for row, result in zip(listed, results, strict=True):
            shared = set(row) & set(result)
            assert {*FIGURES, "customer_id", "reasons"} <= shared
            assert {name: row[name] for name in shared} == {name: result[name] for name in shared}


def test_several_models_in_one_call(service):
    (answer,) = service.post({"models": ["churn"], "customers": [{"customer_id": "C-0005"}]}).json()["answers"]
    assert answer == service.score({"customer_id": "C-0005"}).json()


BAD_EVENTS = [
    ({"logout": []}, "customers[1].events"),
    ({SECRET: [LOGIN]}, "customers[1].events"),
    ({"login": [LOGIN, {"at": SECRET, "entity": None}]}, "customers[1].events.*[1].at"),
    ({"login": [{"at": "2026-02-30", "entity": SECRET}]}, "customers[1].events.login"),
    ({"login": [{**LOGIN, SECRET: 1}]}, "customers[1].events.*[0]"),
    ({"login": [{**LOGIN, "entity": [SECRET]}]}, "customers[1].events.*[0].entity"),
]


@pytest.mark.parametrize(("events", "path"), BAD_EVENTS)
def test_events_that_do_not_fit_are_named_by_their_place(service, events, path):
    plain, bad = {"customer_id": "C-0005"}, {"customer_id": "C-0006", "events": events}
    errors = problem(service.score(plain, bad), 422)["errors"]
    assert {error["path"] for error in errors} == {path}


def test_twenty_thousand_events_while_others_are_answered(service):
    rows = [{"customer_id": f"C-{n % 60:04d}", "events": {"login": [{"at": "2026-01-30", "entity": 1}] * 200}}
            for n in range(100)]  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(service.score, *rows)
        small = [service.score({"customer_id": "C-0005"}).status_code for _ in range(20)]
        assert large.result().status_code == 200 and set(small) == {200}
    assert len(large.result().json()["results"]) == 100


def test_the_client_reads_what_the_doors_say(client):
    answer = client.score("churn", ["C-0005", {"customer_id": "C-0005", "changes": {"login_recency": 80}}], lang="ja")
    listed, silent = answer.results
    assert listed.status == silent.status == "ok" and silent.score > listed.score and silent.reasons[0].text
    (again,) = client.score_models(["churn"], ["C-0005"], lang="ja")
    assert again.results == [listed]
    found = client.customer("C-0005").models["churn"]
    assert (found.score, found.model_version) == (listed.score, listed.model_version)


def test_the_client_reads_a_list_page_by_page(client):
    rows = list(client.risk_list("churn", page=7))
    assert [row.rank for row in rows] == list(range(1, 59))
    assert rows == list(client.risk_list("churn", worlds.TODAY, page=500))
    high = list(client.risk_list("churn", page=2, band="high", sort="-score", lang="ja"))
    assert [row.score for row in high] == sorted((row.score for row in rows if row.band == "high"), reverse=True)


def test_the_client_writes_once_under_one_name(client, service):
    at = datetime(2026, 1, 30, 1, tzinfo=UTC)
    first = client.contact("C-0021", at, "call", note="担当者と電話", once="visit-1")
    assert client.contact("C-0021", at, "call", note="担当者と電話", once="visit-1") == first
    assert client.contact("C-0021", at, "call", note="担当者と電話").id != first.id
    acted = client.act("churn", "C-0021", worlds.TODAY, "snoozed", until=worlds.date(2026, 2, 20))
    assert (acted.kind, acted.until) == ("snoozed", "2026-02-20")
    with pytest.raises(Problem) as caught:
        client.contact("C-0021", at, "email", once="visit-1")
    assert caught.value.status == 409


def test_the_clients_errors_name_places(client):
    with pytest.raises(Problem) as caught:
        client.score("churn", [{"customer_id": "C-0005", "changes": {"login_recensy": 1}}])
    assert caught.value.status == 422 and caught.value.errors[0].path == "customers[0].changes"
    with pytest.raises(Problem) as caught:
        Client(client._url, "tsu_wrong").customer("C-0005")
    assert caught.value.status == 401


def test_every_number_is_finite(service):
    rows = [{"customer_id": f"C-{n:04d}", "changes": {"login_count_28d": 1e12, "login_recency": 0}} for n in range(9)]
    for result in service.score(*rows, reasons=50).json()["results"]:
        assert result["status"] != "ok" or all(math.isfinite(reason["points"]) for reason in result["reasons"])
