"""The causes of churn and upsell, with every number that drives them.

An account is idle or in an episode of a cause. Each week an idle account enters an episode with
probability `onset` and draws one of three strengths; an episode ends with probability `end`. In week `age` of
an episode the cause adds `weight * strength * ramp[age]` to the account's hazard, in multiples of the base
hazard. Causes are independent, so probabilities over a horizon have an exact answer (oracle.py).
"""

from dataclasses import dataclass

import numpy as np

RAMP = (0.01, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
PRICE_RAMP = (0.2, 0.5, *(1.0,) * 11)
STRENGTHS = np.array([0.8, 1.0, 1.2])

CHURN_BASE = 0.0014  # weekly, before tenure, renewal and industry
UPSELL_BASE = 0.0009  # weekly
CONTACT_RATE = 0.03  # weekly, for each episode of a churn cause
COURTESY_RATE = 0.006  # weekly, for an account without any; such a contact changes nothing
HOLD_OUT = 0.10
NOTICE_DAYS = 45  # notice comes 1 to 45 days before the end, all equally likely
TERM_DAYS = 365
INDUSTRY = {
    "manufacturing": 0.85,
    "retail": 1.15,
    "finance": 0.8,
    "healthcare": 0.9,
    "software": 1.1,
    "services": 1.2,
}


@dataclass(frozen=True)
class Cause:
    """One cause; `solved`: chance that a contact ends an episode; `fixed`: ended by the last ramp week."""

    name: str
    onset: float
    end: float
    weight: float
    solved: float = 0.0
    ramp: tuple[float, ...] = RAMP
    fixed: bool = False


CHURN = (
    Cause("usage_decline", onset=0.0014, end=0.006, weight=36, solved=0.35),
    Cause("unresolved_tickets", onset=0.0014, end=0.006, weight=36, solved=0.60),
    Cause("key_user_gone", onset=0.0015, end=0.006, weight=36, solved=0.40),
    Cause("price_rise", onset=0.0024, end=0.0, weight=41, solved=0.20, ramp=PRICE_RAMP, fixed=True),
    Cause("failed_payments", onset=0.0014, end=0.009, weight=41, solved=0.50),
    Cause("low_seat_use", onset=0.0015, end=0.006, weight=36, solved=0.30),
)
UPSELL = (
    Cause("seat_saturation", onset=0.0048, end=0.008, weight=46),
    Cause("feature_adoption", onset=0.0048, end=0.008, weight=46),
)
CAUSES = CHURN + UPSELL
NAMES = [cause.name for cause in CAUSES]
LONGEST = max(len(cause.ramp) for cause in CAUSES)
USAGE, TICKETS, KEY_USER, PRICE, PAYMENTS, SEATS, SATURATION, ADOPTION = range(len(CAUSES))


def weights(cause: Cause, signal: float) -> np.ndarray:
    """Hazard added by strength and age, in multiples of the base: float64[3, len(ramp)]."""
    return signal * cause.weight * STRENGTHS[:, None] * np.array(cause.ramp)


def leaving(cause: Cause, held_out: np.ndarray) -> np.ndarray:
    """Weekly probability that an episode ends, contacts included: float64[n]."""
    solved = np.where(held_out, 0.0, CONTACT_RATE * cause.solved)
    return 1 - (1 - cause.end) * (1 - solved)


def exposure(day: np.ndarray | int, signup: np.ndarray, industry: np.ndarray) -> np.ndarray:
    """Factor on the churn hazard: falls with tenure, is high in the nine weeks before renewal."""
    tenure = day - signup
    to_renewal = -tenure % TERM_DAYS
    ageing = 0.85 + 0.5 * np.exp(-np.maximum(tenure, 0) / 365)
    return industry * ageing * np.where(to_renewal < 63, 2.0, 0.8)
