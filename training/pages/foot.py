"""The foot of the page: calibration by horizon, the checks on the data, the time of each stage."""

from typing import Any

import pandas as pd

from features.checks import findings
from features.checks.findings import Finding, ordered
from features.config import Language
from training.pages.markup import empty, head, listed, number, paragraph, row, section, table
from training.pages.material import Training

SHOWN = 8
_SIGN = {"ok": "✓", "warning": "▲", "error": "✕"}


def hazard(training: Training, said: dict[str, Any]) -> str:
    """The risk by horizon: what was predicted beside what happened, a row per horizon."""
    own = training.extras.hazard
    if own is None or own.empty:
        return empty(said, "hazard", said["hazard_none"])
    silent, rows = training.evaluation.config.outcome.kind == "inactivity", []
    for found in own.to_dict("records"):
        fits = pd.isna(found["ece"]) or found["ece"] <= found["allowed"]
        shares = (number(found[name], ".1%") for name in ("predicted", "observed"))
        errors = (number(found[name], ".4f") for name in ("ece", "allowed"))
        mark = "–" if pd.isna(found["ece"]) else "✓" if fits else "✕"
        names = (said["days_silent" if silent else "days"].format(days=int(found["horizon"])),)
        rows.append(row(names, (f"{found['rows']:,.0f}", *shares, *errors, mark), "" if fits else "warning"))
    numbers = ("rows", "predicted", "observed", "ece", "allowed", "passed")
    columns = head((said["horizon"],), (said[f"hazard_{name}"] for name in numbers))
    key = {"hazard_key": said["hazard_key_silent"]} if silent else {}
    failed = "".join(map(paragraph, off(own, said)))
    return section(said | key, "hazard", table(columns, rows, "close") + failed)


def off(hazard: pd.DataFrame | None, said: dict[str, Any]) -> list[str]:
    """The horizons at which the curve does not hold, in one sentence; none where it holds or was not judged."""
    if hazard is None or hazard.empty:
        return []
    days = hazard.loc[hazard["ece"] > hazard["allowed"], "horizon"]
    return (
        [said["hazard_failed"].format(days=said["days_join"].join(f"{int(one):,}" for one in days))]
        if len(days)
        else []
    )


def checks(training: Training, lang: Language, said: dict[str, Any]) -> str:
    """What the checks on the data found, the gravest first; those that found nothing are counted."""
    own = training.extras.findings
    if own is None:
        return empty(said, "checks", said["checks_none"])
    told = [finding for finding in ordered(own) if finding.level != "ok"]
    lines = [_line(training, finding, lang, said) for finding in told[:SHOWN]]
    left = [said["checks_left"].format(count=len(told) - SHOWN)] if len(told) > SHOWN else []
    fine = said["checks_fine"].format(count=len(own) - len(told))
    said = said if told else said | {"checks_key": said["checks_key_fine"]}
    return section(said, "checks", listed([*lines, *left], "plain") + paragraph(fine))


def _line(training: Training, finding: Finding, lang: Language, said: dict[str, Any]) -> str:
    found, _, todo = finding.told(lang)
    about = said["about_which"].format(name=finding.about) if finding.about else ""
    title = f"{_SIGN[finding.level]} {findings.word(finding.level, lang)}{said['colon']}"
    return said["join"].join(filter(None, (f"{title}{findings.title(finding.check, lang)}{about}", found, todo)))


def stages(training: Training, said: dict[str, Any]) -> str:
    """Seconds by stage, in the order they ran; one that has not ended, such as this page's, is left out."""
    own = {name: seconds for name, seconds in training.extras.stages.items() if seconds > 0}
    if not own:
        return empty(said, "stages", said["stages_none"])
    rows = [row((said["stage_names"].get(name, name),), (f"{seconds:,.1f}",)) for name, seconds in own.items()]
    rows.append(row((said["total"],), (f"{sum(own.values()):,.1f}",), "mean"))
    return section(said, "stages", table(head((said["stage"],), (said["seconds"],)), rows, "close"))
