"""The likelihoods of BG/NBD and Gamma–Gamma, and where they are greatest. The models are in ``lifetime.py``."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, digamma, gammaln

from features.errors import DataError

FLAT = 1e-3
OTHERWISE = "use {stream: …, measure: sum, days: …} or a constant"
_WIDE = np.log([1e-4, 1e4])
Likelihood = Callable[..., tuple[np.ndarray, np.ndarray]]


def purchases(of: np.ndarray, x: np.ndarray, t: np.ndarray, age: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BG/NBD: the log-likelihood of each customer under (r, α, a, b), (n,), and its slopes, (4, n).

    (6) of Fader, Hardie, Lee (2005), in logarithms: the customer is still there at ``age``, or left after the last day.
    """
    r, alpha, a, b = of
    again = np.maximum(x, 1) - 1
    stays = -(r + x) * np.log(alpha + age)
    left = np.where(x > 0, np.log(a / (b + again)) - (r + x) * np.log(alpha + t), -np.inf)
    either = np.logaddexp(stays, left)
    value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b) + either
    share = np.exp(left - either)
    every = digamma(a + b) - digamma(a + b + x)
    slopes = (
        digamma(r + x) - digamma(r) + np.log(alpha) - (1 - share) * np.log(alpha + age) - share * np.log(alpha + t),
        r / alpha - (r + x) * ((1 - share) / (alpha + age) + share / (alpha + t)),
        every + share / a,
        every + digamma(b + x) - digamma(b) - share / (b + again),
    )
    return value, np.stack(slopes)


def spend(of: np.ndarray, x: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gamma–Gamma: the log-likelihood of each mean of x > 0 purchases under (p, q, v), (n,), and its slopes, (3, n).

    (1a) of Fader, Hardie (2013), The Gamma-Gamma Model of Monetary Value, in logarithms.
    """
    p, q, v = of
    shape, total = p * x, v + x * mean
    own, rest = np.log(x * mean / total), np.log(v / total)
    value = q * rest + shape * own - betaln(shape, q) - np.log(mean)
    both = digamma(shape + q)
    return value, np.stack([x * (both - digamma(shape) + own), both - digamma(q) + rest, q / v - (shape + q) / total])


def distinct(*columns: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Equal customers once, in one order, and how many there are of each: the order of the rows plays no part."""
    rows, number = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    return list(rows.T), number.astype(np.float64)


def greatest(
    of: Likelihood, columns: list[np.ndarray], number: np.ndarray, start: list[float], what: str
) -> list[float]:
    """The parameters of the greatest likelihood, by L-BFGS-B on their logarithms.

    A parameter may come to lie on its bound: the data then want it as small or large as can be, and what is expected
    no longer depends on it. Raises DataError when the search ends where the likelihood is not flat.
    """
    weight = number / number.sum()

    def loss(log: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            value, slopes = of(np.exp(log), *columns)
        return -(value * weight).sum(), -(slopes * weight).sum(axis=1) * np.exp(log)

    options = {"maxiter": 2_000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(loss, np.log(start), jac=True, method="L-BFGS-B", bounds=[_WIDE] * len(start), options=options)
    inside = (found.x > _WIDE[0]) & (found.x < _WIDE[1])
    if not (np.isfinite(found.fun) and (np.abs(found.jac[inside]) < FLAT).all()):
        raise DataError(
            f"value.amount: no pattern was found in {what}; look at the values of the stream, or {OTHERWISE}"
        )
    return np.exp(found.x).tolist()
