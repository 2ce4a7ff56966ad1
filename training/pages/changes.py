"""What changed since the champion: both on the rows both scored, families, the newest list."""

from html import escape
from typing import Any

import pandas as pd

from features.config import Language
from training import versus
from training.pages.families import labels
from training.pages.markup import empty, head, listed, number, paragraph, row, section, table
from training.pages.material import Training
from training.versus import Versus

SHOWN = 6


def told(training: Training, lang: Language, said: dict[str, Any]) -> str:
    """The section; without a champion, or without a bundle, it says so."""
    champion, bundle = training.extras.champion, training.bundle
    if champion is None or bundle is None:
        return empty(said, "changes", said["changes_first" if bundle else "changes_no_bundle"])
    if champion.version == bundle.version:
        return empty(said, "changes", said["changes_same"].format(version=bundle.version))
    line = said["champion"].format(version=champion.version, grade=champion.info.grade, new=bundle.version)
    other = versus.comparable(champion, bundle)
    figures = paragraph(said["other_question"]) if other else _figures(training.extras.versus, said)
    content = [paragraph(line), figures, listed([_list(training, said)]), _families(training, lang, said)]
    return section(said, "changes", "".join(content))


def _figures(found: Versus | None, said: dict[str, Any]) -> str:
    """Average precision of both on the same rows, and a word on how sure the difference is."""
    if found is None:
        return paragraph(said["versus_none"])
    sure = "better" if found.low > 0 else "worse" if found.high < 0 else "unsure"
    lines = [said[f"versus_{sure}"], said["versus_rows"].format(**vars(found))]
    lines += [] if found.enough else [said["versus_few"].format(outcomes=found.outcomes, least=versus.ENOUGH)]
    interval = said["interval"].format(low=f"{found.low:+.3f}", high=f"{found.high:+.3f}")
    values = (f"{found.first:.3f}", f"{found.second:.3f}", f"{found.gain:+.3f} <small>{escape(interval)}</small>")
    columns = head((said["figure"],), (said["before"], said["now"], said["difference"]))
    return table(columns, [row((said["average_precision"],), values)]) + listed(lines)


def _list(training: Training, said: dict[str, Any]) -> str:
    become = training.extras.lists
    if become is None or not become.contacts:
        return said["lists_none"]
    changed = become.contacts - become.same
    share = changed / become.contacts
    return said["lists"].format(**vars(become), changed=changed, share=share)


def _families(training: Training, lang: Language, said: dict[str, Any]) -> str:
    """The families that gained or lost most weight: each one's share of all that moves the scores."""
    if training.before is None or training.families is None:
        return paragraph(said["weights_none"])
    weights = pd.DataFrame({"before": training.before, "now": training.families.moves}).fillna(0.0)
    weights /= weights.sum().clip(lower=1e-12)
    moved = weights["now"] - weights["before"]
    most = moved.abs().sort_values(ascending=False, kind="stable").index[:SHOWN]
    names = labels(training, lang)
    rows = [
        row((names.get(str(family), str(family)),), (*(number(own, ".1%") for own in weights.loc[family]),
            f"{'▲' if moved[family] > 0 else '▼' if moved[family] < 0 else ''} {100 * moved[family]:+.1f}"))
        for family in most
    ]  # fmt: skip
    columns = head((said["family"],), (said["before"], said["now"], said["points"]))
    return f"<h3>{escape(said['weights'])}</h3>{paragraph(said['weights_key'])}" + table(columns, rows)
