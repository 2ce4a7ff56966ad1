"""The description under fire: requests that it allows and requests that it forbids, made up and sent to a real server.

The number of cases an operation is TSUNAGI_CASES (200 when it is not set); they are the same in every run.
"""

import os

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings

from serving import api, auth, openapi
from serving.operations import SCOPES
from tests.service import world as worlds
from tests.service.conftest import started

CASES = int(os.environ.get("TSUNAGI_CASES", "200"))
ANYHOW = settings(
    max_examples=CASES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
schema = schemathesis.openapi.from_dict(openapi.document(api.OPERATIONS, ("churn",)))
schema.config.generation.update(with_security_parameters=False)


@pytest.fixture(scope="module")
def fired(workspace, tmp_path_factory):
    """A world of its own: its customers are erased."""
    folder = tmp_path_factory.mktemp("fired")
    world = worlds.make(folder / "fired")
    world.place(worlds.bundle())
    for as_of in (worlds.LAST_WEEK, worlds.TODAY):
        world.publish(as_of)
    with world.session() as session:
        key = auth.create(session, "everything", worlds.NOON, scopes=SCOPES)
    with started(world, folder, key) as running, requests.Session() as kept:
        kept.headers["x-api-key"] = key
        yield running.url, kept


@schema.parametrize()
@ANYHOW
def test_generated(case, fired):
    url, session = fired
    case.call_and_validate(base_url=url, session=session, excluded_checks=[schemathesis.checks.ignored_auth])
