"""Which trainings of the registry knew a customer. A process of its own, for who erases must not load the registry.

``python -m training.forget``: standard input holds the workspace's folder, the name of the data, and the customer, as
JSON; the answer is one JSON object.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from features import forget
from features.erased import Erased
from features.errors import InputError
from training import tracking, trained_with
from training.tracking import Trained


@dataclass
class Found:
    """trained_with, not_recorded: labels of trainings. rewritten: rows taken out of files of the registry, by label."""

    trained_with: list[str] = field(default_factory=list)
    not_recorded: list[str] = field(default_factory=list)
    rewritten: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def look(home: Path, data: str, customer: str, remote: bool) -> Found:
    """Ask every training of a data set. ``remote``: its files lie elsewhere, so that they are rewritten here.

    Raises NoRegistry when the registry does not answer.
    """
    found, own = Found(), Erased.of(home)
    with TemporaryDirectory() as folder:
        for one in [*_unregistered(home), *tracking.trained(home, data, Path(folder))]:
            try:
                _judge(found, own, one, customer)
                if remote and one.run_id and one.scores and (rows := forget.holds(one.scores, customer)):
                    fresh = one.scores.with_name(f"fresh-{one.scores.name}")
                    forget.rewrite(one.scores, customer, own.alias(customer), fresh)
                    tracking.replaced(home, one.run_id, fresh.replace(one.scores))
                    found.rewritten[one.label] = rows
            except InputError as error:
                found.notes.append(f"{one.label}: {error}")
    return found


def _judge(found: Found, own: Erased, one: Trained, customer: str) -> None:
    """By the record; where it is missing, by the scores, which tell of the test dates alone."""
    known = trained_with.held(own, one.trained_with, customer) if one.trained_with else None
    if known or (one.scores and forget.holds(one.scores, customer)):
        found.trained_with.append(one.label)
    elif known is None and (one.trained_with or one.scores or not one.label.startswith("run ")):
        found.not_recorded.append(one.label)


def _unregistered(home: Path) -> Iterator[Trained]:
    """Trainings that wait in the workspace for the registry."""
    for folder in sorted((home / "unregistered").glob("*")):
        kept = [
            path if (path := folder / name).is_file() else None for name in (tracking.TRAINED_WITH, tracking.SCORES)
        ]
        yield Trained(f"unregistered {folder.name}", "", *kept)


def main() -> int:
    asked = json.load(sys.stdin)
    try:
        found = vars(look(Path(asked["home"]), asked["data"], asked["customer"], asked["remote"]))
    except InputError as error:
        found = {"error": str(error)}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
