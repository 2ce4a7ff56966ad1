"""The parts of the reading door alone: cursors, values of queries, what is accepted, the description and its examples."""

import base64
import hashlib
import json
from datetime import date
from urllib.parse import urlencode

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import TypeAdapter, ValidationError

from serving.http import api, cursor, examples, listing, openapi, questions, replies
from serving.http.operations import Operations
from serving.http.scalars import Day, Moment, Number
from serving.problem import Refusal

DOCUMENT = openapi.document(api.OPERATIONS, ("churn", "upsell"))
PLACES = some.lists(some.none() | some.floats(allow_nan=False, allow_infinity=False) | some.integers() | some.text())


@given(PLACES, PLACES)
def test_a_cursor_comes_back_exactly_and_only_for_its_own_pages(place, of):
    made = cursor.cursor(of, place)
    assert cursor.place(of, made) == place
    assert len(made) > 2_000 or TypeAdapter(questions.Cursor).validate_python(made) == made
    with pytest.raises(Refusal) as refused:
        cursor.place([*of, "more"], made)
    assert refused.value.problem.status == 422


@given(some.text(max_size=60), some.data())
def test_a_cursor_that_was_touched_is_refused(text, data):
    made = cursor.cursor(["list"], [7, 0.5, "C-1"])
    where = data.draw(some.integers(0, len(made) - 2))  # the last letter may carry unused bits
    other = data.draw(some.sampled_from("ABCxyz019_-").filter(lambda letter: letter != made[where]))
    for wrong in (text, made[:where] + other + made[where + 1 :], made[:where]):
        with pytest.raises(Refusal):
            cursor.place(["list"], wrong)


@pytest.mark.parametrize("place", [[], ["x", "churn"], [7], [None, None], ["2026-01-01"], {"a": 1}, [10**40, "churn"]])
def test_a_cursor_made_by_a_forger_is_refused_too(place):
    with pytest.raises(Refusal):
        cursor.place(["lists"], cursor.cursor(["lists"], place), tuple[date, str])
    with pytest.raises(Refusal):
        cursor.place(["actions"], cursor.cursor(["actions"], [*place, "x"]), tuple[cursor.Id])
    with pytest.raises(Refusal):
        cursor.place(["list"], cursor.cursor(["list"], place), listing.place_form("rank"))


FORGED = [
    ("rank", "2026-01-01", "C-1"),
    ("rank", None, "C-1"),
    ("rank", 2**31, "C-1"),
    ("score", "2026-01-01", "C-1"),
    ("-score", None, "C-1"),
    ("gain", float("nan"), "C-1"),
    ("value_at_risk", float("inf"), "C-1"),
    ("change", 10**400, "C-1"),
    ("renewal", 3, "C-1"),
    ("-renewal", "2026-01-01T00:00:00", "C-1"),
    ("rank", 3, "C\0"),
    ("rank", 3, ""),
    ("rank", 3, "C-\ud800"),
]


@pytest.mark.parametrize(("sort", "value", "customer_id"), FORGED)
def test_a_forged_place_of_a_list_is_of_its_order_or_refused(sort, value, customer_id):
    text = json.dumps([7, value, customer_id])
    made = base64.urlsafe_b64encode((cursor._check(["list"], text) + text).encode()).decode().rstrip("=")
    with pytest.raises(Refusal, match="the cursor does not belong"):
        cursor.place(["list"], made, listing.place_form(sort))


@pytest.mark.parametrize(
    ("sort", "value", "place"),
    [("rank", 3, 3), ("-score", 0.5, 0.5), ("change", None, None), ("renewal", "2026-01-31", date(2026, 1, 31))],
)
def test_a_place_of_a_list_is_of_its_order(sort, value, place):
    made = cursor.cursor(["list"], [7, value, "顧客\t1\n"])
    assert cursor.place(["list"], made, listing.place_form(sort)) == (7, place, "顧客\t1\n")


def test_a_cursor_nested_deeper_than_python_reads_is_refused():
    text = "[" * 1_400
    check = hashlib.sha256(json.dumps([["lists"], text]).encode()).hexdigest()[: cursor.CHECK]
    with pytest.raises(Refusal, match="the cursor does not belong"):
        cursor.place(["lists"], base64.urlsafe_b64encode((check + text).encode()).decode().rstrip("="))


@pytest.mark.parametrize("raw", [b"owner=%E9", b"owner=\xe9", b"%FF=1"])
def test_a_query_that_is_no_text_is_refused(raw):
    with pytest.raises(Refusal) as refused:
        questions.query(questions.OfList, raw)
    assert refused.value.problem.status == 422


def test_an_address_that_is_no_text_is_nowhere():
    operations = Operations(api.OPERATIONS)
    assert operations.find("DELETE", "/v1/customers/A-%E9").operation is None
    assert operations.find("DELETE", "/v1/customers/A-%C3%A9").parameters == {"customer_id": "A-é"}


def test_a_place_holds_floats_to_the_last_bit():
    assert cursor.place([], cursor.cursor([], [0.1 + 0.2, 5e-324, -0.0])) == [0.30000000000000004, 5e-324, -0.0]


VALUES = [
    (Day, "2026-01-31", True),
    (Day, "2024-02-29", True),
    (Day, "2026-02-29", False),
    (Day, "20260131", False),
    (Day, "2026-W05-6", False),
    (Day, "2026-01-31T00:00:00", False),
    (Day, 20_000, False),
    (Day, "２０２６-01-31", False),
    (Day, "0000-01-01", False),
    (Moment, "2026-01-31T10:00:00Z", True),
    (Moment, "2026-01-31t10:00:00.123456789z", True),
    (Moment, "2026-01-31 10:00:00-05:30", True),
    (Moment, "1000-01-01T00:00:00+23:59", True),
    (Moment, "8999-12-31T23:59:59-23:59", True),
    (Moment, "0001-01-01T00:01:01+01:00", False),
    (Moment, "9999-12-31T23:59:59-00:01", False),
    (Moment, "2026-01-31T10:00:00", False),
    (Moment, "2026-01-31", False),
    (Moment, "2026-01-31T24:00:01Z", False),
    (Moment, "2026-01-31T10:00:00+25:00", False),
    (Moment, "9999-12-31T23:59:59-10:00", False),
    (Moment, 1_769_734_800, False),
    (Number, "1500", True),
    (Number, "-0.25", True),
    (Number, "1e3", True),
    (Number, "-5.6e-42", True),
    (Number, "1e12", True),
    (Number, "-1000000000001", False),
    (Number, "1e400", False),
    (Number, "inf", False),
    (Number, " 1", False),
    (Number, "１", False),
]


@pytest.mark.parametrize(("kind", "text", "good"), VALUES)
def test_a_value_has_one_form(kind, text, good):
    adapter = TypeAdapter(kind)
    if good:
        adapter.validate_python(text)
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


def test_a_moment_is_kept_in_utc():
    moment = TypeAdapter(Moment).validate_python("2026-01-31T00:30:00+09:00")
    assert moment.isoformat() == "2026-01-30T15:30:00"


ACCEPTS = [
    (None, ["a/b"], "a/b"),
    ("", ["a/b"], "a/b"),
    ("A/B", ["a/b"], "a/b"),
    ("a/*;q=0.5, a/c", ["a/b", "a/c"], "a/c"),
    ("a/*, a/c;q=0", ["a/c", "a/b"], "a/b"),
    ("*/*;q=0.1, x/y", ["a/b"], "a/b"),
    ("a/b;q=wrong", ["a/b"], None),
    ("a/b;q=0, */*", ["a/b"], None),
    ("x/y", ["a/b"], None),
    (",,", ["a/b"], "a/b"),
]


@pytest.mark.parametrize(("accept", "offered", "best"), ACCEPTS)
def test_what_is_accepted_best_is_answered(accept, offered, best):
    if best is not None:
        assert replies.chosen(accept, offered) == best
        return
    with pytest.raises(Refusal) as refused:
        replies.chosen(accept, offered)
    assert refused.value.problem.status == 406


@pytest.mark.parametrize(
    ("given_tags", "held"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), (None, False)],
)
def test_a_tag_is_known_by_any_of_those_given(given_tags, held):
    assert replies.known(given_tags, '"a"') is held


def test_repeated_and_unknown_parameters_are_refused_without_repeating_them():
    with pytest.raises(Refusal) as refused:
        questions.query(
            questions.OfList, urlencode([("limit", "5"), ("limit", "5"), ("秘密", "1"), ("lang", "秘密")]).encode()
        )
    problem = refused.value.problem
    assert [detail.path for detail in problem.errors] == ["query", "lang"] and "秘密" not in problem.text()


@pytest.mark.parametrize(
    ("method", "path", "name", "parameters"),
    [
        ("GET", "/v1/customers/a%2Fb%20%E6%9D%B1", "customer", {"customer_id": "a/b 東"}),
        ("HEAD", "/v1/customers/a/history", "history", {"customer_id": "a"}),
        ("DELETE", "/v1/customers/a", "erasure", {"customer_id": "a"}),
        ("GET", "/v1/risk-lists/churn/latest", "list", {"model": "churn", "as_of": "latest"}),
        ("POST", "/score", "score", {}),
    ],
)
def test_an_address_leads_to_its_operation(method, path, name, parameters):
    found = Operations(api.OPERATIONS).find(method, path)
    assert found.operation.name == name and found.parameters == parameters


def test_only_life_and_readiness_need_no_key_and_only_writers_may_write():
    scopes = {one.name: one.scope for one in api.OPERATIONS}
    assert {name for name, scope in scopes.items() if scope is None} == {"live", "ready"}
    assert {name for name, scope in scopes.items() if scope == "write"} == {"contact", "action"}
    assert scopes["erasure"] == "admin" and scopes["score"] == "score"
    assert all(one.scope == "read" for one in api.OPERATIONS if one.method == "GET" and one.scope)


def checked(schema, value):
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator.check_schema(whole)
    jsonschema.validate(value, whole, format_checker=jsonschema.FormatChecker())


OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_example_of_the_description_is_as_its_schema_says(path, method):
    operation = DOCUMENT["paths"][path][method]
    for parameter in operation.get("parameters", []):
        if parameter["name"] != "cursor":
            checked(parameter["schema"], parameter["example"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert content["examples"]
        for example in content["examples"].values():
            checked(content["schema"], example["value"])
    for response in operation["responses"].values():
        for media, content in response.get("content", {}).items():
            assert content["schema"] and ("example" in content)
            if media.endswith("json"):
                checked(content["schema"], content["example"])


@pytest.mark.parametrize("one", [one for one in api.OPERATIONS if one.body], ids=lambda one: one.name)
def test_every_example_of_a_body_is_taken(one):
    for example in examples.BODIES[one.name].values():
        questions.body(one.body, json.dumps(example["value"]).encode())


@pytest.mark.parametrize("one", [one for one in api.OPERATIONS if one.query], ids=lambda one: one.name)
def test_every_example_of_a_query_is_taken(one):
    shown = DOCUMENT["paths"][one.path][one.method.lower()].get("parameters", [])
    given_all = [(each["name"], str(each["example"])) for each in shown if each["in"] == "query" and "example" in each]
    assert (
        questions.query(one.query, urlencode(given_all).encode()).model_dump(exclude_unset=True).keys()
        == dict(given_all).keys()
    )


def test_errors_are_problems_and_every_scoped_operation_says_what_a_key_may_meet():
    for path, method in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        errors = {status for status in operation["responses"] if int(status) >= 400}
        assert all(set(operation["responses"][one]["content"]) == {"application/problem+json"} for one in errors)
        assert ({"401", "403", "429", "503"} <= errors) == (operation.get("security") != [])


def test_the_limits_of_the_description_are_those_that_are_kept():
    parameters = {one["name"]: one["schema"] for one in DOCUMENT["paths"][api.LIST]["get"]["parameters"]}
    for name in ("minimum", "maximum"):
        limit = parameters["limit"][name]
        questions.query(questions.OfList, b"limit=%d" % limit)
        with pytest.raises(Refusal):
            questions.query(questions.OfList, b"limit=%d" % (limit + (1 if name == "maximum" else -1)))
    assert parameters["model"]["enum"] == ["churn", "upsell"]
