"""What an erasure did, place by place: written down before each step, so that a killed one is gone on with."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from serving.stores import good

FOLDER = "erasures"
PARTS = {
    "trained_with": "models trained with this customer, which cannot unlearn",
    "not_recorded": "models that do not record whom they were trained with",
    "not_touched": "tables of yours in which the customer still stands",
    "notes": "notes",
}
ERASED, ALREADY, NOTHING, UNFINISHED = "erased", "already_erased", "nothing_found", "unfinished"


class Receipt:
    """One file of ``home``/erasures; it names the customer by the hash of the tombstone alone."""

    def __init__(self, home: Path, customer: str, now: datetime):
        """Goes on with the unfinished receipt of this customer, if there is one."""
        for half in (home / FOLDER).glob(".*"):
            half.unlink()
        every = sorted((home / FOLDER).glob(f"*-{customer[:12]}*.json"))
        told = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in every]
        self.earlier: list[dict[str, Any]] = [own for _, own in told if own["finished_at"]]
        begun = [(path, own) for path, own in told if not own["finished_at"]]
        number = f"-{len(every) + 1}" if every else ""
        self.path = home / FOLDER / f"{now:%Y-%m-%d}-{customer[:12]}{number}.json"
        self.told: dict[str, Any] = {
            **{"status": UNFINISHED, "customer": customer, "erased_at": _plain(now), "finished_at": None},
            **{"places": [], "trained_with": [], "not_recorded": [], "not_touched": [], "notes": []},
        }
        if begun:
            self.path, self.told = begun[-1]

    def begin(self, place: str, rows: int | dict[str, int], before: str | None = None) -> None:
        """Say what will be done to a place."""
        self._places = [one for one in self._places if one["place"] != place or one["done"]]
        self._places.append({"place": place, "rows": rows, "before": before, "after": None, "done": False})
        self.save()

    def done(self, place: str, after: str | None = None) -> None:
        """The last thing begun there is done."""
        for one in self._places:
            if one["place"] == place and not one["done"]:
                one |= {"after": after, "done": True}
        self.save()

    def waiting(self) -> list[str]:
        """The places that were begun and never said to be done."""
        return [one["place"] for one in self._places if not one["done"]]

    def add(self, part: str, names: list[str]) -> None:
        """More names of trainings, tables, or notes."""
        self.told[part] = list(dict.fromkeys([*self.told[part], *names]))

    def close(self, now: datetime, whole: bool) -> dict[str, Any]:
        """The end: what is handed out, signed by the SHA-256 of the rest. ``whole``: nothing is left to do."""
        if whole and self.earlier and not self._places:
            self.path.unlink(missing_ok=True)
            last = self.earlier[-1]
            again = {"status": ALREADY, "earlier": [one["finished_at"] for one in self.earlier]}
            return signed(self.told | again | {"erased_at": last["erased_at"], "finished_at": _plain(now)})
        if whole:
            self.told |= {"status": ERASED if self._places else NOTHING, "finished_at": _plain(now)}
        self.told = signed(self.told)
        self.save()
        return self.told

    def save(self) -> None:
        good.write(self.path, (json.dumps(self.told, ensure_ascii=False, indent=1) + "\n").encode())

    @property
    def _places(self) -> list[dict[str, Any]]:
        return self.told["places"]

    @_places.setter
    def _places(self, places: list[dict[str, Any]]) -> None:
        self.told["places"] = places


def signed(told: dict[str, Any]) -> dict[str, Any]:
    """With the SHA-256 of all else in ``sha256``; sorted keys, no blanks, UTF-8."""
    rest = {key: value for key, value in told.items() if key != "sha256"}
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return rest | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def lines(told: dict[str, Any]) -> Iterator[str]:
    """A receipt for people."""
    if told["status"] == ALREADY:
        yield f"already erased on {told['erased_at']}; nothing found"
    if told["status"] == NOTHING:
        yield "nothing found; a later import of this customer is left out too"
    for one in told["places"]:
        rows = one["rows"].items() if isinstance(one["rows"], dict) else [("rows", one["rows"])]
        yield f"{one['place']}: {', '.join(f'{count:,} {name}' for name, count in rows if count)} removed"
    for part, text in PARTS.items():
        if told[part]:
            yield f"{text}: {'; '.join(told[part])}"
    yield f"receipt: {told['customer']} {told['sha256']}"


def _plain(now: datetime) -> str:
    return f"{now:%Y-%m-%dT%H:%M:%SZ}"
