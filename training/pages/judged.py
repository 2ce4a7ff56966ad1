"""What was graded and how: the letter with its reasons, the figures, the tests behind the grade."""

from html import escape
from typing import Any

from training import grade
from training.job import Evaluation
from training.pages.markup import cells, empty, head, listed, paragraph, section, span, table
from training.pages.material import Training
from training.pages.why import cross_validated, limit, passes, served_calibration, why

DIGITS = {
    "rows": ",.0f", "base_rate": ".1%", "average_precision": ".3f", "roc_auc": ".3f", "drift": "+.4f",
    "brier": ".4f", "precision": ".1%", "found": ".1%", "lift": ".2f", "ece": ".4f", "contacts": ",.0f",
}  # fmt: skip


def about(training: Training, said: dict[str, Any]) -> str:
    dates, rows = training.facts["dates"]["mature"], training.facts["rows"]
    version = training.bundle.version if training.bundle else said["no_bundle"]
    if cross_validated(training.evaluation) or not dates:
        text = said["about_undated"].format(rows=rows, version=version)
    else:
        tests = len(training.facts["dates"]["test"])
        first, last = dates[0], dates[-1]
        text = said["about"].format(
            rows=rows, dates=len(dates), first=first, last=last, tests=tests, version=version
        )  # fmt: skip
    return f'<p class="about">{escape(text)}</p>'


def verdict(training: Training, said: dict[str, Any]) -> str:
    own = training.evaluation
    letter, rule, served = own.grade.letter, own.rule or "", own.served
    level = "error" if not training.bundle else "warning" if letter == "C" else "ok"
    kind = "nothing" if not training.bundle else "rule" if served == rule else "model"
    text = said[f"served_{kind}"].format(name=said["candidates"].get(served, served), rule=rule)
    return (
        f'<section class="verdict {level}"><p class="mark">{letter}</p><div><h2>{escape(heading(own, said))}</h2>'
        f"{listed(why(own, said))}{paragraph(text)}</div></section>"
    )


def graded(training: Training, said: dict[str, Any]) -> str:
    """The verdict of a backtest, of which nothing is served."""
    own = training.evaluation
    level = "warning" if own.grade.letter == "C" else "ok"
    named = said["backtest_about"].format(
        name=said["candidates"].get(own.chosen, own.chosen or said["no_bundle"]), rule=own.rule or said["no_bundle"]
    )
    return (
        f'<section class="verdict {level}"><p class="mark">{own.grade.letter}</p><div>'
        f"<h2>{escape(heading(own, said))}</h2>{listed(why(own, said))}{paragraph(named)}</div></section>"
    )


def heading(own: Evaluation, said: dict[str, Any]) -> str:
    """The grade in one sentence."""
    return said[f"grade_{own.grade.letter}"] if own.grade.figures else said["grade_none"]


def figures(training: Training, said: dict[str, Any]) -> str:
    facts = training.facts
    pairs = [(said["tile_base_rate"], f"{facts['base_rate']:.1%}")]
    pairs += [(said["tile_had"], f"{facts['customers_with_outcome']:,}")]
    pairs += [(said[name], span(own, DIGITS[name], said)) for name, own in training.evaluation.metrics.items()]
    note = said["figures_key"] if facts["metrics"] else said["no_figures"]
    return f"<section>{cells(pairs)}{paragraph(note)}</section>"


def tests(training: Training, said: dict[str, Any]) -> str:
    """The tests of the grade; where nothing was graded, why."""
    own = training.evaluation
    served = served_calibration(own, said) if training.bundle else []
    if not own.grade.figures:
        return empty(said, "tests", " ".join([*why(own, said), *served]))
    shown, rows = _shown(own.grade.figures, said), []
    for test, passed in passes(own.grade.figures, not cross_validated(own)).items():
        level = "ok" if passed["A"] else "warning" if passed["B"] else "error"
        marks = "\u3000".join(f"{'✓' if passed[letter] else '✕'}\u00a0{letter}" for letter in "AB")
        told = "".join(f"<td>{escape(cell)}</td>" for cell in (said[f"test_{test}"], *shown[test], marks))
        rows.append(f'<tr class="{level}">{told}</tr>')
    named = head(said[name] for name in ("test", "found_value", "needed_A", "needed_B", "passed"))
    return section(said, "tests", table(named, rows, "tests") + "".join(map(paragraph, served)))


def _shown(f: dict[str, float], said: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Per test: what was found, what an A needs, what a B needs."""
    interval = said["interval"].format(low=f"{f['gain_low']:.3f}", high=f"{f['gain_high']:.3f}")
    share = said["least"].format(value=f"{grade.BETTER_DATES:.0%}")
    most = {letter: said["most"].format(value=f"{limit(f, letter):.4f}") for letter in "AB"}
    return {
        "surplus": (f"{f['surplus_low']:.3f}", said["least"].format(value=f"{grade.SURPLUS:.2f}"), "–"),
        "gain": (f"{f['gain']:.3f} {interval}", said["above"], said["above"]),
        "dates": (said["of"].format(some=f["dates_better"], all=f["dates"]), share, share),
        "ece": (f"{f['ece']:.4f}", most["A"], most["B"]),
        "dated": (said["by_customers"], said["by_dates"], "–"),
    }
