"""The checks of a ready-made feature table: is there enough, and does a column know the outcome?"""

from collections.abc import Callable
from dataclasses import dataclass

from features.checks import leaks, quality
from features.checks.findings import Finding, ordered
from features.ready import table as ready
from features.snapshot import Snapshot
from features.snapshot_config import SnapshotConfig


@dataclass(frozen=True)
class Report:
    """What the checks found, the gravest first, and the labelled rows they looked at."""

    made: Snapshot
    findings: list[Finding]

    @property
    def passed(self) -> bool:
        return all(finding.level != "error" for finding in self.findings)


def check(config: SnapshotConfig, say: Callable[[str], None]) -> Report:
    """All checks that make sense without events; say: takes what was decided of a column.

    Raises DataError where the table cannot be read, naming every column that is no feature.
    """
    made = ready.snapshot(config, say)
    return Report(made, ordered([*quality.enough(config, made), *leaks.of_features(made)]))
