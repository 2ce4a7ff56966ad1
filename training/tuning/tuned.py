"""What a tuning found: as a file to train with, as lines, as a record."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from features.command import appearing
from features.config import Language
from training.settings import Settings
from training.tuning.study import Attempt

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "head": "{model}: settings tuned on {folds}, before the first test date",
        "stopped": "stopped before the budget was used",
        "counted": "{candidate}: {trials} trials ({pruned} pruned, {failed} failed), average precision {before:.4f} "
        "with the settings there were, {after:.4f} with the best",
        "same": "{candidate}: kept, no trial was better",
        "kept": "{candidate}: kept, as the gain of {gain:+.4f} is not above {luck:.4f} and may be the luck of the best "
        "of so many trials (standard error {error:.4f})",
        "taken": "{candidate}: replaced, as the gain of {gain:+.4f} is above {luck:.4f}, what the best of so many "
        "trials may owe to luck (standard error {error:.4f})",
        "weights": "The calibrator always learns on rows as they are, whatever the fit made of their weights.",
        "use": "Paste this block into the YAML of the model, or train with --set settings=FILE.",
    },
    "ja": {
        "head": "{model}: 最初のテスト日より前の期間（{folds}）で設定を調整",
        "stopped": "予算を使い切る前に中断",
        "counted": "{candidate}: 試行{trials}回（打ち切り{pruned}回、失敗{failed}回）、"
        "平均適合率は元の設定で{before:.4f}、最良の設定で{after:.4f}",
        "same": "{candidate}: 元の設定を維持（上回る試行なし）",
        "kept": "{candidate}: 元の設定を維持"
        "（改善幅{gain:+.4f}は、この試行回数で偶然生じうる幅{luck:.4f}以下。標準誤差{error:.4f}）",
        "taken": "{candidate}: 設定を変更"
        "（改善幅{gain:+.4f}は、この試行回数で偶然生じうる幅{luck:.4f}を上回る。標準誤差{error:.4f}）",
        "weights": "学習時の重み付けにかかわらず、較正は常に元の行のままで行います。",
        "use": "下のブロックをモデルのYAMLに貼り付けるか、--set settings=ファイル名 を付けて学習してください。",
    },
}


@dataclass(frozen=True)
class Found:
    """What tuning one candidate found; ``study`` is the name under which its trials are kept.

    attempts: the settings of the YAML first. gain: of the best over them, in mean average precision over the folds;
    error: its standard error, over folds or over bootstrapped units, whichever is larger.
    """

    candidate: str
    study: str
    attempts: tuple[Attempt, ...]
    best: Attempt
    gain: float
    error: float

    @property
    def luck(self) -> float:
        """What the best of n trials that are no better may gain: √(2 ln n) standard errors, and one at least.

        The bound on the expected maximum of n normal draws; trials resemble each other, so it is on the safe side.
        """
        return max(1.0, math.sqrt(2 * math.log(len(self.attempts)))) * self.error

    @property
    def taken(self) -> bool:
        """Whether the best settings are surely not luck."""
        return self.gain > self.luck

    @property
    def figures(self) -> dict[str, float]:
        states = [attempt.state for attempt in self.attempts]
        counts = {"trials": len(states), "pruned": states.count("pruned"), "failed": states.count("failed")}
        quality = {
            "before": self.attempts[0].mean,
            "after": self.best.mean,
            "gain": self.gain,
            "error": self.error,
            "luck": self.luck,
        }
        return counts | {name: round(value, 6) for name, value in quality.items()}


@dataclass(frozen=True)
class Tuned:
    """settings: those to train with; folds: the dates, or parts of the customers, that were tuned on."""

    model: str
    found: tuple[Found, ...]
    settings: Settings
    folds: tuple[str, ...]
    stopped: bool

    @property
    def changed(self) -> bool:
        return any(own.taken for own in self.found)


def told(tuned: Tuned, lang: Language = "en") -> Iterator[str]:
    """What was found, in lines."""
    words = WORDS[lang]
    yield words["head"].format(model=tuned.model, folds=", ".join(tuned.folds))
    if tuned.stopped:
        yield words["stopped"]
    for own in tuned.found:
        known = own.figures | {"candidate": own.candidate}
        yield words["counted"].format(**known)
        yield words["taken" if own.taken else "kept" if own.best.number else "same"].format(**known)


def write(tuned: Tuned, home: Path) -> Path:
    """``tuned-<model>.yaml``, a ``settings`` block. Raises ConfigError when it cannot be written."""
    path = home / f"tuned-{tuned.model}.yaml"
    lines = [line for lang, words in WORDS.items() for line in (*told(tuned, lang), words["weights"], words["use"])]
    block = yaml.safe_dump({"settings": tuned.settings.model_dump(exclude_none=True)}, sort_keys=False)
    with appearing(path, "TSUNAGI_WORKSPACE") as half:
        half.write_text("".join(f"# {line}\n" for line in lines) + block, encoding="utf-8")
    return path


def record(tuned: Tuned) -> dict[str, Any]:
    """For machines."""
    found = {own.candidate: own.figures | {"taken": own.taken, "study": own.study} for own in tuned.found}
    settings = tuned.settings.model_dump(mode="json")
    dates = {"folds": list(tuned.folds), "stopped": tuned.stopped, "changed": tuned.changed}
    return {"model": tuned.model, **dates, "candidates": found, "settings": settings}


def trials(found: Found) -> list[dict[str, Any]]:
    """The trials of a study as ``tracking.record_study`` takes them."""
    return [{name: getattr(own, name) for name in ("number", "state", "settings", "folds")} for own in found.attempts]
