"""BG/NBD and Gamma–Gamma: published figures, simulated customers, and integrals done by hand."""

import os
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import hyp2f1
from scipy.stats import beta, gamma

from features import facts
from features.config import load
from features.errors import DataError
from features.snapshot_config import SnapshotConfig
from tests.company import configs, tables
from training.worth import likelihood
from training.worth.lifetime import Lifetime, Purchases, Spend, fit, fit_purchases, fit_spend, learn

CDNOW = Path(os.environ.get("TSUNAGI_DATASETS", "nowhere")) / "cdnow" / "sample.parquet"
PUBLISHED = Purchases(r=0.243, alpha=4.414, a=0.793, b=2.426)
END = pd.Timestamp("1997-09-30")


def figures(*values):
    return [np.array(column, float) for column in zip(*values)]


def simulated(of, customers=6_000, seed=3, more=0.0):
    """x, t and age of customers who buy at a Poisson rate and may stop after each purchase but the first.

    With ``more``: also whether they are still there at ``age``, and how often they buy in the time ``more`` after it.
    """
    random = np.random.default_rng(seed)
    rate, stop = random.gamma(of.r, 1 / of.alpha, customers), random.beta(of.a, of.b, customers)
    age, x, t, later = random.uniform(26, 52, customers), *np.zeros((3, customers))
    now, going, there = np.zeros(customers), np.ones(customers, bool), np.ones(customers, bool)
    while going.any():
        now += random.exponential(1 / rate)
        going &= now < age + more
        before = going & (now < age)
        x, t, later = x + before, np.where(before, now, t), later + (going & ~before)
        stops = random.random(customers) < stop
        there &= ~(before & stops)
        going &= ~stops
    return (x, t, age, there, later) if more else (x, t, age)


def snapshot(x, t, age, mean):
    return pd.DataFrame(
        {"buying_days": x + 1.0, "buying_recency": t * 7.0, "buying_age": age * 7.0, "buying_mean": mean}
    )


@pytest.fixture(scope="module")
def cdnow():
    if not CDNOW.exists():
        pytest.skip("TSUNAGI_DATASETS does not name a folder with cdnow/sample.parquet")
    days = pd.read_parquet(CDNOW).groupby(["customer_id", "date"], as_index=False)["usd"].sum()
    first = days.groupby("customer_id")["date"].transform("min")
    before = days["date"] <= END
    known, repeat = days[before].groupby("customer_id"), days[before & (days["date"] > first)].groupby("customer_id")
    later = days[(days["date"] > END) & (days["date"] <= END + pd.Timedelta(weeks=39))].groupby("customer_id").size()
    return pd.DataFrame({
        "x": known.size() - 1.0, "t": (known["date"].max() - known["date"].min()).dt.days / 7,
        "age": (END - known["date"].min()).dt.days / 7, "mean": repeat["usd"].mean(), "later": later,
    }).fillna({"later": 0.0})  # fmt: skip


@pytest.fixture(scope="module")
def fitted(cdnow):
    return fit(snapshot(cdnow["x"], cdnow["t"], cdnow["age"], cdnow["mean"]), "order")


def test_the_published_figures_of_cdnow_are_found(fitted):
    assert fitted.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    assert [fitted.purchases.r, fitted.purchases.a] == pytest.approx([0.243, 0.793], abs=0.0005)
    assert [fitted.purchases.alpha, fitted.purchases.b] == pytest.approx([4.414, 2.426], abs=0.0005)
    assert [fitted.spend.p, fitted.spend.q, fitted.spend.v] == pytest.approx([6.25, 3.74, 15.44], abs=0.005)
    assert (fitted.customers, fitted.repeat) == (2357, 946)
    assert fitted.correlation == pytest.approx(0.11, abs=0.005) and fitted.finding == "apart"


def test_the_weeks_after_are_forecast(cdnow, fitted):
    expected = fitted.purchases.expected(cdnow["x"], cdnow["t"], cdnow["age"], 39.0)
    assert cdnow["later"].sum() == 1882
    assert expected.sum() == pytest.approx(1653.4, abs=0.1)  # 12% too few
    ages = cdnow["age"].value_counts()
    new = np.zeros(1)
    from_the_start = sum(fitted.purchases.ahead(new, new, age + 39.0)[0] * many for age, many in ages.items())
    assert from_the_start == pytest.approx(0.959 * (cdnow["x"].sum() + 1882), rel=0.001)  # the paper's curve
    by_frequency = pd.DataFrame({"x": cdnow["x"].clip(upper=7), "e": expected, "n": cdnow["later"]}).groupby("x").mean()
    assert by_frequency["e"].is_monotonic_increasing
    assert by_frequency["e"].to_numpy() == pytest.approx(by_frequency["n"].to_numpy(), abs=1.0)


def test_the_worked_examples_of_the_authors():
    (x,), (t,), (age,) = figures((2, 30.43, 38.86))
    assert PUBLISHED.expected(x, t, age, 39.0) == pytest.approx(1.226, abs=0.001)
    x, mean = figures((2, 22.35), (1, 11.77), (0, 0), (7, 73.74))
    assert Spend(p=6.25, q=3.74, v=15.44).expected(x, mean) == pytest.approx([24.66, 18.91, 35.17, 71.46], abs=0.06)


@pytest.mark.parametrize(
    "of", [Purchases(r=0.6, alpha=5.0, a=0.8, b=3.0), Purchases(r=1.5, alpha=8.0, a=0.4, b=1.5)], ids=["rare", "often"]
)
def test_the_parameters_of_simulated_customers_are_recovered(of):
    found, best = fit_purchases(*simulated(of))
    assert [found.r, found.alpha] == pytest.approx([of.r, of.alpha], rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(of.a / (of.a + of.b), rel=0.15)
    true, _ = likelihood.purchases(np.array([of.r, of.alpha, of.a, of.b]), *simulated(of))
    assert 0 <= best - true.sum() < 8  # twice this is χ² with four degrees of freedom


def test_the_spend_of_simulated_customers_is_recovered():
    random = np.random.default_rng(1)
    x = random.integers(1, 9, 5_000).astype(float)
    mean = random.gamma(6.0 * x, 1 / (x * random.gamma(3.5, 1 / 15.0, 5_000)))
    found = fit_spend(x, mean)
    assert [found.p, found.q, found.v] == pytest.approx([6.0, 3.5, 15.0], rel=0.2)
    best, true = (
        likelihood.spend(np.array(of), x, mean)[0].sum() for of in ([found.p, found.q, found.v], [6.0, 3.5, 15.0])
    )
    assert 0 <= best - true < 7
    assert found.expected(np.zeros(1), np.zeros(1))[0] == pytest.approx(mean.mean(), rel=0.05)


@pytest.mark.parametrize(("x", "t", "age"), [(0, 0.0, 30.0), (1, 2.0, 38.0), (2, 30.43, 38.86), (6, 20.0, 21.0)])
def test_the_likelihood_is_the_integral_over_rates_and_chances_to_stop(x, t, age):
    """Each customer: (1−stop)^x rate^x e^(−rate·age), or stop (1−stop)^(x−1) rate^x e^(−rate·t) when one stopped at t."""
    of = PUBLISHED

    def over_rates(until):
        # Over powers of the rate, as its density is infinite at 0.
        prior = gamma(of.r, scale=1 / of.alpha)
        return quad(lambda u: u ** (5 * x) * np.exp(-until * u**5) * prior.pdf(u**5) * 5 * u**4, 0, 2, limit=400)[0]

    def over_stops(function):
        return quad(lambda u: function(u**3) * beta.pdf(u**3, of.a, of.b) * 3 * u**2, 0, 1, limit=400)[0]

    whole = over_stops(lambda stop: (1 - stop) ** x) * over_rates(age)
    if x:
        whole += over_stops(lambda stop: stop * (1 - stop) ** (x - 1)) * over_rates(t)
    value, _ = likelihood.purchases(np.array([of.r, of.alpha, of.a, of.b]), *figures((x, t, age)))
    assert np.exp(value[0]) == pytest.approx(whole, rel=1e-6)


def test_the_likelihood_of_a_mean_is_the_integral_over_the_customers():
    p, q, v, x, mean = 6.25, 3.74, 15.44, 3, 22.0
    density = quad(lambda nu: gamma.pdf(mean, p * x, scale=1 / (nu * x)) * gamma.pdf(nu, q, scale=1 / v), 0, 5)[0]
    value, _ = likelihood.spend(np.array([p, q, v]), *figures((x, mean)))
    assert np.exp(value[0]) == pytest.approx(density, rel=1e-8)


@pytest.mark.parametrize("which", ["purchases", "spend"])
def test_slopes_are_those_of_the_likelihood(which):
    purchases = figures((0, 0, 30), (1, 2, 38), (2, 30.43, 38.86), (90, 50, 52))
    data = purchases if which == "purchases" else figures((1, 5), (3, 22), (40, 31.5))
    at = np.array([0.3, 4.0, 0.7, 2.0]) if which == "purchases" else np.array([6.0, 3.0, 14.0])
    of = getattr(likelihood, which)
    near = approx_fprime(at, lambda these: of(these, *data)[0].sum(), 1e-7)
    assert of(at, *data)[1].sum(axis=1) == pytest.approx(near, rel=1e-4)


def still_there(of, x, age, time):
    """∫ (1 − E e^(−λ·stop·time)) / stop over the chance to stop: the purchases of one who is there, by the paper's (8)."""
    rest = beta(of.a, of.b + x)

    def one(stop):
        return -np.expm1(-(of.r + x) * np.log1p(stop * time / (of.alpha + age))) / stop * rest.pdf(stop)

    middle = rest.mean()
    return quad(one, 0, middle, limit=400)[0] + quad(one, middle, 1, limit=400)[0]


@pytest.mark.parametrize("a", [0.3, 0.793, 0.9999, 1.0, 1.0000005, 1.5, 4.0])
@pytest.mark.parametrize(
    ("x", "age", "time"), [(0, 30.0, 39.0), (2, 38.86, 39.0), (40, 52.0, 52.0), (400, 104.0, 260.0)]
)
def test_what_is_ahead_is_the_integral_over_the_chances_to_stop(a, x, age, time):
    of = Purchases(r=0.243, alpha=4.414, a=a, b=2.426)
    assert of.ahead(*figures((x, age)), time)[0] == pytest.approx(still_there(of, x, age, time), rel=1e-7)


def test_what_is_expected_is_the_papers_formula():
    r, alpha, a, b, time = 0.243, 4.414, 0.793, 2.426, 39.0
    x, t, age = figures((0, 0, 12), (1, 2, 38), (2, 30.43, 38.86), (9, 37, 38))
    z = time / (alpha + age + time)
    above = 1 - (1 - z) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
    below = 1 + (x > 0) * a / (b + np.maximum(x, 1) - 1) * ((alpha + age) / (alpha + t)) ** (r + x)
    assert PUBLISHED.expected(x, t, age, time) == pytest.approx((a + b + x - 1) / (a - 1) * above / below, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 20), st.floats(0.5, 50), st.floats(1e-4, 50), st.floats(0.05, 1e4),
       st.integers(0, 700), st.floats(0.1, 500), st.floats(0.01, 100))  # fmt: skip
def test_what_is_ahead_is_finite_grows_with_time_and_stays_below_the_rate(r, alpha, a, b, x, age, time):
    of, (n, since) = Purchases(r=r, alpha=alpha, a=a, b=b), figures((x, age))
    sooner, later = of.ahead(n, since, time / 2)[0], of.ahead(n, since, time)[0]
    most = (r + x) / (alpha + age) * time
    assert 0 < sooner <= later <= most * (1 + 1e-7)


def test_alive_and_ahead_come_true_for_simulated_customers():
    of = Purchases(r=0.6, alpha=5.0, a=0.8, b=2.0)
    x, t, age, there, later = simulated(of, 20_000, more=30.0)
    alive, ahead = of.alive(x, t, age), of.ahead(x, age, 30.0)
    groups = np.digitize(alive, [0.1, 0.3, 0.6, 0.9, 1.0])
    assert (alive[x == 0] == 1).all() and len(np.unique(groups)) == 6
    for group in np.unique(groups):
        own = groups == group
        assert alive[own].mean() == pytest.approx(there[own].mean(), abs=0.03)
        assert ahead[own & there].sum() == pytest.approx(later[own & there].sum(), rel=0.12)
    assert of.expected(x, t, age, 30.0).sum() == pytest.approx(later.sum(), rel=0.04)
    assert (later[~there] == 0).all()


def model(**changes):
    plain = {"stream": "order", "purchases": PUBLISHED, "spend": Spend(p=6.25, q=3.74, v=15.44)}
    return Lifetime(**{**plain, "customers": 9, "repeat": 9, "correlation": 0.1, "log_likelihood": -1.0, **changes})


def test_the_amount_is_purchases_times_spend_if_the_customer_is_still_there():
    frame = snapshot(*figures((2, 30.43, 38.86, 22.35), (2, 3.0, 38.86, 22.35), (0, 0, 10, np.nan)))
    nobody = pd.DataFrame(
        {"buying_days": [0.0], "buying_recency": [np.nan], "buying_age": [np.nan], "buying_mean": [np.nan]}
    )
    amount = model().ahead(pd.concat([frame, nobody]), 273)
    x, t, age = figures((2, 30.43, 38.86))
    by_hand = (
        PUBLISHED.expected(x, t, age, 39.0) / PUBLISHED.alive(x, t, age) * model().spend.expected(x, np.array([22.35]))
    )
    assert amount[0] == pytest.approx(by_hand[0])
    assert amount[1] == pytest.approx(amount[0])  # how long ago is the score's matter
    assert amount[2] > 0 and np.isnan(amount[3])


def test_a_mean_below_zero_counts_as_nothing():
    x = np.array([2.0])
    assert model().spend.expected(x, np.array([-5.0])) == model().spend.expected(x, np.array([0.0]))


def test_frequency_and_spend_that_go_together_are_told():
    assert [model(correlation=c).finding for c in (0.3, -0.31, 0.31)] == ["apart", "related", "related"]
    x, t, age = simulated(PUBLISHED, 2_000)
    random = np.random.default_rng(0)
    found = fit(snapshot(x, t, age, np.where(x > 0, 10.0 * x + random.gamma(5, 1, len(x)), np.nan)), "order")
    assert found.finding == "related"


def test_the_order_of_the_rows_plays_no_part():
    frame = snapshot(*simulated(PUBLISHED, 1_500), np.random.default_rng(0).gamma(4, 5, 1_500))
    one, other = fit(frame, "order"), fit(frame.sample(frac=1, random_state=1), "order")
    assert one == other


def test_a_lifetime_travels_as_text():
    assert Lifetime.model_validate_json(model().model_dump_json()) == model()


@pytest.mark.parametrize("spend", [np.full(300, 9.99), 10 + np.random.default_rng(0).normal(0, 0.01, 300)])
def test_one_price_for_all_is_no_trouble(spend):
    x = np.random.default_rng(0).integers(1, 9, 300).astype(float)
    assert fit_spend(x, spend).expected(np.array([0.0, 3.0]), np.array([0.0, 10.0])) == pytest.approx(10, rel=0.01)


def test_customers_who_never_stop_are_no_trouble():
    x, t, age = simulated(Purchases(r=1.2, alpha=6.0, a=1e-9, b=1.0), 1_000)
    found, _ = fit_purchases(x, t, age)
    assert found.ahead(x, age, 10.0) == pytest.approx((found.r + x) / (found.alpha + age) * 10, rel=0.01)


def test_what_cannot_be_fitted_is_refused():
    few = snapshot(*figures(*[(1, 3, 9, 5.0)] * 49, *[(0, 0, 9, np.nan)] * 500))
    with pytest.raises(DataError, match="49 customers bought on a second day; a lifetime needs 50"):
        fit(few, "order")
    unvalued = snapshot(*simulated(PUBLISHED, 1_000), np.zeros(1_000))
    with pytest.raises(DataError, match="0 customers spent more than 0 after the first day"):
        fit(unvalued, "order")
    with pytest.raises(DataError, match=r"spend so much more .* .q = 0\.\d\d, more than 1 is needed"):
        fit_spend(np.full(300, 2.0), 10 * np.random.default_rng(0).pareto(0.6, 300) + 1)
    with pytest.raises(DataError, match="no pattern was found in when they buy"):
        fit_purchases(np.full(60, 3.0), np.full(60, 2.0), np.full(60, np.nan))
    with pytest.raises(DataError, match="no buying_age; a lifetime needs them: train again"):
        fit(few.drop(columns="buying_age"), "order")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Customers who buy by the model; the population is who bought in 30 days, the history has 60, one opted out."""
    folder, random = tmp_path_factory.mktemp("shop"), np.random.default_rng(5)
    rows, start = [], pd.Timestamp("2025-01-01")
    for number in range(400):
        day, rate, stop = int(random.integers(0, 60)), random.gamma(1.0, 1 / 25), random.beta(1, 4)
        while day < 300:
            rows.append((f"顧客{number:03}", start + pd.Timedelta(days=day), random.gamma(6, 5)))
            day += 1 + int(random.exponential(1 / rate))
            if random.random() < stop:
                break
    people = pd.DataFrame({"id": [f"顧客{number:03}" for number in range(400)], "no": [n == 0 for n in range(400)]})
    tables(folder, customers=people, orders=pd.DataFrame(rows, columns=["id", "at", "usd"]))
    data = {
        "history_days": 60,
        "customers": {"opted_out": "no"},
        "streams": {"login": None, "order": {"table": "orders.parquet", "at": "at", "value": "usd"}},
    }
    seen = {"seen": {"streams": ["order"], "days": 30}}
    outcome = {"kind": "inactivity", "streams": ["order"], "horizon_days": 30}
    return load(configs(folder, data, {"population": seen, "outcome": outcome}), SnapshotConfig)


def test_the_model_learns_from_everybody_who_ever_bought_not_from_the_lately_seen(shop):
    found = learn(shop, "order", facts.read(shop.data), date(2025, 10, 28))
    assert found.customers == 399  # without who opted out
    stopped = found.purchases.a / (found.purchases.a + found.purchases.b)
    assert stopped == pytest.approx(0.2, abs=0.06)
    assert found.spend.expected(np.zeros(1), np.zeros(1))[0] == pytest.approx(30, rel=0.1)
    assert learn(shop, "order", facts.read(shop.data), date(2025, 10, 28)) == found
