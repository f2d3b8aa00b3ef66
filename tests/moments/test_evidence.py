"""The cause is told from its companions, or none is named, in apps not made by `firstday simulate`."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import linregress, t

from firstday.moments.between import EXPECTED_RANGE, MOST_LOG_FACTOR, Between
from firstday.moments.dates import DateProducts
from firstday.moments.evidence import ActionEvidence, assess
from firstday.moments.within import EFFECTS
from tests import oracle

KINDS = ("normal", "two groups", "skewed")
SEEDS = range(5)


@cache
def app(seed: int, effect: float, engagement: str, everybody: float) -> oracle.App:
    return oracle.app(seed, effect=effect, engagement=engagement, everybody=everybody)


def evidence_of(data: DateProducts) -> ActionEvidence:
    found = assess(data)
    assert found is not None
    return found


def named(data: DateProducts) -> int | None:
    return oracle.named(evidence_of(data))


@pytest.mark.parametrize("everybody", [0.0, 0.3])
@pytest.mark.parametrize("engagement", KINDS)
def test_the_cause_is_named(engagement: str, everybody: float) -> None:
    apps = [app(seed, 0.8, engagement, everybody) for seed in SEEDS]
    right = sum(named(each.products) == each.cause for each in apps)
    assert right >= len(apps) - 1


def test_the_best_phi_is_often_a_decoy() -> None:
    """So the worlds above are no gift."""
    apps = [app(seed, 0.8, kind, everybody) for seed in SEEDS for kind in KINDS for everybody in (0.0, 0.3)]
    assert np.mean([each.best_phi == each.cause for each in apps]) < 0.5


@pytest.mark.parametrize("everybody", [0.0, 0.3])
@pytest.mark.parametrize("engagement", KINDS)
def test_without_a_cause_none_is_named(engagement: str, everybody: float) -> None:
    apps = [app(seed + 100, 0.0, engagement, everybody) for seed in SEEDS]
    assert sum(named(each.products) is not None for each in apps) <= 1


def saturating(seed: int, users: int = 20_000) -> DateProducts:
    """No cause. A user's events are dealt to the actions by chance, most to the first one, and each event may
    bring him back: where activity is high nearly all come back.
    """
    draw = np.random.default_rng(seed)
    events = draw.poisson(24 * np.exp(0.9 * draw.normal(size=users)))
    often = np.diff(np.linspace(0, 1, 13) ** 0.5)
    counts = draw.multinomial(events, often)
    retained = draw.random(users) < 1 - np.exp(-0.25 * events)
    return oracle.products(np.log1p(counts), retained, np.arange(users) % 40, [f"a{n}" for n in range(12)])


def test_what_nearly_everybody_does_is_no_cause_where_retention_saturates() -> None:
    apps = [saturating(seed) for seed in range(10)]
    assert sum(named(data) is not None for data in apps) <= 1


def test_fifty_users_a_date_without_a_cause_name_none() -> None:
    apps = [oracle.app(seed, effect=0.0, users=2_000, dates=40) for seed in range(20)]
    assert sum(named(each.products) is not None for each in apps) <= 1


def test_plain_trends_pass_decoys_and_controlled_ones_do_not() -> None:
    """Dates that lift everybody make every action and retention rise together."""
    plain, controlled = [], []
    for seed in range(6):
        data = app(seed + 100, 0.0, "normal", 0.3).products
        found = evidence_of(data)
        controlled.append(found.trend_effect / found.trend_error)
        slopes = [linregress(data.means[:, action], data.means[:, -1]) for action in range(len(data.actions))]
        plain.append([slope.slope / slope.stderr for slope in slopes])
    assert np.mean(np.array(plain) > 2.03) > 0.7
    assert np.mean(np.array(controlled) > 2.03) < 0.1


def test_trends_of_a_cause_are_as_large_as_expected() -> None:
    """The slope between dates agrees with the one that stands out within dates."""
    ratios = []
    for seed in SEEDS:
        each = app(seed, 0.8, "normal", 0.3)
        found = evidence_of(each.products)
        ratios.append(found.trend_effect[each.cause] / found.effect[each.cause])
    assert np.median(ratios) == pytest.approx(1, abs=0.4)


def test_the_figures_hang_together() -> None:
    found = evidence_of(app(1, 0.8, "normal", 0.3).products)
    assert len(found.actions) == 10
    assert found.p_cause.sum() + found.p_trait + found.p_none == pytest.approx(1)
    best = int(found.p_cause.argmax())
    assert found.observed[best] > found.expected[best]
    assert found.effect[best] > 0
    assert_allclose(found.effect_weights.sum(axis=1), 1)
    assert (found.trend_error > 0).all()
    assert (found.p_works >= found.p_cause).all()


def test_another_prior_is_what_a_new_run_would_give() -> None:
    data = app(1, 0.6, "normal", 0.3).products
    new, changed = assess(data, cause_share=0.1), evidence_of(data).with_share(0.1)
    assert new is not None
    assert_allclose(changed.p_cause, new.p_cause)
    assert (changed.p_none, changed.p_trait) == pytest.approx((new.p_none, new.p_trait))
    assert changed.p_cause.sum() < evidence_of(data).p_cause.sum()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("retained", [0.0, 1.0])
def test_nobody_or_everybody_retained_is_no_evidence(retained: float) -> None:
    each = replace(app(1, 0.8, "normal", 0.3), retained=np.full(20_000, retained))
    found = evidence_of(each.products)
    assert np.isfinite(found.p_cause).all()
    assert named(each.products) is None


@pytest.mark.filterwarnings("error")
def test_twin_actions_share_the_blame() -> None:
    """An action logged under two names: one of the two is named, or none, and nothing breaks."""
    each = app(1, 0.8, "normal", 0.3)
    assert each.cause is not None
    twin = replace(
        each,
        counts=np.column_stack([each.counts, each.counts[:, each.cause]]),
        actions=(*each.actions, "its twin"),
    )
    found = evidence_of(twin.products)
    assert_allclose(found.p_cause[each.cause], found.p_cause[10])
    assert named(twin.products) in (each.cause, 10, None)


def test_too_few_actions_or_dates_cannot_tell() -> None:
    data = app(1, 0.8, "normal", 0.3).products
    assert assess(data.only([0, 1, 2])) is None
    assert assess(data.only([])) is None
    two = DateProducts(data.actions, data.users[:2], data.means[:2], data.products[:2])
    assert assess(two) is None
    none = DateProducts((), np.zeros(0), np.zeros((0, 1)), np.zeros((0, 1, 1)))
    assert assess(none) is None


def test_an_action_that_hardly_anybody_does_is_left_out() -> None:
    each = app(1, 0.8, "normal", 0.3)
    counts = each.counts.copy()
    counts[:, 9] = np.arange(len(counts)) % 1_000 == 0
    assert evidence_of(replace(each, counts=counts).products).actions == each.actions[:9]


def test_bots_change_nothing_much() -> None:
    each = app(2, 0.8, "normal", 0.3)
    counts = each.counts.copy()
    counts[::3_000] = 10_000
    assert named(replace(each, counts=counts).products) == each.cause


def test_what_the_dates_count_for() -> None:
    """Against the mean of densities over the expected range, by hand; bounded; 1 where dates cannot tell."""
    effect, error = np.array([0.1, 0.0, -0.1, 0.1]), np.array([0.02, 0.02, 0.02, 10.0])
    found = Between(effect, error, dates=40).log_factors(scale=0.2)
    assert found.shape == (4, len(EFFECTS))
    some = np.mean([t.pdf((0.1 - m * 0.2 * EFFECTS[20]) / 0.02, 36) for m in EXPECTED_RANGE])
    by_hand = np.log(some) - t.logpdf(5, 36)
    assert found[0, 20] == pytest.approx(np.clip(by_hand, -MOST_LOG_FACTOR, MOST_LOG_FACTOR))
    assert np.abs(found).max() <= MOST_LOG_FACTOR
    assert (found[2] <= found[1]).all()
    assert_allclose(found[3], 0, atol=0.05)
