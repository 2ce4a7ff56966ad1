"""The 52 windows of the benchmark by our own engine.

    python -m benchmarks.windows --events events.parquet --dates 52

Prints rows and a checksum of all values; ``--out FILE`` writes every row, part by part.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa

from benchmarks import work
from features import catalogue, facts, snapshot
from features.data_config import Stream
from features.snapshot_config import SnapshotConfig

ASKED = (*work.MEASURES, "recency")


def config(events: Path) -> SnapshotConfig:
    """The question as a model's YAML would ask it. The outcome is asked for by the schema and never computed."""
    history = work.DAYS[-1]
    stream = {"table": events.name, "at": "ts", "value": "value"}
    data = {
        "name": "benchmark",
        "root": {"path": str(events.resolve().parent)},
        "history_days": history,
        "customers": {"from_stream": work.STREAMS[0], "id": "customer_id"},
        "streams": {name: stream | {"where": {"event": name}} for name in work.STREAMS},
    }
    others = [measure for measure in catalogue.measures_of(Stream.model_validate(stream)) if measure.name not in ASKED]
    return SnapshotConfig.model_validate(
        {
            "data": data,
            "population": {"seen": {"streams": work.STREAMS, "days": history}},
            "outcome": {"kind": "inactivity", "streams": work.STREAMS, "horizon_days": 30},
            "windows": {"days": work.DAYS},
            "exclude": [f"*_{other.name}" + "_*d" * other.windowed for other in others],
        }
    )


def tables(events: Path, dates: Sequence[date]) -> Iterator[pa.Table]:
    """One table per part of the customers: customer_id, as_of and the 52 columns (among others)."""
    settings = config(events)
    yield from snapshot.parts(settings, dates, facts.read(settings.data), labels=False)


def main() -> int:
    return work.answer(tables, work.parser(__doc__).parse_args())


if __name__ == "__main__":
    sys.exit(main())
