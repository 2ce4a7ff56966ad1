"""The file of a list gives back what went in, by customer."""

import os
import signal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import DataError, InputError
from serving.lists import draft as drafts
from serving.lists import pieces, priority, scoring
from serving.lists.draft import Draft
from serving.lists.pieces import Crew
from serving.lists.rows import Rows
from serving.words import reasons
from tests.unit.bundles import frame, lightgbm_bundle, rule_bundle, with_parts
from tests.unit.test_serving_draft import FEATURES, table
from training.columns import encode

SIZE = 200
OTHERS = pa.table({"customer_id": ["D-1", "B-顧客"], "status": ["opted_out", "already_leaving"]})


def kept(folder, bundle, rows, others=OTHERS):
    about = {"model": "churn", "as_of": "2026-01-01"}
    with Draft(folder, "churn", priority.columns(bundle.info), scoring.layout(bundle, FEATURES), about) as made:
        made.add(scoring.scored(bundle, FEATURES, rows), others)
        made.close()
        return folder / made.keep("churn")


@pytest.fixture(scope="module")
def bundle():
    return with_parts(lightgbm_bundle(frame(600)))


@pytest.fixture(scope="module")
def path(tmp_path_factory, bundle):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drafts, "GROUP", 64)
        return kept(tmp_path_factory.mktemp("rows"), bundle, table(SIZE))


@pytest.fixture(scope="module")
def rows(path):
    return Rows(path)


@pytest.fixture(scope="module")
def source():
    return table(SIZE).to_pandas()


def test_every_customer_is_found_and_nobody_else(rows, source):
    ids = source["customer_id"].tolist()
    assert len(rows) == SIZE and rows.about["as_of"] == "2026-01-01"
    assert [rows.position(one) for one in ids] == list(range(SIZE))
    for stranger in ("", "C", "C-00000x", "C-0000", "Z", "\ud800", "C-00064\0", "ｃ", "D-1"):
        assert rows.position(stranger) is None
    assert [rows.status(one) for one in (ids[0], ids[-1], "D-1", "B-顧客", "A", "D-11")] == [
        *("ok", "ok", "opted_out", "already_leaving", "unknown_customer", "unknown_customer")
    ]
    assert rows.left_out() == sorted(OTHERS.to_pylist(), key=lambda row: row["customer_id"])


@given(ids=st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=1, max_size=25))
@settings(max_examples=40)
def test_ids_of_any_script_are_found(tmp_path_factory, ids):
    named, own = sorted(ids, reverse=True), rule_bundle()
    made = Rows(kept(tmp_path_factory.mktemp("ids"), own, table(len(named), customer_id=named), OTHERS.slice(0, 0)))
    places = [made.position(one) for one in named]
    assert places == list(range(len(named)))[::-1]  # by code point, as Python sorts
    assert [made.text(place, "customer_id") for place in places] == named
    assert all(made.status(one + "x") == "unknown_customer" for one in named if one + "x" not in ids)


def test_values_are_plain_and_exact(rows, source):
    for place in range(SIZE):
        values, row = rows.values(place), source.iloc[place]
        assert set(values) == {feature.name for feature in FEATURES}
        for name, value in values.items():
            if pd.isna(row[name]):
                assert value is None
            else:
                assert value == row[name] and type(value) is (str if name == "plan" else int)


def test_the_matrix_is_that_of_the_frame_in_any_order(rows, source, bundle):
    places = np.random.default_rng(0).integers(0, SIZE, 300)
    expected = encode(source.iloc[places], bundle.info.features)
    assert rows.matrix(places, bundle.info.features).tobytes() == expected.tobytes()
    assert (
        rows.matrix([199], bundle.info.features[::-1]).tobytes()
        == encode(source.iloc[[199]], bundle.info.features[::-1]).tobytes()
    )
    assert rows.matrix([], bundle.info.features).shape == (0, 4)


def test_a_matrix_of_columns_that_are_not_there_is_refused(rows, bundle):
    *others, plan = bundle.info.features
    with pytest.raises(DataError, match="visit_recency: this column is missing"):
        rows.matrix([0], [{**others[0], "name": "visit_recency"}])
    with pytest.raises(DataError, match="plan: this column is a category; the model needs a number"):
        rows.matrix([0], [{**plan, "kind": "number"}])


def test_what_is_stored_is_what_scoring_says(rows, source, bundle):
    scores = scoring.score(bundle, source)
    facts = reasons.Facts(FEATURES, source)
    low, high = (side.tolist() for side in scores.interval)
    for place in range(SIZE):
        said = rows.stored(place)
        families = reasons.record(scores.parts, bundle.info.names, facts, place)
        assert repr(said.families) == repr(families)  # 7 is not 7.0, and the order counts
        assert all(not isinstance(f["facts"].get("count"), float) for f in said.families.values())
        figures = (said.score, said.margin, said.percentile, said.band, said.low, said.high)
        assert figures == (
            *(float(column[place]) for column in (scores.score, scores.margin, scores.percentile)),
            *(scores.band[place], low[place], high[place]),
        )
        assert said.risks == {days: risk[place] for days, risk in scores.risks.items()}


@pytest.mark.parametrize("limit", [0, 1, 2, 99])
def test_a_limit_leaves_the_largest_families_as_they_are(rows, limit):
    for place in range(SIZE):
        every = rows.stored(place).families
        some = {name: every[name] for name in reasons.top(every, limit)}
        assert repr(rows.stored(place, limit).families) == repr(some)


def test_one_by_one_and_many_at_a_time_say_the_same(rows):
    places = np.random.default_rng(1).permutation(SIZE)
    many = list(rows.each(places))
    assert [said for _, said in many] == [rows.stored(place) for place in places]
    assert [own["owner"] for own, _ in many] == [rows.text(place, "owner") for place in places]
    assert list(rows.each([])) == []


def test_a_list_without_interval_or_curve_has_none(tmp_path):
    said = Rows(kept(tmp_path, lightgbm_bundle(), table(3))).stored(1)
    assert (said.low, said.high, said.risks) == (None, None, None)


def test_an_empty_list_has_nobody(tmp_path, bundle):
    empty = Rows(kept(tmp_path, bundle, table(0), OTHERS.slice(0, 0)))
    assert len(empty) == 0 and empty.position("C-00000") is None and empty.left_out() == []
    assert empty.matrix([], bundle.info.features).shape == (0, 4)


@pytest.mark.parametrize("harm", ["text", "empty", "cut", "half", "parquet"])
def test_a_file_that_is_no_list_is_refused(path, tmp_path, harm):
    whole, bad = path.read_bytes(), tmp_path / "churn-2026-01-01-x.arrow"
    contents = {"text": b"no list", "empty": b"", "cut": whole[:-2_000], "half": whole[: len(whole) // 2]}
    if harm == "parquet":
        table(5).to_pandas().to_parquet(bad)
    else:
        bad.write_bytes(contents[harm])
    with pytest.raises(DataError, match=r"is no list of this version; make it again: python -m serving daily CONFIG"):
        Rows(bad)
    with pytest.raises(OSError, match="No such file"):
        Rows(tmp_path / "absent.arrow")


def test_it_outlives_the_removal_of_its_file(tmp_path, bundle):
    path = kept(tmp_path, bundle, table(SIZE))
    rows, before = Rows(path), Rows(path).stored(7)
    path.unlink()
    assert rows.stored(7) == before


def die(positions, plan):
    os.kill(os.getpid(), signal.SIGKILL)


def doubled(positions, plan):
    return (2 * positions).tolist(), os.getpid()


def test_pieces_come_in_order_from_processes_that_do_not_outlive_the_work(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 3)
    order, plan = np.random.default_rng(0).permutation(20), pd.DataFrame({"rank": np.arange(20)})
    with Crew(pieces.ENOUGH) as crew:
        made = list(crew.each(doubled, plan, order))
        assert [place for some, _ in made for place in some] == (2 * order).tolist()
        workers = {process for _, process in made}
        assert os.getpid() not in workers
        with pytest.raises(InputError, match="was killed, perhaps for want of memory"):
            list(crew.each(die, plan, order))
    assert not any(os.path.exists(f"/proc/{process}") for process in workers)
    with Crew(pieces.ENOUGH - 1) as alone:
        assert {process for _, process in alone.each(doubled, plan, order)} == {os.getpid()}
