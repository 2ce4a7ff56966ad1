"""Removing one customer from everything that is kept here: the tombstone first, so that nothing comes back."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from features import config as configs
from features import erased, forget
from features import store as activity
from features.columns import BLANKS
from features.command import DONE, REFUSED, Answer, say
from features.errors import ConfigError, DataError, InputError
from serving.config import ServingConfig
from serving.erasure import receipt, without
from serving.erasure.receipt import Receipt
from serving.guards import keys
from serving.lists import daily
from serving.stores import good, journal, store
from serving.stores.opened import check, opened
from serving.stores.records import Run, Score

SNAPSHOTS, LISTS, DATABASE = "snapshots", "lists", "database"
KEPT, TABLES = (SNAPSHOTS, "mlartifacts", "unregistered"), (".parquet", ".arrow")
LONGEST, REGISTRY_SECONDS = 255, 600.0


def erase(config: ServingConfig, customer_id: str, now: datetime) -> dict[str, Any]:
    """Erase a customer; returns the receipt, which never holds the id. Killed anywhere, a second call finishes.

    now: UTC without zone. status: erased, already_erased, nothing_found, or unfinished, where the registry did not
    answer and its files wait for the next call. Raises ConfigError for an id that is none; Busy while a daily job runs,
    but the tombstone is set; DataError, OSError, SQLAlchemyError where a place cannot be changed.
    """
    customer, home = customer_id.strip(BLANKS), config.home
    if not customer or len(customer) > LONGEST:
        raise ConfigError(f"CUSTOMER: an id of 1 to {LONGEST} characters; give the one of the customers' table")
    began = time.monotonic()
    stone = erased.add(home, customer, now.date())
    alias, engine = stone.alias(customer), store.connect(config.store_url)
    with _alone(home, engine):
        opened(config, make=True)
        own = Receipt(home, stone.hash(customer), now)
        learnt = _registry(own, config, customer)
        _activity(own, home, customer)
        _store(own, config, customer, alias)
        _files(own, home, KEPT if learnt else KEPT[:1], customer, alias)
        _lists(own, home, customer)
        for place in own.waiting():  # done before a kill, but not said
            own.done(place, forget.sha256(home / place))
        for name, problem in forget.standing(config.data, customer):
            own.add(*(("notes", [f"{name}: {problem}"]) if problem else ("not_touched", [name])))
        return own.close(now + timedelta(seconds=time.monotonic() - began), learnt)


@contextmanager
def _alone(home: Path, engine: Engine) -> Iterator[None]:
    """Neither here nor on another machine is a list in the making that has read the customer's rows."""
    try:
        with daily.alone(home), store.alone(engine):
            yield
    except store.Busy as busy:
        raise daily.Busy(str(busy)) from None


def _registry(own: Receipt, config: ServingConfig, customer: str) -> bool:
    """Which trainings knew the customer; asked before their files are changed, in a process of its own, for the
    service must not load the registry. False when it does not answer.
    """
    home, server = config.home.resolve(), os.environ.get("MLFLOW_TRACKING_URI")
    if not (server or (home / "mlflow.db").exists() or (home / "unregistered").exists()):
        return True
    asked = {"home": str(home), "data": config.data.name, "customer": customer, "remote": bool(server)}
    here = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    command = [sys.executable, "-m", "training.forget"]
    told: dict[str, Any] = {"input": json.dumps(asked), "env": os.environ | {"PYTHONPATH": here}}
    answer: dict[str, Any] = {"error": "it cannot be asked"}
    try:
        found = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=REGISTRY_SECONDS, **told)
        if found.returncode == 0:
            answer = json.loads(found.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        answer = {"error": f"no answer within {REGISTRY_SECONDS:g} seconds"}
    if "error" in answer:
        own.add("notes", [f"registry: {answer['error']}; erase again when it answers"])
        own.save()
        return False
    own.told["notes"] = [note for note in own.told["notes"] if not note.startswith("registry: ")]
    for part in ("trained_with", "not_recorded", "notes"):
        own.add(part, answer[part])
    for label, rows in answer["rewritten"].items():
        own.begin(f"registry: {label}", rows)
        own.done(f"registry: {label}")
    own.save()
    return True


def _activity(own: Receipt, home: Path, customer: str) -> None:
    """Stored daily activity. A manifest names its files by their content, so that its hash stands for all of them."""
    for folder in sorted(path for path in (home / activity.FOLDER).glob("*") if path.is_dir()):
        path = folder / activity.manifest.NAME
        place = str(path.relative_to(home))
        forget.activity(folder, customer, partial(own.begin, place, before=forget.sha256(path)))
        if place in own.waiting():
            own.done(place, forget.sha256(path))


def _store(own: Receipt, config: ServingConfig, customer: str, alias: str) -> None:
    """Rows of the database, and the names of the feature files that change with them, in one transaction."""
    home, engine = config.home, store.connect(config.store_url)
    with store.patient(engine) as session:
        moved = dict(_moved(own, session, home / SNAPSHOTS, customer, alias))
        _rows(own, session, customer, moved)
    _last_good(home, moved)
    for old, new in moved.items():
        (home / SNAPSHOTS / old).unlink()
        own.done(f"{SNAPSHOTS}/{old}", forget.sha256(home / SNAPSHOTS / new))
    if DATABASE in own.waiting():
        journal.scrub(engine)
        own.done(DATABASE)


def _moved(own: Receipt, session: Session, folder: Path, customer: str, alias: str) -> Iterator[tuple[str, str]]:
    """The feature files of lists that hold the customer, each with the new one beside it."""
    names = session.scalars(select(Run.snapshot).distinct().order_by(Run.snapshot)).all()
    session.commit()  # an open transaction would lock writers out while the files are read
    for name in names:
        path = folder / name
        rows = forget.holds(path, customer) if name and path.is_file() else 0
        if rows:
            own.begin(f"{SNAPSHOTS}/{name}", rows, forget.sha256(path))
            fresh = without.table(path, customer, alias).name
            if fresh != name:
                yield name, fresh


def _rows(own: Receipt, session: Session, customer: str, moved: dict[str, str]) -> None:
    store.writing(session)
    lists = list(session.scalars(select(Score.run_id).where(Score.customer_id == customer)))
    session.execute(update(Run).where(Run.id.in_(lists)).values(rows=Run.rows - 1))
    removed = journal.erase(session, customer)
    for old, new in moved.items():
        session.execute(update(Run).where(Run.snapshot == old).values(snapshot=new))
    if any(removed.values()):
        own.begin(DATABASE, removed)
    session.commit()


def _last_good(home: Path, moved: dict[str, str]) -> None:
    """What a worker without a database starts from names a feature file too."""
    for path in home.glob(good.NAME.format(model="*")):
        try:
            last = good.last(home, path.stem.removeprefix(good.NAME.partition("{")[0]))
        except ValueError:
            continue  # damaged: nobody starts from it
        if last and last.run.snapshot in moved:
            last.run.snapshot = moved[last.run.snapshot]
            good.keep(home, last)


def _files(own: Receipt, home: Path, folders: tuple[str, ...], customer: str, alias: str) -> None:
    """Tables that are no list's any more, or never were: snapshots, and the scores that trainings keep."""
    for path in sorted(path for folder in folders for path in (home / folder).rglob("*") if path.is_file()):
        if path.name.startswith("."):
            path.unlink()  # half a file, of a process that was killed or has read the tables before the tombstone
        elif path.suffix in TABLES and (rows := forget.holds(path, customer)):
            place = str(path.relative_to(home))
            own.begin(place, rows, forget.sha256(path))
            fresh = without.table(path, customer, alias)
            if fresh != path:
                path.unlink()
            own.done(place, forget.sha256(fresh))


def _lists(own: Receipt, home: Path, customer: str) -> None:
    for path in sorted((home / LISTS).glob("*")):
        place = str(path.relative_to(home))
        if path.name.startswith("."):
            path.unlink()
        elif path.suffix not in (".csv", ".json"):
            own.add("notes", [f"{place}: no list that the daily job wrote; look into it yourself"])
        elif rows := without.holds(path, customer):
            own.begin(place, rows, forget.sha256(path))
            without.rewrite(path, customer)
            own.done(place, forget.sha256(path))


def command(chosen: argparse.Namespace, now: datetime) -> Answer:
    """``python -m serving erase CONFIG CUSTOMER --yes``; CUSTOMER - is the first line of standard input."""
    config = configs.load(chosen.config, ServingConfig, chosen.set)
    if not chosen.yes:
        raise ConfigError(
            f"--yes is missing: erasing removes the customer from {config.home} and the store for good; give it"
        )
    check(config)  # before a tombstone is set in the wrong place
    customer = sys.stdin.readline() if chosen.customer == "-" else chosen.customer
    try:
        with keys.operator(config.home) as enter:
            enter(now, "erase", customers=[customer.strip(BLANKS)])
        told = erase(config, customer, now)
    except daily.Busy as busy:
        text = f"{busy}; the customer is left out from now on: type the same command again then"
        say(chosen, text)
        return REFUSED, {"error": text}
    except (InputError, OSError, KeyboardInterrupt) as error:
        if customer.strip(BLANKS) not in erased.Erased.of(config.home):
            raise
        more = "the customer is left out from now on, but not everything is removed: type the same command again"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"stopped; {more}") from None
        raise DataError(f"{error}; {more} then") from None
    for line in receipt.lines(told):
        say(chosen, line)
    if told["status"] == "erased":
        say(chosen, f"Next: python -m serving daily {chosen.config}")
    return REFUSED if told["status"] == receipt.UNFINISHED else DONE, told
