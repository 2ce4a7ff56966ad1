"""One date's ranked rows, for people and programs."""

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import orjson

from features.catalogue import Feature
from features.config import Language
from serving.stores.records import Run, Score
from serving.words import reasons, sentences
from training.bundle import Bundle

REASONS = 3
KINDS = ("segment", "stage", "rfm")
RISKY_STARTS = frozenset("=+-@\t\r\n＝＋－＠")
FIELDS = ("rank", "customer_id", "name", "score", "low", "high", "band", "percentile", "change")
NAMED = {"segment": "segments", "stage": "stages"}
MORE_FIELDS = ("value_at_risk", "gain", "owner", "renewal", "held_out", "action")
BETWEEN, JSON_END = b",\n", b"\n]}\n"
ABOUT = ("as_of", "model", "model_version", "grade", "base_rate", "reference", "note")


def columns(features: Iterable[Feature]) -> list[dict[str, Any]]:
    """Features as the ledger keeps them."""
    return [asdict(feature) for feature in features]


def entry(bundle: Bundle, as_of: date, now: datetime) -> Run:
    """What the ledger says of a list that this bundle makes, before it is made. now: UTC without zone."""
    info = bundle.info
    begins = as_of + timedelta(days=info.outcome.gap_days)
    return Run(
        model=info.model,
        as_of=as_of,
        state="staging",
        bundle=bundle.sha256,
        version=bundle.version,
        grade=info.grade,
        rule=info.rule if info.kind == "rule" else None,
        base_rate=info.base_rate,
        reference=bundle.base_probability,
        horizon_start=begins,
        horizon_end=begins + timedelta(days=info.outcome.horizon_days),
        features=[],
        snapshot="",
        content="",
        rows=0,
        message="",
        started_at=now,
    )


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


def reasons_kept(run: Run) -> bool:
    """Whether rows have reasons to tell; those still there while they are being removed are told no more."""
    return run.state not in ("thinned", "pruned")


def told(
    run: Run, scores: Iterable[Score | SimpleNamespace], lang: Language, limit: int = REASONS
) -> Iterator[dict[str, Any]]:
    """Rows of a list in words."""
    known, said, limit = features(run), sentences.words(lang), limit if reasons_kept(run) else 0
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
    """The whole list as one JSON object, in pieces: its head, and ``rows``, one a line."""
    yield json_head(run, lang).decode()
    for number, row in enumerate(told(run, scores, lang)):
        yield ((BETWEEN if number else b"") + json_row(row)).decode()
    yield JSON_END.decode()


def json_head(run: Run, lang: Language) -> bytes:
    """What comes before the rows."""
    return orjson.dumps({**about(run, lang), "rows": []}).removesuffix(b"]}") + b"\n"


def json_row(row: dict[str, Any]) -> bytes:
    """A row of ``told``; ``BETWEEN`` stands between two, ``JSON_END`` after the last."""
    return orjson.dumps(row)


def as_csv(run: Run, scores: Iterable[Score], lang: Language) -> Iterator[str]:
    """The list as lines of ``Csv``, its head first."""
    rows = told(run, scores, lang)
    first = next(rows, None)
    lines = Csv(run, lang, list(first["risks"] or {}) if first else [])
    yield lines.head
    yield from lines.lines(chain([first] if first else [], rows), first=True)


class Csv:
    """Lines that spreadsheets open safely: a byte order mark first, no cell that is a formula.

    What low and high cover stands once, in the first row. horizons: of the risks, in days as text.
    """

    def __init__(self, run: Run, lang: Language, horizons: Sequence[str]):
        said = {**about(run, lang), "note": note(run, lang) or ""}
        self._horizons, self._interval = horizons, said["interval"]
        self._about = [safe(said[name]) for name in ABOUT]
        fields = (*MORE_FIELDS, *KINDS, *(f"{name}_name" for name in NAMED))
        self._numbered = [f"{what}_{n}" for n in range(1, REASONS + 1) for what in ("reason", "points")]
        risks = [f"risk_{days}d" for days in horizons]
        self.head = "\ufeff" + _line([*FIELDS, *risks, *self._numbered, *fields, *ABOUT, "interval"])
        self._before, self._after = itemgetter(*FIELDS), itemgetter(*fields)

    def lines(self, rows: Iterable[dict[str, Any]], first: bool) -> Iterator[str]:
        """A line for every row of ``told``. first: nothing but the head comes before them."""
        text = io.StringIO()
        writer = csv.writer(text)
        for row in rows:
            given = [cell for reason in row["reasons"] for cell in (reason["text"], reason["points"])]
            given += [None] * (len(self._numbered) - len(given))
            risks = [row["risks"][days] for days in self._horizons]
            once, first = self._interval if first and row["low"] is not None else None, False
            cells = [*self._before(row), *risks, *given, *self._after(row)]
            writer.writerow([*map(safe, cells), *self._about, once])
            yield text.getvalue()
            text.seek(0)
            text.truncate()


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


@contextmanager
def appearing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, so that readers see the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(fresh, 0o644)
        os.replace(fresh, path)
    finally:
        Path(fresh).unlink(missing_ok=True)


def safe(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: a quote stands before what would begin one."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in RISKY_STARTS else cell
