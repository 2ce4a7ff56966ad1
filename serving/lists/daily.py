"""Today's lists: features, scores, checks, one published list per model. Repeating it changes nothing."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pydantic import ValidationError

from features.data_config import Data
from features.errors import DataError
from features.facts import Facts
from features.snapshot_config import SnapshotConfig
from serving.config import ServingConfig
from serving.lists import checks, retention, risk_list, today
from serving.lists.making import Making, Refused, fade, tidy
from serving.lists.pieces import Crew
from serving.lists.today import Known
from serving.stores import records, store
from serving.stores.store import Busy
from training import bundle as bundles
from training.bundle import Bundle, Info

__all__ = ["Busy", "Outcome", "Refused", "alone", "champions", "placed", "run", "snapshot_config"]

FRESH_DAYS = 3
MISSING = (
    "no champion yet for {model}; type `python -m training train` with the YAML of {model} first, "
    "or take the model out of `models` in serving.yaml"
)


@dataclass(frozen=True)
class Outcome:
    """What became of one list. ``published`` is False when this very list was there already.

    newest: the newest date that the tables reach; days between it and a later ``as_of`` count as days without an event.
    """

    model: str
    as_of: date
    newest: date
    rows: int
    content: str
    published: bool
    csv: Path
    json: Path


def placed(config: ServingConfig) -> tuple[dict[str, Bundle], dict[str, str]]:
    """The bundle of every model of the config that has a sound one, and model -> what to do of the others.

    Raises DataError when no model has one.
    """
    found, missing = dict[str, Bundle](), dict[str, str]()
    for model in config.models:
        try:
            folder = bundles.champion(config.home, model)
            if folder is None:
                raise DataError(MISSING.format(model=model))
            found[model] = bundles.load(folder)
        except DataError as error:
            missing[model] = str(error)
    if not found:
        raise DataError("; ".join(missing.values()))
    return found, missing


def champions(config: ServingConfig) -> dict[str, Bundle]:
    """The bundle of every model of the config. Raises DataError saying what is wrong with those that have none."""
    found, missing = placed(config)
    if missing:
        raise DataError("; ".join(missing.values()))
    return found


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


def run(
    config: ServingConfig,
    bundle: Bundle,
    as_of: date | None,
    known: Known,
    clock: Callable[[], datetime],
    batch: int = store.BATCH,
    witness: Callable[[records.Run], None] = lambda entry: None,
) -> Outcome:
    """Make and publish one model's list, inside ``alone`` and ``store.alone``. ``as_of`` None: the newest date the
    data allow.

    clock: gives the present as UTC without zone, for the ledger only. witness: told of a new list before it is
    published; what it raises stops that. Raises Refused when a check says no.
    """
    made_by = snapshot_config(bundle.info, config.data)
    newest = today.newest(made_by, known)
    as_of = as_of or newest
    engine = store.connect(config.store_url)
    with store.patient(engine) as session:
        store.clean(session, clock())
        tidy(session, config.home, bundle.info.model)
        own, entry = today.of(bundle, made_by, known, as_of), risk_list.entry(bundle, as_of, clock())
        listed = Making(session, config, bundle, entry)
        with listed.draft(own) as draft:
            try:
                silent = checks.of_feeds(bundle.info, known, as_of, newest) if isinstance(known, Facts) else ()
                plan = listed.make(own, draft, silent, as_of >= newest)
            except Refused as refusal:
                entry.state, entry.message, entry.ended_at = "refused", "\n".join(refusal.args)[:2000], clock()
                store.begin(session, entry)
                raise
            listed.keep(own, draft, plan)
        with Crew(len(plan)) as crew:
            fresh = listed.stage(crew, plan, batch)
            if fresh:
                witness(entry)
                store.publish(session, entry, clock())
            paths = listed.write(crew, plan)
        retention.prune(session, clock(), config.keep_days, config.list_days)
        fade(session, config.home)
        return Outcome(entry.model, as_of, newest, entry.rows, entry.content, fresh, *paths)
