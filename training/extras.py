"""What a report tells beside the evaluation: the checks, the champion, the worth, the slices, the curve."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.checks import leaks, quality
from features.checks.findings import Finding, ordered
from features.data_config import workspace
from features.errors import InputError
from features.snapshot import Snapshot
from training import champions, hazard, versus
from training.bundle import Bundle
from training.config import TrainConfig
from training.evaluate import Say
from training.fit import one_thread
from training.job import Evaluation, Prepared
from training.pages.material import Extras
from training.stages import Stages
from training.worth import later, profit, slices, treated


@dataclass(frozen=True)
class Around:
    """Kept of a snapshot that is let go. newest: the rows of its newest date; findings: of the checks on it."""

    newest: pd.DataFrame
    findings: list[Finding]


def around(config: TrainConfig, made: Snapshot, own: Prepared) -> Around:
    """What the report needs of the snapshot. Raises what would stop it, before anything is fitted.

    That is ConfigError for a slice by an unknown column, DataError for a curve that no row was followed for.
    """
    slices.attributes(own.rows, np.zeros(0, np.int64), config.slices)
    if config.curve:
        hazard.check(own.rows, config.curve)
    newest = made.frame[made.frame["as_of"] == made.frame["as_of"].max()].reset_index(drop=True)
    return Around(newest, ordered([*quality.enough(config, made), *leaks.of_features(made)]))


def judged(kept: Around, evaluation: Evaluation, bundle: Bundle | None, say: Say, stages: Stages) -> Extras:
    """Everything the report tells, as far as this training can tell it."""
    config, rows, capacity = evaluation.config, evaluation.rows, evaluation.contacts
    found = Extras(findings=kept.findings, stages=stages.seconds)
    with stages("champion"):
        found = replace(found, **_beside_the_champion(kept, evaluation, bundle, say))
    if evaluation.scored.empty:
        return found
    with stages("worth"):
        own = later.later(evaluation.scored, evaluation.served_scores, rows, config.value, config.outcome)
        assert own is not None
        by = slices.attributes(rows, evaluation.scored["row"].to_numpy(), config.slices)
        found = replace(
            found,
            profit=profit.profit(own, config.value, capacity),
            slices=slices.slices(own, by, config.value, capacity),
            treated=treated.treated(own, config.value.contact),
        )
    with stages("curve"):
        return replace(found, hazard=_curve(evaluation, say))


def _beside_the_champion(kept: Around, evaluation: Evaluation, bundle: Bundle | None, say: Say) -> dict[str, Any]:
    """The champion of before this run, both on the rows that both scored, and what the newest list becomes."""
    config = evaluation.config
    champion = champions.current(workspace(config.data), config.model)
    if champion is None or bundle is None or versus.comparable(champion, bundle) is not None:
        return {"champion": champion}
    found: dict[str, Any] = {"champion": champion}
    try:
        found["lists"] = versus.lists(champion, bundle, kept.newest, evaluation.contacts)
        return found | {"versus": champions.against(config, champion, evaluation)}
    except InputError as error:  # a champion of other tables, or no registry: the training goes on without it
        say(f"WARNING not compared with the champion: {error}")
        return found


def _curve(evaluation: Evaluation, say: Say) -> pd.DataFrame | None:
    config = evaluation.config
    if not config.curve or evaluation.served is None:
        return None
    asked = hazard.Horizons.of(config)
    with one_thread():
        scored = hazard.out_of_time(
            evaluation.rows, asked, evaluation.served, config.settings, config.as_of.test_dates, say
        )
    return hazard.calibration(scored, asked)
