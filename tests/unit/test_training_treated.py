from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import config as configs
from features.contacts import contacted
from features.facts import Part
from features.rollup import daily
from features.snapshot_config import SnapshotConfig
from tests.spec.tables import columns, table_events
from training import metrics
from training.worth.later import Later
from training.worth.treated import GROUPS, LEAST, Treated, said, treated
from training.worth.words import words

ROOT = Path(__file__).parents[2]


def rows(contacts, held, size=2_000, seed=0, halved=0.5) -> Later:
    """One date; whoever is contacted has the outcome ``halved`` as often as the score says."""
    numbers = np.random.default_rng(seed)
    score = np.sort(numbers.beta(1, 4, size))[::-1]
    contacts = np.array(contacts(np.arange(size)), float)
    chance = np.where(contacts > 0, halved * score, score)
    customer = np.array([f"顧客{i:04d}" for i in range(size)], object)
    side = {"contacted": contacts, "held_out": np.array(held(np.arange(size)), float)}
    outcome = (numbers.random(size) < chance).astype(float)
    return Later(np.full(size, "2025-01-01", object), customer, customer, outcome, score, np.ones(size), side)


def everyone_but_the_holdout(size=2_000, **others) -> Later:
    return rows(lambda i: (i < size / 10) & (i % 4 > 0), lambda i: i % 4 == 0, size=size, **others)


def test_groups_hold_the_rows_they_are_named_for():
    found = treated(rows(lambda i: 3 * (i % 2), lambda i: i % 5 == 0))
    sizes = {name: group.rows for name, group in found.groups.items()}
    assert tuple(sizes) == GROUPS
    assert sizes == {
        "top_contacted": 100,
        "top_not_contacted": 100,
        "top_held_out": 40,
        "held_out": 400,
        "others": 1600,
    }
    assert (found.rows, found.contacted, found.held, found.broken) == (2000, 1000, 400, 200)


def test_figures_of_a_group_are_those_of_its_rows():
    own = everyone_but_the_holdout()
    inside = np.arange(2_000) % 4 == 0
    group, outcome, score = treated(own).groups["held_out"], own.outcome[inside], own.score[inside]
    assert group.observed.value == pytest.approx(outcome.mean(), abs=1e-6)
    assert group.gap.value == pytest.approx(score.mean() - outcome.mean(), abs=1e-6)
    assert (group.ece, group.ece_limit) == (metrics.ece(outcome, score), metrics.ece_of_a_perfect_model(score))
    assert group.customers == 500 and group.outcomes == outcome.sum() and group.gap.low < 0 < group.gap.high


def test_the_top_tenth_is_taken_on_each_date():
    own = everyone_but_the_holdout()
    fold = np.where(np.arange(2_000) < 5, "2024-12-01", "2025-01-01").astype(object)
    two = Later(fold, own.customer, own.unit, own.outcome, own.score, own.amount, own.side)
    assert sum(treated(two).groups[name].rows for name in ("top_contacted", "top_not_contacted")) == 1 + 200


def test_the_effect_of_contacts_that_halve_the_outcome_is_covered_19_times_of_20():
    covered = 0
    for seed in range(30):
        own = everyone_but_the_holdout(seed=seed)
        top = np.arange(2_000) < 200
        held = top & (own.side["held_out"] > 0)
        true = own.score[held].mean() - 0.5 * own.score[top & ~held].mean()
        effect = treated(own).effect
        covered += effect.low <= true <= effect.high
    assert covered >= 25  # 28.5 on average; fewer have a chance of 1 in 300


def test_without_an_effect_none_is_claimed():
    sure = 0
    for seed in range(30):
        effect = treated(everyone_but_the_holdout(seed=seed, halved=1.0)).effect
        sure += effect.low > 0 or effect.high < 0
    assert sure <= 5  # 1.5 on average; over 5 has a chance of 1 in 300


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (rows(lambda i: i * np.nan, lambda i: i % 4 == 0), "no_contact_stream"),
        (rows(lambda i: i * 0, lambda i: i % 4 == 0), "no_contacts"),
        (rows(lambda i: i > 200, lambda i: i % 4 == 0), "no_contacts"),
        (rows(lambda i: i % 2, lambda i: i * 0), "no_holdout"),
        (rows(lambda i: i < LEAST - 1, lambda i: i % 4 == 0), "few"),
        (rows(lambda i: i % 2, lambda i: i >= 200 - LEAST + 1), "few"),
        (rows(lambda i: i % 2, lambda i: i == 0, size=3), "no_contacts"),
    ],
)
def test_where_the_effect_cannot_be_told_it_is_said_why(own, reason):
    found = treated(own)
    assert found.effect is None and found.reason == reason
    for lang in ("en", "ja"):
        assert any(words()[lang]["treated"][reason].format(customers=LEAST) == line for line in said(found, lang))


def test_columns_the_snapshot_does_not_have_are_unknown():
    own = everyone_but_the_holdout()
    bare = Later(own.fold, own.customer, own.unit, own.outcome, own.score, own.amount)
    assert treated(bare).reason == "no_contact_stream" and treated(bare).held == 0


def test_a_group_of_too_few_customers_has_counts_only():
    group = treated(rows(lambda i: i < LEAST - 1, lambda i: i % 4 == 0)).groups["top_contacted"]
    assert (group.rows, group.few, group.observed, group.mean_score, group.ece) == (LEAST - 1, True, None, None, None)


def test_contacts_that_prevent_every_outcome_show_their_effect():
    found = treated(everyone_but_the_holdout(halved=0.0))
    assert found.groups["top_contacted"].observed.value == 0 and found.groups["top_contacted"].observed.high > 0
    assert found.effect.low > 0


@settings(max_examples=12)
@given(st.integers(0, 100), st.sampled_from(["keeps", "adds"]), st.sampled_from([0.0, 0.5, 1.0, 1.4]))
def test_both_languages_say_as_much(seed, contact, halved):
    own = everyone_but_the_holdout(seed=seed, halved=halved)
    found = treated(own, contact)
    english, japanese = said(found, "en"), said(found, "ja")
    assert len(english) == len(japanese) == 4
    assert not any("{" in line for line in english + japanese)


def sentence(contact, halved, lang="en") -> str:
    return said(treated(everyone_but_the_holdout(halved=halved), contact), lang)[1]


def test_what_follows_depends_on_what_a_contact_is_for():
    assert "points rarer" in sentence("keeps", 0.2) and sentence("keeps", 0.2).endswith("score such customers too low.")
    assert "points more frequent" in sentence("adds", 1.6)
    assert sentence("adds", 1.6).endswith("score such customers too high.")
    assert "opposite of what a contact is for" in sentence("adds", 0.2)
    assert "低く出すぎます" in sentence("keeps", 0.2, "ja")


def test_a_difference_is_told_in_its_own_direction():
    effect = treated(everyone_but_the_holdout(halved=1.6)).effect
    assert effect.high < 0
    line = sentence("keeps", 1.6)
    assert f"{-100 * effect.value:.1f} points more frequent" in line
    assert f"({-100 * effect.high:.1f} to {-100 * effect.low:.1f})" in line


def test_a_holdout_that_fits_is_not_said_to_agree_and_has_its_interval():
    found = treated(everyone_but_the_holdout())
    own = found.groups["held_out"]
    english, japanese = (said(found, lang)[-1] for lang in ("en", "ja"))
    assert "cannot be told apart" in english and "確実な差があるとはいえません" in japanese
    for line in (english, japanese):
        assert f"{100 * own.gap.low:+.1f}" in line and f"{100 * own.gap.high:+.1f}" in line


def test_a_broken_holdout_is_said():
    own = rows(lambda i: i % 2, lambda i: i % 4 < 2)
    found: Treated = treated(own)
    assert found.broken == 500 and said(found, "en")[1].startswith("500 rows of the hold-out were contacted")


def test_words_are_the_same_in_both_languages():
    def keys(part):
        return {name: keys(own) for name, own in part.items()} if isinstance(part, dict) else None

    assert keys(words()["en"]) == keys(words()["ja"])


def seen(text: str, role: str = "contact") -> np.ndarray:
    """Contacts of one customer as of day 100 (gap 7, horizon 90), and of another without events."""
    config = configs.load(ROOT / "configs" / "saas" / "churn.yaml", SnapshotConfig)
    streams = {"contact": config.data.streams["contact"].model_copy(update={"role": role})}
    own = config.model_copy(update={"data": config.data.model_copy(update={"streams": streams})})
    part = Part(pd.DataFrame(), None, {}, {"contact": daily(columns(table_events(text)))})
    return contacted(own, part, np.array([1, 2], np.int32), np.array([100, 100], np.int32))


@pytest.mark.parametrize(
    ("days", "count"),
    [
        ("day\n 99", 0),
        ("day\n100", 1),
        ("day\n196", 1),
        ("day\n197", 0),
        ("day\n100\n100\n150", 3),
        ("day | known\n150 | 400", 1),
    ],
)
def test_contacts_count_from_the_as_of_date_to_the_end_of_the_horizon(days, count):
    assert seen(days).tolist() == [count, 0]


def test_without_a_contact_stream_nobody_knows():
    assert np.isnan(seen("day\n100", role="behaviour")).all()
