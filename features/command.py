"""What every door has: parsing, one clear message for bad input, a JSON line for machines, the exit code.

Exit codes: 0 done, 1 a check or gate said no, 2 bad input, 130 stopped by Ctrl-C.
"""

import argparse
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from features.errors import ConfigError, InputError

DONE, REFUSED, BAD_INPUT = 0, 1, 2
Answer = tuple[int, dict[str, Any]]
Command = Callable[[argparse.Namespace], Answer]


class _Usage(Exception):
    """Words that the command does not know."""


class _Parser(argparse.ArgumentParser):
    """Says how a command is used, as argparse does, and leaves it to the door how it ends."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise _Usage(f"{message}; see {self.prog} --help")


class Door:
    """The commands of one room. Each is a function from its arguments to (exit code, object for ``--json``)."""

    def __init__(self, room: str, about: str, also: tuple[type[Exception], ...] = (), todo: str = ""):
        """``also``: what else can be refused in one line, with what to do then."""
        self.room, self.also, self.todo = room, also, todo
        self.parser = _Parser(prog=f"python -m {room}", description=about)
        self.commands = self.parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        self, name: str, run: Command, about: str, example: str, config: bool = True, needed: bool = True
    ) -> argparse.ArgumentParser:
        """A command with ``CONFIG``, ``needed`` or not, ``--set`` and ``--json``; returns its parser for more."""
        parser = self.commands.add_parser(
            name,
            help=about,
            description=about,
            epilog=f"example:\n  python -m {self.room} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if config:
            number: dict[str, Any] = {} if needed else {"nargs": "?"}
            parser.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file below configs/", **number)
            parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="override one value")
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
        parser.set_defaults(run=run)
        return parser

    def open(self, arguments: Sequence[str] | None = None) -> int:
        """Parse, run, print; returns the exit code."""
        for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a sign gets a question mark, not a trace
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            chosen = self.parser.parse_args(arguments)
        except _Usage as error:
            words = sys.argv[1:] if arguments is None else arguments
            return _refuse(argparse.Namespace(json="--json" in words), str(error))
        # OpenMP threads that spin while they wait starve each other on a busy machine.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            code, answer = chosen.run(chosen)
            if chosen.json:
                print(json.dumps(answer, ensure_ascii=False, default=str))
            sys.stdout.flush()
        except InputError as error:
            return _refuse(chosen, str(error))
        except BrokenPipeError:  # whoever read what is printed has gone, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return _refuse(
                chosen, f"{where}{error.strerror or error}; check the path, its permissions and the free space"
            )
        except self.also as error:
            return _refuse(chosen, f"{type(error).__name__}: {str(error).splitlines()[0]}; {self.todo}")
        except KeyboardInterrupt as stopped:
            _refuse(chosen, str(stopped) or "stopped; nothing half-made is kept")
            return 128 + signal.SIGINT
        return code


@contextmanager
def appearing(path: Path, option: str) -> Iterator[Path]:
    """Where to write a file that then appears whole or not at all. Raises ConfigError when it cannot be written."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is a folder or a device, not a file; choose another {option}")
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield half
        os.replace(half, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error}); choose another {option}") from None
    finally:
        half.unlink(missing_ok=True)


def _refuse(chosen: argparse.Namespace, message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    if chosen.json:
        print(json.dumps({"error": message}, ensure_ascii=False))
    return BAD_INPUT


def say(chosen: argparse.Namespace, text: str = "") -> None:
    """A line for people; machines that asked for JSON do not get it."""
    if not chosen.json:
        print(text)


def progress(text: str) -> None:
    """A line about work under way, beside the result."""
    print(text, file=sys.stderr, flush=True)
