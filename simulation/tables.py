"""The Parquet tables: their columns, and a folder of them that appears whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from simulation.settings import SimulationError

TEXT, TIME, DATE = pa.string(), pa.timestamp("us"), pa.date32()
NUMBER, COUNT, FLAG = pa.float64(), pa.int32(), pa.bool_()
WORD = pa.dictionary(pa.int32(), TEXT)
SCHEMAS = {
    name: pa.schema(list(columns.items()))
    for name, columns in {
        "accounts": {
            "account_id": TEXT, "account_name": TEXT, "signup_date": DATE, "csm_email": TEXT,
            "region": WORD, "industry": WORD, "no_profiling": FLAG,
        },
        "subscriptions": {
            "account_id": WORD, "subscription_id": TEXT, "start_date": DATE, "end_date": DATE,
            "recorded_at": TIME, "notice_at": TIME, "arr": NUMBER, "renewal_date": DATE, "plan": WORD,
        },
        "events": {
            "account_id": WORD, "user_id": WORD, "event": WORD, "feature": WORD,
            "occurred_at": TIME, "loaded_at": TIME,
        },
        "seat_usage": {
            "account_id": WORD, "measured_at": TIME, "seats": COUNT, "active_users": COUNT, "share": NUMBER,
        },
        "tickets": {
            "account_id": WORD, "opened_at": TIME, "recorded_at": TIME, "closed_at": TIME, "severity": COUNT,
        },
        "surveys": {"account_id": WORD, "answered_at": TIME, "kind": WORD, "score": NUMBER},
        "invoices": {
            "account_id": WORD, "issued_at": TIME, "seats": COUNT, "unit_price": NUMBER, "amount": NUMBER,
        },
        "payments": {"account_id": WORD, "attempted_at": TIME, "amount": NUMBER, "status": WORD},
        "plan_history": {"account_id": WORD, "valid_from": DATE, "known_at": TIME, "plan": WORD},
        "seat_history": {
            "account_id": WORD, "valid_from": DATE, "known_at": TIME, "seats": COUNT, "reason": WORD,
        },
        "contacts": {"account_id": WORD, "contacted_at": TIME, "channel": WORD},
        "truth": {
            "account_id": WORD, "as_of": DATE, "outcome": WORD, "probability": NUMBER, "happened": FLAG,
            "main_cause": WORD, "decision_cause": WORD, "contact_effect": NUMBER, "held_out": FLAG,
        },
    }.items()
}  # fmt: skip


class Folder:
    """Open Parquet files; every `write` adds one row group."""

    def __init__(self, path: Path):
        self.rows = dict.fromkeys(SCHEMAS, 0)
        self._writers = {
            name: pq.ParquetWriter(path / f"{name}.parquet", schema, store_schema=False)
            for name, schema in SCHEMAS.items()
        }

    def write(self, name: str, columns: dict[str, pa.Array]) -> None:
        """Add one block of rows; the columns must be those of the schema."""
        schema = SCHEMAS[name]
        arrays = [columns[field.name].cast(field.type) for field in schema]
        table = pa.Table.from_arrays(arrays, schema=schema)
        self._writers[name].write_table(table, row_group_size=max(len(table), 1))
        self.rows[name] += len(table)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


@contextmanager
def new_folder(out: Path) -> Iterator[Folder]:
    """A folder that takes the place of `out` when all goes well, and leaves no trace when not.

    Raises SimulationError if `out` is a file or holds anything but an earlier simulation.
    """
    _check(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise SimulationError(f"--out {out}: {error.strerror}; name a folder that can be written") from error
    folder = Folder(draft)
    try:
        yield folder
        folder.close()
        draft.chmod(0o755)
        _replace(out, draft)
    finally:
        folder.close()
        shutil.rmtree(draft, ignore_errors=True)


def _replace(out: Path, draft: Path) -> None:
    if out.exists():
        old = draft.with_name(f"{draft.name}-old")
        out.rename(old)
        draft.rename(out)
        shutil.rmtree(old)
    else:
        draft.rename(out)


def _check(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SimulationError(f"--out {out}: is a file; name a new folder or one made by an earlier run")
    ours = {f"{name}.parquet" for name in SCHEMAS}
    other = sorted(path.name for path in out.iterdir() if path.name not in ours) if out.exists() else []
    if other:
        raise SimulationError(f"--out {out}: holds {other[0]}, not from a simulation; name a new or empty folder")
