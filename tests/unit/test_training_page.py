"""The page of a training: the grade and its reasons, the same in both languages, whatever the data allow."""

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from features.config import load
from features.data_config import workspace
from tests.company import configs, logins, tables
from tests.unit.test_training_job import TRAINING, company, silent
from training import charts, job, page, why
from training.__main__ import main
from training.config import TrainConfig
from training.grade import _letter, ungraded
from training.refit import refit

BASE64 = "data:image/svg+xml;base64,"
LANGS = ["en", "ja"]
AS_OF = {"every": "28d", "test_dates": 4, "first": "2025-03-03"}


def parsed(text: str) -> ElementTree.Element:
    """The page as a tree. Raises ParseError unless every tag is closed in order."""
    return ElementTree.fromstring(text)


def plain(text: str) -> str:
    return " ".join(" ".join(parsed(text).itertext()).split())


def judged(config, made) -> page.Training:
    evaluation = job.evaluate(config, made, silent)
    return page.gather(evaluation, refit(evaluation, silent))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A company with a label that HTML must not take for its own."""
    folder = tmp_path_factory.mktemp("page")
    tables(folder, **company(customers=400))
    label = {"en": "Tickets <b> & more", "ja": '問い合わせ<b>＆"他"'}
    streams = {"ticket": {"table": "tickets.parquet", "at": "at", "label": label}}
    config = load(configs(folder, {"streams": streams}, {**TRAINING, "as_of": AS_OF}), TrainConfig)
    return config, job.snapshot(config, silent)


@pytest.fixture(scope="module")
def graded(world):
    return judged(*world)


@pytest.fixture(scope="module")
def ruled(world):
    """Outcomes that no feature knows: a C, and the rule is the bundle."""
    config, made = world
    random, frame = np.random.default_rng(0), made.frame
    shuffled = frame.groupby("as_of")["outcome"].transform(lambda own: random.permutation(own.to_numpy()))
    return judged(config, replace(made, frame=frame.assign(outcome=shuffled)))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return of_logins(tmp_path_factory.mktemp("few"), *logins(customers=40))


@pytest.fixture(scope="module")
def nobody(tmp_path_factory):
    people, events = logins(customers=30)
    active = events[~events["id"].isin([f"c{n:03}" for n in range(0, 30, 5)])]
    return of_logins(tmp_path_factory.mktemp("nobody"), people, active)


def of_logins(folder, people: pd.DataFrame, events: pd.DataFrame) -> page.Training:
    tables(folder, customers=people, logins=events)
    config = load(configs(folder, {}, TRAINING), TrainConfig)
    return judged(config, job.snapshot(config, silent))


KINDS = ["graded", "ruled", "few", "nobody"]


@pytest.fixture(params=KINDS)
def training(request):
    return request.getfixturevalue(request.param)


def leaves(words, path: str = "") -> Iterator[tuple[str, str]]:
    for key, own in words.items():
        yield from leaves(own, f"{path}{key}.") if isinstance(own, dict) else [(f"{path}{key}", own)]


def test_both_languages_say_the_same_things_with_the_same_numbers():
    english, japanese = (dict(leaves(why.words()[lang])) for lang in LANGS)
    assert list(english) == list(japanese)
    holes = {lang: {key: sorted(re.findall(r"{[^}]*}", text)) for key, text in own.items()}
             for lang, own in (("en", english), ("ja", japanese))}  # fmt: skip
    assert holes["en"] == holes["ja"]


@pytest.mark.parametrize("lang", LANGS)
def test_every_training_gets_a_whole_page_with_its_grade_and_reasons(training, lang):
    text, said = page.page(training, lang), why.words()[lang]
    told, own = plain(text), training.evaluation
    heading = said[f"grade_{own.grade.letter}"] if own.grade.figures else said["grade_none"]
    assert heading in told and training.evaluation.config.model in told
    assert [reason for reason in why.why(own, said) if reason not in told] == []
    assert f'lang="{lang}"' in text and "None" not in told and "nan" not in told.split()


@pytest.mark.parametrize("lang", LANGS)
def test_figures_have_their_intervals_and_capacity_its_numbers(graded, lang):
    told, facts = plain(page.page(graded, lang)), graded.facts
    for name, digits in (("roc_auc", 3), ("average_precision", 3), ("ece", 4), ("brier", 4)):
        assert [part for part in facts["metrics"][name].values() if f"{part:.{digits}f}" not in told] == []
    reached = facts["at_capacity"]
    shown = (f"{reached['precision']:.1%}", f"{reached['found']:.1%}", f"{reached['lift']:.2f}")
    assert [value for value in shown if value not in told] == []


def test_what_is_served_is_named(graded, ruled, nobody):
    said = why.words()["en"]
    assert said["candidates"][graded.evaluation.chosen] in plain(page.page(graded, "en"))
    assert said["served_rule"].format(rule=ruled.evaluation.rule) in plain(page.page(ruled, "en"))
    assert nobody.bundle is None and said["served_nothing"] in plain(page.page(nobody, "en"))


def test_a_page_without_test_rows_says_why_in_place_of_pictures(nobody):
    text = page.page(nobody, "en")
    assert not [element for element in parsed(text).iter() if element.tag.endswith("img")]
    assert plain(text).count(why.words()["en"]["why"]["nobody"]) == 5


@pytest.mark.parametrize("lang", LANGS)
def test_pictures_are_missing_for_their_own_reason_not_for_that_of_the_grade(few, lang):
    told, reasons = plain(page.page(few, lang)), why.words()[lang]["why"]
    assert why.why(few.evaluation, why.words()[lang]) != [reasons["untested"]]
    assert told.count(reasons["untested"]) == 3


def test_where_only_rules_compete_the_best_rule_alone_is_drawn(graded):
    own = graded.evaluation
    tests, scored = own.tests[own.tests["candidate"] == own.rule], own.scored.drop(columns="score")
    alone = replace(own, chosen=None, tests=tests, scored=scored, grade=ungraded("too few"))
    training = page.gather(alone, refit(alone, silent))
    text = page.page(training, "en")
    assert len(training.pictures) == 3 and why.words()["en"]["grade_none"] in plain(text)
    assert f"{training.facts['metrics']['roc_auc']['value']:.3f}" in plain(text)


def test_the_table_holds_every_candidate_and_the_best_rule_of_every_fold(graded):
    own = graded.evaluation
    every = pd.concat([own.selection, own.tests])
    shown = every[~every["rule"].astype(bool) | (every["candidate"] == own.rule)]
    (table,) = [e for e in parsed(page.page(graded, "en")).iter() if "folds" in e.get("class", "").split()]
    rows = [e for e in table.iter() if e.tag.endswith("}tr")][1:]
    precisions = [[cell.text for cell in row][5] for row in rows]
    assert precisions == [f"{value:.3f}" for value in shown["average_precision"]]


def test_the_page_needs_nothing_from_elsewhere_and_pictures_hold_numerals_alone(graded):
    tree = parsed(page.page(graded, "ja"))
    sources = [element.get("src") for element in tree.iter() if element.tag.endswith("img")]
    assert len(sources) == 3 and all(source.startswith(BASE64) for source in sources)
    assert not [element for element in tree.iter() if element.tag.endswith(("script", "link", "iframe"))]
    assert not [element for element in tree.iter() if element.get("href")]
    for source in sources:
        picture = ElementTree.fromstring(b64decode(source.removeprefix(BASE64)))
        texts = ["".join(element.itertext()) for element in picture.iter() if element.tag.endswith("}text")]
        assert texts and set("".join(texts)) <= set("0123456789-–−,.% \n")


def test_labels_are_text_and_never_markup(graded):
    japanese = page.page(graded, "ja")
    assert escape('問い合わせ<b>＆"他"') in japanese and "問い合わせ<b>" not in japanese
    assert escape("Tickets <b> & more") in page.page(graded, "en")


def test_families_that_are_called_the_same_are_told_apart():
    def column(family, **label):
        return {"family": family, "label": label}

    columns = [column("login", en="Log-ins"), column("login_user", en="Log-ins"), column("plan", en="Plan")]
    training = SimpleNamespace(bundle=SimpleNamespace(info=SimpleNamespace(features=columns)))
    names = {"login": "Log-ins (login)", "login_user": "Log-ins (login_user)", "plan": "Plan"}
    assert page.labels(training, "en") == names
    assert page.labels(training, "ja") == {family: family for family in names}


def test_the_same_training_gives_the_same_page(graded):
    again = page.gather(graded.evaluation, graded.bundle)
    assert page.page(again, "ja") == page.page(graded, "ja")


GOOD = {
    "ap_model": 0.4, "ap_rule": 0.2, "gain": 0.2, "gain_low": 0.15, "gain_high": 0.25, "surplus_low": 0.2,
    "dates": 4, "dates_better": 4, "ece": 0.01, "ece_of_a_perfect_model": 0.005,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, set()),
        ({"surplus_low": 0.1}, set()),
        ({"surplus_low": 0.09}, {"surplus"}),
        ({"gain_low": 0.0}, {"gain"}),
        ({"dates_better": 3}, set()),
        ({"dates_better": 2}, {"dates"}),
        ({"ece": 0.02}, {"ece"}),
        ({"ece": 0.04}, {"ece"}),
        ({"surplus_low": -0.1, "gain_low": -0.1, "dates_better": 0, "ece": 0.5}, {"surplus", "gain", "dates", "ece"}),
    ],
)
def test_the_tests_on_the_page_lead_to_the_letter_of_the_grade(change, failed):
    figures, given = GOOD | change, _letter(GOOD | change)
    passed = why.passes(figures)
    assert {test for test, own in passed.items() if not own["A"]} == failed
    letters = [letter for letter in "AB" if all(own[letter] for own in passed.values())]
    assert (letters or ["C"])[0] == given.letter


def test_gains_count_the_outcomes_found_from_the_best_ranked_on():
    scored = pd.DataFrame({
        "fold": ["1", "1", "1", "2", "2", "2", "2"], "outcome": [1.0, 0, 1, 0, 1, 0, 0],
        "rule": [3.0, 2, 1, 4, 3, 2, 1],
    })  # fmt: skip
    assert charts._found(scored, "rule").tolist() == [0, 0.25, 0.75, 1]
    assert charts.rankings(scored) == ["rule"]
    lines = charts.precisions(scored)
    assert lines["base"].tolist() == pytest.approx([2 / 3, 1 / 4])
    assert lines["rule"].tolist() == pytest.approx([(1 + 2 / 3) / 2, 1 / 2])


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")
def test_train_puts_both_pages_into_the_workspace_and_keeps_them_with_the_run(tmp_path, capsys):
    import mlflow

    people, events = logins(customers=40)
    tables(tmp_path, customers=people, logins=events)
    path = configs(tmp_path, {"name": "paged"}, TRAINING)
    assert main(["train", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    home = workspace(load(path, TrainConfig).data)
    assert lines[-2] == f"report: {home / 'report-churn.html'}" and lines[-1].startswith("Next: ")
    pages = {
        lang: (home / name).read_text("utf-8")
        for lang, name in zip(LANGS, ("report-churn.html", "report-churn.ja.html"))
    }
    assert all(f'lang="{lang}"' in text and parsed(text) is not None for lang, text in pages.items())
    client = mlflow.MlflowClient(f"sqlite:///{home.resolve() / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("paged-churn").experiment_id])
    kept = {item.path for item in client.list_artifacts(run.info.run_id, "report")}
    assert {"report/report.html", "report/report-ja.html"} <= kept
