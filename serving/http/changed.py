"""Why a customer's score is another one than on the list before: the data moved, or the model changed."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session
from starlette.responses import Response

from features.errors import InputError
from serving.http.reading import known_model, remembered, run_tag, unknown
from serving.http.replies import Ask, plain
from serving.life.live import Live
from serving.lists import risk_list
from serving.lists.rows import Rows
from serving.stores import store
from serving.stores.records import Run, Score
from serving.words import reasons, sentences
from training import bundle as bundles
from training.bundle import Bundle

SAME = 1e-9


class Apart(Exception):
    """The two parts cannot be told apart. The argument names the reason, a key of ``apart`` in the locale."""


def changes(live: Live, ask: Ask) -> Response:
    """Then, now, and between them the score of the new data under the old model; the families that moved most."""
    customer_id, asked = remembered(live, ask), ask.query
    with Session(live.engine) as session:
        run = store.published(session, known_model(live, asked.model))
        if run is None:
            raise unknown()
        old_run = store.previous(session, run)
        row, old = store.row(session, run.id, customer_id), None
        if old_run is not None:
            old = store.row(session, old_run.id, customer_id)
        if row is None and old is None:
            raise unknown()
    answer: dict[str, Any] = {
        "customer_id": customer_id,
        "model": run.model,
        "then": _word(old_run, old, asked.lang) if old_run else None,
        "now": _word(run, row, asked.lang),
        "change": row.score - old.score if row and old else None,
        "split": None,
        "no_split": None,
        "families": [],
    }
    try:
        answer["split"] = split(live.config.home, old_run, old, run, row)
    except Apart as apart:
        reason = str(apart)
        answer["no_split"] = {"reason": reason, "text": sentences.words(asked.lang)["apart"][reason]}
    headers = ask.tag(run_tag(run), run_tag(old_run) if old_run else None, answer["split"], answer["no_split"])
    if row and old and old_run:
        answer["families"] = _families(old_run, old, run, row, asked.lang, asked.reasons)
    return plain(answer, headers)


def _word(run: Run, row: Score | None, lang: Any) -> dict[str, Any]:
    about = risk_list.about(run, lang)
    head = {name: about[name] for name in ("as_of", "model_version", "grade", "reference", "base_rate", "horizon")}
    said = {name: getattr(row, name) if row else None for name in ("score", "low", "high", "band", "rank")}
    return {**head, **said}


def split(home: Path, old_run: Run | None, old: Score | None, run: Run, row: Score | None) -> dict[str, float]:
    """between: the new data under the old model; data = between − then; model = now − between. Raises Apart.

    It holds only where the new model on these rows gives the listed score again, which shows that they are its rows.
    """
    if old_run is None:
        raise Apart("no_list_before")
    if old is None or row is None:
        raise Apart("not_on_both")
    if old_run.bundle == run.bundle:
        between = row.score
    else:
        rows = _rows(home / "snapshots" / run.snapshot)
        if abs(_score(_bundle(home, run.bundle), rows, row.customer_id) - row.score) > SAME:
            raise Apart("rows_differ")
        between = _score(_bundle(home, old_run.bundle), rows, row.customer_id)
    return {"between": between, "data": between - old.score, "model": row.score - between}


def _score(bundle: Bundle, rows: Rows, customer_id: str) -> float:
    position = rows.position(customer_id)
    if position is None:
        raise Apart("rows_gone")
    try:
        matrix = rows.matrix([position], bundle.info.features)
        score = float(bundle.probability(bundle.margin(matrix))[0])
    except (InputError, KeyError):
        raise Apart("does_not_fit") from None
    if not np.isfinite(score):
        raise Apart("does_not_fit")
    return score


@lru_cache(maxsize=8)
def _kept(home: Path, sha256: str) -> Bundle:
    return bundles.load(home / "bundles" / sha256)


def _bundle(home: Path, sha256: str) -> Bundle:
    try:
        return _kept(home, sha256)
    except (InputError, OSError, ValueError):
        raise Apart("model_gone") from None


def _rows(path: Path) -> Rows:
    try:
        return Rows(path)
    except (InputError, OSError, ValueError):
        raise Apart("rows_gone") from None


def _families(old_run: Run, old: Score, run: Run, row: Score, lang: Any, limit: int) -> list[dict[str, Any]]:
    """The families whose points moved most, with the facts and the sentence of both lists."""
    then, now = _told(old_run, old, lang), _told(run, row, lang)
    moved: list[dict[str, Any]] = [
        {
            "family": family,
            "moved": _points(now, family) - _points(then, family),
            "then": then.get(family),
            "now": now.get(family),
        }
        for family in {**then, **now}
    ]
    moved = [one for one in moved if one["moved"] != 0]
    return sorted(moved, key=lambda one: (-abs(one["moved"]), one["family"]))[:limit]


def _told(run: Run, row: Score, lang: Any) -> dict[str, Any]:
    """Every family of one row by name, in words."""
    told = reasons.told(row.families, risk_list.features(run), len(row.families), lang)
    return {one["family"]: {name: one[name] for name in ("points", "facts", "text")} for one in told}


def _points(told: dict[str, Any], family: str) -> float:
    return float(told[family]["points"]) if family in told else 0.0
