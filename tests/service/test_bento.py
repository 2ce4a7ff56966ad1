"""What is shipped: the Bento serves from anywhere with what is in it; the units and the container name what there is.

With TSUNAGI_FRESH=1 the Bento is also served by a new virtual environment made from its own requirements (minutes).
"""

import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest

from serving.environment import Environment
from serving.guards import auth
from serving.worker import configured
from tests.service import world as worlds

ROOT = Path(__file__).parents[2]
PACKAGES = ("features", "training", "serving")
BESIDE = {"pyproject.toml", "constraints.txt", "LICENSE", "bentofile.yaml"}
OTHER = "9.8.7"
INTERPRETERS = ["this", *(["fresh"] if os.environ.get("TSUNAGI_FRESH") == "1" else [])]
SECONDS = 120


def plain_environment(folder, **more):
    """Nothing of ours but what is said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TSUNAGI_", "PYTHONPATH"))}
    return {**kept, "BENTOML_HOME": str(folder / "bentoml"), "PYTHONUNBUFFERED": "1", **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shipped")


@pytest.fixture(scope="module")
def bento(folder):
    """Built from a copy in which work was done: with caches, a workspace, secrets and tests."""
    copy = folder / "copy"
    for name in (*PACKAGES, "tests/service"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, copy)
    for name in ("features/__pycache__/a.pyc", "workspace/saas/serving.db", "configs/saas/data.yaml", ".env"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("private")
    command = [sys.executable, "-m", "bentoml", "build", ".", "--version", "one"]
    built = subprocess.run(command, cwd=copy, env=plain_environment(folder), capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    shutil.rmtree(copy)
    return folder / "bentoml" / "bentos" / "tsunagi" / "one"


def test_a_bento_holds_our_packages_and_nothing_else(bento):
    source = bento / "src"
    found = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    every = (path for name in PACKAGES for path in (ROOT / name).rglob("*") if "__pycache__" not in path.parts)
    assert found == {str(path.relative_to(ROOT)) for path in every if path.is_file()} | BESIDE
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    asked = (bento / "env/python/requirements.txt").read_text().splitlines()
    assert set(wanted) < set(asked) and any(line.startswith("psycopg") for line in asked)


@pytest.fixture(scope="module", params=INTERPRETERS)
def python(request, folder, bento):
    """One that has our editable install, or none of us."""
    if request.param == "this":
        return sys.executable
    fresh = folder / "fresh"
    subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
    made = [fresh / "bin" / "pip", "install", "--quiet", "-r", bento / "env/python/requirements.txt"]
    subprocess.run([*made, "-c", bento / "src/constraints.txt"], check=True, env=plain_environment(folder))
    return str(fresh / "bin" / "python")


@pytest.fixture(scope="module")
def world(folder, workspace):
    made = worlds.make(folder / "company")
    made.place(worlds.bundle())
    made.publish()
    return made


def test_a_bento_serves_its_own_source_from_an_empty_folder(bento, python, world, folder, workspace):
    marked(bento / "src/pyproject.toml")
    with world.session() as session:
        key = auth.create(session, "crm", worlds.NOON, replace=True)
    below = folder / "empty"  # paths count from where it is typed, also for workers that BentoML moves away
    paths = {"TSUNAGI_CONFIG": world.path, "TSUNAGI_WORKSPACE": workspace}
    said = {name: os.path.relpath(path, below) for name, path in paths.items()}
    if python == sys.executable:
        said["NUMBA_DISABLE_JIT"] = "1"  # a source of its own is compiled anew, which costs the first start a minute
    with served(python, bento, folder, **said) as url:
        headers = {"x-api-key": key}
        answer = httpx.post(f"{url}/score", headers=headers, timeout=60, json=asked("C-0001")).json()
        assert [one["status"] for one in answer["results"]] == ["ok"] and answer["results"][0]["reasons"]
        assert httpx.get(f"{url}/openapi.json", headers=headers, timeout=60).json()["info"]["version"] == OTHER


def asked(customer):
    return {"model": "churn", "customers": [{"customer_id": customer}]}


def marked(project):
    """Another version than that of any other source on this machine: whose answer says it is this Bento's."""
    own = tomllib.loads(project.read_text())["project"]["version"]
    project.write_text(project.read_text().replace(f'version = "{own}"', f'version = "{OTHER}"'))


class served:
    """``bentoml serve`` of a Bento, started in an empty folder and stopped at the end."""

    def __init__(self, python, bento, folder, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.empty, self.log = folder / f"empty-{self.port}", folder / f"{self.port}.log"
        self.empty.mkdir()
        self.command = [python, "-m", "bentoml", "serve", str(bento), "--port", str(self.port)]
        self.environment = plain_environment(folder, **environment)

    def __enter__(self):
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                self.command, cwd=self.empty, env=self.environment, stdout=out, stderr=subprocess.STDOUT
            )
        url, until = f"http://127.0.0.1:{self.port}", time.monotonic() + SECONDS
        while not ready(url):
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                pytest.fail(f"the Bento did not start:\n{self.log.read_text()}")
            time.sleep(0.2)
        return url

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def ready(url):
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({}, "TSUNAGI_CONFIG is not set; set it to a serving.yaml"),
        ({"TSUNAGI_CONFIG": ""}, "TSUNAGI_CONFIG is not set; set it to a serving.yaml"),
        ({"TSUNAGI_CONFIG": "none.yaml"}, "error: TSUNAGI_CONFIG: none.yaml: cannot be read"),
    ],
    ids=["no config", "an empty one", "no such config"],
)
def test_without_a_config_it_ends_with_one_line(bento, folder, said, line):
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--port", "0"]
    environment = plain_environment(folder, **said)
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    (told,) = [one for one in ended.stderr.splitlines() if "[INFO]" not in one]
    assert ended.returncode == 1 and told.startswith(line)


def test_a_workspace_that_cannot_be_written_ends_it_too(world, monkeypatch):
    monkeypatch.setenv("TSUNAGI_CONFIG", str(world.path))
    monkeypatch.setenv("TSUNAGI_WORKSPACE", "/dev/null/workspace")
    with pytest.raises(SystemExit, match=r"^error: /dev/null/workspace/company: cannot be made or written; "):
        configured()


# ---- deploy/

UNITS = sorted((ROOT / "deploy").glob("*.service")) + sorted((ROOT / "deploy").glob("*.timer"))
HERE = "/opt/tsunagi/.venv/bin/"


def installed(text):
    """A unit as if this environment stood where it says."""
    return text.replace(HERE, f"{Path(sys.executable).parent}/")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_names_a_command_there_is(unit, tmp_path):
    read = configparser.RawConfigParser(strict=False)
    read.optionxform = str
    read.read_string(installed(unit.read_text()))
    if unit.suffix == ".service":
        program, *words = shlex.split(read["Service"]["ExecStart"])
        assert os.access(program, os.X_OK) and ("serving.service:Tsunagi" in words or words[:2] == ["-m", "serving"])
        assert read["Service"]["EnvironmentFile"] == "/etc/tsunagi.env"
    if shutil.which("systemd-analyze"):
        for other in UNITS:
            (tmp_path / other.name).write_text(installed(other.read_text()))
        verified = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name)]
        said = subprocess.run(verified, capture_output=True, text=True)
        assert (said.returncode, [line for line in said.stderr.splitlines() if "tsunagi" in line]) == (0, [])


def test_the_variables_of_the_units_and_the_container_are_known():
    known = {f"TSUNAGI_{name.upper()}" for name in Environment.model_fields} | {"TSUNAGI_WORKSPACE"}
    for name in ("tsunagi.env", "Containerfile", "tsunagi.service", "tsunagi-daily.service"):
        assert set(re.findall(r"TSUNAGI_[A-Z]+", (ROOT / "deploy" / name).read_text())) <= known, name


def test_as_deployed_idle_connections_are_kept_longer_than_by_the_proxy_of_the_docs():
    """The other way round a request that comes just as the service closes its connection would be lost."""
    (proxy,) = re.findall(r"keepalive_timeout (\d+)s", (ROOT / "docs/operations.md").read_text())
    for name in ("Makefile", "deploy/Containerfile", "deploy/tsunagi.service", "docs/deploy.md"):
        text = re.sub(r'[",]', "", (ROOT / name).read_text())
        started = re.findall(r"bentoml serve \S+ --.*", text)
        assert started and all(
            int(line.partition("--timeout-keep-alive ")[2].split()[0]) > int(proxy) for line in started
        )


def test_the_container_copies_what_there_is_and_all_that_is_installed():
    text = (ROOT / "deploy" / "Containerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for word in line.split()]
    assert copied and all((ROOT / name).exists() for name in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {name.partition(".")[0] for name in packages} <= set(copied)
