"""One running service for all tests of its doors: the real BentoML server on a free port of 127.0.0.1."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from serving.guards import auth
from tests.service import world as worlds
from tests.service.world import World

START_SECONDS = 120
TRUST = ssl.create_default_context()  # nothing is encrypted here; to make one a request takes longer than the answer


@dataclass(frozen=True)
class Service:
    """A started service and how to speak to it."""

    world: World
    url: str
    key: str
    log: Path
    process: subprocess.Popen

    def workers(self) -> dict[int, psutil.Process]:
        """The processes that answer or will, by pid."""
        return {one.pid: one for one in psutil.Process(self.process.pid).children() if _is_worker(one)}

    def starts(self) -> int:
        """How many workers have come up so far, those that are gone included."""
        return self.log.read_text().count("initialized")

    def get(self, path, **headers):
        return httpx.get(self.url + path, headers={"x-api-key": self.key, **headers}, timeout=60, verify=TRUST)

    def post(self, body, path="/score", **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"x-api-key": self.key, "content-type": "application/json", **headers}
        return httpx.post(self.url + path, content=content, headers=headers, timeout=60, verify=TRUST)

    def score(self, *customers, **more):
        return self.post({"model": "churn", "customers": list(customers), **more})


@pytest.fixture(scope="session")
def service(workspace, tmp_path_factory):
    """A company with two published lists, served."""
    folder = tmp_path_factory.mktemp("served")
    world = worlds.make(folder / "served")
    world.place(worlds.bundle())
    for as_of in (worlds.LAST_WEEK, worlds.TODAY):
        world.publish(as_of)
    with world.session() as session:
        key = auth.create(session, "test", worlds.NOON)
    with started(world, folder, key) as running:
        yield running


class started:
    """Starts ``bentoml serve`` and stops it, and only it, at the end. environment: variables beside the usual ones."""

    def __init__(self, world: World, folder: Path, key: str, workers: int = 1, **environment: str):
        self._world, self._folder, self._key = world, folder, key
        self._environment = {"TSUNAGI_WORKERS": str(workers), **environment}

    def __enter__(self) -> Service:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = self._folder / "service.log"
        command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Tsunagi", "--port", str(port)]
        environment = os.environ | {
            "TSUNAGI_CONFIG": str(self._world.path),
            "BENTOML_HOME": str(self._folder / "bentoml"),
            "PYTHONUNBUFFERED": "1",
            **self._environment,
        }
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        service = Service(self._world, f"http://127.0.0.1:{port}", self._key, log, self._process)
        until = time.monotonic() + START_SECONDS
        while not _answers(service.url):
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                pytest.fail(f"the service did not start:\n{log.read_text()}")
            time.sleep(0.2)
        return service

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "_bentoml_impl.worker.service" in process.cmdline()
    except psutil.Error:
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=2, verify=TRUST).status_code == 200
    except httpx.TransportError:
        return False
