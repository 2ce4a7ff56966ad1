"""The files of lists without one customer: every other row keeps its bytes, and its rank."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from features import forget
from features.errors import DataError
from serving.lists.risk_list import appearing, safe

END, HASHED = "]}", re.compile("(?<=-)[0-9a-f]{16,64}$")


def holds(path: Path, customer: str) -> int:
    """How many rows of a customer a list's file has. Raises DataError for one that is no list of this program."""
    return sum(theirs for _, theirs in _pieces(path, customer))


def rewrite(path: Path, customer: str) -> None:
    """Replace a list's file, as a whole, by one without the customer."""
    with appearing(path) as file:
        file.writelines(text.encode() for text, theirs in _pieces(path, customer) if not theirs)


def table(path: Path, customer: str, alias: str) -> Path:
    """Write a table with a column ``customer_id`` without the customer, and return where it is.

    A file whose name ends in a hash of its content gets a new name beside the old one, which is left to the caller; any
    other is replaced as a whole. alias: see ``forget.rewrite``.
    """
    half = path.with_name(f".{path.name}.erasing")
    forget.rewrite(path, customer, alias, half)
    content, named = forget.sha256(half) or "", HASHED.search(path.stem)
    final = path.with_stem(HASHED.sub(content[: len(named[0])], path.stem)) if named else path
    os.replace(half, final)
    return final


def _pieces(path: Path, customer: str) -> Iterator[tuple[str, bool]]:
    """The text of a file in pieces, each with whether it is a row of the customer."""
    with path.open(encoding="utf-8", newline="") as file:
        try:
            yield from _of_csv(file, customer) if path.suffix == ".csv" else _of_json(file, customer)
        except (ValueError, KeyError, csv.Error):
            raise DataError(f"{path}: is no list as the daily job writes it; move it elsewhere, or remove it") from None


def _of_csv(file: TextIO, customer: str) -> Iterator[tuple[str, bool]]:
    """A cell may go over several lines; a name that a spreadsheet would take for a formula has a quote before it."""
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in file:
            read.append(line)
            yield line

    place: int | None = None
    for cells in csv.reader(lines()):
        theirs = place is not None and cells[place : place + 1] == [safe(customer)]
        place = cells.index(forget.ID) if place is None else place
        yield "".join(read), theirs
        read.clear()


def _of_json(file: TextIO, customer: str) -> Iterator[tuple[str, bool]]:
    """One row a line, with commas between them; a list of an earlier version is brought into this form."""
    head, quoted, between = file.readline(), json.dumps(customer, ensure_ascii=False), ""
    lines: Iterable[str] = file
    if not head.rstrip().endswith('"rows":['):
        head, *lines = _as_now(json.loads(head + file.read()))
    yield head, False
    for line in lines:
        row = line.rstrip("\n").removesuffix(",")
        if row == END:
            yield f"{between.removeprefix(',')}{line}", False
            return
        theirs = quoted in row and json.loads(row)[forget.ID] == customer
        yield between + row, theirs
        between = between if theirs else ",\n"
    raise ValueError


def _as_now(told: dict[str, Any]) -> list[str]:
    rows = [json.dumps(row, ensure_ascii=False) for row in told.pop("rows")]
    return [json.dumps(told | {"rows": []}, ensure_ascii=False).removesuffix("]}") + "\n", *rows, f"{END}\n"]
