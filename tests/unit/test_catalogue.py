"""The catalogue: what a configuration gets, and that the page about it says the same."""

from pathlib import Path

import pytest

from features import catalogue, config, windows
from features.catalogue import BY_NAME, CUSTOMER_MEASURES, MEASURES
from features.data_config import Stream
from features.errors import ConfigError
from features.snapshot_config import SnapshotConfig
from tests import company, oracle

DOCS = Path(__file__).parents[2] / "docs" / "measures.md"


def measured(**stream):
    return {measure.name for measure in catalogue.measures_of(Stream(table="t.parquet", at="at", **stream))}


def test_a_stream_gets_the_measures_its_keys_allow():
    plain = measured()
    assert {"count", "days", "trend", "recency", "gap_ratio", "spike", "slope", "decline_weeks"} <= plain
    assert measured(value="v") - plain == {"sum", "mean"}
    assert measured(until="u") - plain == {"open", "oldest_open_days"}
    assert measured(entity="e") - plain == {"distinct"}
    assert measured(entity="e", users=True) - plain == {"distinct", "new_users", "key_user_quiet"}
    assert measured(value="v", kind="rating") == {"count", "mean", "recency", "last", "change"}


def test_every_measure_has_a_formula_an_oracle_and_a_name_of_its_own():
    assert {measure.name for measure in MEASURES} == set(windows.MEASURES) == set(oracle.MEASURES)
    assert {m.name for m in MEASURES if m.windowed} == set(oracle.WINDOWED)
    assert len(BY_NAME) == len(MEASURES) + len(CUSTOMER_MEASURES)


@pytest.mark.parametrize(
    "measure", [m for m in MEASURES if m.direction and "users" not in (m.needs or "")], ids=lambda m: m.name
)
def test_more_activity_moves_a_measure_in_its_direction(measure):
    """A customer active every third day, against one who is so half as often since day 150, and silent for a week."""
    busy = [oracle.Event(0, day, day, entity=day) for day in range(0, 180, 3)]
    fading = [event for event in busy if event.day < 150 or (event.day % 2 == 0 and event.day < 173)]
    days = 28 if measure.windowed else None
    more, less = (oracle.compute(own, [(0, 180)], [(measure.name, days)], 400)[0][0] for own in (busy, fading))
    assert (more - less) * measure.direction > 0


def test_seats_used_speaks_of_its_stream_and_days(tmp_path):
    login = {"entity": "user_id", "users": True}
    customers = {"attributes": {"seats": {"type": "number", "static": True}}, "seats": {"stream": "login", "days": 14}}
    path = company.configs(tmp_path, {"streams": {"login": login}, "customers": customers})
    (own,) = [f for f in catalogue.features(config.load(path, SnapshotConfig)) if f.measure == "seats_used"]
    assert (own.name, own.source, own.days, own.unit, own.family) == ("seats_used", "login", 14, "share", "seats_used")


def test_the_page_holds_the_tables_of_the_catalogue():
    tables = catalogue.tables()
    assert tables in DOCS.read_text(encoding="utf-8"), f"docs/measures.md: replace its tables with these:\n{tables}"


@pytest.mark.parametrize("name", ["name", "renewal", "customer_id", "outcome", "login_count_7d"])
def test_an_attribute_cannot_replace_another_column(tmp_path, name):
    attributes = {name: {"type": "number", "static": True, "column": "seats"}}
    path = company.configs(tmp_path, {"customers": {"attributes": attributes}})
    with pytest.raises(ConfigError, match=rf"{name}: another column of the snapshot has this name"):
        catalogue.features(config.load(path, SnapshotConfig))
