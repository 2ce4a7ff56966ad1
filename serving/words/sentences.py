"""Stored facts in words, made on reading: English and Japanese from one choice of sentence."""

import math
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from features.catalogue import Feature
from features.config import Language

Fact = float | int | str | None
Facts = Mapping[str, Fact]
Choice = tuple[str, str, dict[str, Any]]
COUNTS_BELOW = 10
STEADY_PERCENT = 9
STEADY_SLOPE = 0.05
USUAL_SPIKE = 0.5


@cache
def words(lang: Language) -> dict[str, Any]:
    """Everything the project says in one language."""
    return yaml.safe_load((Path(__file__).parent / "locale" / f"{lang}.yaml").read_text(encoding="utf-8"))


def prior(facts: Facts) -> int | None:
    """The count of the window before, exact, from trend = ln((count + 1) / (prior + 1)); None if unknown."""
    count, trend = facts.get("count"), facts.get("trend")
    if not isinstance(count, int | float) or not isinstance(trend, int | float):
        return None
    return round((count + 1) * math.exp(-trend) - 1)


def sentence(feature: Feature, facts: Facts, lang: Language) -> str:
    """One sentence about the leading feature of a family, with its window and its own earlier level.

    ``facts`` maps measures of the feature's source (in the same window) to numbers, text or None.
    """
    group, variant, numbers = _choose(feature, facts)
    label = feature.label.get(lang) or feature.label.get("en") or feature.source.replace("_", " ")
    filled = {name: _written(name, number, feature, lang) for name, number in numbers.items()}
    return words(lang)["sentences"][group][variant].format(**_about(label, feature.days or 7, lang), **filled)


@lru_cache(4_096)
def _about(label: str, days: int, lang: Language) -> dict[str, str]:
    """What a sentence says of its feature alone."""
    windows = {name: _plural(words(lang)[name], days) for name in ("window", "before")}
    return {"Label": label[:1].upper() + label[1:], "label": _within(label, lang), **windows}


@lru_cache(65_536)
def number(value: float) -> str:
    """A number as people read it: 1,234 · 56.7 · 3.14 · 0.31 · −2.

    Below 100 what is no whole number does not look like one: 0.996 is 1.00.
    """
    size, sign = abs(value), "−" if value < 0 else ""
    if size >= 100 or float(size).is_integer():
        return f"{sign}{size:,.0f}"
    text = f"{size:.{1 if size >= 10 else 2 if size >= 0.01 else 4}f}"
    short = text.rstrip("0")
    return sign + (text if short.endswith(".") else short)


def _written(name: str, value: Any, feature: Feature, lang: Language) -> str:
    vocabulary = words(lang)
    if isinstance(value, str):
        return value
    if name in ("gap", "ratio"):
        value = round(value, 1)
    if name in ("ago", "gap", "oldest", "age", "until", "since", "active"):
        return _plural(vocabulary["days"], value)
    if name == "times":
        return _plural(vocabulary["times"], value)
    if name == "long_window":
        return _plural(vocabulary["window"], value)
    if name == "in_a_row":
        return _plural(vocabulary["weeks"], value)
    if name in ("entities", "newcomers"):
        return _plural(vocabulary[name], value, entity=_entity(feature, lang, many=value != 1))
    if name == "entity":
        return _entity(feature, lang, many=False)
    return f"{abs(value):.1f}" if name == "deviation" else number(value)


def _entity(feature: Feature, lang: Language, many: bool) -> str:
    """The noun of a stream's entity, in English as it stands before a plural s."""
    noun = feature.family.removeprefix(f"{feature.source}_").removesuffix("_id").replace("_", " ")
    return noun if lang == "en" and not many else words(lang)["entity"].get(noun, noun)


def _plural(forms: Mapping[str, str], value: float, **more: str) -> str:
    text = number(value)
    return forms["one" if text == "1" else "many"].format(n=text, **more)


def _within(label: str, lang: Language) -> str:
    return label if lang == "ja" or label[:2].isupper() else label[:1].lower() + label[1:]


def _choose(feature: Feature, facts: Facts) -> Choice:
    """Which sentence, and the numbers it needs."""
    measure, value = feature.measure, facts.get(feature.measure)
    if measure in ("count", "trend"):
        return "count", *_count(facts)
    if value is None:
        return measure, "null", {}
    if measure in _CHOICES:
        return _CHOICES[measure](measure, facts)
    if feature.unit == "flag":
        return measure, "flag" if value else "no_flag", {}
    names = {"tenure": "ago", "gap": "gap", "tenure_days": "age"}
    return measure, "some", {names.get(measure, "value"): value}


def _count(facts: Facts) -> tuple[str, dict[str, Any]]:
    count, trend, before = facts.get("count"), facts.get("trend"), prior(facts)
    if count is None:
        return _sign(trend or 0.0, "trend_rose", "trend_same", "trend_fell"), {}
    numbers = {"count": count, "prior": before}
    if before is None:
        return ("alone" if count else "none"), {"times": count}
    if count == 0:
        return ("stopped" if before else "silent"), numbers
    if count == before:
        return "same", numbers
    if before < COUNTS_BELOW:
        return "few", numbers
    percent = round(100 * (float(count) - before) / before)
    return _sign(percent, "rose", "steady", "fell", STEADY_PERCENT), {**numbers, "percent": abs(percent)}


def _amount(measure: str, facts: Facts) -> Choice:
    value, before = facts[measure], prior(facts)
    numbers = {"active" if measure == "days" else "value": value}
    if before is not None:
        if facts.get("count") == 0:
            return "count", *_count(facts)
        return measure, "full", {**numbers, "count": facts["count"], "prior": before}
    return measure, "none" if measure == "days" and not value else "some", numbers


def _beside_longer(measure: str, facts: Facts) -> Choice:
    value, longest = facts[measure], facts.get("longest")
    numbers = {"entities" if measure == "distinct" else "value": value}
    if longest is not None and not _alike(longest, value):
        return measure, "full", {**numbers, "longest": longest, "long_window": facts["longest_days"]}
    return measure, "none" if measure == "distinct" and not value else "some", numbers


def _silence(measure: str, facts: Facts) -> Choice:
    recency, gap, ratio = facts.get("recency"), facts.get("gap"), facts.get("gap_ratio")
    long = ratio is not None and round(float(ratio), 1) > 1
    if recency == 1:
        return "recency", "yesterday", {}
    if measure == "gap_ratio" and (recency is None or gap is None):
        return measure, "some" if long else "within", {"ratio": ratio}
    if gap is None:
        return "recency", "some", {"ago": recency}
    if long:
        return "gap_ratio", "full", {"ago": recency, "gap": gap, "ratio": ratio}
    return "recency", "usual", {"ago": recency, "gap": gap}


def _weekly(measure: str, facts: Facts) -> Choice:
    value = float(facts[measure] or 0)
    if measure == "slope":
        return measure, _sign(value, "rose", "steady", "fell", STEADY_SLOPE), {"step": abs(value)}
    return measure, "none" if value < 1 else "one" if value == 1 else "many", {"in_a_row": value}


def _users(measure: str, facts: Facts) -> Choice:
    value, everyone, others = facts[measure], facts.get("distinct"), facts.get("recency")
    if measure == "new_users":
        if everyone is None or float(everyone) < 2:
            return measure, "some" if value else "none", {"newcomers": value}
        return measure, "among" if value else "none_among", {"entities": everyone, "new": value}
    numbers = {"entity": 1, "ago": value}
    if others is not None and float(others) < float(value or 0):
        return measure, "alone", {**numbers, "since": others}
    return measure, "yesterday" if value == 1 else "some", numbers


def _rating(measure: str, facts: Facts) -> Choice:
    last, change = facts.get("last"), facts.get("change")
    if change is None:
        return "last", "some", {"value": last}
    variant = _sign(change, "rose", "same", "fell")
    if last is None:
        return "change", f"{variant}_by", {"step": abs(float(change))}
    earlier = float(last) - float(change)
    return "change", "same" if _alike(earlier, last) else variant, {"last": last, "prior": earlier}


def _open(measure: str, facts: Facts) -> Choice:
    count, oldest = facts.get("open"), facts.get("oldest_open_days")
    if count is None:
        return "oldest_open_days", "some" if oldest else "none", {"oldest": oldest}
    if not count:
        return "open", "none", {}
    return ("open", "aged", {"count": count, "oldest": oldest}) if oldest else ("open", "some", {"count": count})


def _spike(measure: str, facts: Facts) -> Choice:
    return measure, _sign(facts[measure], "above", "usual", "below", USUAL_SPIKE), {"deviation": facts[measure]}


def _seats(measure: str, facts: Facts) -> Choice:
    percent = 100 * float(facts[measure] or 0)
    return measure, "some" if percent > 0 else "none", {"percent": round(percent, 1 if percent < 1 else None)}


def _renewal(measure: str, facts: Facts) -> Choice:
    days = float(facts[measure] or 0)
    return measure, _sign(days, "future", "today", "past"), {"until": days, "since": abs(days)}


def _alike(one: Fact, other: Fact) -> bool:
    """Whether both are written the same."""
    return number(float(one or 0)) == number(float(other or 0))


def _sign(value: Fact, above: str, between: str, below: str, margin: float = 0.0) -> str:
    return above if float(value or 0) > margin else below if float(value or 0) < -margin else between


_CHOICES: dict[str, Callable[[str, Facts], Choice]] = {
    "days": _amount,
    "sum": _amount,
    "mean": _beside_longer,
    "distinct": _beside_longer,
    "new_users": _users,
    "recency": _silence,
    "gap_ratio": _silence,
    "spike": _spike,
    "slope": _weekly,
    "decline_weeks": _weekly,
    "key_user_quiet": _users,
    "last": _rating,
    "change": _rating,
    "open": _open,
    "oldest_open_days": _open,
    "days_to_renewal": _renewal,
    "seats_used": _seats,
}
