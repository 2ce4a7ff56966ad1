"""What is searched when settings are tuned, and what a draw from it means."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from training.settings import EXPLAINED, Settings

# Within a few times of the defaults: the folds of the choice train on fewer dates than the model that is served, which
# may favour models too simple for it. A wider space did so on the baskets of the grocery.
SPACES: dict[str, Mapping[str, BaseDistribution]] = {
    "lightgbm": {
        "num_iterations": IntDistribution(60, 400, log=True),
        "learning_rate": FloatDistribution(0.03, 0.2, log=True),
        "num_leaves": IntDistribution(4, 31, log=True),
        "max_depth": IntDistribution(2, 6),
        "min_data_in_leaf": IntDistribution(20, 200, log=True),
        "bagging_fraction": FloatDistribution(0.6, 1.0),
        "feature_fraction": FloatDistribution(0.15, 0.8),
        "lambda_l2": FloatDistribution(1.0, 50.0, log=True),
        "monotone": CategoricalDistribution((False, True)),
    },
    "logistic": {"C": FloatDistribution(1e-4, 1.0, log=True)},
}


def space(candidate: str, own: Settings) -> dict[str, BaseDistribution]:
    """What is searched; it always holds the settings of the YAML."""
    return {name: _holding(span, getattr(getattr(own, candidate), name)) for name, span in SPACES[candidate].items()}


def _holding(span: BaseDistribution, value: float) -> BaseDistribution:
    if isinstance(span, CategoricalDistribution):
        return span
    assert isinstance(span, IntDistribution | FloatDistribution)
    low, high = min(span.low, value), max(span.high, value)
    log = span.log and low > 0
    if isinstance(span, IntDistribution):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def settled(candidate: str, own: Settings, drawn: Mapping[str, Any]) -> Settings:
    """The settings of a draw, three digits each, with no more trees than exact reasons allow."""
    chosen = {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in drawn.items()}
    if candidate == "lightgbm":
        chosen["num_leaves"] = min(chosen["num_leaves"], 2 ** chosen["max_depth"])
        most = EXPLAINED // (chosen["num_leaves"] * chosen["max_depth"] ** 2)
        chosen["num_iterations"] = min(chosen["num_iterations"], most)
    section = getattr(own, candidate)
    return own.model_copy(update={candidate: type(section)(**(section.model_dump() | chosen))})


def cost(candidate: str, settings: Settings) -> float:
    """What exact reasons cost, as a share of what is allowed."""
    return settings.lightgbm.explanation / EXPLAINED if candidate == "lightgbm" else 0.0
