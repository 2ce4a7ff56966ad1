"""Today's lists: features, scores, checks, one published list per model. Repeating it changes nothing."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from features import catalogue, snapshot
from features.data_config import Data
from features.errors import DataError, InputError
from features.facts import Facts
from features.snapshot import Snapshot
from features.snapshot_config import SnapshotConfig
from serving import checks, priority, risk_list, scoring, store
from serving.config import ServingConfig
from training import bundle as bundles
from training.bundle import Bundle, Info

FRESH_DAYS = 3


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
        return SnapshotConfig(data=data, population=info.population, outcome=info.outcome, windows=info.windows)
    except ValidationError as error:
        problems = "; ".join(str(detail["msg"]) for detail in error.errors())
        raise DataError(f"{info.model}: data.yaml does not fit the model any more: {problems}; train again") from None


@dataclass(frozen=True)
class Made:
    """A list before it is stored. ``rows`` gives them afresh, the same ones each time."""

    snapshot: Snapshot
    rows: Callable[[], Iterator[dict[str, Any]]]
    left_out: list[dict[str, Any]]


def run(
    config: ServingConfig,
    bundle: Bundle,
    as_of: date | None,
    known: Facts,
    clock: Callable[[], datetime],
    batch: int = store.BATCH,
) -> Outcome:
    """Make and publish one model's list, inside ``alone``. ``as_of`` None: the newest date the data allow.

    clock: gives the present as UTC without zone, for the ledger only. Raises Refused when a check says no.
    """
    model = bundle.info.model
    newest = snapshot.latest(snapshot_config(bundle.info, config.data), known)
    as_of = as_of or newest
    with Session(store.connect(config.store_url), expire_on_commit=False) as session:
        store.clean(session, clock())
        _tidy(session, config.home, model)
        entry = _entry(bundle, as_of, clock())
        try:
            made = _make(config, bundle, as_of, newest, known, store.before(session, model, as_of))
        except Refused as refusal:
            entry.state, entry.message, entry.ended_at = "refused", "\n".join(refusal.args)[:2000], clock()
            store.begin(session, entry)
            raise
        fresh = _stage(session, config.home, entry, made, batch)
        if fresh:
            store.publish(session, entry, clock())
        return _files(session, config, model, as_of, fresh)


def _make(
    config: ServingConfig, bundle: Bundle, as_of: date, newest: date, known: Facts, previous: dict[str, float]
) -> Made:
    """Features, scores and ranks, with a check after each step."""
    info = bundle.info
    made_by = snapshot_config(info, config.data)
    _refuse(*checks.of_schema(info, config.data, catalogue.features(made_by)))
    snap = snapshot.build(made_by, [as_of], labels=False, known=known)
    _refuse(*checks.of_rows(snap.frame), *checks.of_feeds(info, known, as_of, newest))
    scores = scoring.score(bundle, snap.frame)
    _refuse(*checks.of_scores(scores))
    plan = priority.plan(snap.frame, scores.score, info, as_of)
    left_out = snap.left_out[["customer_id", "status"]].to_dict("records")
    return Made(snap, partial(risk_list.rows, bundle, snap, scores, plan, previous), left_out)


def _refuse(*problems: str) -> None:
    if problems:
        raise Refused(*problems)


def _stage(session: Session, home: Path, entry: store.Run, made: Made, batch: int) -> bool:
    """Store the list where nobody sees it yet; False when this very list is published already."""
    entry.features = risk_list.columns(made.snapshot.features)
    entry.rows = len(made.snapshot.frame)
    entry.snapshot = f"{entry.model}-{entry.as_of}-{made.snapshot.fingerprint[:16]}.parquet"
    head = [entry.bundle, entry.features, entry.snapshot, made.left_out]
    entry.content = risk_list.content_hash(chain(head, made.rows()))
    _keep(made.snapshot, home / "snapshots" / entry.snapshot)
    there = store.published(session, entry.model, entry.as_of)
    if there is not None and there.content == entry.content:
        return False
    store.begin(session, entry)
    store.stage(session, entry.id, store.LeftOut, made.left_out, batch)
    store.stage(session, entry.id, store.Score, made.rows(), batch)
    return True


def _entry(bundle: Bundle, as_of: date, now: datetime) -> store.Run:
    info = bundle.info
    begins = as_of + timedelta(days=info.outcome.gap_days)
    return store.Run(
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


def _keep(snap: Snapshot, path: Path) -> None:
    """Write the features for the scoring door; row groups are small, so that one customer is read quickly."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}")
    snap.frame.to_parquet(fresh, index=False, row_group_size=4096)
    os.replace(fresh, path)


def _tidy(session: Session, home: Path, model: str) -> None:
    """Remove files that killed runs left, and feature files no published list of the model refers to."""
    named = select(store.Run.snapshot).join(store.Published, store.Published.run_id == store.Run.id)
    kept = set(session.scalars(named.where(store.Run.model == model)))
    session.commit()
    stale = [path for path in (home / "snapshots").glob(f"{model}-*.parquet") if path.name not in kept]
    for path in (*stale, *(home / "snapshots").glob(f".{model}-*"), *(home / "lists").glob(f".{model}-*")):
        path.unlink(missing_ok=True)


def _files(session: Session, config: ServingConfig, model: str, as_of: date, fresh: bool) -> Outcome:
    """Write the published list as CSV and JSON, from the store, so that both say what the store says."""
    there = store.published(session, model, as_of)
    if there is None:
        raise InputError(f"{model} {as_of}: the list was published and is gone; was the store replaced meanwhile?")
    rows = list(store.listed(session, there.id))
    path = config.home / "lists" / f"{model}-{as_of}"
    csv, json = path.with_suffix(".csv"), path.with_suffix(".json")
    risk_list.write(csv, risk_list.as_csv(there, rows, config.lang))
    risk_list.write(json, risk_list.as_json(there, rows, config.lang))
    return Outcome(model, as_of, there.rows, there.content, fresh, csv, json)
