"""What was served last, on disk: enough to go on answering where the store or the champion's file is gone."""

import hashlib
import os
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import orjson

from serving.stores.records import Run

NAME, FOLLOWED = "served-{model}.json", "followed.json"


@dataclass(frozen=True)
class Good:
    """A bundle by its SHA-256, the number under which it was placed, and the published run it was served on."""

    bundle: str
    sequence: int
    run: Run


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole and on the disk: who reads it, or a machine that stops, sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as fresh:
        try:
            fresh.write(content)
            fresh.flush()
            os.fsync(fresh.fileno())
            os.replace(fresh.name, path)
        except OSError:
            Path(fresh.name).unlink(missing_ok=True)
            raise


def keep(home: Path, good: Good) -> None:
    """Remember what is served. Raises OSError."""
    run = {column.name: getattr(good.run, column.name) for column in Run.__table__.columns}
    body = orjson.dumps({"bundle": good.bundle, "sequence": good.sequence, "run": run}).decode()
    write(_path(home, good.run.model), orjson.dumps({"sha256": _sha256(body), "body": body}))


def last(home: Path, model: str) -> Good | None:
    """What was served last; None when nothing was. Raises ValueError for a file that is damaged."""
    path = _path(home, model)
    if not path.exists():
        return None
    try:
        content = orjson.loads(path.read_bytes())
        if _sha256(content["body"]) != content["sha256"]:
            raise ValueError("it was changed")
        body = orjson.loads(content["body"])
        return Good(str(body["bundle"]), int(body["sequence"]), _run(body["run"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is damaged") from error


def followed(home: Path) -> dict[str, dict[str, Any]]:
    """What the process that follows the registry wrote, by model; empty where none runs or its file is damaged."""
    try:
        content = orjson.loads((home / FOLLOWED).read_bytes())
        return {str(model): dict(own) for model, own in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def named(home: Path) -> set[str]:
    """The bundles and feature files that a restarted worker may need; those of damaged files are not known."""
    found: set[str] = set()
    for path in home.glob(NAME.format(model="*")):
        try:
            good = last(home, path.stem.removeprefix("served-"))
        except ValueError:
            continue
        found |= {good.bundle, good.run.bundle, good.run.snapshot} if good else set()
    return found


def _run(values: dict[str, Any]) -> Run:
    dates = {date: date.fromisoformat, datetime: datetime.fromisoformat}
    kinds = {column.name: column.type.python_type for column in Run.__table__.columns}
    return Run(
        **{
            name: dates[kind](values[name]) if kind in dates and values[name] is not None else values[name]
            for name, kind in kinds.items()
        }
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _path(home: Path, model: str) -> Path:
    return home / NAME.format(model=model)
