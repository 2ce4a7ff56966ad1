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

from features.checks.findings import Finding
from features.config import load
from features.data_config import workspace
from tests.company import configs, logins, tables
from tests.unit.test_training_job import TRAINING, company, silent
from training import job
from training.__main__ import main
from training.bundle import seal
from training.config import TrainConfig
from training.grade import _letter, ungraded
from training.pages import charts, families, foot, page, timeline, why
from training.refit import refit
from training.versus import Lists, Versus
from training.worth.later import later
from training.worth.profit import profit
from training.worth.slices import slices
from training.worth.treated import treated

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


SECTIONS = [
    "tests", "changes", "reliability", "gains", "profit", "folds", "table", "families", "slices", "fairness", "treated",
    "hazard", "checks", "stages",
]  # fmt: skip


def sections(text: str) -> dict[str, ElementTree.Element]:
    """The sections of a page that have a name, in order."""
    return {e.get("id"): e for e in parsed(text).iter() if e.tag.endswith("}section") and e.get("id")}


def told_in(element: ElementTree.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def images(element: ElementTree.Element) -> list[ElementTree.Element]:
    return [e for e in element.iter() if e.tag.endswith("}img")]


@pytest.mark.parametrize("lang", LANGS)
def test_every_page_has_every_section_in_the_same_order_the_grade_before_all(training, lang):
    text = page.page(training, lang)
    assert list(sections(text)) == SECTIONS
    assert text.index('class="verdict') < text.index('id="tests"')


@pytest.mark.parametrize("lang", LANGS)
def test_a_section_without_anything_to_show_says_so(training, lang):
    nothing = why.words()[lang]["empty"].format(why="")
    for name, own in sections(page.page(training, lang)).items():
        shown = images(own) or [e for e in own.iter() if e.tag.endswith("}table")]
        assert shown or nothing in told_in(own) or name == "folds", name


def test_a_page_without_test_rows_says_why_in_place_of_pictures(nobody):
    own, reason = sections(page.page(nobody, "en")), why.words()["en"]["why"]["nobody"]
    assert [name for name in SECTIONS if images(own[name])] == ["folds"]
    named = ("tests", "reliability", "gains", "profit", "folds", "families", "slices", "fairness", "treated")
    assert [name for name in named if reason not in told_in(own[name])] == []


@pytest.mark.parametrize("lang", LANGS)
def test_pictures_are_missing_for_their_own_reason_not_for_that_of_the_grade(few, lang):
    told, reasons = plain(page.page(few, lang)), why.words()[lang]["why"]
    assert why.why(few.evaluation, why.words()[lang]) != [reasons["untested"]]
    own = sections(page.page(few, lang))
    for name in ("reliability", "gains", "folds"):
        assert reasons["untested"] in told_in(own[name]), name
    assert reasons["untested"] not in told_in(own["families"]) and reasons["untested"] in told


def test_where_only_rules_compete_the_best_rule_alone_is_drawn(graded):
    own = graded.evaluation
    tests, scored = own.tests[own.tests["candidate"] == own.rule], own.scored.drop(columns="score")
    alone = replace(own, chosen=None, tests=tests, scored=scored, grade=ungraded("too few"))
    training = page.gather(alone, refit(alone, silent))
    text = page.page(training, "en")
    assert set(training.pictures) == {"rolling", "precisions", "swarm", "reliability", "gains", "lift"}
    assert why.words()["en"]["grade_none"] in plain(text)
    assert f"{training.facts['metrics']['roc_auc']['value']:.3f}" in plain(text)


def test_the_table_holds_every_candidate_and_the_best_rule_of_every_fold(graded):
    own = graded.evaluation
    every = pd.concat([own.selection, own.tests])
    shown = every[~every["rule"].astype(bool) | (every["candidate"] == own.rule)]
    rows = [e for e in sections(page.page(graded, "en"))["table"].iter() if e.tag.endswith("}tr")][1:]
    precisions = [[cell.text for cell in row][5] for row in rows]
    assert precisions == [f"{value:.3f}" for value in shown["average_precision"]]


def test_the_page_needs_nothing_from_elsewhere_and_pictures_hold_numerals_alone(graded):
    tree = parsed(page.page(graded, "ja"))
    sources = [element.get("src") for element in images(tree)]
    assert len(sources) == 6 and all(source.startswith(BASE64) for source in sources)
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
    bundle = SimpleNamespace(info=SimpleNamespace(features=columns))
    training = SimpleNamespace(bundle=bundle, extras=page.Extras())
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
    assert charts.found(scored, "rule").tolist() == [0, 0.25, 0.75, 1]
    assert charts.rankings(scored) == ["rule"]


HOSTILE = '<script>alert("{0}")</script>＆\'{name}'
CALIBRATED = pd.DataFrame({
    "horizon": [30, 90, 180], "rows": [4000, 3900, 0], "predicted": [0.021, 0.0725, np.nan],
    "observed": [0.024, 0.1333, np.nan], "ece": [0.0041, 0.0517, np.nan], "allowed": [0.02, 0.025, np.nan],
})  # fmt: skip
FINDINGS = [
    Finding("usable rows", "ok", "", "fine", {"rows": 12_345}),
    Finding("usable rows", "warning", HOSTILE, "without_time", {"rows": 12, "share": 0.001}),
]
VERSUS = Versus(4, 4_900, 300, 0.2501, 0.2623, 0.0122, -0.0041, 0.0304)
LISTS = Lists("2025-11-01", 1_300, 140, 112, 9)


@pytest.fixture(scope="module")
def extras(graded):
    """Everything the lead of a run can hand over; the attribute has hostile values."""
    own, value = graded.evaluation, graded.evaluation.config.value
    rows = later(own.scored, own.served_scores, own.rows, value, own.config.outcome)
    random = np.random.default_rng(0)
    side = {"contacted": (random.random(len(rows)) < 0.3) * 1.0, "held_out": (random.random(len(rows)) < 0.3) * 1.0}
    rows = replace(rows, side=side)
    plan = pd.DataFrame({"plan": np.where(rows.score > np.median(rows.score), HOSTILE, "basic")})
    info = graded.bundle.info.model_copy(update={"grade": "B"})
    champion = seal(info, graded.bundle.model, graded.bundle.calibrator, graded.bundle.reference)
    return page.Extras(
        champion, VERSUS, LISTS, profit(rows, value, own.contacts), slices(rows, plan, value, own.contacts),
        treated(rows), CALIBRATED, FINDINGS, {"snapshot": 1.25, HOSTILE: 2.5, "report": 0.0},
    )  # fmt: skip


@pytest.fixture(scope="module")
def full(graded, extras):
    return page.gather(graded.evaluation, graded.bundle, extras)


@pytest.mark.parametrize("lang", LANGS)
def test_with_everything_at_hand_no_section_is_empty(full, lang):
    text, said = page.page(full, lang), why.words()[lang]
    own = sections(text)
    assert list(own) == SECTIONS
    assert [name for name in SECTIONS if said["empty"].format(why="") in told_in(own[name])] == []
    told = plain(text)
    assert "None" not in told and "nan" not in told.split() and not re.search(r"{[a-z_]*}", told.replace("{name}", ""))


@pytest.mark.parametrize("lang", LANGS)
def test_a_hostile_name_stays_text_wherever_it_is_shown(full, lang):
    text = page.page(full, lang)
    assert "<script" not in text
    for name in ("slices", "fairness", "checks", "stages"):
        assert HOSTILE in told_in(sections(text)[name]), name


def test_the_figures_on_the_page_are_those_that_were_handed_over(full, extras):
    own, found = {name: told_in(e) for name, e in sections(page.page(full, "en")).items()}, extras.profit
    assert [
        part for part in ("0.250", "0.262", "+0.012", "-0.004 to +0.030", "4,900", "20%") if part not in own["changes"]
    ] == []
    for day, at in found.dates.items():
        assert f"{day} {at.contacts:,.0f} {at.precision:.1%}" in own["profit"]
    assert f"{found.best.length:,} contacts" in own["profit"]
    for part in extras.slices.slices:
        assert f"{part.customers:,} {part.outcomes:,}" in own["slices"]
    assert "2.1% 2.4% 0.0041 0.0200 ✓" in own["hazard"] and "7.2% 13.3% 0.0517 0.0250 ✕" in own["hazard"]
    assert "12 rows (0.1%) have no time" in own["checks"] and "12,345" not in own["checks"]
    assert "total 3.8" in own["stages"] and "report" not in own["stages"]


def test_what_changed_depends_on_what_there_was(graded, full, extras):
    said = why.words()["en"]

    def told(**changes):
        own = replace(full, extras=replace(extras, **changes))
        return told_in(sections(page.page(own, "en"))["changes"])

    assert said["changes_first"] in told(champion=None)
    assert said["changes_same"].format(version=graded.bundle.version) in told(champion=graded.bundle)
    assert said["versus_none"] in told(versus=None) and said["lists_none"] in told(lists=None)
    assert said["versus_better"] in told(versus=replace(VERSUS, low=0.001))
    assert said["versus_worse"] in told(versus=replace(VERSUS, low=-0.3, high=-0.001))
    assert said["versus_few"].format(outcomes=49, least=50) in told(versus=replace(VERSUS, outcomes=49))
    champion = extras.champion
    asked = champion.info.outcome.model_copy(update={"horizon_days": 31})
    other = seal(
        champion.info.model_copy(update={"outcome": asked}), champion.model, champion.calibrator, champion.reference
    )
    assert said["other_question"] in told(champion=other) and "0.262" not in told(champion=other)


def test_families_of_a_champion_are_weighed_on_the_same_rows(full, extras, graded):
    assert full.before.to_dict() == pytest.approx(full.families.moves.to_dict())
    missing = graded.evaluation.rows.columns[:-1]
    rows = replace(graded.evaluation.rows, columns=missing, matrix=graded.evaluation.rows.matrix[:, :-1])
    assert families.before(extras.champion, rows) is None


def test_a_full_page_is_small(full):
    assert max(len(page.page(full, lang).encode()) for lang in LANGS) < 1_500_000


def test_a_backtest_shows_every_candidate_on_every_fold_with_its_interval(graded, tmp_path):
    own = graded.evaluation
    parts = [own.scored.assign(candidate=name, score=own.scored[column])
             for name, column in (("logistic", "score"), ("lightgbm", "score"), (own.rule, "rule"))]  # fmt: skip
    compared = replace(own, every=pd.concat(parts, ignore_index=True))
    page.write_backtest(compared, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backtest-ja.html", "backtest.html"]
    text = (tmp_path / "backtest.html").read_text("utf-8")
    assert parsed((tmp_path / "backtest-ja.html").read_text("utf-8")) is not None
    shown, found = sections(text), timeline.intervals(compared.every)
    assert list(shown) == ["tests", "folds", "measured", "table"] and len(images(shown["folds"])) == 2
    assert len(found) == 3 * own.scored["fold"].nunique()
    for one in found.to_dict("records"):
        assert f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" in told_in(shown["measured"])


def test_a_backtest_that_scored_nothing_says_why(nobody, tmp_path):
    page.write_backtest(nobody.evaluation, tmp_path)
    shown = sections((tmp_path / "backtest.html").read_text("utf-8"))
    reason = why.words()["en"]["why"]["nobody"]
    assert [name for name in ("tests", "folds", "measured") if reason not in told_in(shown[name])] == []


def test_a_table_of_one_day_is_graded_on_customers_and_no_a_is_said_to_be_passed(graded):
    own = graded.evaluation
    scored = own.scored.assign(fold="customers 1-5")
    crossed = replace(own, scored=scored, grade=replace(own.grade, letter="B"))
    training = page.gather(crossed, graded.bundle)
    assert "rolling" not in training.pictures
    for lang in LANGS:
        said, shown = why.words()[lang], sections(page.page(training, lang))
        assert said["folds_none"] in told_in(shown["folds"])
        assert said["why"]["dated"] in why.why(crossed, said)
        assert said["by_customers"] in told_in(shown["tests"])


@pytest.mark.parametrize("lang", LANGS)
def test_a_table_of_one_day_speaks_of_customers_and_not_of_test_dates(full, lang):
    own = full.evaluation
    scored, selection = own.scored.assign(fold="customers 1-5"), own.selection.assign(fold="customers 1/5")
    tests = own.tests.assign(fold="customers 1-5")
    crossed = replace(own, scored=scored, selection=selection, tests=tests, folds=replace(own.folds, selection=()))
    told = plain(page.page(page.gather(crossed, full.bundle), lang))
    assert ("test dates" if lang == "en" else "評価日") not in told
    assert why.words()[lang]["crossed"]["table_key"] in told


@pytest.mark.parametrize("lang", LANGS)
def test_choosing_by_customers_is_said_and_hollow_marks_are_explained_only_where_drawn(graded, lang):
    own, said = graded.evaluation, why.words()[lang]
    parted = replace(own, selection=own.selection.assign(fold="customers 1/3"), folds=replace(own.folds, selection=()))
    backtest = plain(page.backtest(page.gather(parted, None), lang))
    assert said["parted"]["table_key"] in backtest and said["table_key"] not in backtest
    hollow = "hollow" if lang == "en" else "白抜き"
    assert hollow not in backtest and hollow in plain(page.backtest(graded, lang))


@pytest.mark.parametrize("lang", LANGS)
def test_a_served_rule_has_its_own_calibration_told(graded, ruled, lang):
    own, said = ruled.evaluation, why.words()[lang]
    error = own.metrics["ece"]
    assert f"{error.value:.4f}" in told_in(sections(page.page(ruled, lang))["tests"])
    assert why.served_calibration(graded.evaluation, said) == []
    bad = replace(own, scored=own.scored.assign(rule=(own.scored["rule"] + 0.4).clip(0, 1)))
    (line,) = why.served_calibration(bad, said)
    assert f"{bad.metrics['ece'].value:.1%}" in line and f"{bad.metrics['ece'].value:.1%}" != f"{error.value:.1%}"
    assert f"{error.value:.1%}" not in " ".join(why.served_calibration(own, said))


@pytest.mark.parametrize("lang", LANGS)
def test_gains_say_that_the_score_alone_ranks_and_tiles_say_which_dates(full, lang):
    text, said = page.page(full, lang), why.words()[lang]
    assert said["capacity_key"] in told_in(sections(text)["gains"])
    assert said["tile_base_rate"] in plain(text) and said["tile_had"] in plain(text)
    part = next(one for one in full.extras.slices.slices if one.gap)
    assert f"{100 * part.gap.value:+.1f}{said['point']}" in told_in(sections(text)["slices"])


@pytest.mark.parametrize("lang", LANGS)
def test_a_curve_that_fails_is_named_and_silence_is_told_as_what_it_is(full, lang):
    said, own = why.words()[lang], full.evaluation
    assert said["hazard_failed"].format(days=90) in told_in(sections(page.page(full, lang))["hazard"])
    fine = replace(full.extras, hazard=CALIBRATED.iloc[[0, 2]])
    assert foot.off(fine.hazard, said) == [] and foot.off(None, said) == []
    outcome = own.config.outcome.model_copy(update={"kind": "inactivity"})
    ended = own.config.outcome.model_copy(update={"kind": "subscription_end"})
    for kind, key in ((outcome, "hazard_key_silent"), (ended, "hazard_key")):
        changed = replace(own, config=own.config.model_copy(update={"outcome": kind}))
        assert said[key] in markup_of(foot.hazard(replace(full, evaluation=changed), said))


def markup_of(text: str) -> str:
    return " ".join(parsed(text).itertext())


@pytest.mark.parametrize("lang", LANGS)
def test_the_gravest_come_first_only_where_there_are_findings(full, lang):
    said = why.words()[lang]
    clean = replace(full, extras=replace(full.extras, findings=FINDINGS[:1]))
    order = "gravest" if lang == "en" else "重大"
    assert order in foot.checks(full, lang, said) and order not in foot.checks(clean, lang, said)


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
    assert {"report/report.html", "report/report-ja.html", "report/card.json", "report/card-ja.html"} <= kept
