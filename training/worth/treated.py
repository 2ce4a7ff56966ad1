"""Contacts change outcomes: what they did to the top of the list, and whether the scores still hold where none was."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.config import Language
from training import metrics
from training.info import Metric
from training.worth.later import Later, metric, shares
from training.worth.words import words

Contact = Literal["keeps", "adds"]
LEAST = 20  # customers: below, a share moves by 5 points and more with a single one
TOP = 0.1
GROUPS = ("top_contacted", "top_not_contacted", "top_held_out", "held_out", "others")


@dataclass(frozen=True)
class Group:
    """Some test rows, their mean score and the share of them that had the outcome; None where too ``few`` customers.

    gap: mean score - observed. ece_limit: the ECE that a perfect model stays under on these rows, 19 times of 20.
    """

    rows: int
    customers: int
    outcomes: int
    few: bool
    mean_score: float | None = None
    observed: Metric | None = None
    gap: Metric | None = None
    ece: float | None = None
    ece_limit: float | None = None


@dataclass(frozen=True)
class Treated:
    """What contacts did, on the test rows; shares with 95% intervals over units.

    contacted, held: rows; broken: rows of the hold-out that were contacted all the same. groups: by ``GROUPS``; top is
    the tenth of each date with the highest scores. effect: observed share of the hold-out less that of the contacted,
    in the top tenth; it is none, with a ``reason``, where it cannot be told. intended: the hold-out less everyone else
    there, which does not depend on whom the team chose.
    """

    contact: Contact
    rows: int
    contacted: int
    held: int
    broken: int
    groups: dict[str, Group]
    effect: Metric | None
    intended: Metric | None
    reason: str | None


def treated(rows: Later, contact: Contact = "keeps") -> Treated:
    """Compare contacted rows with the rest and with the hold-out. contact: what one is for, as ``Value`` has it.

    Reads ``rows.side``: contacted, contacts while the outcome was open (``features/contacts.py``), NaN or missing where
    nobody knows; held_out, 1 for units never listed for contact, missing where there are none.
    """
    unknown = np.full(len(rows), np.nan)
    contacts = rows.side.get("contacted", unknown)
    contacted, held = contacts > 0, rows.side.get("held_out", unknown) > 0
    top = np.zeros(len(rows), bool)
    for order in rows.ranked(rows.score).values():
        top[order[: int(np.ceil(TOP * len(order)))]] = True
    masks = (top & contacted, top & ~contacted, top & held, held, ~held, top & ~held)
    observed, gap = _drawn(rows, masks)
    groups = {name: _group(rows, masks[i], observed[i], gap[i]) for i, name in enumerate(GROUPS)}
    reason = _reason(not np.isnan(contacts).all(), held, groups)
    compared = not groups["top_held_out"].few and rows.customers(masks[-1]) >= LEAST
    return Treated(
        contact=contact,
        rows=len(rows),
        contacted=int(contacted.sum()),
        held=int(held.sum()),
        broken=int((contacted & held).sum()),
        groups=groups,
        effect=None if reason else metric(observed[2] - observed[0]),
        intended=metric(observed[2] - observed[-1]) if compared else None,
        reason=reason,
    )


def _drawn(rows: Later, masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Observed share, and mean score less it, of each group of rows and in each draw: (groups, 1 + draws)."""
    size, had, score = rows.sums([np.ones(len(rows)), rows.outcome, rows.score], masks)
    observed = shares(had, size)
    with np.errstate(invalid="ignore"):
        return observed, score / size - observed


def _group(rows: Later, inside: np.ndarray, observed: np.ndarray, gap: np.ndarray) -> Group:
    outcome, score = rows.outcome[inside], rows.score[inside]
    customers, had = rows.customers(inside), rows.customers(inside & (rows.outcome == 1))
    if customers < LEAST:
        return Group(len(outcome), customers, had, few=True)
    return Group(
        len(outcome), customers, had, few=False,
        mean_score=float(score.mean()),
        observed=metric(observed),
        gap=metric(gap),
        ece=metrics.ece(outcome, score),
        ece_limit=metrics.ece_of_a_perfect_model(score),
    )  # fmt: skip


def _reason(told: bool, held: np.ndarray, groups: dict[str, Group]) -> str | None:
    """Why the effect of contacts cannot be told."""
    missing = {
        "no_contact_stream": not told,
        "no_contacts": not groups["top_contacted"].rows,
        "no_holdout": not held.any(),
        "few": groups["top_contacted"].few or groups["top_held_out"].few,
    }
    return next((reason for reason, holds in missing.items() if holds), None)


def said(found: Treated, lang: Language) -> list[str]:
    """What there is to say, sentence by sentence."""
    text = words()[lang]["treated"]
    lines = [] if found.reason == "no_contact_stream" else [text["counts"].format(**vars(found))]
    if found.broken:
        lines.append(text["broken"].format(**vars(found)))
    if found.effect:
        lines.append(_told(found.effect, found.contact, text))
    elif found.reason:
        lines.append(text[found.reason].format(customers=LEAST))
    if found.intended:
        lines.append(text["intended"].format(**_points(found.intended)))
    own = found.groups["held_out"]
    if own.gap and own.observed:
        fit = "held_low" if own.gap.high < 0 else "held_high" if own.gap.low > 0 else "held_fit"
        lines.append(
            text[fit].format(
                score=own.mean_score, observed=own.observed.value, outcomes=own.outcomes, **_points(own.gap)
            )
        )
    return lines


def _told(effect: Metric, contact: Contact, text: dict[str, str]) -> str:
    """The difference and, where it is sure, what follows from it."""
    if effect.low <= 0 <= effect.high:
        return text["unsure"].format(**_points(effect))
    side = "less" if effect.low > 0 else "more"
    follows = {("less", "keeps"): "low", ("more", "adds"): "high"}.get((side, contact), "chosen")
    return text[side].format(**_points(effect, 1 if side == "less" else -1)) + text[follows]


def _points(share: Metric, sign: int = 1) -> dict[str, float]:
    low, high = sorted((sign * share.low, sign * share.high))
    return {"value": 100 * sign * share.value, "low": 100 * low, "high": 100 * high}
