"""Today's lists: features, scores, checks, one published list per model. Repeating it changes nothing."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from features.catalogue import Feature
from features.data_config import Data
from features.errors import DataError, InputError
from features.facts import Facts
from features.snapshot_config import SnapshotConfig
from serving import checks, priority, records, risk_list, scoring, store, today
from serving.config import ServingConfig
from serving.draft import Draft
from serving.today import Known
from training import bundle as bundles
from training.bundle import Bundle, Info

FRESH_DAYS = 3
AT_ONCE = 1_000


class Refused(Exception):
    """A check said no: nothing was published. The arguments are its sentences."""


class Busy(Exception):
    """Another daily job runs on the same workspace."""


@dataclass(frozen=True)
class Outcome:
    """What became of one list. ``published`` is False when this very list was there already."""

    model: str
    as_of: date
    rows: int
    content: str
    published: bool
    csv: Path
    json: Path


def champions(config: ServingConfig) -> dict[str, Bundle]:
    """The bundle of every model of the config. Raises DataError naming the models that have none yet."""
    folders = {model: bundles.champion(config.home, model) for model in config.models}
    missing = [model for model, folder in folders.items() if folder is None]
    if missing:
        raise DataError(
            f"no champion yet for {', '.join(missing)}; type `python -m training train` with the YAML of "
            f"{missing[0]} first, or take the model out of `models` in serving.yaml"
        )
    return {model: bundles.load(folder) for model, folder in folders.items() if folder is not None}


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the workspace's lock; the system frees it even when the process is killed. Raises Busy."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "daily.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another daily job is running on this workspace; wait for it to end") from None
        yield


def snapshot_config(info: Info, data: Data) -> SnapshotConfig:
    """How the bundle's snapshots are made, on today's tables. Raises DataError when they no longer fit."""
    try:
        made = SnapshotConfig(data=data, population=info.population, outcome=info.outcome, windows=info.windows)
        return made.model_copy(update={"buying": info.value.buying})
    except ValidationError as error:
        problems = "; ".join(str(detail["msg"]) for detail in error.errors())
        raise DataError(f"{info.model}: data.yaml does not fit the model any more: {problems}; train again") from None


@dataclass(frozen=True)
class Made:
    """A list before it is stored. ``plan``: as of ``priority.plan``; ``scores``: by customer, in the same order."""

    features: tuple[Feature, ...]
    plan: pd.DataFrame
    scores: pd.Series


def run(
    config: ServingConfig,
    bundle: Bundle,
    as_of: date | None,
    known: Known,
    clock: Callable[[], datetime],
    batch: int = store.BATCH,
) -> Outcome:
    """Make and publish one model's list, inside ``alone``. ``as_of`` None: the newest date the data allow.

    clock: gives the present as UTC without zone, for the ledger only. Raises Refused when a check says no.
    """
    model, home = bundle.info.model, config.home
    newest = today.newest(snapshot_config(bundle.info, config.data), known)
    as_of = as_of or newest
    with Session(store.connect(config.store_url), expire_on_commit=False) as session:
        store.clean(session, clock())
        _tidy(session, home, model)
        entry = _entry(bundle, as_of, clock())
        with Draft(home / "snapshots", f"{model}-{as_of}", priority.columns(bundle.info)) as draft:
            try:
                made = _make(config, bundle, as_of, newest, known, draft)
            except Refused as refusal:
                entry.state, entry.message, entry.ended_at = "refused", "\n".join(refusal.args)[:2000], clock()
                store.begin(session, entry)
                raise
            fresh = _stage(session, entry, made, draft, batch)
        if fresh:
            store.publish(session, entry, clock())
        return _files(session, config, model, as_of, fresh)


def _make(config: ServingConfig, bundle: Bundle, as_of: date, newest: date, known: Known, draft: Draft) -> Made:
    """Features and scores, part by part into the draft, and ranks, with a check after each step."""
    info, made_by = bundle.info, snapshot_config(bundle.info, config.data)
    own = today.of(bundle, made_by, known, as_of)
    _refuse(*own.problems)
    for part, left_out in own.pieces(partial(scoring.scored, bundle, own.features)):
        draft.add(part, left_out)
    ranking = draft.close()
    silent = checks.of_feeds(info, known, as_of, newest) if isinstance(known, Facts) else ()
    _refuse(*checks.of_rows(ranking), *silent)
    score = ranking[scoring.SCORE].to_numpy()
    _refuse(*checks.of_scores(score, ranking[scoring.GAP].to_numpy()))
    return Made(own.features, priority.plan(ranking, score, info, as_of), pd.Series(score, ranking["customer_id"]))


def _refuse(*problems: str) -> None:
    if problems:
        raise Refused(*problems)


def _stage(session: Session, entry: records.Run, made: Made, draft: Draft, batch: int) -> bool:
    """Store the list where nobody sees it yet; False when this very list is published already."""
    previous = pd.Series(store.before(session, entry.model, entry.as_of), dtype=np.float64)
    session.commit()  # making the rows takes a while, and an open transaction would lock writers out
    plan = made.plan.assign(change=(made.scores - previous.reindex(made.scores.index)).to_numpy())
    rows = partial(risk_list.rows, plan, draft.texts)
    entry.features, entry.rows, left_out = risk_list.columns(made.features), len(plan), draft.left_out()
    entry.snapshot = draft.keep(f"{entry.model}-{entry.as_of}")
    entry.content = risk_list.content_hash(chain([entry.bundle, entry.features, entry.snapshot, left_out], rows()))
    there = store.published(session, entry.model, entry.as_of)
    if there is not None and there.content == entry.content:
        return False
    store.begin(session, entry)
    store.stage(session, entry.id, records.LeftOut, left_out, batch)
    store.stage(session, entry.id, records.Score, rows(), batch)
    return True


def _entry(bundle: Bundle, as_of: date, now: datetime) -> records.Run:
    info = bundle.info
    begins = as_of + timedelta(days=info.outcome.gap_days)
    return records.Run(
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


def _tidy(session: Session, home: Path, model: str) -> None:
    """Remove files that killed runs left, and feature files no published list of the model refers to."""
    named = select(records.Run.snapshot).join(records.Published, records.Published.run_id == records.Run.id)
    kept = set(session.scalars(named.where(records.Run.model == model)))
    session.commit()
    stale = [path for path in (home / "snapshots").glob(f"{model}-*.parquet") if path.name not in kept]
    for path in (*stale, *(home / "snapshots").glob(f".{model}-*"), *(home / "lists").glob(f".{model}-*")):
        path.unlink(missing_ok=True)


def _files(session: Session, config: ServingConfig, model: str, as_of: date, fresh: bool) -> Outcome:
    """Write the published list as CSV and JSON, from the store, so that both say what the store says."""
    there = store.published(session, model, as_of)
    if there is None:
        raise InputError(f"{model} {as_of}: the list was published and is gone; was the store replaced meanwhile?")
    path = config.home / "lists" / f"{model}-{as_of}"
    csv, json = path.with_suffix(".csv"), path.with_suffix(".json")
    risk_list.write(csv, risk_list.as_csv(there, _listed(session, there), config.lang))
    risk_list.write(json, risk_list.as_json(there, _listed(session, there), config.lang))
    return Outcome(model, as_of, there.rows, there.content, fresh, csv, json)


def _listed(session: Session, run: records.Run) -> Iterator[records.Score]:
    """The rows of a list, some at a time, so that nobody who writes has to wait for the whole list."""
    for after in range(0, run.rows, AT_ONCE):
        yield from store.listed(session, run.id, AT_ONCE, after)
        session.commit()
