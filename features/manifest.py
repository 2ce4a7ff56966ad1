"""What the store remembers between runs: ``manifest.json``, replaced as a whole."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from features.calendar import NEVER
from features.ledger import Ledger
from features.partition import Partition

NAME, VERSION = "manifest.json", 2
ALL = -(2**31)


@dataclass(frozen=True)
class Manifest:
    """What is stored of the streams that are read together, and from what.

    meaning: what data.yaml says of them. kinds: column role -> its type. today: of the last update, a day number.
    """

    meaning: dict[str, Any]
    kinds: dict[str, str] = field(default_factory=dict)
    today: int = NEVER
    days: dict[int, Partition] = field(default_factory=dict)
    files: Ledger = field(default_factory=Ledger)

    def cut(self, today: int, horizon: int) -> int:
        """The first day that is read again."""
        end = self.today if today == NEVER else today
        stored = [day for day in self.days if day <= end and day != NEVER]
        return max(stored) - horizon if stored else ALL

    def text(self) -> str:
        days = {day: asdict(own) for day, own in self.days.items()}
        plain = {"version": VERSION, "meaning": self.meaning, "kinds": self.kinds, "today": self.today}
        return json.dumps(plain | {"days": days, "files": self.files.record()}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def of(cls, text: str) -> "Manifest":
        """Raises ValueError, KeyError or TypeError when the text is no manifest of this version."""
        own = json.loads(text)
        if own["version"] != VERSION:
            raise ValueError
        days = {int(day): Partition(**one) for day, one in own["days"].items()}
        return cls(own["meaning"], own["kinds"], own["today"], days, Ledger.of(own["files"]))

    def save(self, folder: Path) -> None:
        """On the disk, whole, when this returns; one that says the same is left alone. Raises OSError."""
        path, text = folder / NAME, self.text()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        half = path.with_name(f".{NAME}.half")
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)
        place = os.open(folder, os.O_RDONLY)
        os.fsync(place)
        os.close(place)


def load(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none of this version."""
    try:
        return Manifest.of((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
