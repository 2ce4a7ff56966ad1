"""What Prometheus reads: counts of all workers together, kept in memory-mapped files that outlive a worker."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    mmap_dict,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from serving.environment import release

CONTENT_TYPE = CONTENT_TYPE_LATEST
UNKNOWN = "unknown"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SCORES = tuple(tenth / 10 for tenth in range(1, 11))
DEAD = 0  # in place of a process id: what workers counted that are gone


@dataclass(frozen=True)
class Shown:
    """A model as the answering worker serves it. age_days: of its list. stale: it is the last good one."""

    model: str
    version: str
    age_days: int | None
    stale: bool = False


class Metrics:
    """Counts the requests and rows of this worker. A label is a fixed word, the name of a model or a status."""

    def __init__(self, home: Path, operations: Iterable[str], models: Iterable[str]):
        """Workers of one supervisor share a folder below ``home/metrics``; it ends with the supervisor."""
        self._operations, self._models = frozenset(operations), frozenset(models)
        self._folder = _folder(home / "metrics")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._folder)
        with _locked(self._folder, fcntl.LOCK_EX):
            _bury(self._folder)
        self._value = values.MultiProcessValue()
        own = CollectorRegistry()
        self._requests = Counter(
            "tsunagi_requests", "Requests answered.", ("operation", "method", "status"), registry=own
        )
        self._seconds = Histogram(
            "tsunagi_request_seconds", "Seconds to an answer.", ("operation",), buckets=SECONDS, registry=own
        )
        self._rows = Counter("tsunagi_rows", "Customers in scoring answers.", ("model", "status"), registry=own)
        self._scores = Histogram("tsunagi_score", "Scores given.", ("model",), buckets=SCORES, registry=own)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._child(self._requests, UNKNOWN, UNKNOWN, "404")
        self._child(self._seconds, UNKNOWN)

    def observe(self, operation: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; operations and methods that we do not know are ``unknown``."""
        if operation not in self._operations:
            operation = UNKNOWN
        if method not in METHODS:
            method = UNKNOWN
        self._child(self._requests, operation, method, str(status)).inc()
        self._child(self._seconds, operation).observe(seconds)

    def scored(self, model: str, statuses: Iterable[str], scores: Iterable[float]) -> None:
        """Count the rows of a scoring answer. ``scores``: of those that have one."""
        if model not in self._models:
            model = UNKNOWN
        counted: dict[str, int] = {}
        for status in statuses:
            counted[status] = counted.get(status, 0) + 1
        for status, count in counted.items():
            self._child(self._rows, model, status).inc(count)
        observe = self._child(self._scores, model).observe
        for score in scores:
            observe(score)

    def render(self, shown: Iterable[Shown], stale: bool = False) -> bytes:
        """The page. stale: the keys may be old. Versions and ages are those of the answering worker."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._folder))
        registry.register(_State(tuple(shown), stale))
        with _locked(self._folder, fcntl.LOCK_SH):
            return generate_latest(registry)

    def _child(self, metric: Counter | Histogram, *labels: str) -> Any:
        child = self._children.get((metric, *labels))
        if child is None:
            values.ValueClass = self._value  # what a new child counts in, whoever imported the library first
            child = self._children[metric, *labels] = metric.labels(*labels)
        return child


class _State:
    """What is true now rather than counted."""

    def __init__(self, shown: tuple[Shown, ...], stale: bool):
        self._shown, self._stale = shown, stale

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("tsunagi_model_info", "The model served.", labels=("model", "version"))
        age = GaugeMetricFamily("tsunagi_data_age_days", "Days since the date of the list.", labels=("model",))
        stale = GaugeMetricFamily("tsunagi_stale", "1: goes on with the last good state.", labels=("part",))
        stale.add_metric(("keys",), float(self._stale))
        for one in self._shown:
            info.add_metric((one.model, one.version), 1)
            stale.add_metric((one.model,), float(one.stale))
            if one.age_days is not None:
                age.add_metric((one.model,), one.age_days)
        build = GaugeMetricFamily("tsunagi_build_info", "What runs.", labels=("version", "python"))
        build.add_metric((release(), sys.version.split()[0]), 1)
        yield from (info, age, stale, build)


def _folder(home: Path) -> Path:
    """The folder of this supervisor's workers; those of supervisors that are gone are removed.

    The version is in its name because counts of another one may have other buckets.
    """
    folder = home / f"{os.getppid()}-{release()}"
    folder.mkdir(parents=True, exist_ok=True)
    for other in home.iterdir():
        if other != folder and not _alive(other.name.partition("-")[0]):
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _bury(folder: Path) -> None:
    """Add the counts of dead workers to one file per kind of metric, so that nothing is lost and files stay few."""
    for path in sorted(folder.glob("*_*.db")):
        kind, _, process = path.stem.partition("_")
        if process == str(DEAD) or _alive(process):
            continue
        total = mmap_dict.MmapedDict(str(folder / f"{kind}_{DEAD}.db"))
        for key, value, at, _ in mmap_dict.MmapedDict.read_all_values_from_file(str(path)):
            total.write_value(key, total.read_value(key)[0] + value, at)
        total.close()
        path.unlink()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Readers wait while dead workers are added up, so that none is counted twice or not at all."""
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, how)
        yield


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
