"""What the scores are worth on later dates: at capacity, at every list length, and when the effect is unknown."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from training import metrics
from training.info import Metric
from training.value import Value, gains
from training.worth.later import Answer, Later, metric

SURENESS = 20.0  # alpha + beta of the share of leavers that stays, as in Verbraken et al. 2013 (6 + 14)


@dataclass(frozen=True)
class AtCapacity:
    """The list of one date at capacity, or the mean over the dates.

    found, money: the share of the customers with the outcome, and of their amount, that is contacted; None where there
    is none. expected, realised: gain after cost, in the unit of the amount, by the scores and by the outcomes.
    """

    contacts: float
    precision: float
    found: float | None
    money: float | None
    expected: float
    realised: float


@dataclass(frozen=True)
class Curve:
    """Gain after cost by list length 0, 1, …, mean over the test dates; float64 (longest date + 1,).

    A list longer than a date has customers holds them all.
    """

    expected: np.ndarray
    realised: np.ndarray

    def points(self, most: int = 200) -> np.ndarray:
        """At most this many lengths, evenly spread, from none to all."""
        return np.unique(np.linspace(0, len(self.expected) - 1, most).round().astype(int))


@dataclass(frozen=True)
class Cut:
    """The list length of most expected gain, 0 where no contact is expected to pay.

    more_*: what it gains beyond the capacity's length on a date, with 95% intervals over units.
    """

    length: int
    expected: float
    realised: float
    more_expected: Metric
    more_realised: Metric


@dataclass(frozen=True)
class Profit:
    """What the scores are worth. Money is in the unit of the amount, for one date.

    empc: expected maximum profit per customer; empc_share: the share of customers to contact for it.
    return_*: (gain before cost - cost) / cost at capacity. break_even: the least effect at which the list pays.
    """

    contacts: int
    dates: dict[str, AtCapacity]
    mean: AtCapacity
    curve: Curve
    best: Cut
    empc: Answer
    empc_share: Answer
    return_expected: Answer
    return_realised: Answer
    break_even: Answer


def profit(rows: Later, value: Value, contacts: int) -> Profit:
    """Judge the scores by ``value`` for a team of ``contacts`` in one period."""
    lists, amount = rows.lists(value), rows.amount
    gain = np.stack([gains(rows.score, amount, value), realised(rows, value)])
    dates = {day: _at_capacity(rows, gain, order[:contacts], order) for day, order in lists.items()}
    mean = _mean(list(dates.values()))
    curve = Curve(*_curve(gain, list(lists.values())))
    empc, share = _empc(rows, value)
    listed = np.concatenate([order[:contacts] for order in lists.values()])
    return Profit(
        contacts=contacts,
        dates=dates,
        mean=mean,
        curve=curve,
        best=_best(rows, gain, curve, list(lists.values()), contacts),
        empc=empc,
        empc_share=share,
        return_expected=_returned(mean.expected, mean.contacts, amount, value),
        return_realised=_returned(mean.realised, mean.contacts, amount, value),
        break_even=_break_even(listed, rows.score, amount, value),
    )


def realised(rows: Later, value: Value) -> np.ndarray:
    """Gain of one contact by the outcome, under the assumed effect, (n,): its mean is that of ``gains`` if scores hold.

    keeps: the share ``effect`` of those who left. adds: the share of those who bought; where the score says that
    certainty is reached, all of those who did not.
    """
    plain = value.model_copy(update={"contact": "keeps"})
    found = gains(rows.outcome, rows.amount, plain)
    if value.contact == "keeps":
        return found
    sure = rows.score * value.effect > 1 - rows.score
    return np.where(sure, gains(1 - rows.outcome, rows.amount, plain.model_copy(update={"effect": 1.0})), found)


def _at_capacity(rows: Later, gain: np.ndarray, listed: np.ndarray, everyone: np.ndarray) -> AtCapacity:
    outcome, money = rows.outcome, rows.outcome * rows.amount
    return AtCapacity(
        contacts=float(len(listed)),
        precision=float(outcome[listed].mean()),
        found=_share(outcome[listed].sum(), outcome[everyone].sum()),
        money=_share(money[listed].sum(), money[everyone].sum()),
        expected=float(gain[0, listed].sum()),
        realised=float(gain[1, listed].sum()),
    )


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _mean(dates: list[AtCapacity]) -> AtCapacity:
    """Every date counts alike; those without a figure are left out of it."""

    def mean(name: str) -> Any:
        known = [vars(one)[name] for one in dates if vars(one)[name] is not None]
        return float(np.mean(known)) if known else None

    return AtCapacity(**{name: mean(name) for name in vars(dates[0])})


def _curve(gain: np.ndarray, lists: list[np.ndarray]) -> np.ndarray:
    """(2, longest + 1) from (2, n)."""
    longest = max(len(order) for order in lists)
    total = np.zeros((2, longest + 1))
    for order in lists:
        reached = np.cumsum(gain[:, order], axis=1)
        total[:, 1 : len(order) + 1] += reached
        total[:, len(order) + 1 :] += reached[:, -1:]
    return total / len(lists)


def _best(rows: Later, gain: np.ndarray, curve: Curve, lists: list[np.ndarray], contacts: int) -> Cut:
    length, usual = int(np.argmax(curve.expected)), min(contacts, len(curve.expected) - 1)
    once = np.ones((1, len(rows)))
    drawn = [_more(weights, gain, lists, length, usual) for weights in (once, *metrics.resampled(rows.unit))]
    more = [metric(own) for own in np.concatenate(drawn, axis=1)]
    assert more[0] and more[1]
    return Cut(length, float(curve.expected[length]), float(curve.realised[length]), more[0], more[1])


def _more(weights: np.ndarray, gain: np.ndarray, lists: list[np.ndarray], length: int, usual: int) -> np.ndarray:
    """Gain of the list of ``length`` beyond that of ``usual``, mean over the dates, (2, d), under (d, n) weights."""
    total = np.zeros((2, len(weights)))
    for order in lists:
        own = weights[:, order]
        before = np.cumsum(own, axis=1) - own
        taken = [np.clip(end - before, 0, own) for end in (length, usual)]
        total += gain[:, order] @ (taken[0] - taken[1]).T
    return total / len(lists)


def _returned(gain: float, contacts: float, amount: np.ndarray, value: Value) -> Answer:
    if not value.contact_cost:
        return Answer(None, "no_cost")
    if not amount.any():
        return Answer(None, "no_amount")
    return Answer(round(gain / (value.contact_cost * contacts), 6), None if value.effect else "no_effect")


def _break_even(listed: np.ndarray, score: np.ndarray, amount: np.ndarray, value: Value) -> Answer:
    """The least effect at which these rows together are expected to pay."""

    def total(effect: float) -> float:
        return float(gains(score[listed], amount[listed], value.model_copy(update={"effect": effect})).mean())

    if not amount.any():
        return Answer(None, "no_amount")
    if not value.contact_cost:
        return Answer(0.0, "no_cost")
    if total(1.0) < 0:
        return Answer(None, "never_pays")
    return Answer(round(float(brentq(total, 0.0, 1.0)), 6))


def _empc(rows: Later, value: Value) -> tuple[Answer, Answer]:
    """Expected maximum profit of a churn model, and the share contacted for it; mean over the test dates.

    Source: Verbraken, Verbeke and Baesens 2013, "A novel profit maximizing metric for measuring classification
    performance of customer churn prediction models". The share of leavers that a contact keeps is Beta distributed
    around ``effect``, the customer's worth is the mean amount × margin of the date, an offer costs the contact alone.
    """
    reason = _no_empc(rows, value)
    if reason:
        return Answer(None, reason), Answer(None, reason)
    figures = np.array([_of_date(rows, value, own) for own in rows.dates.values()]).mean(axis=0)
    return Answer(round(float(figures[0]), 6)), Answer(round(float(figures[1]), 6))


def _no_empc(rows: Later, value: Value) -> str | None:
    missing = {
        "not_churn": value.contact != "keeps",
        "no_effect": not value.effect,
        "no_amount": any(rows.amount[own].mean() <= 0 for own in rows.dates.values()),
        "no_outcome": not rows.outcome.any(),
    }
    return next((reason for reason, holds in missing.items() if holds), None)


def _of_date(rows: Later, value: Value, own: np.ndarray) -> tuple[float, float]:
    from empulse.metrics import empc_score, mpc_score

    worth = {"clv": rows.amount[own].mean() * value.margin, "incentive_cost": 0.0, "contact_cost": value.contact_cost}
    spread = {"alpha": SURENESS * value.effect, "beta": SURENESS * (1 - value.effect)}
    score: Any = empc_score if value.effect < 1 else mpc_score
    worth |= spread if value.effect < 1 else {"accept_rate": 1.0}
    labels = rows.outcome[own], rows.score[own]
    return float(score(*labels, **worth)), float(score.optimal_rate(*labels, **worth))
