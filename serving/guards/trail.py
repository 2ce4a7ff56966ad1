"""The audit log as it is read: whether it is whole, and what is in it."""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from serving.guards import audit

TORN = "a torn last line: the process was killed, or the power lost, while it was written"


@dataclass(frozen=True)
class Finding:
    """line: from 1; None when it is about the file."""

    file: str
    line: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.what}"


@dataclass
class Report:
    """problems: somebody changed the log. notes: what also happens by itself. ends: file -> its last hash."""

    files: int = 0
    entries: int = 0
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)


def verify(home: Path) -> Report:
    """Walk every chain; finds entries that were changed, removed, put elsewhere or cut off, and files that are gone.

    Not found: a newest file taken away together with its ``.head``, and a log rewritten as a whole. Keep ``ends``
    elsewhere to see these too.
    """
    folder, report = home / audit.FOLDER, Report()
    paths = audit.files(folder)
    named = _named(paths)
    for path in paths:
        _walk(path, named.pop(path.name, {}), report)
    for head in sorted(folder.glob(f"*{audit.HEAD}")):
        if not head.with_suffix(audit.LINES).exists():
            report.problems.append(
                Finding(head.with_suffix(audit.LINES).name, None, "removed; its .head is still there")
            )
    for name, by in sorted(named.items()):
        if paths and name < paths[0].name:
            report.notes.append(Finding(name, None, "older than the oldest file here; removed when its time was over?"))
        else:
            report.problems.append(Finding(name, None, f"removed; {min(by.values())} names it"))
    return report


def _named(paths: list[Path]) -> dict[str, dict[str, str]]:
    """File -> hash that must be in it -> which later file says so."""
    named: dict[str, dict[str, str]] = {}
    for path in paths:
        with path.open("rb") as file:
            after = _entry(file.readline()).get("after")
        for name, last in after.items() if isinstance(after, dict) else ():
            named.setdefault(name, {})[last] = path.name
    return named


def _walk(path: Path, due: dict[str, str], report: Report) -> None:
    """One file. After the first problem the rest of it proves nothing, so it ends there."""
    report.files += 1
    number, last, came, at = 0, audit.START, _head(path), -1
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                number -= 1
                report.notes.append(Finding(path.name, number + 1, TORN))
                break
            if wrong := _wrong(line.rstrip(b"\n"), number - 1, last):
                report.problems.append(Finding(path.name, number, wrong))
                return
            last = audit.unsealed(line.rstrip(b"\n"))[1]
            due.pop(last, None)
            at = number - 1 if came and came[1] == last else at
    report.entries += number
    report.ends[path.name] = last
    if number == 0 and came is None:
        report.notes.append(Finding(path.name, None, "empty: the process was killed as it began"))
    elif came is None and number > 1:
        report.problems.append(Finding(path.name, None, "its .head is gone or damaged; entries may be cut off"))
    elif came and came[0] >= number:
        report.problems.append(Finding(path.name, number + 1, f"cut off: {came[0] + 1 - number} entries are missing"))
    elif (came and at != came[0]) or due:
        report.problems.append(Finding(path.name, number, "written anew: an entry known from elsewhere is not in it"))


def _wrong(line: bytes, seq: int, last: str) -> str | None:
    body, sealed = audit.unsealed(line)
    if hashlib.sha256(body).hexdigest() != sealed:
        return "changed: its hash does not fit"
    if _entry(body).get("prev") != last:
        return f"not the entry after line {seq}: entries were removed, added or put in another order"
    return None


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _head(path: Path) -> tuple[int, str] | None:
    """The number and hash of the last entry known; None when nothing is."""
    try:
        number, last = path.with_suffix(audit.HEAD).read_text(encoding="ascii").split()
        return int(number), last
    except (OSError, ValueError):
        return None


def entries(home: Path, customer: str | None = None, last: int | None = None) -> list[dict[str, Any]]:
    """What was entered, oldest first: about one customer, the ``last`` ones. Hashes of the chain are left out."""
    folder = home / audit.FOLDER
    about = audit.pseudonym(audit.secret(folder), customer) if customer and audit.files(folder) else None
    found = ((entry["at"], number, entry) for number, entry in enumerate(_all(folder, about)))
    kept = sorted(found) if last is None else heapq.nlargest(last, found)[::-1]
    return [{name: value for name, value in one.items() if name not in ("seq", "prev", "hash")} for *_, one in kept]


def _all(folder: Path, about: str | None) -> Iterator[dict[str, Any]]:
    for path in audit.files(folder):
        with path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry and entry["action"] != "begin" and (about is None or about in entry["customers"]):
                    yield entry
