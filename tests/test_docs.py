"""README and docs say what is there: commands parse, targets, paths and links exist, the tree is complete."""

import re
import shlex
import sys
from argparse import ArgumentParser, Namespace
from functools import partialmethod
from importlib import import_module
from pathlib import Path

import pytest

from features.catalogue import CUSTOMER_MEASURES, MEASURES

ROOT = Path(__file__).parents[1]
ROOMS = ("features", "training", "serving", "simulation")
FOLDERS = {*ROOMS, "notebooks", "configs", "benchmarks", "tests", "docs", "deploy"}
README = ROOT / "README.md"
DOCS = [README, *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCS}
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def fenced(text: str) -> list[str]:
    """The lines of all code blocks, continued lines joined."""
    blocks = (block.replace("\\\n", " ") for block in FENCE.findall(text))
    return [line.strip() for block in blocks for line in block.splitlines()]


def inline(text: str) -> list[str]:
    """What stands between single backticks outside of code blocks."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def told(pattern: str, *, inside: bool) -> list[str]:
    """Every command that matches, each once: of the code blocks, or (not inside) of the sentences."""
    found = (code for text in TEXTS.values() for code in (fenced(text) if inside else inline(text)))
    return sorted({match.group() for code in found if (match := re.search(pattern, code))})


COMMAND = rf"(?<!\S)python -m ({'|'.join((*ROOMS, 'benchmarks'))})\b.*"


class Parsed(Exception):
    """The command line was understood; nothing was run."""


@pytest.fixture
def parse(monkeypatch):
    """A function that parses the words of ``python -m MODULE …`` with the door's own parser, and stops there.

    Abbreviated flags are refused: a document spells them out. Raises SystemExit where the door would.
    """
    own, opened = ArgumentParser.parse_args, []

    def only_parse(parser: ArgumentParser, *given: object) -> Namespace:
        opened.append(parser)
        own(parser, *given)
        raise Parsed

    monkeypatch.setattr(ArgumentParser, "__init__", partialmethod(ArgumentParser.__init__, allow_abbrev=False))
    monkeypatch.setattr(ArgumentParser, "parse_args", only_parse)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    def run(module: str, *words: str) -> ArgumentParser:
        monkeypatch.setattr(sys, "argv", [module, *words])
        door = import_module(f"{module}.__main__" if module in ROOMS else module)
        try:
            door.main()
        except (Parsed, SystemExit) as stopped:
            if getattr(stopped, "code", 0):
                raise
        return opened[-1]

    return run


@pytest.mark.parametrize("command", told(COMMAND, inside=True))
def test_a_command_of_a_code_block_parses(command, parse):
    parse(*shlex.split(command, comments=True)[2:])


@pytest.mark.parametrize("command", told(COMMAND, inside=False))
def test_a_command_of_a_sentence_exists(command, parse):
    module, *words = command.split()[2:]
    subcommand = [word for word in words[:1] if word.islower() and word.isalpha()]
    help_text = parse(module, *subcommand, "--help").format_help()
    assert all(re.search(rf"^    {word}\b", help_text, re.MULTILINE) for word in subcommand)


@pytest.mark.parametrize("room", ["features", "training", "serving"])
def test_every_command_is_documented(room, parse):
    commands = re.findall(r"^    (\w+)(?: |$)", parse(room, "--help").format_help(), re.MULTILINE)
    told_of = " ".join(told(COMMAND, inside=True) + told(COMMAND, inside=False))
    assert commands and [name for name in commands if f"python -m {room} {name}" not in told_of] == []


@pytest.mark.parametrize("command", told(r"^make\b.*", inside=True) + told(r"^make .*", inside=False))
def test_a_make_command_has_its_target_and_variables(command):
    words = shlex.split(command, comments=True)[1:]
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", MAKEFILE, re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets
    assert {word.partition("=")[0] for word in words if "=" in word} <= variables


def _repo_path(code: str) -> bool:
    if not re.fullmatch(r"[\w.*-]+(/[\w.*-]+)*/?", code):
        return False
    return code.split("/")[0] in FOLDERS if "/" in code else code.endswith((".md", ".toml", ".txt"))


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_named_files_exist(document):
    names = inline(TEXTS[document])
    assert [name for name in names if _repo_path(name) and not list(ROOT.glob(name))] == []
    everywhere = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert [name for name in names if re.fullmatch(r"\w+\.py", name) and name not in everywhere] == []


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", TEXTS[document]))
    here = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in here if not (document.parent / link).exists()] == []


def tree() -> dict[str, list[str]]:
    """Room -> the lines about it in the README's tree."""
    (block,) = (block for block in FENCE.findall(TEXTS[README]) if re.search(r"^\W*features/", block, re.MULTILINE))
    lines: dict[str, list[str]] = {}
    for line in block.splitlines():
        first = re.match(r"\W*([\w.]+)(/?)", line)
        if first and first[1] in FOLDERS and first[2]:
            about = lines.setdefault(first[1], [])
        elif lines:
            about.append(line)
    return lines


@pytest.mark.parametrize("room", ROOMS)
def test_the_tree_names_every_file_of_a_room_and_no_other(room):
    above, named = [], set()
    for line in filter(None, tree()[room]):
        indent, name = re.match(r"( *)(\S+)", line).groups()
        above = [*above[: len(indent) // 2 - 1], name.rstrip("/")]
        named.add(Path(*above))
    opened = {path.parent for path in named}
    there = {path.relative_to(ROOT / room) for path in (ROOT / room).rglob("*") if "__pycache__" not in path.parts}
    folders = {path for path in there if (ROOT / room / path).is_dir()}
    files = {path for path in there if path.suffix == ".py" and path.name != "__init__.py"}
    assert named == {path for path in files | folders if path.parent in opened}


def test_every_measure_is_described():
    described = set(inline((ROOT / "docs" / "measures.md").read_text(encoding="utf-8")))
    named = {m.name for m in (*MEASURES, *CUSTOMER_MEASURES)} - {"attribute", "value"}
    assert named - described == set()
