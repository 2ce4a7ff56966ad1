"""What is said about a training: the facts, the figures of the run, the table of folds."""

import json
from collections.abc import Iterable
from datetime import date

import pandas as pd

from training.bundle import Bundle
from training.job import Evaluation


def summary(evaluation: Evaluation) -> dict:
    """The facts of an evaluation for ``--json`` and the run's record; dates as ISO text."""
    table, served = evaluation.rows, evaluation.metrics
    return {
        "model": evaluation.config.model,
        "grade": evaluation.grade.letter,
        "reasons": list(evaluation.grade.reasons),
        "metrics": {name: metric.model_dump() for name, metric in served.items()},
        "candidate": evaluation.chosen,
        "rule": evaluation.rule,
        "comparison": evaluation.grade.figures,
        "base_rate": round(float(table.outcome.mean()), 6),
        "rows": len(table),
        "customers_with_outcome": table.customers_with_outcome,
        "dates": {
            "mature": _iso(table.dates),
            "selection": _iso(fold.test for fold in evaluation.folds.selection),
            "test": _iso(fold.test for fold in evaluation.folds.test),
        },
        "at_capacity": _at_capacity(evaluation),
        "fingerprint": evaluation.fingerprint,
    }


def _at_capacity(evaluation: Evaluation) -> dict[str, float]:
    """Precision, share found and lift of what is served when ``contacts`` are made per test date, averaged."""
    tests = evaluation.tests
    served = tests[tests["candidate"] == evaluation.served] if len(tests) else tests
    means = {name: round(float(served[name].mean()), 6) for name in ("precision", "found", "lift") if len(served)}
    return {"contacts": evaluation.contacts, **means}


def _iso(days: Iterable[date]) -> list[str]:
    return [day.isoformat() for day in days]


def tags(facts: dict, bundle: Bundle | None) -> dict[str, str]:
    """What a run and a registered version can be searched by; ``facts`` is a summary."""
    served = {"version": bundle.version, "kind": bundle.info.kind} if bundle else {}
    chosen = {"candidate": facts["candidate"] or "none", "rule": facts["rule"] or "none"}
    return {"grade": facts["grade"], "fingerprint": facts["fingerprint"], **chosen, **served}


def figures(facts: dict) -> dict[str, float]:
    """The figures of a summary, flat: roc_auc, roc_auc_low, roc_auc_high, …"""
    tails = {"value": "", "low": "_low", "high": "_high"}
    served = {
        f"{name}{tail}": metric[part] for name, metric in facts["metrics"].items() for part, tail in tails.items()
    }
    return {"base_rate": facts["base_rate"], "rows": facts["rows"], **served, **facts["comparison"]}


def series(tests: pd.DataFrame) -> dict[str, list[float]]:
    """Per candidate and figure, the values over the test folds, oldest first."""
    found: dict[str, list[float]] = {}
    for candidate, rows in tests.groupby("candidate") if len(tests) else []:
        for figure in ("average_precision", "roc_auc", "drift", "precision", "found", "lift"):
            found[f"fold_{figure}_{candidate}"] = rows[figure].tolist()
    return found


def table(selection: pd.DataFrame, tests: pd.DataFrame, rule: str | None) -> str:
    """The folds as text: every candidate, and of the rules the best one."""
    every = pd.concat([selection, tests])
    if every.empty:
        return "no fold could be scored"
    shown = every[~every["rule"].astype(bool) | (every["candidate"] == rule)].drop(columns="rule")
    return shown.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="")


def records(table: pd.DataFrame) -> list[dict]:
    """The rows of a table as plain objects; NaN as null."""
    return json.loads(table.to_json(orient="records"))
