"""A list in the making: its parts may come in any order and size."""

import json
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Feature
from serving import checks, draft, priority, risk_list, scoring
from serving.draft import Draft
from serving.live import Rows
from tests.unit.bundles import COLUMNS, frame, lightgbm_bundle, rule_bundle

FEATURES = tuple(Feature(**{k: v for k, v in column.items() if k != "categories"}) for column in COLUMNS)
LEFT_OUT = pa.table({"customer_id": ["Z", "A"], "as_of": [None, None], "status": ["opted_out", "already_leaving"]})
ROWS = 57


@pytest.fixture(scope="module")
def bundle():
    return lightgbm_bundle(frame(600))


def table(rows=ROWS, **columns):
    names = {"plan": pa.string(), "name": pa.string(), "owner": pa.string()}
    made = pa.Table.from_pandas(frame(rows, seed=1).drop(columns="outcome").assign(**columns), preserve_index=False)
    for name, kind in names.items():
        made = made.set_column(made.column_names.index(name), name, made[name].cast(kind))
    return made


def listed(folder, bundle, parts):
    """Features file, ranked rows and who was left out, of a list whose parts come like this."""
    with Draft(folder, "churn-2026-01-01", priority.columns(bundle.info)) as made:
        for number, part in enumerate(parts):
            made.add(scoring.scored(bundle, FEATURES, part), LEFT_OUT.slice(0, 0 if number else None))
        ranking = made.close()
        plan = priority.plan(ranking, ranking[scoring.SCORE].to_numpy(), bundle.info, date(2026, 1, 1))
        rows = list(risk_list.rows(plan.assign(change=np.nan), made.texts))
        return folder / made.keep("churn-2026-01-01"), rows, made.left_out()


@given(cuts=st.lists(st.integers(0, ROWS), max_size=6), order=st.randoms(use_true_random=False))
def test_the_parts_of_a_list_may_come_in_any_order_and_size(tmp_path_factory, bundle, cuts, order):
    folder, whole = tmp_path_factory.mktemp("draft"), table()
    bounds = sorted({0, *cuts, ROWS})
    parts = [whole.slice(0, 0), *(whole.slice(low, high - low) for low, high in pairwise(bounds))]
    order.shuffle(parts)
    path, rows, left_out = listed(folder / "parts", bundle, parts)
    at_once, expected, _ = listed(folder / "whole", bundle, [whole])
    assert rows == expected and path.name == at_once.name
    assert [row["customer_id"] for row in left_out] == ["A", "Z"]
    assert list(path.parent.iterdir()) == [path]
    kept, ids = Rows(path), whole["customer_id"].to_pylist()
    assert [kept.read([kept.position(one)])["customer_id"].item() for one in ids[::9]] == ids[::9]


def test_a_row_says_what_the_scores_and_the_plan_say(tmp_path, bundle):
    whole = table(renewal=pd.Timestamp("2026-05-01"), name='Ō \u2028 "x"')
    scores = scoring.score(bundle, whole.to_pandas())
    _, rows, _ = listed(tmp_path, bundle, [whole])
    assert [row["rank"] for row in rows] == list(range(1, ROWS + 1))
    ids = whole["customer_id"].to_pylist()
    for row in rows:
        place = ids.index(row["customer_id"])
        assert (row["score"], row["margin"]) == (scores.score[place], scores.margin[place])
        assert (row["band"], row["percentile"]) == (scores.band[place], scores.percentile[place])
        assert row["renewal"] == date(2026, 5, 1) and row["name"] == 'Ō \u2028 "x"' and row["change"] is None
        points = {family: part["points"] for family, part in row["families"].items()}
        assert points == dict(zip(scores.parts.families, scores.parts.points[place].tolist()))


def test_small_parts_share_row_groups_and_a_large_one_is_split(tmp_path, bundle, monkeypatch):
    monkeypatch.setattr(draft, "GROUP", 20)
    whole = table()
    path, _, _ = listed(tmp_path, bundle, [whole.slice(start, 3) for start in range(0, 30, 3)] + [whole.slice(30)])
    meta = Rows(path)._file.metadata
    sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert sizes == [20, 1, 20, 16]


def test_a_part_without_anybody_at_risk_is_scored_by_every_kind_of_model(bundle):
    for own in (bundle, rule_bundle()):
        made = scoring.scored(own, FEATURES, table(0))
        assert made.num_rows == 0 and made.column_names[-3:] == [scoring.SCORE, scoring.GAP, scoring.TEXT]


def test_what_is_done_to_a_part_can_be_sent_to_another_machine(bundle):
    import pickle  # what Spark does to a function; nothing of it is kept
    from functools import partial

    work = partial(scoring.scored, bundle, FEATURES)
    assert pickle.loads(pickle.dumps(work))(table()).equals(work(table()))  # noqa: S301


def test_nobody_at_risk_at_all_is_an_empty_ranking(tmp_path, bundle):
    for parts in ([], [table(0)]):
        with Draft(tmp_path, "churn", priority.columns(bundle.info)) as made:
            for part in parts:
                made.add(scoring.scored(bundle, FEATURES, part), LEFT_OUT)
            assert next(checks.of_rows(made.close())).startswith("rows: no customer is at risk")
    assert not list(tmp_path.iterdir())


def test_a_text_is_one_line_of_json(bundle):
    texts = scoring.scored(bundle, FEATURES, table())[scoring.TEXT].to_pylist()
    assert len(texts) == ROWS and all(isinstance(json.loads(text), dict) and "\n" not in text for text in texts)
