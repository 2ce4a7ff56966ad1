"""Parts of the customers: is the model as good and the list as fair for each, and what did contacts do."""

from typing import Any

from features.config import Language
from training.job import Evaluation
from training.pages.markup import empty, head, listed, number, points, row, section, span, table
from training.pages.material import Training
from training.worth.slices import LEAST_CUSTOMERS, LEAST_OUTCOMES, Slice
from training.worth.slices import said as compared
from training.worth.treated import Group
from training.worth.treated import said as told
from training.worth.words import words

MOST = 60


def slices(training: Training, lang: Language, said: dict[str, Any], why: str) -> str:
    """Figures by part of the customers."""
    own = training.extras.slices
    if own is None or not own.slices:
        return empty(said, "slices", why if own is None else said["slices_none"])
    rows, last = [], None
    for part in own.slices[:MOST]:
        names = (
            label(training.evaluation, part.attribute, lang) if part.attribute != last else "",
            part_name(part, lang),
        )
        rows.append(row(names, _values(part, said), "other" if part.attribute != last else ""))
        last = part.attribute
    numbers = ("customers", "had", "base_rate", "mean_score", "gap", "average_precision", "selected", "recall")
    columns = head((said["attribute"], said["slice"]), (said[f"slice_{name}"] for name in numbers))
    left = [said["slices_left"].format(count=len(own.slices) - MOST)] if len(own.slices) > MOST else []
    few = [_few(lang)] if any(part.few for part in own.slices) else []
    return section(said, "slices", table(columns, rows, "close") + listed([*few, *left]))


def fairness(training: Training, lang: Language, said: dict[str, Any], why: str) -> str:
    """Sure differences of one part of the customers against all others; the number of those that are none."""
    own = training.extras.slices
    if own is None or not own.differences:
        return empty(said, "fairness", why if own is None else said["fairness_none"])
    sure = [one for one in own.differences if one.sure]
    lines = [compared(one, label(training.evaluation, one.slice.attribute, lang), lang) for one in sure[:MOST]]
    rest = said["fairness_rest" if sure else "fairness_equal"].format(
        count=len(own.differences) - len(sure), all=len(own.differences)
    )
    return section(said, "fairness", listed([*lines, rest]))


def label(own: Evaluation, attribute: str, lang: Language) -> str:
    """What people call a column of the snapshot; its own name where it is no feature of the model."""
    named = {column["name"]: column["label"].get(lang) for column in own.rows.columns}
    return named.get(attribute) or attribute


def _few(lang: Language) -> str:
    return "– " + words()[lang]["slices"]["few"].format(customers=LEAST_CUSTOMERS, outcomes=LEAST_OUTCOMES)


def part_name(part: Slice, lang: Language) -> str:
    """The part in words: unknown and other have no name of their own."""
    return part.name or words()[lang]["slices"][part.kind]


def _values(part: Slice, said: dict[str, Any]) -> list[str]:
    gap = points(part.gap, said)
    own = [f"{part.customers:,}", f"{part.outcomes:,}", number(part.base_rate, ".1%"), number(part.mean_score, ".1%")]
    own += [gap, number(part.average_precision, ".3f")]
    return [*own, span(part.selected, ".1%", said), span(part.recall, ".1%", said)]


def treated(training: Training, lang: Language, said: dict[str, Any], why: str) -> str:
    """Contacted rows and the hold-out: do the scores still hold, and what did contacts do."""
    own = training.extras.treated
    if own is None:
        return empty(said, "treated", why)
    known = {name: group for name, group in own.groups.items() if group.rows}
    rows = [row((said[f"group_{name}"],), _group(group, said)) for name, group in known.items()]
    numbers = ("customers", "had", "mean_score", "observed", "gap", "ece", "limit")
    columns = head((said["group"],), (said[f"group_column_{name}"] for name in numbers))
    return section(said, "treated", listed(told(own, lang)) + table(columns, rows, "close"))


def _group(group: Group, said: dict[str, Any]) -> list[str]:
    shares = [number(group.mean_score, ".1%"), span(group.observed, ".1%", said), points(group.gap, said)]
    errors = [number(group.ece, ".4f"), number(group.ece_limit, ".4f")]
    return [f"{group.customers:,}", f"{group.outcomes:,}", *shares, *errors]
