"""The door: python -m simulation."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from simulation.company import Result, build
from simulation.settings import Settings, SimulationError

EXAMPLE = """example:
  python -m simulation --customers 5000 --months 24 --out workspace/saas/data
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 with one message on stderr."""
    given = _parser().parse_args(arguments)
    try:
        settings = Settings(given.out, given.customers, given.months, given.seed, given.end, given.signal)
        result = build(settings, lambda done: _progress(done, settings.customers))
    except SimulationError as error:
        print(f"simulation: {error}", file=sys.stderr)
        return 2
    print(_json(settings, result) if given.json else _text(settings, result))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulation",
        description="Write the tables of a made-up company with known causes of churn and upsell.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shown = " (default %(default)s)"
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the Parquet tables")
    add("--customers", type=int, default=Settings.customers, help="accounts" + shown)
    add("--months", type=int, default=Settings.months, help="months of events" + shown)
    add("--seed", type=int, default=Settings.seed, help="same seed, same tables" + shown)
    add("--end", type=_date, default=Settings.end, help="first day without data" + shown)
    add("--signal", type=float, default=Settings.signal, help="multiplies every cause's weight" + shown)
    add("--json", action="store_true", help="one JSON object as the last line of output")
    return parser


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date; write it like 2026-01-01") from None


def _progress(done: int, total: int) -> None:
    last, terminal, line = done == total, sys.stderr.isatty(), f"{done:,} of {total:,} accounts"
    if terminal:
        print(f"\r{line}", end="\n" if last else "", file=sys.stderr, flush=True)
    elif last or done % max(total // 10_000 * 1000, 1000) == 0:
        print(line, file=sys.stderr, flush=True)


def _json(settings: Settings, result: Result) -> str:
    given = {**dataclasses.asdict(settings), "start": settings.start}
    return json.dumps({**given, **dataclasses.asdict(result)}, default=str)


def _text(settings: Settings, result: Result) -> str:
    lines = [f"{settings.customers:,} accounts, {settings.start} to {settings.end}, in {settings.out}"]
    lines += [f"  {name + '.parquet':22}{rows:>12,} rows" for name, rows in result.rows.items()]
    for outcome, rate in result.base_rate.items():
        auc = result.oracle_auc[outcome]
        lines.append(f"{outcome}: {rate:.1%} in a horizon; oracle AUC {auc:.3f}")
    return "\n".join([*lines, "", "next: python -m training train configs/saas/churn.yaml"])


if __name__ == "__main__":
    sys.exit(main())
