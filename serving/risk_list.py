"""One date's ranked rows: made for the store, read back for people and programs."""

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from features import segments
from features.catalogue import Feature
from features.config import Language
from features.snapshot import Snapshot
from serving import reasons, sentences
from serving.scoring import Scores
from serving.store import Run, Score
from training.bundle import Bundle

REASONS = 3
RISKY_STARTS = tuple("=+-@\t\r\n＝＋－＠")
FIELDS = ("rank", "customer_id", "name", "score", "band", "percentile", "change")
KINDS = ("segment", "stage", "rfm")
NAMED = {"segment": "segments", "stage": "stages"}
MORE_FIELDS = ("value_at_risk", "gain", "owner", "renewal", "held_out", "action")
ABOUT = ("as_of", "model", "model_version", "grade", "base_rate", "reference", "note")


def rows(
    bundle: Bundle, snapshot: Snapshot, scores: Scores, plan: pd.DataFrame, previous: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """The rows of a new list in rank order, for ``store.Score``. ``previous``: scores of the last list."""
    frame, names = snapshot.frame, bundle.info.names
    facts = reasons.Facts(snapshot.features, frame)
    side = {name: _values(frame[name]) for name in ("customer_id", "name", "owner", "renewal")}
    planned = {name: plan[name].tolist() for name in plan} | _kinds(bundle, frame)
    for row in plan["rank"].to_numpy().argsort():
        customer_id, score = side["customer_id"][row], float(scores.score[row])
        yield {
            **{name: values[row] for name, values in side.items()},
            "score": score,
            "margin": float(scores.margin[row]),
            "percentile": float(scores.percentile[row]),
            "band": str(scores.band[row]),
            "change": score - previous[customer_id] if customer_id in previous else None,
            **{name: values[row] for name, values in planned.items()},
            "families": reasons.record(scores.parts, names, facts, row),
        }


def _kinds(bundle: Bundle, frame: pd.DataFrame) -> dict[str, list[str | None]]:
    """Segment, stage and scores of each row; None where the bundle knows no segments."""
    cuts = bundle.info.segments
    if cuts is None:
        return {name: [None] * len(frame) for name in KINDS}
    found = segments.of(frame, cuts)
    return {name: found[name].tolist() for name in KINDS}


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
            "reasons": reasons.told(row.families, known, limit, lang),
            **{name: getattr(row, name) for name in MORE_FIELDS},
            "renewal": row.renewal.isoformat() if row.renewal else None,
        }


def as_json(run: Run, scores: Iterable[Score], lang: Language) -> str:
    """The whole list as one JSON object: its head, and ``rows``."""
    content = {**about(run, lang), "rows": list(told(run, scores, lang))}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def as_csv(run: Run, scores: Iterable[Score], lang: Language) -> str:
    """The list as CSV that spreadsheets open safely: a byte order mark first, no cell that is a formula."""
    head = {**about(run, lang), "note": note(run, lang) or ""}
    numbered = [f"{what}_{n}" for n in range(1, REASONS + 1) for what in ("reason", "points")]
    fields = (*MORE_FIELDS, *KINDS, *(f"{name}_name" for name in NAMED))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*FIELDS, *numbered, *fields, *ABOUT])
    for row in told(run, scores, lang):
        given = [cell for reason in row["reasons"] for cell in (reason["text"], reason["points"])]
        given += [None] * (len(numbered) - len(given))
        cells = [*(row[name] for name in FIELDS), *given, *(row[name] for name in fields)]
        writer.writerow([_safe(cell) for cell in (*cells, *(head[name] for name in ABOUT))])
    return "\ufeff" + text.getvalue()


def write(path: Path, text: str) -> None:
    """Write a file so that readers see the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(fresh, 0o644)
    os.replace(fresh, path)


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(RISKY_STARTS) else cell


def _values(column: pd.Series) -> list[str | date | None]:
    dates = pd.api.types.is_datetime64_dtype(column)
    return [None if pd.isna(value) else value.date() if dates else str(value) for value in column]
