"""What a check found, what was needed, what to do: one finding, told in English or Japanese."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from features.config import Language

Level = Literal["ok", "warning", "error"]
ORDER: tuple[Level, ...] = ("error", "warning", "ok")


@dataclass(frozen=True)
class Finding:
    """One result of a check: ``error`` means the numbers made from these data cannot be trusted.

    check, code: a check and one of its sentences in ``words.yaml``; values: the numbers in it. about: a feature,
    or streams joined by ", ", or "" for all data.
    """

    check: str
    level: Level
    about: str
    code: str
    values: dict[str, Any] = field(default_factory=dict)

    def told(self, lang: Language) -> tuple[str, str, str]:
        """Found, needed and what to do; the last one is empty when there is nothing to do."""
        found, needed, todo = (part.format(**self.values) for part in words()["sentences"][self.check][self.code][lang])
        return found, needed, todo

    @property
    def found(self) -> str:
        return self.told("en")[0]

    @property
    def needed(self) -> str:
        return self.told("en")[1]

    @property
    def todo(self) -> str:
        return self.told("en")[2]

    @property
    def text(self) -> str:
        """One line: whose, found, what to do."""
        return (f"{self.about}: " if self.about else "") + "; ".join(filter(None, (self.found, self.todo)))

    def record(self, lang: Language = "en") -> dict[str, Any]:
        """For machines: the keys and the code stay; found, needed and todo are sentences."""
        found, needed, todo = self.told(lang)
        plain = {"check": self.check, "level": self.level, "about": self.about, "code": self.code}
        return plain | {"found": found, "needed": needed, "todo": todo, "values": self.values, "text": self.text}


@cache
def words() -> dict[str, Any]:
    """Everything the checks say, in both languages."""
    return yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))


def title(check: str, lang: Language) -> str:
    """The name of a check."""
    return words()["checks"][check][lang]


def word(level: Level, lang: Language) -> str:
    """The name of a level: it is never told by colour alone."""
    return words()["levels"][level][lang]


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, each level in the order of the checks."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.level))


def level(error: bool, warning: bool = True) -> Level:
    """``error`` where it is one, else ``warning`` where it is one, else ``ok``."""
    return "error" if error else "warning" if warning else "ok"
