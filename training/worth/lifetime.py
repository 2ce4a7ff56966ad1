"""What a customer without a contract will still spend: BG/NBD for how often, Gamma–Gamma for how much.

Fader, Hardie, Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model, Marketing
Science 24(2). Fader, Hardie (2013), The Gamma-Gamma Model of Monetary Value. Of each customer, (n,): x, the days with
a purchase after the first one; t, the time from the first to the last one; age, the time from the first one to now.
"""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.buying import COLUMNS
from features.config import Strict
from features.errors import DataError
from features.snapshot_config import Population, Seen, SnapshotConfig

if TYPE_CHECKING:
    from features.facts import Facts

WEEK = 7.0
EVER = 36_500  # days: longer than any history
SMALL = 1e-10
FEW = 50
RELATED = 0.3  # a medium correlation by Cohen (1988); the paper finds 0.06 to 0.11 on CDNOW and goes on


class Purchases(Strict):
    """BG/NBD: rates of purchase are Gamma(r, alpha); chances to stop after a purchase are Beta(a, b).

    alpha is a time, in the unit of the times it was fitted with.
    """

    r: float
    alpha: float
    a: float
    b: float

    def alive(self, x: np.ndarray, t: np.ndarray, age: np.ndarray) -> np.ndarray:
        """Chance that the customer has not stopped, 1 with x = 0. Fader, Hardie, Lee (2008), Computing P(alive)."""
        from scipy.special import expit

        longer = np.log((self.alpha + age) / (self.alpha + t))
        gone = np.log(self.a / (self.b + np.maximum(x, 1) - 1)) + (self.r + x) * longer
        return np.where(x > 0, expit(-gone), 1.0)

    def ahead(self, x: np.ndarray, age: np.ndarray, time: float) -> np.ndarray:
        """Expected purchases in the next ``time`` of a customer who has not stopped: (10) of the paper over P(alive).

        Its 2F1 overflows for frequent buyers and is 0/0 at a = 1. The same number is Σ over i = 0, 1, … of P(more than
        i purchases if nobody stopped) × P(not stopped by the first i of them) = Σ I_z(i+1, r+x) · (b+x)_i / (a+b+x)_i,
        z = time / (alpha + age + time): the tails of the NBD and the moments of the Beta, all terms positive.
        """
        from scipy.special import betainc

        pairs, back = np.unique(x + 1j * age, return_inverse=True)  # many customers are alike in both
        x, age = pairs.real, pairs.imag
        total, going, i = np.zeros(len(x)), np.arange(len(x)), 0
        z, stays = time / (self.alpha + age + time), np.ones(len(x))
        while len(going):
            term = stays * betainc(i + 1, self.r + x, z)
            total[going] += term
            stays = stays * (self.b + x + i) / (self.a + self.b + x + i)
            more = term > SMALL * total[going]
            x, z, stays, going, i = x[more], z[more], stays[more], going[more], i + 1
        return total[back]

    def expected(self, x: np.ndarray, t: np.ndarray, age: np.ndarray, time: float) -> np.ndarray:
        """Expected purchases in the next ``time``: (10) of the paper."""
        return self.alive(x, t, age) * self.ahead(x, age, time)


class Spend(Strict):
    """Gamma–Gamma: a customer's purchases are Gamma(p, ν), and ν is Gamma(q, v) over the customers."""

    p: float
    q: float
    v: float

    def expected(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Expected value of a purchase day, between the own ``mean`` of x of them and that of everybody (x = 0).

        (5) of the paper. A mean below zero, more returned than bought, counts as 0.
        """
        own = np.where(x > 0, np.maximum(mean, 0), 0.0)
        return self.p * (self.v + x * own) / (self.p * x + self.q - 1)


class Lifetime(Strict):
    """Both models of one stream, times in weeks, and the customers they were fitted on.

    correlation: of x and the mean spend of repeat buyers, between which Gamma–Gamma sees no link.
    """

    stream: str
    purchases: Purchases
    spend: Spend
    customers: int
    repeat: int
    correlation: float
    log_likelihood: float

    def ahead(self, frame: pd.DataFrame, days: int) -> np.ndarray:
        """Expected spend in the next ``days`` of each customer who has not stopped, (n,); NaN for who never bought.

        Whether one has stopped is left out: the score holds that. Raises DataError when a column is missing.
        """
        bought, _, age, mean = columns(frame)
        x, age = np.maximum(bought - 1, 0), np.nan_to_num(age)
        often = self.purchases.ahead(x, age / WEEK, days / WEEK)
        return np.where(bought > 0, often * self.spend.expected(x, np.nan_to_num(mean)), np.nan)

    @property
    def finding(self) -> str:
        """``related`` when frequency and spend go together, so frequent buyers' amounts are off; else ``apart``."""
        return "related" if abs(self.correlation) > RELATED else "apart"


def learn(config: SnapshotConfig, stream: str, known: "Facts", as_of: date) -> Lifetime:
    """Fit on everybody who ever bought, as of one date, whatever the population and the history of the model.

    Customers seen lately are those who did not stop: from them alone the chance to stop cannot be learnt. Who opted out
    is left out here too. Raises DataError.
    """
    from features.snapshot import build

    everybody = Population(seen=Seen(streams=(stream,), days=EVER))
    settings = {name: getattr(config, name) for name in ("outcome", "windows", "exclude")}
    data = config.data.model_copy(update={"history_days": EVER})
    plain = SnapshotConfig(**settings, data=data, population=everybody).model_copy(update={"buying": stream})
    return fit(build(plain, [as_of], labels=False, known=known).frame, stream)


def fit(frame: pd.DataFrame, stream: str) -> Lifetime:
    """Both models from one row per customer, with the columns of ``buying``. Raises DataError."""
    own = columns(frame)
    bought, recency, age, mean = (column[own[0] > 0] for column in own)
    x = bought - 1
    valued = (x > 0) & (mean > 0)
    purchases, log_likelihood = fit_purchases(x, recency / WEEK, age / WEEK)
    return Lifetime(
        stream=stream,
        purchases=purchases,
        spend=fit_spend(x[valued], mean[valued]),
        customers=len(x),
        repeat=int((x > 0).sum()),
        correlation=round(_correlation(x[valued], mean[valued]), 6),
        log_likelihood=round(log_likelihood, 6),
    )


def fit_purchases(x: np.ndarray, t: np.ndarray, age: np.ndarray) -> tuple[Purchases, float]:
    """BG/NBD by maximum likelihood, and its log-likelihood. Raises DataError where it cannot be fitted."""
    from training.worth import likelihood

    _enough(int((x > 0).sum()), "bought on a second day")
    (x, t, age), number = likelihood.distinct(x, t, age)
    unit = float((age * number).sum() / number.sum())
    scaled = [x, t / unit, age / unit]
    r, alpha, a, b = likelihood.greatest(likelihood.purchases, scaled, number, [0.5, 0.5, 1.0, 2.0], "when they buy")
    found = Purchases(r=r, alpha=alpha * unit, a=a, b=b)
    value, _ = likelihood.purchases(np.array([r, alpha * unit, a, b]), x, t, age)
    return found, float((value * number).sum())


def fit_spend(x: np.ndarray, mean: np.ndarray) -> Spend:
    """Gamma–Gamma by maximum likelihood, from means above 0 of x > 0 purchases. Raises DataError where it cannot be."""
    from training.worth import likelihood

    _enough(len(x), "spent more than 0 after the first day")
    (x, mean), number = likelihood.distinct(x, mean)
    unit = float((mean * number).sum() / number.sum())
    p, q, v = likelihood.greatest(likelihood.spend, [x, mean / unit], number, [1.0, 2.0, 1.0], "what they spend")
    if q <= 1:
        raise DataError(
            f"value.amount: a few customers spend so much more than the others that there is no mean to expect (q = "
            f"{q:.2f}, more than 1 is needed); look at the largest values, or {likelihood.OTHERWISE}"
        )
    return Spend(p=p, q=q, v=v * unit)


def columns(frame: pd.DataFrame) -> list[np.ndarray]:
    """Days, recency, age and mean, float64 (n,) each. Raises DataError when one is missing."""
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise DataError(f"value.amount: the snapshot has no {', '.join(missing)}; a lifetime needs them: train again")
    return [frame[name].to_numpy(np.float64) for name in COLUMNS]


def _enough(customers: int, did: str) -> None:
    from training.worth.likelihood import OTHERWISE

    if customers < FEW:
        raise DataError(f"value.amount: {customers} customers {did}; a lifetime needs {FEW}: {OTHERWISE}")


def _correlation(x: np.ndarray, mean: np.ndarray) -> float:
    """Pearson's, by sums that do not depend on the number of threads; 0 where one of them does not vary."""
    spread = x.std() * mean.std()
    return float(((x - x.mean()) * (mean - mean.mean())).mean() / spread) if spread > 0 else 0.0
