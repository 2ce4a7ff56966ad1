"""From the bundle to the reader: the interval of every score, its other horizons, and who has too little history."""

import csv
import io
import json
from datetime import date

import numpy as np
import pytest
from sqlalchemy import update

from features.snapshot_config import Population
from serving.life.live import Live
from serving.lists import risk_list
from serving.scores import online
from serving.scores.schema import ScoreRequest
from serving.stores import records, store
from serving.words.sentences import words
from tests.service import world as worlds
from tests.unit.bundles import with_parts
from training.bundle import load

OLD_ENOUGH, SIGNED_UP = 250, date(2025, 3, 1)
NEW = "C-0059"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A list whose bundle has a curve and a spread, and a population of customers of at least 250 days."""
    made = worlds.make(tmp_path_factory.mktemp("intervals"))
    made.place(with_parts(worlds.bundle(population=Population(subscription="active", min_tenure_days=OLD_ENOUGH))))
    made.publish()
    return made


def listed(world) -> dict:
    (path,) = (world.config.home / "lists").glob("*.json")
    return json.loads(path.read_text("utf-8"))


def asked(world, *customers: str, lang: str = "en", changes: dict | None = None):
    """The scoring door's answer."""
    rows = [{"customer_id": one, "changes": changes or {}} for one in customers]
    return online.answer(Live(world.config), ScoreRequest(model="churn", customers=rows, lang=lang))


def test_every_row_of_a_list_holds_its_score_and_its_risks(world):
    made = listed(world)
    assert made["interval"] == words("en")["interval"] and "interval" not in made["rows"][0]
    assert len(made["rows"]) > 10
    for row in made["rows"]:
        assert 0 < row["low"] < row["score"] < row["high"] < 1
        assert list(row["risks"]) == ["30", "60"]
        assert row["risks"]["30"] == row["score"] > row["risks"]["60"]


def test_the_store_keeps_what_the_bundle_says(world):
    bundle = load(next((world.config.home / "bundles").iterdir()))
    with world.session() as session:
        run = store.published(session, "churn")
        rows = list(store.listed(session, run.id))
    served = Live(world.config).get("churn")
    frame = served.rows.read([served.rows.position(row.customer_id) for row in rows])
    matrix = bundle.matrix(frame)
    low, high = bundle.interval(matrix, bundle.margin(matrix))
    assert [(row.low, row.high) for row in rows] == list(zip(low.tolist(), high.tolist()))


def test_the_csv_has_columns_for_them_and_says_once_what_they_cover(world):
    (path,) = (world.config.home / "lists").glob("*.csv")
    first, *others = csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
    (as_json, *_) = listed(world)["rows"]
    for name in ("low", "high"):
        assert float(first[name]) == as_json[name]
    assert float(first["risk_30d"]) == as_json["risks"]["30"] and float(first["risk_60d"]) == as_json["risks"]["60"]
    assert first["interval"] == words("en")["interval"] and {row["interval"] for row in others} == {""}


def test_the_scoring_door_gives_the_same_interval_and_moves_it_with_a_change(world):
    row = listed(world)["rows"][0]
    answer = asked(world, row["customer_id"])
    (result,) = answer.results
    assert [getattr(result, name) for name in ("low", "high", "risks")] == [row[n] for n in ("low", "high", "risks")]
    assert answer.interval == words("en")["interval"]
    assert asked(world, row["customer_id"], lang="ja").interval == words("ja")["interval"]
    (changed,) = asked(world, row["customer_id"], changes={"login_recency": 1.0}).results
    assert changed.low < changed.score < changed.high and changed.low != result.low
    assert changed.risks["30"] == changed.score


def test_who_is_too_new_is_not_lost_and_gets_words_instead_of_a_number(world):
    ids = {row["customer_id"] for row in listed(world)["rows"]}
    assert NEW not in ids and worlds.SILENT in ids
    answer = asked(world, NEW, worlds.LEAVING, worlds.OPTED_OUT, "nobody", worlds.SILENT)
    statuses = ["not_enough_history", "already_leaving", "opted_out", "unknown_customer", "ok"]
    assert [one.status for one in answer.results] == statuses
    assert [one.score is None and one.low is None for one in answer.results] == [True] * 4 + [False]
    assert [one.status_text for one in answer.results] == [words("en")["statuses"][one] for one in statuses[:4]] + [
        None
    ]
    (japanese,) = asked(world, NEW, lang="ja").results
    assert japanese.status_text == "履歴がまだ十分ではありません"


def test_nobody_in_sight_is_on_neither_side(world):
    """Every customer of the company is listed or left out with a status; the youngest are the ones left out."""
    with world.session() as session:
        run = store.published(session, "churn")
        ids = [f"C-{number:04d}" for number in range(60)]
        left_out = store.left_out(session, run.id, ids)
        rows = {row.customer_id for row in store.listed(session, run.id)}
    assert rows | set(left_out) == set(ids) and not rows & set(left_out)
    age = {one: ((worlds.TODAY - SIGNED_UP).days - number * 3 % 200) for number, one in enumerate(ids)}
    young = {one for one, days in age.items() if days < OLD_ENOUGH}
    assert {one for one, status in left_out.items() if status == "not_enough_history"} == young - {worlds.LEAVING}
    assert young and worlds.LEAVING not in young


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_list_of_before_still_reads(world, lang):
    """Rows without intervals, as older runs have them: nulls in JSON, empty cells and no words in CSV."""
    with world.session() as session:
        run = store.published(session, "churn")
        session.execute(update(records.Score).values(low=None, high=None, risks=None))
        rows = list(store.listed(session, run.id, 3))
        text = json.loads("".join(risk_list.as_json(run, rows, lang)))
        cells = list(csv.DictReader(io.StringIO("".join(risk_list.as_csv(run, rows, lang)).removeprefix("\ufeff"))))
        none = list(csv.DictReader(io.StringIO("".join(risk_list.as_csv(run, [], lang)).removeprefix("\ufeff"))))
        session.rollback()
    assert [(row["low"], row["high"], row["risks"]) for row in text["rows"]] == [(None, None, None)] * 3
    assert [(row["low"], row["high"], row["interval"]) for row in cells] == [("", "", "")] * 3
    assert not [name for name in cells[0] if name.startswith("risk_")] and none == []


def test_a_bundle_without_them_gives_none(tmp_path):
    made = worlds.make(tmp_path / "plain")
    made.place(worlds.bundle())
    made.publish()
    row = listed(made)["rows"][0]
    assert (row["low"], row["high"], row["risks"]) == (None, None, None)
    answer = asked(made, row["customer_id"])
    assert answer.interval is None and answer.results[0].low is None and answer.results[0].risks is None
    assert np.isfinite(answer.results[0].score)
