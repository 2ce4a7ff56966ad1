"""What the benchmark found: figures, the machine they are of, and the tables for ``docs/benchmarks.md``."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

OURS = "tsunagi"
LIBRARIES = ("polars", "duckdb", "pandas", "pyarrow", "numpy", "numba")


@dataclass(frozen=True)
class Figure:
    """One engine at one size: a whole process, from start to end.

    seconds: wall time; cpu: seconds of all its cores, which a busy machine disturbs less; peak: bytes of memory.
    """

    engine: str
    events: int
    dates: int
    rows: int
    seconds: float
    cpu: float
    peak: int
    checksum: str


def machine() -> dict[str, Any]:
    """Processor, cores, memory in GB and the versions of what was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    named = {"cpu": _cpu(), "cores": os.cpu_count() or 1, "memory_gb": round(memory / 1e9, 1)}
    return named | {"system": platform.system(), "python": platform.python_version()} | _versions()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    there = {found.metadata["Name"]: found.version for found in metadata.distributions()}
    return {name: there[name] for name in LIBRARIES if name in there}


def as_json(figures: Sequence[Figure], equal: Sequence[str], named: dict) -> dict:
    """All of it, for machines. equal: the engines whose answers were compared row by row with ours."""
    return {"machine": named, "equal": list(equal), "figures": [asdict(figure) for figure in figures]}


def as_text(figures: Sequence[Figure], equal: Sequence[str], named: dict) -> str:
    """Markdown: engines side by side, growth with the data, the machine."""
    head = ("events", "dates", "rows", "engine", "seconds", "against ours", "CPU seconds", "peak memory, GB")
    side = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    side += [_row(figure, _ours(figures, figure.events, figure.dates)) for figure in figures]
    compared = f"Equal row by row with ours: {', '.join(equal) or 'none was compared'}."
    paragraphs = ("\n".join(side), "\n".join(_growth(figures)), compared, _sentence(named))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _row(figure: Figure, ours: Figure) -> str:
    times = "" if figure is ours else f"{figure.seconds / ours.seconds:.1f} ×"
    took = (f"{figure.seconds:.1f}", times, f"{figure.cpu:.1f}", f"{figure.peak / 1e9:.2f}")
    cells = (_size(figure.events), str(figure.dates), f"{figure.rows:,}", figure.engine, *took)
    return f"| {' | '.join(cells)} |"


def _ours(figures: Sequence[Figure], events: int, dates: int) -> Figure:
    return next(one for one in figures if (one.engine, one.events, one.dates) == (OURS, events, dates))


def _growth(figures: Sequence[Figure]) -> list[str]:
    """How our time and memory grow from each size to the next."""
    lines = []
    for dates in sorted({figure.dates for figure in figures}):
        own = sorted((f for f in figures if f.engine == OURS and f.dates == dates), key=lambda f: f.events)
        for few, many in pairwise(own):
            sizes = f"{_size(few.events)} to {_size(many.events)} events ({many.events / few.events:.3g} ×)"
            grown = f"{many.seconds / few.seconds:.1f} × the time, {many.peak / few.peak:.1f} × the memory"
            lines.append(f"- {OURS}, {dates} dates, {sizes}: {grown}")
    return lines


def _size(events: int) -> str:
    return f"{events / 1e6:g} M" if events >= 1e6 else f"{events:,}"


def _sentence(named: dict) -> str:
    versions = ", ".join(f"{name} {named[name]}" for name in ("python", *LIBRARIES) if name in named)
    return f"Machine: {named['cpu']}, {named['cores']} cores, {named['memory_gb']} GB, {named['system']}; {versions}."
