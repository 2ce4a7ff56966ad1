"""The walk on a cluster: rolled up in Spark's SQL; its executors make the parts of the customers and work on them."""

import os
import re
import tempfile
import uuid
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from features import attributes, customers, layout, subscriptions
from features.attributes import History
from features.calendar import NEVER
from features.data_config import Data
from features.engines import pandas_unsaid
from features.errors import ConfigError, DataError
from features.facts import Facts, Part
from features.gathered import Codes, Counted, Gathered
from features.layout import Layout
from features.scratch import Space
from features.sources import Source
from features.subscriptions import Subscriptions

ROWS, PIECE = 1_500_000, 1 << 22
_SPEAKERS = {"grpc", "py4j", "pyspark"}
PACKAGES = ("features", "training", "serving")
T = TypeVar("T")
Work = Callable[[Facts], Iterable[T]]


def read(data: Data, today: int = NEVER) -> Facts:
    """What ``facts.read`` gives, counted by the executors; no row comes to the driver. Raises DataError."""
    job = Job(Source(data), today)
    return SparkFacts(job, list(job.results(_survey, kept=False)))


class SparkFacts(Facts):
    """Facts whose parts are made by executors, partition by partition of the hashed ids, whenever work is to be done.

    At the driver lie only the counts. ``customers`` and ``attributes`` are read when they are asked for;
    ``subscriptions`` holds one row a partition with its newest days, which is what ``observed_until`` needs.
    """

    _job: "Job"

    def __init__(self, job: "Job", surveys: "list[Survey]"):
        data = job.source.data
        gathered = [Gathered({name: spec}, _NOBODY, Space(), job.layout.today) for name, spec in data.streams.items()]
        for survey in surveys:
            for own, counted in zip(gathered, survey.counted):
                own.merge(counted)
        for own in gathered:
            own.close(whole=True)
        terms = _joined([survey.terms for survey in surveys if survey.terms]) if data.subscriptions else None
        whole = {"data": data, "gathered": gathered, "today": job.layout.today, "late": [], "subscriptions": terms}
        self.__dict__ |= whole | {"_job": job}

    @cached_property
    def customers(self) -> pd.DataFrame:
        return customers.load(self._job.source)

    @cached_property
    def attributes(self) -> dict[str, History]:
        return attributes.load(self._job.source, pd.Index(self.customers["id"]))

    def each(self, work: Callable[[Part], T]) -> Iterator[T]:
        """``work`` done on every part by the executors, which hold the results until they are taken.

        work can be pickled. Raises the DataError of a part, or one that says what Spark could not do.
        """
        return self._job.results(partial(_each, work))


def _each(work: Callable[[Part], T], facts: Facts) -> Iterator[T]:
    return facts.each(work)


@dataclass(frozen=True)
class Survey:
    """What one partition tells of itself: one row of newest days of its subscriptions, and each stream's counts."""

    terms: Subscriptions | None
    counted: list[Counted]


_NOBODY = Codes(pd.Index([], dtype=object))


def _survey(facts: Facts) -> list[Survey]:
    terms = facts.subscriptions
    return [Survey(terms and _newest(terms), [own.counted for own in facts.gathered])]


def _newest(terms: Subscriptions) -> Subscriptions:
    """One row with the same ``observed_until``, none where there is none."""
    if not len(terms.start):
        return terms
    day, never = np.array([terms.observed_until()], np.int32), np.array([NEVER], np.int32)
    return Subscriptions(np.zeros(1, np.int32), day, day, day, never, never, np.zeros(1))


def _joined(terms: list[Subscriptions]) -> Subscriptions:
    return Subscriptions(**{name: np.concatenate([getattr(own, name) for own in terms]) for name in vars(terms[0])})


class Job:
    """All tables in one frame on the disks of the executors, a customer's rows in one partition."""

    def __init__(self, source: Source, today: int):
        tables = layout.queries(source)
        self.source, self.layout = source, layout.of(source.data, today, tables)
        laid = [sheet.laid(tables[name]) for name, sheet in self.layout.sheets.items()]
        with _told("the tables", "be read"):
            _ship(source.engine.session)
            rows = _on_disk(_united(source, [source.engine.connection.compile(query) for query in laid]))
            try:
                self._refuse_empty(counted := dict(rows.groupBy("sheet").count().collect()))
                self._frame = _on_disk(rows.repartition(_partitions(sum(counted.values()), source), "id"))
                self._frame.count()
            finally:
                _drop(rows)
        weakref.finalize(self, _drop, self._frame).atexit = False

    def _refuse_empty(self, counted: dict[int, int]) -> None:
        rows = {name: counted.get(place, 0) for place, name in enumerate(self.layout.sheets)}
        customers.refuse_nobody(rows["customers"], self.layout.data)
        if spec := self.layout.data.subscriptions:
            subscriptions.refuse_none(rows["subscriptions"], spec)

    def results(self, work: Work[T], kept: bool = True) -> Iterator[T]:
        """What ``work`` makes of the facts of each partition.

        kept: the executors finish all of it first, in parallel, and keep it on their disks while it is taken from them
        one partition after the other.
        """
        with _told("the parts", "be made"), pandas_unsaid():
            task = _shipped(partial(_task, self.layout, work))
            made = self._frame.mapInArrow(task, "piece binary, last boolean")
            if not kept:
                yield from _unpacked(made.collect())
                return
            made = _on_disk(made)
            try:
                made.count()
                yield from _unpacked(made.toLocalIterator(prefetchPartitions=True))
            finally:
                _drop(made)


def _united(source: Source, queries: list[str]) -> Any:
    """One frame of all queries, each with its number.

    No two are equal to Spark: it would take the rows it keeps of older facts, though the tables have changed since.
    """
    from pyspark.sql.functions import lit

    session, own = source.engine.session, lit(uuid.uuid4().hex)
    frames = [session.sql(query).withColumn("sheet", lit(number)) for number, query in enumerate(queries)]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames).filter(own.isNotNull())


def _partitions(rows: int, source: Source) -> int:
    """As many as ``engine.spark.config`` says; else of ROWS rows, and one a core at least."""
    assert source.data.engine.spark is not None
    said = source.data.engine.spark.config.get("spark.sql.shuffle.partitions")
    cores = source.engine.session.range(1 << 20).selectExpr("spark_partition_id() as core").distinct().count()
    return int(said or max(cores, -(-rows // ROWS)))


def _on_disk(frame: Any) -> Any:
    from pyspark import StorageLevel

    return frame.persist(StorageLevel.DISK_ONLY)


def _drop(frame: Any) -> None:
    """Forget a frame; a Spark that has ended has done so itself."""
    try:
        frame.unpersist()
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _SPEAKERS:
            raise


def _task(layout: Layout, work: Work[T], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What an executor does with one partition. What our own errors say comes back as a result does."""
    try:
        for made in work(layout.facts(batches)):
            yield from _packed(made)
    except (ConfigError, DataError) as error:
        yield from _packed(error)


def _packed(made: object) -> Iterator[pa.RecordBatch]:
    """A result as rows of a few MB, in the form in which Spark itself moves the objects of Python."""
    whole = _serializer().dumps(made)
    for first in range(0, len(whole), PIECE):
        piece = pa.array([whole[first : first + PIECE]], pa.binary())
        yield pa.RecordBatch.from_arrays([piece, pa.array([first + PIECE >= len(whole)])], ["piece", "last"])


def _unpacked(rows: Iterable[tuple[bytes, bool]]) -> Iterator[Any]:
    """The results again. Raises the error that an executor met."""
    held = list[bytes]()
    for piece, last in rows:
        held.append(piece)
        if last:
            made, held = _serializer().loads(b"".join(held)), []
            if isinstance(made, Exception):
                raise made
            yield made


def _serializer() -> Any:
    from pyspark.serializers import CloudPickleSerializer

    return CloudPickleSerializer()


def _shipped(work: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]) -> Callable[..., Any]:
    """``work`` as Spark sends it: made again only where compiled kernels have found a place that goes with the job."""
    sent = _serializer().dumps(work)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import SparkFiles
        from pyspark.serializers import CloudPickleSerializer

        os.environ["XDG_CACHE_HOME"] = os.path.abspath(SparkFiles.getRootDirectory())
        yield from CloudPickleSerializer().loads(sent)(batches)

    return run


def _ship(session: Any) -> None:
    """Give the executors our packages, once a session; they may fetch them as long as it runs."""
    if hasattr(session, "_tsunagi"):
        return
    session._tsunagi = tempfile.TemporaryDirectory(prefix="tsunagi-")
    path, root = Path(session._tsunagi.name) / "tsunagi.zip", Path(__file__).parents[1]
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for package in PACKAGES for file in (root / package).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(root))
    session.addArtifacts(str(path), pyfile=True)


@contextmanager
def _told(what: str, do: str) -> Iterator[None]:
    """What Spark says of a failure as one line."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] not in _SPEAKERS:
            raise
        raise DataError(f"Spark: {what} cannot {do} ({_reason(error)}); check data.yaml: engine.spark") from None


def _reason(error: Exception) -> str:
    """What went wrong on an executor, of Python's if it says it, without where and the traces."""
    java = getattr(error, "java_exception", None)
    lines = [line.strip() for line in f"{error}\n{java.toString() if java else ''}".splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"([a-zA-Z]\w*[.])*\w*(Error|Exception): ", line)]
    line = re.sub(r"^.*\(TID \d+\) \(.*?\): ", "", (told or lines or [type(error).__name__])[0])
    return line if len(line) <= 240 else line[:239] + "…"
