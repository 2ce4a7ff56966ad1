"""One date's ranked rows: made for the store, read back for people and programs."""

import csv
import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import Feature
from features.config import Language
from serving import reasons, sentences
from serving.records import Run, Score
from serving.scoring import KINDS

REASONS = 3
AT_ONCE = 1_000
RISKY_STARTS = tuple("=+-@\t\r\n＝＋－＠")
FIELDS = ("rank", "customer_id", "name", "score", "low", "high", "band", "percentile", "change")
NAMED = {"segment": "segments", "stage": "stages"}
MORE_FIELDS = ("value_at_risk", "gain", "owner", "renewal", "held_out", "action")
ABOUT = ("as_of", "model", "model_version", "grade", "base_rate", "reference", "note")


def rows(plan: pd.DataFrame, texts: Callable[[np.ndarray], Iterator[str]]) -> Iterator[dict[str, Any]]:
    """The rows of a new list in rank order, for ``records.Score``.

    plan: one row per customer, that of ``priority.plan``, and ``change``. texts: gives what ``scoring.scored`` says of
    the customers at these positions of the plan.
    """
    order = plan["rank"].to_numpy().argsort()
    for start in range(0, len(order), AT_ONCE):
        some = order[start : start + AT_ONCE]
        for text, planned in zip(texts(some), plan.iloc[some].to_dict("records")):
            row = json.loads(text) | planned
            renewal, change = row["renewal"], row["change"]
            row["renewal"] = None if renewal is None else date.fromisoformat(renewal)
            yield row | {"change": None if math.isnan(change) else change}


def content_hash(parts: Iterable[Any]) -> str:
    """SHA-256 of everything a list says."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part, sort_keys=True, ensure_ascii=False, default=str).encode())
    return digest.hexdigest()


def columns(features: Iterable[Feature]) -> list[dict[str, Any]]:
    """Features as the ledger keeps them."""
    return [asdict(feature) for feature in features]


def note(run: Run, lang: Language) -> str | None:
    """What a reader must know first: that a list is ranked by a simple rule. None for a model's list."""
    return sentences.words(lang)["note"].format(rule=run.rule) if run.rule else None


def about(run: Run, lang: Language) -> dict[str, Any]:
    """The head of a list."""
    return {
        "model": run.model,
        "as_of": run.as_of.isoformat(),
        "horizon": {"start": run.horizon_start.isoformat(), "end": run.horizon_end.isoformat()},
        "model_version": run.version,
        "grade": run.grade,
        "base_rate": run.base_rate,
        "reference": run.reference,
        "note": note(run, lang),
        "legend": sentences.words(lang)["legend"],
        "interval": sentences.words(lang)["interval"],
    }


def features(run: Run) -> dict[str, Feature]:
    """The features that the reasons of a run speak of, by name."""
    return {column["name"]: Feature(**column) for column in run.features}


def told(run: Run, scores: Iterable[Score], lang: Language, limit: int = REASONS) -> Iterator[dict[str, Any]]:
    """Rows of a list in words."""
    known, said = features(run), sentences.words(lang)
    for row in scores:
        yield {
            **{name: getattr(row, name) for name in FIELDS},
            **{name: getattr(row, name) for name in KINDS},
            **{f"{name}_name": said[names].get(getattr(row, name)) for name, names in NAMED.items()},
            "risks": row.risks,
            "reasons": reasons.told(row.families, known, limit, lang),
            **{name: getattr(row, name) for name in MORE_FIELDS},
            "renewal": row.renewal.isoformat() if row.renewal else None,
        }


def as_json(run: Run, scores: Iterable[Score], lang: Language) -> Iterator[str]:
    """The whole list as one JSON object, in pieces: its head, and ``rows``."""
    yield _json({**about(run, lang), "rows": []}).removesuffix("]\n}")
    for number, row in enumerate(told(run, scores, lang)):
        yield (",\n" if number else "\n") + "  " + _json(row).replace("\n", "\n  ")
    yield "\n ]\n}\n"


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)


def as_csv(run: Run, scores: Iterable[Score], lang: Language) -> Iterator[str]:
    """The list as lines of CSV that spreadsheets open safely: a byte order mark first, no cell that is a formula.

    What low and high cover stands once, at the end of the first row.
    """
    head = {**about(run, lang), "note": note(run, lang) or ""}
    rows = told(run, scores, lang)
    first = next(rows, None)
    horizons = list(first["risks"] or {}) if first else []
    numbered = [f"{what}_{n}" for n in range(1, REASONS + 1) for what in ("reason", "points")]
    fields = (*MORE_FIELDS, *KINDS, *(f"{name}_name" for name in NAMED))
    yield "\ufeff" + _line([*FIELDS, *(f"risk_{days}d" for days in horizons), *numbered, *fields, *ABOUT, "interval"])
    for row in chain([first] if first else [], rows):
        given = [cell for reason in row["reasons"] for cell in (reason["text"], reason["points"])]
        given += [None] * (len(numbered) - len(given))
        risks = [row["risks"][days] for days in horizons]
        cells = [*(row[name] for name in FIELDS), *risks, *given, *(row[name] for name in fields)]
        once = head["interval"] if row is first and row["low"] is not None else None
        yield _line([_safe(cell) for cell in (*cells, *(head[name] for name in ABOUT), once)])


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def write(path: Path, text: Iterable[str]) -> None:
    """Write a file, piece by piece, so that readers see the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.writelines(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(fresh, 0o644)
    os.replace(fresh, path)


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(RISKY_STARTS) else cell
