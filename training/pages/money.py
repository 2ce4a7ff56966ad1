"""What the scores are worth: gain by list length, return on the budget, the effect at which contacts pay."""

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from features.config import Language
from training.info import Metric
from training.pages.dates import place
from training.pages.markup import cells, empty, head, image, listed, money, number, paragraph, row, section, table
from training.pages.material import Training
from training.value import Contract, Future
from training.worth.words import words

if TYPE_CHECKING:
    from training.worth.later import Answer
    from training.worth.profit import AtCapacity, Cut, Profit


def told(training: Training, lang: Language, said: dict[str, Any], why: str) -> str:
    """The section; without figures, why."""
    own, value = training.extras.profit, training.evaluation.config.value
    if own is None:
        return empty(said, "profit", why)
    reasons = words()[lang]["reasons"]
    assumed = said[f"assumed_{value.contact}"].format(
        effect=f"{value.effect:.0%}", cost=money(value.contact_cost), margin=f"{value.margin:.0%}"
    )
    answers = {name: getattr(own, name) for name in ("return_expected", "return_realised", "break_even", "empc")}
    pairs = [(said[name], _answer(name, answer)) for name, answer in answers.items()]
    remarks = dict.fromkeys(reasons[answer.reason] for answer in answers.values() if answer.reason)
    pictured = image(training.pictures["profit"], said["profit_alt"])
    texts = [assumed, *_expected(training, said)]
    content = [*map(paragraph, texts), pictured, listed(_best(own.best, said)), cells(pairs), listed(remarks)]
    return section(said, "profit", "".join([*content, _dates(own, said)]))


def _expected(training: Training, said: dict[str, Any]) -> Iterator[str]:
    """That the amount is a forecast, where it is one."""
    own, found = training.evaluation.config.value.amount, training.evaluation.lifetime
    if isinstance(own, Contract):
        yield said["assumed_contract"].format(days=own.days)
    if isinstance(own, Future) and found:
        yield said["assumed_lifetime"].format(days=own.days, customers=found.customers, repeat=found.repeat)
        side = said["lifetime_low" if found.correlation > 0 else "lifetime_high"]
        yield said[f"lifetime_{found.finding}"].format(correlation=found.correlation, side=side)


def _answer(name: str, answer: "Answer") -> str:
    return escape(money(answer.value) if name == "empc" else number(answer.value, ".1%"))


def _best(best: "Cut", said: dict[str, Any]) -> list[str]:
    """The best list length, and what it gains beyond the capacity."""
    if not best.length:
        return [said["best_none"]]
    figures = {"length": best.length, "expected": money(best.expected), "realised": money(best.realised)}
    more = [said[name].format(more=_more(getattr(best, name), said)) for name in ("more_expected", "more_realised")]
    return [said["best"].format(**figures), *more]


def _more(metric: Metric, said: dict[str, Any]) -> str:
    return f"{money(metric.value)} {said['interval'].format(low=money(metric.low), high=money(metric.high))}"


def _dates(own: "Profit", said: dict[str, Any]) -> str:
    """The list at capacity on each test date, and the mean."""
    names = ("contacts", "precision", "found", "money", "expected", "realised")
    rows = [row((place(day, said),), _values(found)) for day, found in own.dates.items()]
    rows.append(row((said["mean"],), _values(own.mean), "mean"))
    columns = head((said["columns"]["fold"],), (said[f"worth_{name}"] for name in names))
    return f"<h3>{escape(said['worth_dates'])}</h3>" + table(columns, rows, "close")


def _values(found: "AtCapacity") -> tuple[str, ...]:
    shares = (number(share, ".1%") for share in (found.precision, found.found, found.money))
    return (number(found.contacts, ",.0f"), *shares, money(found.expected), money(found.realised))
