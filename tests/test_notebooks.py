"""The notebooks run from top to bottom on a small real workspace, draw, and are committed without outputs."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = 300


def door(home: Path, *words: str) -> int:
    """Run a command of a door in its own process; returns the exit code."""
    command = [sys.executable, "-m", *words, "--set", f"data.root={home / 'saas' / 'data'}"]
    environment = os.environ | {"TSUNAGI_WORKSPACE": str(home)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def trained(simulated, tmp_path_factory) -> Path:
    """A workspace with the simulated tables, a placed churn bundle and its published list."""
    home = tmp_path_factory.mktemp("notebooks")
    (home / "saas").mkdir()
    (home / "saas" / "data").symlink_to(simulated)
    small = ("--set", "windows.days=[28]", "--set", "candidates=[logistic]")
    door(home, "training", "train", "configs/saas/churn.yaml", *small)
    assert door(home, "serving", "daily", "configs/saas/serving.yaml", "--set", "models=[churn]") == 0
    return home


@pytest.fixture
def as_a_reader(trained, monkeypatch) -> Path:
    """The environment of somebody who opened a notebook: this workspace, pictures inline."""
    monkeypatch.setenv("TSUNAGI_WORKSPACE", str(trained))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    return trained


def outputs(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in book.cells for output in cell.get("outputs", [])]


def test_there_are_three():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_committed_without_outputs(path):
    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(book)
    assert len(book.cells) <= 12 and outputs(book) == []
    assert all(cell.get("execution_count") is None and not cell.metadata for cell in book.cells)
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert book.metadata.kernelspec.name == "python3" and set(book.metadata.language_info) == {"name"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_draws_and_warns_of_nothing(path, as_a_reader):
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=SECONDS_PER_CELL, kernel_name="python3", resources=where).execute()
    assert any("image/png" in output.get("data", {}) for output in outputs(book))
    assert [output.text for output in outputs(book) if output.get("name") == "stderr"] == []
