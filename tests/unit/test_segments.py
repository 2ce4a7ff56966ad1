"""Stages by fixed rules, segments by quintiles that tied counts cannot upset."""

import numpy as np
import pandas as pd
import pytest

from features.config import load
from features.data_config import Data
from features.errors import DataError
from features.segments import SEGMENTS, STAGES, Cuts, columns, fit, of, recipe, scores, stages
from serving.words.sentences import words
from tests import company
from tests.spec.tables import rows
from training import job
from training.bundle import load as load_bundle
from training.bundle import save
from training.config import TrainConfig
from training.refit import refit

NAN = np.nan
CUTS = Cuts(stream="order", days=90, recency=(1, 2, 4, 8), frequency=(1, 2, 4, 8), monetary=(10, 20, 40, 80))
FREQUENCY, NOW = np.array([3.0]), np.array([1.0])


def number(cell):
    return NAN if cell == "?" else float(cell)


@pytest.mark.parametrize("case", rows("""
    tenure | recency | gap | stage
         0 |       ? |   ? | onboarding
        29 |      29 |   1 | onboarding
        30 |       ? |   ? | dormant
        30 |      28 |   1 | adoption
        30 |      29 |   1 | dormant
       179 |      29 |   ? | dormant
       179 |      29 |  10 | adoption
       180 |      30 |  10 | mature
       900 |      31 |  10 | dormant
         ? |       1 |   1 | mature
         ? |       ? |   ? | dormant
""", tenure=number, recency=number, gap=number, stage=str))  # fmt: skip
def test_the_stage(case):
    given = (np.array([case[name]]) for name in ("tenure", "recency", "gap"))
    assert stages(*given).tolist() == [case["stage"]]


def scored(recency=NOW, frequency=FREQUENCY, monetary=FREQUENCY, cuts=CUTS):
    size = max(len(recency), len(frequency), len(monetary))
    given = {"recency": recency, "frequency": frequency, "monetary": monetary}
    return {name: own.tolist() for name, own in scores(cuts, {n: np.resize(v, size) for n, v in given.items()}).items()}


def test_the_scores_of_numbers_between_the_cuts():
    assert scored(frequency=np.array([0.5, 1.5, 3, 6, 9]))["frequency"] == [1, 2, 3, 4, 5]
    assert scored(monetary=np.array([-5.0, 0, 15, 99]))["monetary"] == [1, 1, 2, 5]
    assert scored(recency=np.array([1.0, 7, 8, 14, 15, 28, 29, 56, 57, NAN]))["recency"] == [
        5,
        5,
        4,
        4,
        3,
        3,
        2,
        2,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5] * 20, {5: 3}),
        ([0] * 19 + [1], {0: 1, 1: 3}),
        ([1] * 12 + [2, 2, 3, 3, 4, 5, 9, 9], {1: 2, 2: 4, 9: 5}),
        (list(range(1, 101)), {1: 1, 20: 1, 21: 2, 50: 3, 80: 4, 81: 5, 100: 5}),
    ],
)
def test_equal_counts_score_alike_and_lie_in_the_middle_of_what_they_span(counts, expected):
    counts = np.array(counts, float)
    cuts = fit({"recency": np.ones(len(counts)), "frequency": counts}, recipe_of(["order"]))
    asked = np.array(list(expected), float)
    assert scored(frequency=asked, cuts=cuts)["frequency"] == list(expected.values())


def test_most_customers_seen_this_week_are_all_recent():
    recency = np.array([1.0] * 30 + [3] * 40 + [6] * 20 + [8, 15, 22, 29, 36, 43, 50, 57, 64, NAN])
    cuts = fit({"recency": recency, "frequency": recency}, recipe_of(["order"]))
    assert scored(recency=np.array([1.0, 7, 8, 64]), cuts=cuts)["recency"] == [5, 5, 1, 1]


def test_more_is_never_less():
    random = np.random.default_rng(0)
    for _ in range(50):
        counts = random.poisson(random.uniform(0.1, 4), 60).astype(float)
        cuts = fit({"recency": counts + 1, "frequency": counts}, recipe_of(["order"]))
        ascending = np.arange(0.0, counts.max() + 2)
        found = scored(recency=7 * ascending + 1, frequency=ascending, cuts=cuts)
        assert (np.diff(found["frequency"]) >= 0).all() and (np.diff(found["recency"]) <= 0).all()
        assert set(found["frequency"] + found["recency"]) <= {1, 2, 3, 4, 5}


def test_nobody_to_fit_on_gives_cuts_all_the_same():
    nothing = np.array([NAN, NAN])
    cuts = fit({"recency": nothing, "frequency": np.zeros(2)}, recipe_of(["order"]))
    assert scored(recency=nothing, frequency=np.zeros(2), cuts=cuts) == {"recency": [1, 1], "frequency": [1, 1]}


@pytest.mark.parametrize(("r", "f", "name"), [
    (5, 5, "champion"), (4, 4, "champion"), (3, 5, "loyal"), (5, 3, "regular"), (4, 1, "light"),
    (3, 1, "fading"), (2, 4, "slipping"), (1, 5, "cannot_lose"), (1, 1, "hibernating"),
])  # fmt: skip
def test_the_name_of_a_segment(r, f, name):
    assert SEGMENTS[r - 1, f - 1] == name


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_segment_and_stage_has_a_name_in_both_languages(lang):
    assert set(words(lang)["segments"]) == set(SEGMENTS.flat)
    assert set(words(lang)["stages"]) == set(STAGES)
    assert len(set(words(lang)["segments"].values())) == len(set(SEGMENTS.flat))


def snapshot(**more):
    own = {"order_recency": [3.0, NAN], "order_count_90d": [9.0, 0.0], "order_sum_90d": [15.0, 0.0]}
    return pd.DataFrame(own | {"order_gap": [2.0, NAN], "order_tenure": [300.0, NAN]} | more)


def test_the_rows_of_a_snapshot():
    found = of(snapshot(tenure_days=[40.0, 5.0]), CUTS)
    assert found.to_dict("records") == [
        {"segment": "champion", "stage": "adoption", "rfm": "R5 F5 M2"},
        {"segment": "hibernating", "stage": "onboarding", "rfm": "R1 F1 M1"},
    ]
    assert of(snapshot(), CUTS)["stage"].tolist() == ["mature", "dormant"]
    without = CUTS.model_copy(update={"monetary": None})
    assert of(snapshot(), without)["rfm"].tolist() == ["R5 F5", "R1 F1"]


def test_a_column_that_is_missing_is_named():
    with pytest.raises(DataError, match="order_gap: this column is missing"):
        of(snapshot().drop(columns="order_gap"), CUTS)


def data(streams, segments=None):
    plain = {"table": "t.parquet", "at": "at"}
    own = {name: plain | more for name, more in streams.items()}
    customers = company.DATA["customers"] | ({"segments": segments} if segments else {})
    return Data.model_validate(company.DATA | {"root": ".", "streams": own, "customers": customers})


def recipe_of(names, windows=(7, 28, 90), segments=None):
    return recipe(data({name: {} for name in names}, segments), windows)


def test_the_stream_is_the_named_one_or_the_first_of_behaviour():
    streams = {"call": {"role": "contact"}, "nps": {"kind": "rating", "value": "v"}, "order": {}, "login": {}}
    assert recipe(data(streams), (28,)).stream == "order"
    assert recipe(data(streams, {"stream": "login"}), (28,)).stream == "login"
    assert recipe(data({"nps": streams["nps"]}), (28,)) is None


def test_the_window_is_the_models_own_that_is_nearest():
    assert recipe_of(["order"], (7, 28, 60, 180)).days == 60
    assert recipe_of(["order"], (7, 28), {"stream": "order", "days": 365}).days == 28
    assert columns("order", 60, monetary=False) == {"recency": "order_recency", "frequency": "order_count_60d"}


@pytest.mark.parametrize("stream", ["call", "nps", "nobody"])
def test_segments_of_a_stream_that_tells_nothing_are_refused(stream):
    streams = {"call": {"role": "contact"}, "nps": {"kind": "rating", "value": "v"}, "order": {}}
    with pytest.raises(ValueError, match=f"customers.segments.stream: no stream of behaviour {stream}; allowed: order"):
        data(streams, {"stream": stream})


def trained(folder, **changes):
    people, events = company.logins(customers=40)
    company.tables(folder, customers=people, logins=events)
    settings = load(company.configs(folder, model={"model": "churn", **changes}), TrainConfig)
    said = []
    return job.snapshot(settings, said.append), settings, said


def test_the_cuts_of_the_training_rows_travel_in_the_bundle(tmp_path):
    made, settings, said = trained(tmp_path)
    save(refit(job.evaluate(settings, made, said.append), said.append), tmp_path / "bundle")
    cuts = load_bundle(tmp_path / "bundle").info.segments
    mature = made.frame[made.frame["outcome"].notna()]
    assert (cuts.stream, cuts.days, cuts.monetary) == ("login", 28, None)
    frequency = mature["login_count_28d"]
    assert cuts.frequency == tuple(np.quantile(frequency[frequency > 0], (0.2, 0.4, 0.6, 0.8)))
    named = of(made.frame, cuts)
    assert len(named) == len(made.frame) and set(named["stage"]) <= set(STAGES) and named["segment"].nunique() > 2


def test_without_their_features_there_are_no_segments_and_training_says_so(tmp_path):
    made, settings, said = trained(tmp_path, exclude=["*_count_28d"])
    assert refit(job.evaluate(settings, made, said.append), said.append).info.segments is None
    assert "no segments in the lists: `exclude` leaves out login_count_28d" in said
