"""What a page is made of: the evaluation, the bundle, and whatever else the run has found out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.checks.findings import Finding
from training.bundle import Bundle
from training.job import Evaluation
from training.versus import Lists, Versus

if TYPE_CHECKING:
    from training.pages.families import Families
    from training.worth.profit import Profit
    from training.worth.slices import Slices
    from training.worth.treated import Treated


@dataclass(frozen=True)
class Extras:
    """What a page can tell beside the evaluation and the bundle; what is missing is said to be missing.

    champion: the bundle placed before this run. versus: the champion first, this run second. lists: of the newest
    date, likewise. hazard: a row per horizon with horizon, rows, predicted, observed, ece, allowed. findings: of the
    checks on the data; None when they were not run. stages: seconds by stage, in the order they ran.
    """

    champion: Bundle | None = None
    versus: Versus | None = None
    lists: Lists | None = None
    profit: "Profit | None" = None
    slices: "Slices | None" = None
    treated: "Treated | None" = None
    hazard: pd.DataFrame | None = None
    findings: Sequence[Finding] | None = None
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """The same in every language.

    pictures: name -> address. intervals: of ``dates.intervals``. families, before: of this bundle and the champion.
    """

    evaluation: Evaluation
    bundle: Bundle | None
    facts: dict[str, Any]
    pictures: dict[str, str]
    intervals: pd.DataFrame
    families: "Families | None" = None
    before: pd.Series | None = None
    extras: Extras = field(default_factory=Extras)
