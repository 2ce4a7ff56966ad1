"""The doors of the feature room: check | update | snapshot | catalogue."""

import argparse
import glob
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from features import catalogue, config, events, facts, snapshot, store
from features.calendar import number
from features.checks import quality
from features.command import DONE, REFUSED, Answer, Door, appearing, progress, say
from features.data_config import Data, workspace
from features.erased import Erased
from features.errors import ConfigError, DataError
from features.ledger import Late
from features.ready.config import Table
from features.snapshot_config import SnapshotConfig
from features.sources import Source


def check(chosen: argparse.Namespace) -> Answer:
    from features.checks import page, table

    _refuse_tables_alone(chosen.config)
    settings = config.load(chosen.config, SnapshotConfig, chosen.set)
    if isinstance(settings.data, Table):
        return _check_table(chosen, settings)
    today = settings.data.today()
    progress(f"reading and checking the tables of {settings.data.name} …")
    report = quality.check(settings, today)
    path = chosen.html or workspace(settings.data) / f"check-{chosen.config.stem}.html"
    _refuse_tables(settings.data, path, "--html", ".html")
    page.write(page.page(report, chosen.config, chosen.lang, today), path)
    if not chosen.json:
        table.show(report, chosen.lang)
    for line in page.verdict(report, chosen.config, path, chosen.lang):
        say(chosen, line)
    told = [finding.record(chosen.lang) for finding in report.findings]
    return DONE if report.passed else REFUSED, {"passed": report.passed, "findings": told, "page": str(path)}


def _check_table(chosen: argparse.Namespace, settings: SnapshotConfig) -> Answer:
    """The checks of a ready-made table; they make no page."""
    from features.checks import ready_made, table

    report = ready_made.check(settings, progress)
    if not chosen.json:
        table.show(report, chosen.lang)
    say(chosen, f"Next: python -m {'training train' if report.passed else 'features check'} {chosen.config}")
    told = [finding.record(chosen.lang) for finding in report.findings]
    return DONE if report.passed else REFUSED, {"passed": report.passed, "findings": told, "page": None}


def _refuse_ready_made(data: Data) -> None:
    if isinstance(data, Table):
        raise ConfigError(f"data.yaml: table: {data.table} has its own features; there is nothing to make of events")


def _refuse_tables_alone(path: Path) -> None:
    """Raise ConfigError on a data.yaml, naming the models beside it."""
    content = config.read(path)
    if "streams" in content and "outcome" not in content:
        beside = [own for own in sorted(path.parent.glob("*.yaml")) if config.read(own).get("outcome")]
        models = " or ".join(map(str, beside)) or "a YAML with population and outcome"
        raise ConfigError(f"{path}: says what the tables mean, not what is predicted; check {models}")


def update(chosen: argparse.Namespace) -> Answer:
    _refuse_tables_alone(chosen.config)
    data = config.load(chosen.config, SnapshotConfig, chosen.set).data
    _refuse_ready_made(data)
    if data.store is None:
        raise ConfigError("data.yaml: store: this key is missing; add store: {horizon_days: 3} to keep daily activity")
    source, told, late = Source(data), dict[str, dict[str, int]](), list[Late]()
    for names in events.groups(data):
        label = ", ".join(names)
        if not store.stored(data, names):
            say(chosen, f"{label}: not stored, its rows change in place (until, lookup); read whole each time")
            continue
        kept = store.Store(source, names)
        changed = kept.update(number(data.today()), chosen.rebuild)
        late += kept.late
        told[label] = {"events": kept.events, "days": len(kept.state.days), "changed": len(changed)}
        many = f"{kept.events:,} events known on {len(kept.state.days):,} days"
        say(chosen, f"{label}: {many}, {len(changed):,} of them new or changed")
    for one in late:
        say(chosen, f"WARNING {one}")
    say(chosen, f"Next: python -m training train {chosen.config}")
    return DONE, {"streams": told, "late": [asdict(one) for one in late]}


def make(chosen: argparse.Namespace) -> Answer:
    settings = config.load(chosen.config, SnapshotConfig, chosen.set)
    _refuse_ready_made(settings.data)
    progress(f"reading the tables of {settings.data.name} …")
    out = chosen.out or workspace(settings.data) / "snapshots" / f"{chosen.config.stem}.parquet"
    _refuse_tables(settings.data, out, "--out", ".parquet")
    gone = Erased.of(workspace(settings.data)).dates
    known = facts.read(settings.data, today=settings.data.today())
    days = sorted({_date(text, settings, known) for text in chosen.as_of}) or snapshot.dates(settings, known)
    when = " to ".join(map(str, dict.fromkeys([days[0], days[-1]]))) if days else ""
    progress(f"building {len(days)} as-of dates …")
    parts = _someone(snapshot.parts(settings, days, known, chosen.labels), when)
    rows, content = write(_as_known(parts, workspace(settings.data), gone), out)
    features = len(catalogue.features(settings))
    say(chosen, f"{rows:,} rows × {features} features as of {when}: {out}")
    say(chosen, f"content hash {content}")
    say(chosen, f"Next: python -m training train {chosen.config}")
    answer = {"rows": rows, "features": features, "as_of": [str(day) for day in days]}
    return DONE, answer | {"fingerprint": content, "path": str(out)}


def _refuse_tables(data: Data, path: Path, option: str, suffix: str) -> None:
    """Raise ConfigError on a path that is no file of this kind, or a table of the data."""
    if path.suffix != suffix:
        raise ConfigError(f"{path}: {option} names a {suffix} file; choose a name that ends so")
    if data.root is None or data.engine.name != "duckdb":
        return
    for name in data.tables():
        if any(Path(file).resolve() == path.resolve() for file in glob.glob(str(data.root.folder() / name))):
            raise ConfigError(f"{path}: is the table {name} of data.yaml; choose another {option}")


def _someone(parts: Iterator[pa.Table], when: str) -> Iterator[pa.Table]:
    """The parts. Raises DataError at the end when none of them had a row."""
    rows = 0
    for part in parts:
        rows += part.num_rows
        yield part
    if not rows:
        raise DataError(f"nobody is in the population as of {when}; choose dates within the data")


def _as_known(parts: Iterator[pa.Table], home: Path, gone: dict[str, date]) -> Iterator[pa.Table]:
    """The parts. Raises DataError at the end when others are erased by now than those whose rows were not read."""
    yield from parts
    if Erased.of(home).dates != gone:
        raise DataError("a customer was erased while this was made, and nothing is kept; type the same command again")


def write(parts: Iterator[pa.Table], path: Path) -> tuple[int, str]:
    """Write the parts as one Parquet file, which appears whole or not at all; returns its rows and content hash."""
    hashes, rows, writer = snapshot.ContentHash(), 0, None
    with appearing(path, "--out") as half:
        for part in parts:
            writer = writer or parquet.ParquetWriter(half, part.schema)
            writer.write_table(_nulls(part))
            hashes.add(part.to_pandas())
            rows += part.num_rows
        if writer:
            writer.close()
    return rows, hashes.hex()


def _nulls(part: pa.Table) -> pa.Table:
    """The part with null where a number is NaN."""
    for place, field in enumerate(part.schema):
        if pa.types.is_floating(field.type):
            own = part.column(place)
            part = part.set_column(place, field, pc.if_else(pc.is_nan(own), None, own))
    return part


def show(chosen: argparse.Namespace) -> Answer:
    settings = config.load(chosen.config, SnapshotConfig, chosen.set)
    _refuse_ready_made(settings.data)
    own = catalogue.features(settings)
    width = max(len(feature.name) for feature in own)
    rows = []
    for feature in own:
        measure = catalogue.BY_NAME[feature.measure]
        empty = "null" if measure.empty is None else f"{measure.empty:g}"
        about = f"{feature.unit:<9} empty={empty:<5} {catalogue.SIGNS[measure.direction]:1}"
        window = f", {feature.days} days" if feature.days else ""
        told = {"empty": measure.empty, "direction": measure.direction, "meaning": measure.meaning}
        rows.append(asdict(feature) | told)
        say(chosen, f"{feature.name:<{width}}  {feature.family:<20} {about} {measure.meaning}{window}")
    say(chosen, f"\n{len(own)} features. Next: python -m features check {chosen.config}")
    return DONE, {"features": rows}


def _date(text: str, settings: SnapshotConfig, known: facts.Facts) -> date:
    if text == "latest":
        return snapshot.latest(settings, known)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--as-of {text}: write a date such as 2025-12-01, or latest") from None


def main() -> int:
    door = Door("features", "Behaviour windows and outcomes as of a date.")
    parser = door.add(
        "check", check, "is there enough data, is it alive, does it leak", "check configs/saas/churn.yaml"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="the page (default: in the workspace)")
    parser.add_argument("--lang", choices=("en", "ja"), default="en", help="the language of findings and page")
    about = "bring the stored daily activity up to date"
    parser = door.add("update", update, about, "update configs/saas/churn.yaml --rebuild")
    parser.add_argument("--rebuild", action="store_true", help="read everything again")
    parser = door.add("snapshot", make, "write the table of features", "snapshot configs/saas/churn.yaml --labels")
    parser.add_argument("--as-of", action="append", default=[], metavar="DATE", help="a date or latest; repeatable")
    parser.add_argument("--labels", action="store_true", help="add the outcomes")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the Parquet file (default: in the workspace)")
    door.add("catalogue", show, "list every feature with its meaning", "catalogue configs/saas/churn.yaml")
    return door.open()


if __name__ == "__main__":
    sys.exit(main())
