"""Follows the registry: its champion, once verified, becomes the one that the service reads. A process of its own."""

import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from features.command import DONE, REFUSED, Answer
from features.errors import InputError
from serving.config import ServingConfig
from serving.life.takeover import verified
from serving.stores import good
from training import bundle as bundles
from training import tracking

UNREACHABLE, REFUSAL = "registry_unreachable", "registry_refused"
CREDENTIALS = re.compile(r"//[^/@\s]*@")


def run(config: ServingConfig, every: float, once: bool, say: Callable[[str], None]) -> Answer:
    """Look once, or every ``every`` seconds until SIGTERM (exit 0) or Ctrl-C; REFUSED when one look left something."""
    follower = Follower(config, say)
    if once:
        follower.look()
        return (REFUSED if follower.problems() else DONE), {"models": follower.state}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(DONE))
    try:
        while True:
            follower.look()
            time.sleep(every)
    finally:
        follower.leave()


class Follower:
    """state: model -> registered (the number the alias stood at when it was taken over), version, problem.

    The alias is followed when it moves: a champion placed by hand meanwhile (``rollback``) stays until it does.
    """

    def __init__(self, config: ServingConfig, say: Callable[[str], None]):
        self._home, self._data, self._say = config.home, config.data.name, say
        self._said: dict[str, str] = {}
        known = good.followed(config.home)
        self.state: dict[str, dict[str, Any]] = {model: known.get(model, {}) for model in config.models}
        self._written: bytes | None = None

    def problems(self) -> list[str]:
        """The models whose champion in the registry is not known or not taken over."""
        return [model for model, own in self.state.items() if own.get("problem")]

    def look(self) -> None:
        """Take over what is new in the registry. Whatever goes wrong is said once and changes nothing."""
        for model, own in self.state.items():
            try:
                self._follow(model, own)
                problem = None
            except tracking.NoRegistry as error:
                problem = self._tell(model, UNREACHABLE, f"the registry cannot be reached: {error}")
            except (InputError, OSError) as error:
                problem = self._tell(model, REFUSAL, f"the registry's champion is not taken over: {error}")
            except Exception as error:  # MLflow's errors are many, and none is to end this process
                problem = self._tell(model, UNREACHABLE, f"the registry cannot be used ({type(error).__name__})")
            own["problem"] = problem
        self._write()

    def leave(self) -> None:
        """Nobody follows from now on, so nothing is known to be wrong."""
        for own in self.state.values():
            own["problem"] = None
        self._write()

    def _follow(self, model: str, own: dict[str, Any]) -> None:
        name = f"{self._data}-{model}"
        crowned = tracking.crowned(self._home, name)
        if crowned is None:
            self._tell(model, None, f"no version of {name} has the alias {tracking.CHAMPION} yet")
            return
        registered, version = crowned
        placed = bundles.champion(self._home, model)
        moved = placed is None or registered != own.get("registered")
        if moved and (placed is None or not version or not placed.name.startswith(version)):
            self._place(model, name, registered, version)
        if moved or own.get("problem"):
            self._tell(model, None, f"version {registered} of {name} ({version}) is the registry's champion")
        own |= {"registered": registered, "version": version}

    def _place(self, model: str, name: str, registered: str, version: str) -> None:
        """Fetch, verify and place a bundle. Raises DataError when it is not what the registry says, or not graded."""
        with TemporaryDirectory() as folder:
            path = tracking.download(self._home, name, registered, Path(folder))
            bundle = verified(path, model, self._data)
            if bundle.version != version:
                raise InputError(
                    f"version {registered} is registered as {version or 'nothing'} and its files are "
                    f"{bundle.version}; they were changed: train again"
                )
            bundles.place(path, self._home, model, self._data)

    def _tell(self, model: str, problem: str | None, text: str) -> str | None:
        if self._said.get(model) != text:
            self._said[model] = text
            self._say(f"{model}: {CREDENTIALS.sub('//…@', text)}")
        return problem

    def _write(self) -> None:
        content = orjson.dumps(self.state)
        if content == self._written:
            return
        try:
            good.write(self._home / good.FOLLOWED, content)
            self._written = content
        except OSError as error:
            self._tell("", None, f"{good.FOLLOWED} cannot be written ({error.strerror})")
