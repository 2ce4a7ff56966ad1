"""The parts of the pages: intervals by fold, swarms of dots, figures as text, a model's question in words."""

import numpy as np
import pandas as pd
import pytest
import yaml

from features.config import load
from tests.company import configs
from tests.unit.bundles import COLUMNS, frame
from training import metrics
from training.columns import encode
from training.config import TrainConfig
from training.pages import card, families, foot, markup, question, swarm, timeline, why
from training.pages.material import Extras
from training.rows import Rows


def scored(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Two candidates on two dates, the second no better than chance."""
    random = np.random.default_rng(seed)
    tables = []
    for fold in ("2025-02-01", "2025-01-01"):
        outcome = (random.random(rows) < 0.2).astype(float)
        for candidate, told in (("logistic", 1.5), ("login_recency", 0.0)):
            score = told * outcome + random.normal(size=rows)
            tables.append({"fold": fold, "candidate": candidate, "unit": np.arange(rows) // 2,
                           "outcome": outcome, "score": score})  # fmt: skip
    return pd.concat([pd.DataFrame(own) for own in tables], ignore_index=True)


def test_intervals_hold_the_average_precision_of_each_candidate_on_each_date():
    long = scored()
    found = timeline.intervals(long)
    assert found["fold"].tolist() == ["2025-01-01"] * 2 + ["2025-02-01"] * 2
    assert found["candidate"].tolist() == ["logistic", "login_recency"] * 2
    for one in found.to_dict("records"):
        own = long[(long["fold"] == one["fold"]) & (long["candidate"] == one["candidate"])]
        expected = metrics.average_precision(own["outcome"].to_numpy(), own["score"].to_numpy())
        assert one["value"] == pytest.approx(expected) and one["low"] < one["value"] < one["high"]
        assert one["base_rate"] == pytest.approx(own["outcome"].mean())


def test_intervals_are_wider_where_customers_of_a_unit_are_alike():
    single = scored()
    single = single[single["candidate"] == "logistic"]
    twice = pd.concat([single.assign(unit=np.arange(len(single)))] * 2, ignore_index=True)
    width = {name: (own["high"] - own["low"]).mean() for name, own in (
        ("together", timeline.intervals(twice)), ("apart", timeline.intervals(twice.assign(unit=np.arange(len(twice))))),
    )}  # fmt: skip
    assert width["together"] > 1.2 * width["apart"]


def test_dots_in_one_place_stand_apart_on_both_sides_and_stay_in_their_row():
    crowd = np.zeros(101)
    away = swarm.offsets(crowd, 1.0)
    assert len(np.unique(away)) == 101 and abs(away).max() <= 0.42 and away.sum() == pytest.approx(0)
    assert swarm.offsets(np.linspace(-1, 1, 10), 1.0).tolist() == [0.0] * 10


def test_the_shade_grows_lighter_with_the_rank_for_every_eye_and_an_unknown_is_white():
    shades = swarm.colours(pd.Series([0.0, 0.25, 0.5, 0.75, 1.0, np.nan]))
    grey = shades[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(grey) > 0).all() and grey[4] < 0.8 and grey[5] == pytest.approx(1)


class Fixed:
    """A bundle whose contributions are known."""

    def __init__(self, contributions: np.ndarray):
        self.given = contributions
        self.info = type("Info", (), {"features": COLUMNS})()

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        return self.given[: len(matrix)]


def test_families_sum_their_columns_and_rank_their_leading_feature():
    given = np.array([[1.0, -0.5, 0.0, -2.0], [-1.0, 0.0, 0.1, 2.0], [3.0, -0.5, -0.1, 2.0]])
    matrix = np.array([[5.0, 0, 100, 0], [1.0, 0, np.nan, 1], [9.0, 0, 300, 2]])
    found = families.families(Fixed(given), matrix)
    assert list(found.moves.index) == ["plan", "login", "tenure"]
    assert found.moves["login"] == pytest.approx((0.5 + 1 + 2.5) / 3)
    assert found.ranks["login"].tolist() == pytest.approx([2 / 3, 1 / 3, 1])
    assert found.ranks["plan"].isna().all() and np.isnan(found.ranks["tenure"][1])


def test_at_most_so_many_rows_are_explained_and_drawn():
    many = families.families(Fixed(np.ones((9_999, 4))), np.zeros((4_001, 4)))
    assert len(many.parts) <= families.SAMPLE
    assert swarm.swarm(many) == swarm.swarm(many)


def test_figures_are_told_with_the_digits_they_bear():
    assert [markup.money(value) for value in (None, 0.5, -99.99, 100, -12345.6)] == [
        "–",
        "0.50",
        "-99.99",
        "100",
        "-12,346",
    ]
    assert markup.number(float("nan"), ".1%") == "–" and markup.number(0.5, ".1%") == "50.0%"
    assert markup.row(["<b>"], ["1"]) == '<tr class=""><td>&lt;b&gt;</td><td class="number">1</td></tr>'
    assert markup.span(None, ".1%", why.words()["en"]) == "–"
    assert markup.worded("run `a <b>`, `") == "run <code>a &lt;b&gt;</code>, `"


def test_sections_without_material_say_so_in_both_languages():
    for lang in ("en", "ja"):
        said = why.words()[lang]
        nothing = type("Training", (), {"extras": Extras(hazard=pd.DataFrame())})()
        for told, reason in (
            (foot.hazard(nothing, said), "hazard_none"), (foot.checks(nothing, lang, said), "checks_none"),
            (foot.stages(nothing, said), "stages_none"),
        ):  # fmt: skip
            assert markup.worded(said["empty"].format(why=said[reason])) in told
    clean = type("Training", (), {"extras": Extras(findings=[])})()
    assert why.words()["en"]["checks_fine"].format(count=0) in foot.checks(clean, "en", why.words()["en"])


DATA = {
    "streams": {"login": {"table": "l.parquet", "at": "at", "value": "v", "entity": "e",
                          "label": {"en": "Log-ins", "ja": "ログイン"}}},
    "subscriptions": {"table": "s.parquet", "start": "a", "end": "b", "value": "v", "renewal": "r"},
    "customers": {"attributes": {"plan": {"type": "category", "changes": "c.parquet",
                                          "label": {"en": "Plan", "ja": "プラン"}}}},
}  # fmt: skip
LOGIN = {"streams": ["login"]}
OUTCOMES = [
    ({"kind": "inactivity", **LOGIN}, "no event in Log-ins for 90 days from the as-of date", "基準日から90日間、ログインが一度もないこと"),
    ({"kind": "event", "gap_days": 7, **LOGIN}, "an event in Log-ins, between 7 and 97 days after the as-of date",
     "ログインがあること（基準日の7日後から97日後まで）"),
    ({"kind": "subscription_end", "how": "non_renewal"}, "the subscription ends by not being renewed, between 0 and 90 days after the as-of date",
     "契約が終了すること（更新されない終了）（基準日の0日後から90日後まで）"),
    ({"kind": "new_entity", "stream": "login"}, "an event in Log-ins with something new to the customer (cross-sell), between 0 and 90 days after the as-of date",
     "ログインで、その顧客にとって新しい対象が現れること（クロスセル）（基準日の0日後から90日後まで）"),
    ({"kind": "increase", "stream": "login", "amount": 3}, "the sum of values of Log-ins over the period reaches 1.25 times the customer's own mean, and at least 3 more, between 0 and 90 days after the as-of date",
     "期間中のログインの合計額が、その顧客の平均の1.25倍以上に達し、かつその平均を3以上上回ること（基準日の0日後から90日後まで）"),
    ({"kind": "contraction"}, "the value of the subscriptions falls to 0.9 of its size or less while the service goes on, between 0 and 90 days after the as-of date",
     "サービスの利用が続いたまま、契約金額が元の0.9倍以下に減ること（基準日の0日後から90日後まで）"),
    ({"kind": "growth", "ratio": 1.1}, "the value of the subscriptions rises to at least 1.1 times its size and by at least 0, between 0 and 90 days after the as-of date",
     "契約金額が元の1.1倍以上になり、かつ0以上増えること（基準日の0日後から90日後まで）"),
    ({"kind": "upgrade", "attribute": "plan", "order": ["basic", "pro"]}, "Plan moves up in this order: basic → pro, between 0 and 90 days after the as-of date",
     "プランが次の順で上がること：basic → pro（基準日の0日後から90日後まで）"),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "english", "japanese"), OUTCOMES, ids=[own["kind"] for own, *_ in OUTCOMES])
def test_an_outcome_is_told_in_both_languages(tmp_path, outcome, english, japanese):
    path = configs(tmp_path, DATA, {"model": "churn", "outcome": None, "windows": {"days": [7, 28]}})
    text = yaml.safe_load(path.read_text("utf-8")) | {"outcome": {"horizon_days": 90, **outcome}}
    path.write_text(yaml.safe_dump(text), "utf-8")
    config = load(path, TrainConfig)
    told = [question.outcome(config, lang, card.words()[lang]) for lang in ("en", "ja")]
    assert told == [english, japanese]


@pytest.mark.parametrize(
    ("population", "english", "japanese"),
    [
        ({"seen": {"streams": ["login"], "days": 30}, "min_tenure_days": 28},
         "customers with an event in Log-ins within the last 30 days before the as-of date, known for at least 28 days",
         "基準日前30日以内にログインのある顧客（利用開始から28日以上）"),
        ({"subscription": "active", "seen": None}, "customers with an active subscription on the as-of date",
         "基準日に契約が有効な顧客"),
    ],
)  # fmt: skip
def test_a_population_is_told_in_both_languages(tmp_path, population, english, japanese):
    path = configs(tmp_path, DATA, {"model": "churn", "population": population, "windows": {"days": [7, 28]}})
    config = load(path, TrainConfig)
    assert [question.population(config, lang, card.words()[lang]) for lang in ("en", "ja")] == [english, japanese]


def test_codes_become_the_names_of_their_categories_again():
    own = frame(50)
    matrix = encode(own, COLUMNS)
    empty = np.zeros(50)
    again = families._frame(Rows(COLUMNS, matrix, empty, empty, empty, empty))
    assert np.array_equal(encode(again, COLUMNS), matrix, equal_nan=True)
    assert again["plan"].isna().any()
