"""An hour at half load: does memory grow, do descriptors, does any request fail?

    python -m benchmarks.soak --folder FOLDER --minutes 60

The service of ``benchmarks.serving`` with ``--workers``, asked at half the rate it can answer (by id and with changes
in turn, open loop). Every ten seconds the memory and the descriptors of all its processes are counted, but for those of
callers' open connections, which come and go; growth is from the mean (the median) of the minute after the first sixth
of the time to that of the last minute. Prints one JSON object a minute and one at the end; exits 1 when memory grew by
5% or more, descriptors at all, or a request failed.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import psutil

from benchmarks import serving
from benchmarks.serving import Question, World
from benchmarks.work import Parser
from features.errors import InputError

EVERY_SECONDS = 10.0
MOST_GROWTH = 0.05


@dataclass(frozen=True)
class Sample:
    """All processes of the service at one moment. megabytes: resident, what they share counted once each.

    descriptors: without those of ``connections``, open ones of callers.
    """

    seconds: float
    megabytes: float
    descriptors: int
    connections: int


def sampled(root: psutil.Process, port: int, began: float) -> Sample:
    """Count the process, which listens on the port, and its children."""
    own = [root, *root.children(recursive=True)]
    memory = sum(one.memory_info().rss for one in own) / 1e6
    files, calls = sum(one.num_fds() for one in own), sum(_calls(one, port) for one in own)
    return Sample(time.monotonic() - began, memory, files - calls, calls)


def _calls(process: psutil.Process, port: int) -> int:
    open_ones = (one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED)
    return sum(one.laddr.port == port for one in open_ones)


def growth(samples: list[Sample], minutes: float) -> dict[str, float]:
    """Memory and descriptors at the end beside those after the first sixth of so many minutes."""
    settled = [one for one in samples if 0 <= one.seconds - 10 * minutes < 60]
    last = [one for one in samples if one.seconds > samples[-1].seconds - 60]
    before, after = (mean(one.megabytes for one in some) for some in (settled, last))
    files = median(one.descriptors for one in last) - median(one.descriptors for one in settled)
    return {"megabytes": round(after, 1), "memory_growth": round(after / before - 1, 4), "more_descriptors": files}


def soak(world: World, workers: int, minutes: float) -> bool:
    """Ask and count; whether all was well."""
    plain, changed = serving.questions(world)[1:3]
    bodies = [body for pair in zip(plain.bodies, changed.bodies) for body in pair]
    mixed = Question("mixed", "tsunagi", "/score", bodies)
    with serving.served(world, "tsunagi", workers) as url:
        serving.ask(world, mixed, url, connections=8, seconds=2)
        half = serving.capacity(world, mixed, url) / 2
        print(json.dumps({"workers": workers, "rate": half, "minutes": minutes}), flush=True)
        port = int(url.rpartition(":")[2])
        samples = _asked(world, url, half, minutes, port)
    said = json.loads((world.folder / "soak.json").read_text())
    found = growth(samples, minutes)
    print(json.dumps({**said, **found}))
    failed = said["errors"] or set(said["statuses"]) != {"200"}
    return not failed and found["memory_growth"] < MOST_GROWTH and found["more_descriptors"] <= 0


def _asked(world: World, url: str, rate: float, minutes: float, port: int) -> list[Sample]:
    command = [sys.executable, "-m", "benchmarks.load", f"{url}/score", "--body", str(world.folder / "bodies.jsonl")]
    command += ["--key", world.key, "--rate", str(rate), "--seconds", str(60 * minutes)]
    root = next(one for one in psutil.process_iter(["cmdline"]) if str(port) in (one.info["cmdline"] or []))
    began, samples = time.monotonic(), list[Sample]()
    with (world.folder / "soak.json").open("wb") as out:
        asker = subprocess.Popen(command, env=world.environment, cwd=serving.HOUSE, stdout=out)
    while asker.poll() is None:
        samples.append(sampled(root, port, began))
        if len(samples) % 6 == 1:
            print(json.dumps(vars(samples[-1])), flush=True)
        time.sleep(EVERY_SECONDS)
    return samples


def main() -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=serving.FOLDER)
    parser.add_argument("--workers", type=int, default=serving.WORKERS)
    parser.add_argument("--minutes", type=float, default=60.0)
    chosen = parser.parse_args()
    try:
        world = serving.make(chosen.folder.absolute(), serving.CUSTOMERS, serving.TREES, serving.LEAVES)
        return 0 if soak(world, chosen.workers, chosen.minutes) else 1
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
