"""Who leads whom is recovered, and families are no factors of their own."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.chains import chains
from firstday.moments.evidence import assess
from firstday.moments.factors import engagement_loadings, unexplained
from firstday.moments.families import Timing, families
from firstday.moments.worth import Reach, Spread

USERS = 5_000
LOADINGS = np.array([0.8, 0.7, 0.6, 0.5, 0.7, 0.6, 0.8, 0.4])


def covariance(pair: float) -> NDArray[np.float64]:
    """One factor; 0 and 1 have a covariance of their own beside it."""
    made = np.outer(LOADINGS, LOADINGS)
    np.fill_diagonal(made, 1.0)
    made[0, 1] = made[1, 0] = made[0, 1] + pair
    return made


def timing(after: float, before: float) -> Timing:
    """0 comes before `after` of 1's events and after `before` of them; all others come and go by chance."""
    near = np.full((8, 8), 200.0)
    late = near.copy()
    near[0, 1], late[0, 1] = after, before
    near[1, 0], late[1, 0] = before, after
    return Timing(tuple("abcdefgh"), np.full(8, 1_000.0), near, late)


def test_a_free_pair_leaves_the_loadings_as_they_are() -> None:
    free = np.zeros((8, 8), dtype=bool)
    free[0, 1] = free[1, 0] = True
    assert_allclose(engagement_loadings(covariance(0.3), free), LOADINGS, atol=1e-3)
    assert np.abs(engagement_loadings(covariance(0.3)) - LOADINGS).max() > 0.05
    stack = np.stack([covariance(0.3), covariance(0.1)])
    assert_allclose(engagement_loadings(stack, free), [LOADINGS] * 2, atol=1e-3)


def test_what_factors_leave_unexplained_is_a_share_of_what_they_explain() -> None:
    alone = np.eye(8, dtype=bool)
    exact = covariance(0.0)
    assert_allclose(unexplained(exact, LOADINGS[:, None], alone), 0.0, atol=1e-12)
    pairs = np.triu_indices(8, 1)
    signs: np.ndarray = np.random.default_rng(0).choice([-1.0, 1.0], (8, 8))
    left = np.triu(0.1 * signs, 1)
    found = unexplained(exact + left + left.T, LOADINGS[:, None], alone)
    explained = (exact[pairs] ** 2).mean()
    assert_allclose(found, np.sqrt(0.01 * 28 / (28 - 8) / explained))  # 28 pairs, 8 loadings fitted
    walked = exact.copy()
    for one in range(7):  # each goes with its neighbours alone: no few factors say so
        walked[one, one + 1] = walked[one + 1, one] = 0.9
    assert families(walked, USERS, None).anchorless
    assert not families(exact, USERS, None).anchorless


def test_who_leads_is_found_with_its_share() -> None:
    found = families(covariance(0.15), USERS, timing(600.0, 150.0))
    assert found.lead[0, 1] == 0.45
    assert np.count_nonzero(found.lead) == 1
    assert found.number.tolist() == [0, 0, 1, 2, 3, 4, 5, 6]


def test_what_is_no_more_than_engagement_or_chance_leads_nothing() -> None:
    assert not families(
        covariance(0.0), USERS, timing(600.0, 150.0)
    ).lead.any()  # no correlation of their own
    assert not families(covariance(0.15), USERS, timing(300.0, 280.0)).lead.any()  # in no order
    opener = timing(200.0, 200.0)
    opener.after[0, 1:], opener.before[0, 1:] = 500.0, 100.0  # before everything, as what opens a session
    assert not families(covariance(0.15), USERS, opener).lead.any()


def test_pairs_without_timing_are_families_too() -> None:
    found = families(covariance(0.4), USERS, None)
    assert found.number[0] == found.number[1]
    assert len(found.sizes) == 7


def test_where_nearly_all_follow_from_one_another_nothing_is_named() -> None:
    made = covariance(0.0)
    chain = timing(200.0, 200.0)
    for one in range(6):
        made[one, one + 1] = made[one + 1, one] = made[one, one + 1] + 0.2
        chain.after[one, one + 1], chain.before[one, one + 1] = 700.0, 100.0
    assert families(made, USERS, chain).anchorless


def test_chains_of_invented_apps_are_found_and_no_trait_is_named() -> None:
    """Arcs go along the chains, mostly; of apps without a cause none gets a name."""
    right = wrong = 0
    for seed in range(200, 210):
        made = chains(seed)
        found = assess(made.app.products, made.timing)
        assert found is not None
        names = found.actions
        for one, other in np.argwhere(found.families.lead > 0):
            same = names[one].startswith("chain") and names[one][:7] == names[other][:7]
            right, wrong = right + same, wrong + (not same)
        if made.app.cause is None:
            assert found.p_cause.max() < 0.8
    assert right > 10
    assert wrong <= right / 10


def test_the_effect_of_reaching_a_threshold_is_recovered_from_the_slope() -> None:
    draw = np.random.default_rng(5)
    count = draw.poisson(np.exp(draw.normal(size=200_000)))
    retained = draw.random(200_000) < 0.3 + 0.1 * (count >= 2)
    x = np.log1p(count)
    slope = np.cov(x, retained)[0, 1] / x.var()
    values, users = np.unique(count, return_counts=True)
    back = np.array([retained[count == value].sum() for value in values], dtype=float)
    reach = Reach.of(Spread(values.astype(float), users.astype(float), back), 2)
    assert_allclose(slope * reach.at_once / reach.below, 0.1, atol=0.01)
    assert_allclose(reach.share, (count >= 2).mean())
    assert_allclose(reach.added, 2 - count[count < 2].mean())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_push_moves_those_below_as_much_as_is_told(at_once: bool) -> None:
    """Of a logit with engagement in it: those below the threshold come back less often than users on average.

    The slope is that of the randomised action alone: engagement is no confounder here.
    """
    draw = np.random.default_rng(6)
    count = draw.poisson(1.3, 400_000)

    def stays(count: np.ndarray) -> np.ndarray:
        return expit(-2 + 0.8 * ((count >= 2) * 1.0 if at_once else np.log1p(count)))

    retained = draw.random(len(count)) < stays(count)
    x = np.log1p(count)
    slope = np.cov(x, retained)[0, 1] / x.var()
    values, place, users = np.unique(count, return_inverse=True, return_counts=True)
    reach = Reach.of(
        Spread(values.astype(float), users.astype(float), np.bincount(place, retained).astype(float)), 2
    )
    below = count[count < 2]
    true = (stays(np.full(len(below), 2)) - stays(below)).mean()
    told = slope * (reach.at_once if at_once else reach.each_time)
    assert 0.7 < told / true < 1.1
