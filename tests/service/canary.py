"""A company with one customer whose id and name stand nowhere else, and a search for them in every byte."""

import argparse
import gzip
import json
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import yaml
from sqlalchemy.orm import Session

from features import __main__ as features
from features import config as configs
from serving.config import ServingConfig
from serving.stores import journal
from tests import company
from tests.service.world import World
from tests.unit.test_training_job import TRAINING
from tests.unit.test_training_job import company as tables
from training.__main__ import main as train

ID, NAME, NOTE = "K-猫-7Q2Z", "カナリア商会9X8W", "社長は佐藤4J5K"
CHILD, REFUSED = "c0003", "c0004"
NOW = datetime(2026, 3, 1, 12)
MARKS = [ID, "7Q2Z", NAME, "9X8W", "4J5K"]


def make(folder: Path) -> World:
    """Everything that is ever kept about the customer: trained, listed twice, acted on, stored, exported."""
    frames = tables(customers=300, weeks=56)
    regular = frames["logins"].groupby("id")["at"].max().sort_values().index[-1]
    for frame in frames.values():
        frame["id"] = frame["id"].replace(regular, ID)
    people = frames["customers"]
    people["name"] = [NAME if one == ID else f"会社{one}" for one in people["id"]]
    people["parent"] = [ID if one == CHILD else None for one in people["id"]]
    people["refused"] = people["id"] == REFUSED
    company.tables(folder / "data", **frames)
    data = {
        "name": "canary",
        "root": str(folder / "data"),
        "store": {"horizon_days": 3},
        "customers": {"name": "name", "parent": "parent", "opted_out": "refused"},
        "streams": {"ticket": {"table": "tickets.parquet", "at": "at"}},
    }
    model = {"as_of": {"every": "28d", "test_dates": 3, "first": "2025-03-03"}, "candidates": ["logistic"]}
    path = company.configs(folder, data, {**TRAINING, **model})
    (folder / "serving.yaml").write_text(yaml.safe_dump({"data": "data.yaml", "models": ["churn"]}))
    assert train(["train", str(path), "--json"]) == 0
    world = World(folder / "serving.yaml", configs.load(folder / "serving.yaml", ServingConfig))
    newest = world.publish(None).as_of
    world.publish(newest - timedelta(days=7))
    options = {"config": path, "set": [], "as_of": [], "labels": False, "out": None, "json": True}
    features.make(argparse.Namespace(**options))
    _left_behind(world.config.home)
    with world.session() as session:
        _written(session, newest)
    return world


def _left_behind(home: Path) -> None:
    """A training that waits for the registry, and half files of jobs that were killed."""
    (kept,) = (path.parent for path in (home / "mlartifacts").rglob("scores.parquet"))
    shutil.copytree(kept, home / "unregistered" / "churn-waiting")
    for name in ("lists/.churn-2026-01-05.csv-x1", "snapshots/.churn-2026-01-05.texts"):
        (home / name).write_text(ID)


def _written(session: Session, as_of: date) -> None:
    for customer, note in ((ID, NOTE), ("c0001", "keep")):
        journal.add_contact(session, NOW, customer_id=customer, at=NOW, channel="call", by="crm", note=note)
        given = {"model": "churn", "customer_id": customer, "as_of": as_of, "kind": "done", "by": "crm"}
        journal.add_action(session, NOW, **given, note=note)
        answer = {"customer_id": customer, "note": note}
        journal.remember(session, NOW, "crm", customer[-4:], "0" * 64, 201, answer)
    session.commit()


def found(folder: Path, marks: list[str] = MARKS) -> set[str]:
    """The files that hold a mark: as they are, unzipped, or in a column; escaped for JSON or in other encodings."""
    needles = {form for mark in marks for form in _forms(mark)}
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)) for path in paths if any(_in(text, needles) for text in _contents(path))}


def _forms(mark: str) -> set[bytes]:
    escaped = json.dumps(mark)[1:-1]
    return {mark.encode(), escaped.encode(), escaped.upper().encode(), mark.encode("utf-16-le"), mark.encode("cp932")}


def _in(content: bytes, needles: set[bytes]) -> bool:
    return any(needle in content for needle in needles)


def _contents(path: Path) -> list[bytes]:
    content = path.read_bytes()
    texts = [path.name.encode(), content]
    if content.startswith(b"\x1f\x8b"):
        texts.append(gzip.decompress(content))
    if content.startswith(b"PAR1"):
        table = parquet.read_table(path)
        texts += [str(table.schema.metadata).encode(), *map(_values, table.columns)]
    if content.startswith(b"\xff\xff\xff\xff"):
        with pa.memory_map(str(path)) as source:
            while source.tell() < source.size():
                texts += [_values(column) for column in pa.ipc.open_stream(source).read_all().columns]
    return texts


def _values(column: pa.ChunkedArray) -> bytes:
    return "\n".join({str(value) for value in column.to_pylist()}).encode()
