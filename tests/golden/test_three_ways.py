"""History, daily and online: one walk, equal scores to the last bit, and every listed row adds up."""

from datetime import timedelta

import pytest

from features import facts, snapshot
from serving.guards import auth
from serving.lists import daily
from serving.stores import store
from tests.golden.house import MODELS, SETS, add_up
from tests.service.conftest import started
from tests.service.world import NOON, World
from training.bundle import Bundle

CUSTOMERS = 200


def listed(world: World, model: str) -> dict[str, float]:
    """The published scores of every ninth customer or so: 200 of them, the silent and the lively."""
    with world.session() as session:
        run = store.published(session, model)
        scores = {row.customer_id: row.score for row in store.listed(session, run.id)}
    ids = sorted(scores)
    some = [ids[i * len(ids) // CUSTOMERS] for i in range(CUSTOMERS)]
    return {customer: scores[customer] for customer in some}


def scored(bundle: Bundle, made: snapshot.Snapshot) -> dict[tuple, float]:
    scores = bundle.probability(bundle.margin(bundle.matrix(made.frame)))
    return dict(zip(zip(made.frame["customer_id"], made.frame["as_of"].dt.date), scores.tolist()))


@pytest.mark.parametrize("dataset", SETS)
def test_history_daily_and_online_give_equal_scores(dataset, world_of):
    world = world_of(dataset)
    for model, bundle in daily.champions(world.config).items():
        today = listed(world, model)
        config = daily.snapshot_config(bundle.info, world.config.data)
        known = facts.read(config.data)
        newest = snapshot.latest(config, known)
        dates = [newest - timedelta(days=days) for days in range(84, -1, -7)]
        history = scored(bundle, snapshot.build(config, dates, labels=False, known=known))
        online = scored(bundle, snapshot.build(config, [newest], labels=False, customers=list(today)))
        (first, *_) = today
        alone = scored(bundle, snapshot.build(config, [newest], labels=False, customers=[first]))
        assert len(today) == CUSTOMERS and len(set(today.values())) > CUSTOMERS / 2
        assert len(history) > 10 * CUSTOMERS
        assert today == {customer: history[customer, newest] for customer in today}
        assert today == {customer: online[customer, newest] for customer in today}
        assert alone == {(first, newest): today[first]}


@pytest.mark.parametrize("dataset", SETS)
def test_every_row_of_every_list_adds_up(dataset, world_of):
    world = world_of(dataset)
    assert set(MODELS[dataset]) == set(world.config.models)
    kinds = {model: bundle.info.kind for model, bundle in daily.champions(world.config).items()}
    assert kinds == MODELS[dataset]
    assert all(add_up(world, model) > CUSTOMERS for model in world.config.models)


@pytest.fixture(scope="module")
def service(world_of, tmp_path_factory):
    world = world_of("saas")
    with world.session() as session:
        key = auth.create(session, "golden", NOON)
    with started(world, tmp_path_factory.mktemp("service"), key) as running:
        yield running


@pytest.mark.parametrize("model", MODELS["saas"])
def test_the_running_service_gives_the_listed_scores_and_reasons_that_add_up(service, model):
    today = listed(service.world, model)
    body = {"model": model, "customers": [{"customer_id": customer} for customer in today], "reasons": 50}
    answer = service.post(body).json()
    assert {result["customer_id"]: result["score"] for result in answer["results"]} == today
    for result in answer["results"]:
        points = sum(reason["points"] for reason in result["reasons"])
        assert abs(points - (result["score"] - result["reference"])) < 1e-9
