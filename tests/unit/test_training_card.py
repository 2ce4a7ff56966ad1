"""The model card: the same keys whatever happened, the figures of the evaluation, its limits in both languages."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.unit.test_training_page import (
    HOSTILE,
    LANGS,
    few,
    graded,
    leaves,
    nobody,
    parsed,
    plain,
    ruled,
    sections,
    told_in,
    world,
)
from training.info import Metric
from training.pages import card, why
from training.pages.material import Extras
from training.worth.later import later
from training.worth.profit import profit
from training.worth.slices import Slice, Slices
from training.worth.treated import Group, Treated

__all__ = ["few", "graded", "nobody", "ruled", "world"]  # fixtures

SHARE = Metric(value=0.25, low=0.125, high=0.375)
SMALL = Slice("plan", "other", "", 9, 4, 1, True)
LARGE = Slice("plan", "value", HOSTILE, 900, 400, 80, False, 0.11, 0.12, 0.3, 0.8, SHARE, SHARE, SHARE)
GROUPS = {"held_out": Group(30, 22, 3, False, 0.1, SHARE, SHARE, 0.02, 0.05)}
EXTRAS = Extras(slices=Slices((LARGE, SMALL), ()),
                treated=Treated("keeps", 900, 90, 30, 2, GROUPS, None, None, "few"))  # fmt: skip


@pytest.fixture(params=["graded", "ruled", "few", "nobody"])
def training(request):
    return request.getfixturevalue(request.param)


def shape(own, path: str = "") -> set[str]:
    """The paths of the keys two deep; what is below depends on the candidate, the rule and the features."""
    return {f"{path}{key}" for key in own} | {
        f"{key}.{below}" for key, value in own.items() if isinstance(value, dict) and key in NESTED for below in value
    }


NESTED = ("served", "data", "population", "outcome", "features", "folds", "grade", "slices", "contacts", "limits")


def test_both_languages_say_the_same_things_with_the_same_numbers():
    english, japanese = (dict(leaves(card.words()[lang])) for lang in LANGS)
    assert list(english) == list(japanese)
    for key, text in english.items():
        both = [[text], [japanese[key]]] if isinstance(text, str) else [text, japanese[key]]
        assert len(both[0]) == len(both[1]), key
        holes = [sorted(part.split("}")[0].split(":")[0] for part in "".join(own).split("{")[1:]) for own in both]
        assert holes[0] == holes[1], key


def test_the_keys_are_the_same_whatever_happened(training, graded):
    made = card.card(training.evaluation, training.bundle)
    assert shape(made) == shape(card.card(graded.evaluation, graded.bundle, EXTRAS))
    assert json.loads(json.dumps(made, allow_nan=False)) == made


@pytest.mark.parametrize("lang", LANGS)
def test_every_training_gets_a_whole_card(training, lang):
    made = card.card(training.evaluation, training.bundle)
    text = card.carded.html(made, lang, card.words()[lang])
    told = plain(text)
    shown = " ".join(told_in(own) for own in sections(text).values())
    assert f'lang="{lang}"' in text and "None" not in told and "{" not in shown and "nan" not in told.split()
    expected = [
        *made["grade"]["reasons"][lang],
        *made["limits"][lang],
        *made["contacts"][lang],
        made["population"][lang],
    ]
    assert [sentence for sentence in expected if sentence not in told] == []


def test_the_figures_are_those_of_the_evaluation(graded):
    own, made = graded.evaluation, card.card(graded.evaluation, graded.bundle)
    assert made["metrics"] == {name: metric.model_dump() for name, metric in own.metrics.items()}
    assert made["grade"]["letter"] == own.grade.letter and made["grade"]["figures"] == own.grade.figures
    assert made["data"]["rows"] == len(own.rows) and made["data"]["fingerprint"] == own.fingerprint
    assert made["data"]["customers"] == len(set(own.rows.customer))
    assert made["version"] == graded.bundle.version and made["versions"] == graded.bundle.info.versions
    assert made["folds"]["test"] == [fold.test.isoformat() for fold in own.folds.test]
    leading = graded.families.moves
    assert [one["family"] for one in made["features"]["leading"]] == list(leading.index[:12])
    told = plain(card.carded.html(made, "en", card.words()["en"]))
    for metric in own.metrics.values():
        assert f"{metric.value:.3f}" in told or f"{metric.value:.4f}" in told


def test_limits_speak_of_what_was_and_was_not_known(graded, ruled, nobody):
    said = card.words()["en"]

    def limits(training, extras=None):
        return card.card(training.evaluation, training.bundle, extras)["limits"]["en"]

    assert said["limit_cause"] in limits(graded) and said["limit_uplift"] in limits(graded)
    assert said["limit_rule"].format(rule=ruled.evaluation.rule) in limits(ruled)
    assert said["limit_rule"].format(rule=graded.evaluation.rule) not in limits(graded)
    assert said["limit_undated"] in limits(nobody) and said["limit_undated"] not in limits(graded)
    assert said["limit_few"].format(names="plan (all other)") in limits(graded, EXTRAS)
    unheld = replace(graded.evaluation, config=graded.evaluation.config.model_copy(update={"holdout": 0.0}))
    assert said["limit_contacts"] in card.card(unheld, graded.bundle)["limits"]["en"]
    crossed = replace(graded.evaluation, scored=graded.evaluation.scored.assign(fold="customers 1-5"))
    made = card.card(crossed, graded.bundle)
    assert said["limit_crossed"] in made["limits"]["en"] and made["folds"]["kind"] == "customers"
    assert made["folds"]["test"] == []


@pytest.mark.parametrize("lang", LANGS)
def test_a_hostile_name_stays_text(graded, lang, tmp_path):
    card.write(graded.evaluation, graded.bundle, EXTRAS, tmp_path)
    text = (tmp_path / card.FILES[lang]).read_text("utf-8")
    assert "<script" not in text and HOSTILE in plain(text) and parsed(text) is not None
    assert "25.0% " in plain(text) and "12.5%" in plain(text)


def test_a_card_is_three_files_and_the_same_again(graded, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        card.write(graded.evaluation, graded.bundle, EXTRAS, tmp_path / name)
    names = ["card-ja.html", "card.html", "card.json"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    assert [
        name for name in names if (tmp_path / "one" / name).read_bytes() != (tmp_path / "two" / name).read_bytes()
    ] == []


@pytest.mark.parametrize("lang", LANGS)
def test_the_registry_is_told_the_grade_the_question_the_figures_and_the_limits(graded, lang):
    made = card.card(graded.evaluation, graded.bundle)
    text = card.description(made, lang)
    for part in (
        made["grade"]["heading"][lang],
        made["outcome"][lang],
        *made["limits"][lang],
        why.words()[lang]["roc_auc"],
    ):
        assert part in text
    assert len(text) < 5_000 and made["summary"] == card.description(made, "en")
    tags = card.tags(made)
    assert tags["card_rows"] == str(len(graded.evaluation.rows)) and tags["card_tested"] == "dates"
    assert all(isinstance(value, str) for value in tags.values())


def test_a_slice_without_figures_is_null_in_json_and_a_dash_on_the_page(graded):
    made = card.card(graded.evaluation, graded.bundle, EXTRAS)
    large, small = made["slices"]["parts"]
    assert small["gap"] is None and large["gap"] == SHARE.model_dump() and np.isclose(large["base_rate"], 0.11)
    rows = [e for e in parsed(card.carded.html(made, "en", card.words()["en"])).iter() if e.tag.endswith("}tr")]
    (told,) = [[cell.text for cell in row] for row in rows if row[1].text == "(all other)"]
    assert told[2:] == ["4", "1", *["–"] * 5] and pd.isna(small["base_rate"]) is True


@pytest.mark.parametrize("lang", LANGS)
def test_the_card_has_the_figures_of_the_published_list_beside_those_by_score(graded, lang):
    own = graded.evaluation
    rows = later(own.scored, own.served_scores, own.rows, own.config.value, own.config.outcome)
    found = profit(rows, own.config.value, own.contacts)
    made, said = card.card(own, graded.bundle, Extras(profit=found)), card.words()[lang]
    assert made["list_at_capacity"]["precision"] == round(found.mean.precision, 6)
    told = told_in(sections(card.carded.html(made, lang, said))["metrics"])
    before, beside = told.split(said["list_at_capacity"])
    assert said["at_capacity"].format(contacts=own.contacts) in before and f"{found.mean.found:.1%}" in beside
    assert card.card(own, graded.bundle)["list_at_capacity"] is None


@pytest.mark.parametrize("lang", LANGS)
def test_choosing_by_customers_is_not_called_choosing_on_no_date(graded, lang):
    own = graded.evaluation
    parted = replace(own, selection=own.selection.assign(fold="customers 1/3"), folds=replace(own.folds, selection=()))
    made, said = card.card(parted, graded.bundle), card.words()[lang]
    told = told_in(sections(card.carded.html(made, lang, said))["folds"])
    assert made["folds"]["chosen"] == "customers" and said["folds_parted"].split("{")[0] in told
    assert card.card(own, graded.bundle)["folds"]["chosen"] in ("dates", "customers")


def test_limits_name_a_served_rule_that_is_off_and_a_curve_that_fails(ruled):
    hazard = pd.DataFrame({"horizon": [30, 90], "ece": [0.01, 0.06], "allowed": [0.03, 0.04]})
    limits = card.card(ruled.evaluation, ruled.bundle, Extras(hazard=hazard))["limits"]["en"]
    assert why.words()["en"]["hazard_failed"].format(days=90) in limits
    assert why.served_calibration(ruled.evaluation, why.words()["en"])[0] in limits
