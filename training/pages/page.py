"""One training as one self-contained page, in English and Japanese: grade, what changed, pictures, money, groups."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from features.config import Language
from training import evaluate, report
from training.bundle import Bundle
from training.job import Evaluation
from training.pages import changes, charts, dates, families, foot, groups, judged, money, swarm
from training.pages.families import labels
from training.pages.markup import cells, empty, image, paragraph, section, shell
from training.pages.material import Extras, Training
from training.pages.why import suited, unscored, words

__all__ = ["BACKTEST", "FILES", "Extras", "Training", "gather", "labels", "page", "write", "write_backtest"]

FILES: dict[Language, str] = {"en": "report.html", "ja": "report-ja.html"}
BACKTEST: dict[Language, str] = {"en": "backtest.html", "ja": "backtest-ja.html"}


def write(evaluation: Evaluation, bundle: Bundle | None, folder: Path, extras: Extras | None = None) -> None:
    """Write report.html and report-ja.html."""
    training = gather(evaluation, bundle, extras)
    for lang, name in FILES.items():
        (folder / name).write_text(page(training, lang), encoding="utf-8")


def write_backtest(evaluation: Evaluation, folder: Path) -> None:
    """Write backtest.html and backtest-ja.html: every candidate on every fold; nothing was refitted."""
    found = dates.intervals(evaluation)
    training = Training(evaluation, None, report.summary(evaluation), dates.pictures(evaluation, found), found)
    for lang, name in BACKTEST.items():
        (folder / name).write_text(backtest(training, lang), encoding="utf-8")


def gather(evaluation: Evaluation, bundle: Bundle | None, extras: Extras | None = None) -> Training:
    """The facts, the pictures and the families of a training."""
    own, found, before = extras or Extras(), None, None
    intervals = dates.intervals(evaluation)
    pictures = dates.pictures(evaluation, intervals)
    if bundle and evaluation.served:
        positions = evaluate.inputs(evaluation.served, evaluation.rows)
        found = families.families(bundle, evaluation.rows.matrix[:, positions])
        pictures["swarm"] = swarm.swarm(found)
    if own.champion and bundle and own.champion.version != bundle.version:
        before = families.before(own.champion, evaluation.rows)
    if len(evaluation.scored):
        scored, scores = evaluation.scored, evaluation.served_scores
        pictures["reliability"] = charts.reliability(scored["outcome"].to_numpy(), scores)
        pictures["gains"] = charts.gains(scored, evaluation.contacts)
        pictures["lift"] = charts.lift(scored, evaluation.contacts)
    if own.profit:
        pictures["profit"] = charts.profit(own.profit)
    return Training(evaluation, bundle, report.summary(evaluation), pictures, intervals, found, before, own)


def page(training: Training, lang: Language) -> str:
    """The whole page of a training as well-formed HTML."""
    said = suited(training.evaluation, words()[lang])
    return shell(lang, _title(training, said, "title"), _sections(training, lang, said))


def backtest(training: Training, lang: Language) -> str:
    """The whole page of a backtest as well-formed HTML."""
    own = training.evaluation
    said = suited(own, words()[lang])
    parts = [judged.about(training, said), judged.graded(training, said), judged.tests(training, said)]
    parts += [
        dates.folds(own, training.pictures, said),
        dates.measured(own, training.intervals, said),
        dates.every(own, said),
    ]
    return shell(lang, _title(training, said, "backtest_title"), parts)


def _title(training: Training, said: dict[str, Any], name: str) -> str:
    config = training.evaluation.config
    return f"{said[name]}{said['colon']}{config.data.name} / {config.model}"


def _sections(training: Training, lang: Language, said: dict[str, Any]) -> Iterator[str]:
    own = training.evaluation
    none = unscored(own, said) if own.scored.empty else ""
    yield judged.about(training, said)
    yield judged.verdict(training, said)
    yield judged.figures(training, said)
    yield judged.tests(training, said)
    yield changes.told(training, lang, said)
    yield _reliability(training, said)
    yield _gains(training, said)
    yield money.told(training, lang, said, none or said["not_made"])
    yield dates.folds(own, training.pictures, said)
    yield dates.every(own, said)
    yield families.told(training, lang, said, none or said["served_nothing"])
    yield groups.slices(training, lang, said, none or said["not_made"])
    yield groups.fairness(training, lang, said, none or said["not_made"])
    yield groups.treated(training, lang, said, none or said["not_made"])
    yield foot.hazard(training, said)
    yield foot.checks(training, lang, said)
    yield foot.stages(training, said)


def _reliability(training: Training, said: dict[str, Any]) -> str:
    source = training.pictures.get("reliability")
    if source is None:
        return empty(said, "reliability", unscored(training.evaluation, said))
    return section(said, "reliability", image(source, said["reliability_alt"]))


def _gains(training: Training, said: dict[str, Any]) -> str:
    """Gains and lift by contacts, and what is reached at capacity."""
    if "gains" not in training.pictures:
        return empty(said, "gains", unscored(training.evaluation, said))
    reached = training.facts["at_capacity"].items()
    boxes = cells((said[name], escape(format(value, judged.DIGITS[name]))) for name, value in reached)
    drawn = image(training.pictures["gains"], said["gains_alt"])
    lifted = paragraph(said["lift_key"]) + image(training.pictures["lift"], said["lift_alt"])
    return section(said, "gains", drawn + lifted + paragraph(said["capacity_key"]) + boxes)
