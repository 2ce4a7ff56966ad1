"""How long each stage of a run took."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stages:
    """Seconds by stage, in the order they began; one that comes again adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = perf_counter()
        self.seconds.setdefault(name, 0.0)
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - began

    def figures(self) -> dict[str, float]:
        """For the run: ``seconds_<stage>``, and ``peak_gigabytes`` of this process so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        seconds = {f"seconds_{name}": round(value, 3) for name, value in self.seconds.items()}
        return {**seconds, "peak_gigabytes": round(peak / 1e9, 3)}

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items())
