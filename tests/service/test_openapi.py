"""The description under fire: requests that it allows and requests that it forbids, made up and sent to a real server.

TSUNAGI_CASES says how many are made up for an operation (200 when it is not set), beside those at the boundaries of
every schema. They are the same in every run of one TSUNAGI_SEED (0 when it is not set), and others with another: many
are best made in several runs, for all that were made are kept in memory.
"""

import gc
import os
from collections import Counter, defaultdict
from copy import deepcopy

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode, checks
from schemathesis.config import SchemathesisConfig

from serving.guards import auth
from serving.http import api, openapi
from tests.service import world as worlds
from tests.service.conftest import started

CUSTOMERS = 120
CASES = int(os.environ.get("TSUNAGI_CASES", "200"))
SAME = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}
DESCRIPTION = openapi.document(api.OPERATIONS, ("churn",))

MISFIT = ["400", "405", "406", "413", "415", "422"]
STATE = ["2xx", "304", "404", "409", "410"]
AS_DESCRIBED = [checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]
BEYOND_ANY_SCHEMA = {  # what the operations' texts say of 422
    "changes or events do not fit the model; errors[] names every place",
    "the cursor does not belong to this query; begin again without one",
}


def accepting(*statuses):
    return {"negative_data_rejection": {"expected-statuses": list(statuses)}}


def drawn(name):
    return {"dictionary": name, "probability": 0.5}


CONFIG = {
    "seed": int(os.environ.get("TSUNAGI_SEED", "0")),
    "generation": {"with-security-parameters": False},
    "checks": {**accepting(*MISFIT), "positive_data_acceptance": {"expected-statuses": STATE}},
    "operations": [{"include-path-regex": r"customer_id|\{model\}", "checks": accepting(*MISFIT, "404")}],
    "dictionaries": {
        "customers": {"values": [f"C-{number:04d}" for number in range(CUSTOMERS)]},
        "days": {"values": [str(worlds.LAST_WEEK), str(worlds.TODAY)]},
        "owners": {"values": ["ann@example.com", "bob@example.com"]},
    },
    "parameters": {
        **{place: drawn("customers") for place in ("path.customer_id", "query.customer_id", "body.customer_id")},
        "body.customers[*].customer_id": drawn("customers"),
        "body.as_of": drawn("days"),
        "query.owner": drawn("owners"),
    },
}


def hinted():
    """The description, with the names that only the model knows where they are allowed, so that some are tried."""
    document = deepcopy(DESCRIPTION)
    row = document["components"]["schemas"]["Customer"]["properties"]
    changes, events = row["changes"], row["events"]
    number, _, nothing = changes["additionalProperties"]["anyOf"]
    features = [one["name"] for one in worlds.bundle().info.features if one["kind"] != "category"]
    changes["properties"] = {name: {"anyOf": [{**number, "minimum": 0}, nothing]} for name in features}
    login = {**document["components"]["schemas"]["Event"], "required": ["at", "entity"]}
    events["properties"] = {"login": {"type": "array", "items": login, "maxItems": 20}}
    return document


schema = schemathesis.openapi.from_dict(hinted(), config=SchemathesisConfig.from_dict(CONFIG))


@pytest.fixture(scope="module", autouse=True)
def rare_collections():
    """What was made is kept, and to look through it for garbage again and again would take as long as making it."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 200)
    yield
    gc.set_threshold(*usual)


@pytest.fixture(scope="module")
def fired(workspace, tmp_path_factory):
    """A server of a world of its own, for its customers are erased."""
    folder = tmp_path_factory.mktemp("fired")
    world = worlds.make(folder / "fired", CUSTOMERS)
    world.place(worlds.bundle())
    for as_of in (worlds.LAST_WEEK, worlds.TODAY):
        world.publish(as_of)
    with world.session() as session:
        key = auth.create(session, "everything", worlds.NOON, scopes=auth.SCOPES)
    with started(world, folder, key) as running:
        yield running


@pytest.fixture(scope="module")
def session(fired):
    with requests.Session() as kept:
        kept.headers["x-api-key"] = fired.key
        yield kept


@pytest.fixture(scope="module")
def tally():
    """Operation -> (mode, status) -> how many."""
    return defaultdict(Counter)


def test_the_description_served_is_the_one_under_fire(fired):
    assert fired.get("/openapi.json").json() == DESCRIPTION


@schema.exclude(method="DELETE").parametrize()
@settings(max_examples=CASES, **SAME)
def test_what_is_allowed_is_taken_and_what_is_forbidden_is_refused(case, fired, session, tally):
    shot(case, fired, session, tally)


@schema.exclude(method=["GET", "POST"]).parametrize()
@settings(max_examples=CASES, **SAME)
def test_the_same_holds_where_customers_are_erased(case, fired, session, tally):
    shot(case, fired, session, tally)


def shot(case, fired, session, tally):
    response = case.call(base_url=fired.url, session=session)
    name, allowed = case.operation.definition.raw["operationId"], case.meta.generation.mode == GenerationMode.POSITIVE
    tally[name][allowed, response.status_code] += 1
    without = [checks.ignored_auth]
    if allowed and response.status_code == 422 and response.json()["detail"] in BEYOND_ANY_SCHEMA:
        without.append(checks.positive_data_acceptance)
    case.validate_response(response, excluded_checks=without, transport_kwargs={"session": session})


@schema.exclude(path=["/livez", "/readyz"]).parametrize()
@settings(max_examples=3, phases=[Phase.generate], **SAME)
def test_nobody_comes_in_without_a_key_or_with_another(case, fired):
    for key in ({}, {"x-api-key": "tsu_other"}, {"authorization": "Bearer tsu_other"}):
        response = case.call(base_url=fired.url, headers=key)
        assert response.status_code == 401 and response.headers["www-authenticate"] == ["Bearer"]
        case.validate_response(response, checks=AS_DESCRIBED)


def test_it_was_no_shooting_in_the_dark(tally):
    """Every operation succeeded, too."""
    for name, seen in tally.items():
        assert any(allowed and status < 300 for allowed, status in seen), name
        print(name, dict(seen))
