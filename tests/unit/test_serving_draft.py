"""A list in the making: its parts may come in any order and size."""

import json
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import Feature
from serving.lists import checks, draft, pieces, priority, scoring
from serving.lists.draft import Draft
from serving.lists.rows import Rows
from serving.stores.records import Contact
from tests.unit.bundles import COLUMNS, frame, lightgbm_bundle, rule_bundle

FEATURES = tuple(Feature(**{k: v for k, v in column.items() if k != "categories"}) for column in COLUMNS)
LEFT_OUT = pa.table({"customer_id": ["Z", "A"], "as_of": [None, None], "status": ["opted_out", "already_leaving"]})
ROWS, NAME, NEW_YEAR = 57, "churn-2026-01-01", date(2026, 1, 1)


@pytest.fixture(scope="module")
def bundle():
    return lightgbm_bundle(frame(600))


def table(rows=ROWS, **columns):
    names = {"plan": pa.string(), "name": pa.string(), "owner": pa.string()}
    made = pa.Table.from_pandas(frame(rows, seed=1).drop(columns="outcome").assign(**columns), preserve_index=False)
    for name, kind in names.items():
        made = made.set_column(made.column_names.index(name), name, made[name].cast(kind))
    return made


def drafted(folder, bundle):
    layout = scoring.layout(bundle, FEATURES)
    return Draft(folder, NAME, priority.columns(bundle.info), layout, {"model": "churn", "as_of": "2026-01-01"})


def listed(folder, bundle, parts):
    """The file and the rows of a list whose parts come like this."""
    with drafted(folder, bundle) as made:
        for number, part in enumerate(parts):
            made.add(scoring.scored(bundle, FEATURES, part), LEFT_OUT.slice(0, 0 if number else None))
        ranking = made.close()
        plan = priority.plan(ranking, ranking[scoring.SCORE].to_numpy(), bundle.info, NEW_YEAR)
        path = folder / made.keep(NAME)
    plan = {name: column.to_numpy() for name, column in plan.assign(change=np.nan).items()}
    return path, list(pieces.rows(Rows(path), np.arange(len(ranking)), plan))


@given(cuts=st.lists(st.integers(0, ROWS), max_size=6), order=st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_parts_of_a_list_may_come_in_any_order_and_size(tmp_path_factory, bundle, cuts, order):
    folder, whole = tmp_path_factory.mktemp("draft"), table()
    bounds = sorted({0, *cuts, ROWS})
    parts = [whole.slice(0, 0), *(whole.slice(low, high - low) for low, high in pairwise(bounds))]
    order.shuffle(parts)
    path, rows = listed(folder / "parts", bundle, parts)
    at_once, expected = listed(folder / "whole", bundle, [whole])
    assert rows == expected and path.name == at_once.name and path.read_bytes() == at_once.read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_customers_may_stand_in_any_order_within_a_part(tmp_path, bundle):
    whole = table()
    turned = whole.take(pa.array(np.random.default_rng(0).permutation(ROWS)))
    path, rows = listed(tmp_path / "turned", bundle, [turned.slice(0, 20), turned.slice(20)])
    assert (path.name, rows) == (listed(tmp_path / "whole", bundle, [whole])[0].name, rows)
    assert [row["customer_id"] for row in rows] == whole["customer_id"].to_pylist()


def test_a_row_says_what_the_scores_and_the_plan_say(tmp_path, bundle):
    whole = table(renewal=pd.Timestamp("2026-05-01"), name='Ō \u2028 "x"')
    scores = scoring.score(bundle, whole.to_pandas())
    _, rows = listed(tmp_path, bundle, [whole])
    assert sorted(row["rank"] for row in rows) == list(range(1, ROWS + 1))
    ids = whole["customer_id"].to_pylist()
    for row in rows:
        place = ids.index(row["customer_id"])
        assert (row["score"], row["margin"]) == (scores.score[place], scores.margin[place])
        assert (row["band"], row["percentile"]) == (scores.band[place], scores.percentile[place])
        assert row["renewal"] == date(2026, 5, 1) and row["name"] == 'Ō \u2028 "x"' and row["change"] is None
        points = {family: part["points"] for family, part in row["families"].items()}
        assert points == dict(zip(scores.parts.families, scores.parts.points[place].tolist()))


def test_a_changed_number_gives_a_file_of_another_name(tmp_path, bundle):
    whole = table()
    ages = whole["tenure_days"].to_numpy().copy()
    ages[-1] += 1e-9
    other = whole.set_column(whole.column_names.index("tenure_days"), "tenure_days", pa.array(ages))
    assert listed(tmp_path / "a", bundle, [whole])[0].name != listed(tmp_path / "b", bundle, [other])[0].name


def test_the_groups_of_the_file_are_invisible(tmp_path, bundle, monkeypatch):
    _, expected = listed(tmp_path / "one", bundle, [table()])
    monkeypatch.setattr(draft, "GROUP", 20)
    path, rows = listed(tmp_path / "many", bundle, [table()])
    assert rows == expected and len(Rows(path)._batches) == 3


def test_a_part_without_anybody_at_risk_is_scored_by_every_kind_of_model(bundle):
    for own in (bundle, rule_bundle()):
        made, some = scoring.scored(own, FEATURES, table(0)), scoring.scored(own, FEATURES, table())
        assert made.num_rows == 0 and made.column_names == some.column_names


def test_what_is_done_to_a_part_can_be_sent_to_another_machine(bundle):
    import pickle  # what Spark does to a function; nothing of it is kept
    from functools import partial

    work = partial(scoring.scored, bundle, FEATURES)
    here, there = (one(table()) for one in (work, pickle.loads(pickle.dumps(work))))  # noqa: S301
    assert here.schema == there.schema and repr(here.to_pylist()) == repr(there.to_pylist())


def test_nobody_at_risk_at_all_is_an_empty_ranking(tmp_path, bundle):
    for parts in ([], [table(0)]):
        with drafted(tmp_path, bundle) as made:
            for part in parts:
                made.add(scoring.scored(bundle, FEATURES, part), LEFT_OUT)
            assert next(checks.of_rows(made.close())).startswith("rows: no customer is at risk")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("timezone", "at", "day"),
    [("UTC", "2026-01-10T23:30", "2026-01-10"), ("Asia/Tokyo", "2026-01-10T15:00", "2026-01-11")],
)
def test_a_contact_told_to_the_service_counts_from_its_day_where_the_data_are(timezone, at, day):
    told = [Contact(customer_id="c1", at=pd.Timestamp(at).to_pydatetime())]
    assert priority.days(told, timezone, None) == {"c1": date.fromisoformat(day)}
    assert priority.days(told, timezone, date(2026, 1, 9)) == {}


def test_the_newer_contact_holds_whoever_tells_of_it():
    last = pd.Series(pd.to_datetime(["2026-01-05", "2026-01-05", None, None, "2026-01-05"]), dtype="datetime64[s]")
    ranking = pd.DataFrame({"customer_id": list("abcde"), "last_contact": last})
    told = {"a": date(2026, 1, 4), "b": date(2026, 1, 6), "c": date(2026, 1, 7), "nobody": date(2026, 1, 8)}
    made = priority.contacted(ranking, told)["last_contact"]
    days = [None if pd.isna(day) else day.date().isoformat() for day in made]
    assert days == ["2026-01-05", "2026-01-06", "2026-01-07", None, "2026-01-05"]
    assert priority.contacted(ranking, {}).equals(ranking)


def test_families_are_the_same_in_the_store_and_in_the_file(tmp_path, bundle):
    path, rows = listed(tmp_path, bundle, [table()])
    plan = {name: np.zeros(ROWS) for name in ("value_at_risk", "gain", "change")}
    texts = [row["families"] for row in pieces.staged(path)(np.arange(ROWS), plan)]
    assert [json.loads(text) for text in texts] == [row["families"] for row in rows]
    assert all(Rows(path).stored(place).families == row["families"] for place, row in enumerate(rows))
