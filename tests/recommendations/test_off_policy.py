"""Off-policy estimates: by hand, as loops and statsmodels have them; right in simulation, or refused."""

import math
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from firstday.errors import DataError
from firstday.recommendations.off_policy import Compared, OffPolicy, estimate, gamma_interval
from firstday.recommendations.off_policy_sums import sums
from tests.recommendations.policies import ESTIMATORS, World, coverage


class Row(NamedTuple):
    """Powers of two divide exactly, so that weights of different rows tie."""

    reward: float
    propensity: float
    probability: float
    predicted: float
    expected: float
    unit: int


ROW = st.builds(
    Row,
    reward=st.sampled_from([0.0, 0.0, 1.0, 2.5]),
    propensity=st.sampled_from([0.125, 0.25, 0.5, 1.0]),
    probability=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    predicted=st.sampled_from([0.0, 0.25, 0.5]),
    expected=st.sampled_from([0.25, 0.375]),
    unit=st.integers(0, 5),
)
# A second unit, as an interval needs one. Weights far from 1 on average are the point of no test here.
ROWS = st.lists(ROW, min_size=1, max_size=30).map(lambda rows: [*rows, Row(1.0, 0.125, 1.0, 0.25, 0.25, 6)])


def column(rows: list[Row], name: str) -> Any:
    return np.array([getattr(row, name) for row in rows], dtype=int if name == "unit" else float)


def estimated(rows: list[Row], *, model: bool = True, unit: bool = True) -> OffPolicy:
    modelled = {name: column(rows, name) for name in ("predicted", "expected")} if model else {}
    return estimate(
        sums(
            *(column(rows, name) for name in ("reward", "propensity", "probability")),
            unit=column(rows, "unit") if unit else None,
            # What the log supports is not at stake.
            supported=np.ones(len(rows)),
            **modelled,
        )
    )


def naive(rows: list[Row]) -> dict[str, tuple[float, float]]:
    """Estimator -> value and variance, in loops: the residuals are summed by unit, then squared."""
    n, units = len(rows), {row.unit for row in rows}
    weights = [row.probability / row.propensity for row in rows]
    total = sum(weights)
    expected = sum(row.expected for row in rows) / n
    errors = [w * (row.reward - row.predicted) for w, row in zip(weights, rows, strict=True)]
    earned = [w * row.reward for w, row in zip(weights, rows, strict=True)]
    ips, snips, error = sum(earned) / n, sum(earned) / total, sum(errors) / total
    doubly = sum(errors) / n + expected
    residuals: dict[str, list[float]] = defaultdict(list)
    for row, w, gain, wrong in zip(rows, weights, earned, errors, strict=True):
        residuals["ips"].append((gain - ips) / n)
        residuals["snips"].append((gain - snips * w) / total)
        residuals["doubly_robust"].append((wrong + row.expected - doubly) / n)
        residuals["self_normalised_doubly_robust"].append(
            (row.expected - expected) / n + (wrong - error * w) / total
        )
    values = dict(zip(ESTIMATORS, (ips, snips, doubly, expected + error), strict=True))
    found = {}
    for name, value in values.items():
        of_unit: dict[int, float] = defaultdict(float)
        for row, residual in zip(rows, residuals[name], strict=True):
            of_unit[row.unit] += residual
        variance = sum(each**2 for each in of_unit.values()) * len(units) / (len(units) - 1)
        found[name] = value, variance
    return found


def test_by_hand() -> None:
    """Weights 2, 1/2, 1/2, 1: clicks on the first and the last."""
    found = estimate(sums([1, 0, 0, 1], [0.25, 0.5, 0.5, 0.5], [0.5, 0.25, 0.25, 0.5]))
    assert found.ips.value == 3 / 4
    assert found.snips.value == 3 / 4
    assert found.logged.value == 1 / 2
    assert found.snips.gain == 1 / 4
    assert found.effective_sample_size == pytest.approx(16 / 5.5)
    assert (found.rows, found.units, found.greatest_weight, found.mean_weight) == (4, 4, 2.0, 1.0)
    # Residuals of IPS: 2 - 3/4, -3/4, -3/4, 1 - 3/4; their squares sum to 2.75; by 3 degrees of freedom.
    assert found.ips.standard_error == pytest.approx(math.sqrt(2.75 / 3 / 4))
    assert found.doubly_robust is None
    assert found.interval == "gamma"


def test_doubly_robust_by_hand() -> None:
    """Weights 2 and 1, errors 1 - 1/2 and 0 - 1/4: (1 - 1/4) / 2 + 0.3 and (1 - 1/4) / 3 + 0.3."""
    found = estimate(sums([1, 0], [0.5, 0.5], [1, 0.5], predicted=[0.5, 0.25], expected=[0.3, 0.3]))
    assert found.doubly_robust is not None
    assert found.self_normalised_doubly_robust is not None
    assert found.doubly_robust.value == pytest.approx(0.675)
    assert found.self_normalised_doubly_robust.value == pytest.approx(0.55)


@given(rows=ROWS)
def test_as_a_naive_loop(rows: list[Row]) -> None:
    found = estimated(rows)
    for name, (value, variance) in naive(rows).items():
        told = getattr(found, name)
        assert told.value == pytest.approx(value, abs=1e-9)
        assert told.standard_error**2 == pytest.approx(variance, rel=1e-9, abs=1e-12)
        assert told.low <= told.value <= told.high
        assert told.gain_low <= told.gain <= told.gain_high
        assert told.gain == pytest.approx(value - np.mean(column(rows, "reward")), abs=1e-9)
    weights = column(rows, "probability") / column(rows, "propensity")
    assert found.effective_sample_size == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert found.effective_sample_size <= len(rows) + 1e-9


def agree(one: OffPolicy, other: OffPolicy, scale: float = 1.0) -> None:
    """Values to 1e-9; the root of a variance that is 0 may be off by the root of what rounding leaves."""
    for name in ESTIMATORS:
        left, right = getattr(one, name), getattr(other, name)
        assert right.value == pytest.approx(scale * left.value, rel=1e-9, abs=1e-9 * scale)
        for bound in Compared.__dataclass_fields__:
            assert getattr(right, bound) == pytest.approx(
                scale * getattr(left, bound), rel=1e-6, abs=1e-6 * scale
            )


@given(rows=ROWS, order=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_units_change_nothing(rows: list[Row], order: Any) -> None:
    shuffled = [row._replace(unit=100 - row.unit) for row in rows]
    order.shuffle(shuffled)
    agree(estimated(rows), estimated(shuffled))


@given(rows=ROWS, scale=st.sampled_from([0.01, 3.0, 1000.0]))
def test_rewards_in_another_unit_are_estimates_in_that_unit(rows: list[Row], scale: float) -> None:
    scaled = [
        row._replace(
            reward=scale * row.reward, predicted=scale * row.predicted, expected=scale * row.expected
        )
        for row in rows
    ]
    agree(estimated(rows), estimated(scaled), scale)


@given(rows=ROWS)
def test_rows_of_their_own_unit_need_none(rows: list[Row]) -> None:
    agree(
        estimated(rows, unit=False),
        estimated([row._replace(unit=place) for place, row in enumerate(rows)]),
    )


@given(rows=ROWS)
def test_the_same_policy_earns_what_was_logged(rows: list[Row]) -> None:
    same = [row._replace(probability=row.propensity) for row in rows]
    found = estimated(same, model=False)
    assert found.ips.value == pytest.approx(found.logged.value)
    assert found.snips.low == pytest.approx(found.logged.low, abs=1e-7)
    assert found.snips.high == pytest.approx(found.logged.high, abs=1e-7)
    assert found.effective_sample_size == pytest.approx(len(rows))


def test_the_standard_error_is_a_weighted_regressions() -> None:
    """SNIPS is the constant of a weighted regression; its error, clustered, that of statsmodels."""
    draw = np.random.default_rng(4)
    unit, reward = draw.integers(40, size=300), draw.integers(2, size=300)
    propensity, probability = draw.uniform(0.2, 0.8, 300), draw.uniform(0.3, 0.9, 300)
    found = estimate(sums(reward, propensity, probability, unit=unit, supported=np.ones(300)))
    fitted = sm.WLS(reward, np.ones(300), weights=probability / propensity).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}
    )
    assert found.snips.value == pytest.approx(fitted.params[0])
    assert found.snips.standard_error == pytest.approx(
        fitted.bse[0] * math.sqrt(found.units / (found.units - 1))
    )


@pytest.mark.parametrize("clicks", [0, 1, 7, 40])
def test_with_equal_weights_the_bounds_are_the_exact_ones_of_a_count(clicks: int) -> None:
    """Garwood's (1936, Biometrika 28), of a Poisson count."""
    low = chi2.ppf(0.025, 2 * clicks) / 2 if clicks else 0.0
    found = gamma_interval(clicks / 500, clicks / 500**2, 1 / 500, 0.025)
    assert found == pytest.approx((low / 500, chi2.ppf(0.975, 2 * clicks + 2) / 2 / 500))


def test_a_log_without_a_click_has_an_upper_bound() -> None:
    found = estimate(sums(np.zeros(1_000), np.full(1_000, 0.5), np.tile([0.25, 0.75], 500)))
    assert (found.snips.value, found.snips.low) == (0, 0)
    assert found.snips.high == pytest.approx(3.689 / found.effective_sample_size, rel=1e-3)
    assert found.snips.gain_low < 0 < found.snips.gain_high


def test_negative_rewards_have_normal_bounds() -> None:
    found = estimate(sums([1, -1, 0, -2], np.full(4, 0.5), np.full(4, 0.5)))
    assert found.interval == "normal"
    reach = 1.959963984540054 * found.ips.standard_error
    assert (found.ips.low, found.ips.high) == pytest.approx((-0.5 - reach, -0.5 + reach))


MODERATE = [
    World(2_000, 0.3, 0.5),
    World(2_000, 0.3, 1.2, -1),
    World(2_000, 0.1, 1.2),
    World(10_000, 0.02, 1.0),
]
RARE = [World(10_000, 0.004, 0.5), World(10_000, 0.004, 1.2, 1), World(10_000, 0.004, 1.2, -1)]


@pytest.mark.parametrize("world", MODERATE)
@pytest.mark.parametrize("good", [True, False])
def test_estimates_are_unbiased_and_covered(world: World, good: bool) -> None:
    model = world.rates if good else world.rates[::-1]
    for name, found in coverage(world, 500, model=model).items():
        assert 0.92 <= found.interval <= 0.98, name
        assert 0.92 <= found.gain <= 0.98, name
        # Four standard errors of the mean; what is left of SNIPS' bias is far below.
        assert found.mean == pytest.approx(world.truth, abs=4 * found.deviation / math.sqrt(500)), name


@pytest.mark.parametrize("world", RARE)
def test_rare_clicks_are_covered_where_normal_bounds_are_too_narrow(world: World) -> None:
    for name, found in coverage(world, 500, model=np.full(world.contents, world.click_rate)).items():
        assert 0.92 <= found.interval <= 0.99, name
        assert 0.92 <= found.gain <= 0.99, name
        assert found.normal < found.interval, name


def test_normal_bounds_fail_for_a_handful_of_clicks() -> None:
    found = coverage(World(2_000, 0.004, 1.2), 500)["snips"]
    assert found.normal < 0.85
    assert found.interval > 0.95


def test_slots_of_one_user_are_not_independent() -> None:
    world = World(2_000, 0.2, 0.5, contents=20)
    rows, users = (coverage(world, 500, unlike_users=True, by_user=by_user) for by_user in (False, True))
    for name, found in users.items():
        assert 0.92 <= found.interval <= 0.98
        assert rows[name].interval < 0.90


def test_a_good_reward_model_makes_dr_less_nervous() -> None:
    world = World(2_000, 0.3, 1.2, 1)
    good, wrong = (coverage(world, 500, model=model) for model in (world.rates, 1 - world.rates))
    assert good["doubly_robust"].deviation < 0.8 * good["ips"].deviation
    assert good["doubly_robust"].deviation < 0.95 * wrong["doubly_robust"].deviation
    assert good["doubly_robust"].deviation < 0.97 * good["snips"].deviation
    assert good["doubly_robust"].width < 0.8 * good["ips"].width


def test_dr_is_right_with_wrong_propensities_if_the_model_is_right() -> None:
    world = World(200_000, 0.3, 0.8, 1)
    log = world.log(np.random.default_rng(2))
    content = log["content"]
    wrong = world.logged * np.linspace(1.2, 0.8, world.contents)
    found = estimate(
        sums(
            log["click"],
            wrong[content],
            world.new[content],
            predicted=world.rates[content],
            expected=np.full(world.rows, world.new @ world.rates),
        )
    )
    assert found.doubly_robust is not None
    assert found.doubly_robust.low < world.truth < found.doubly_robust.high
    assert found.ips.low > world.truth
    assert any("at most 1 is expected" in told for told in found.warnings)


GOOD: dict[str, Any] = {"reward": [1, 0, 0], "propensity": [0.5, 0.5, 0.5], "probability": [0.5, 0.5, 0.5]}
MODEL = {"predicted": [0.1, 0.1, 0.1], "expected": [0.1, 0.1, 0.1]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"propensity": [0.5, None, 0.5]}, "propensity is above 0.*nan.*without a draw"),
        ({"propensity": [0.5, 0, 0.5]}, "propensity is above 0.*Got: 0.0"),
        ({"propensity": [0.5, -0.1, 0.5]}, "Got: -0.1"),
        ({"propensity": [0.5, math.nan, 0.5]}, "Got: nan"),
        ({"propensity": [0.5, 1.5, 0.5]}, "at most 1.*Got: 1.5"),
        ({"propensity": [0.5, 1e-300, 0.5]}, "1e-300"),
        ({"probability": [0.5, 1.1, 0.5]}, "new policy is from 0 to 1.*Got: 1.1"),
        ({"probability": [0.5, None, 0.5]}, "new policy is from 0 to 1"),
        ({"reward": [1, math.inf, 0]}, "Each reward is a finite number.*inf"),
        ({"reward": [1, None, 0]}, "Each reward is a finite number"),
        ({**MODEL, "predicted": [0.1, math.nan, 0.1]}, "predicted is a finite"),
        ({**MODEL, "expected": [0.1, -math.inf, 0.1]}, "expected is a finite"),
        ({"predicted": [0.1, 0.1, 0.1]}, "Got: 'predicted only'"),
        ({"expected": [0.1, 0.1, 0.1]}, "Got: 'expected only'"),
        ({"supported": [1, 1.2, 1]}, "supported share.*Got: 1.2"),
        ({"reward": [1, 0]}, "one length"),
        ({"reward": [[1, 0, 0]]}, "one dimension"),
        ({"unit": ["a", "b"]}, "one length"),
        ({"unit": ["a", None, "b"]}, "its unit"),
        ({"reward": [], "propensity": [], "probability": []}, "The log has rows"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        sums(**(GOOD | changes))


@pytest.mark.parametrize("world", [World(300, 0.1, 2.0), World(2_000, 0.1, 1.2)])
def test_support_that_is_estimated_is_seldom_refused(world: World) -> None:
    draw, refused = np.random.default_rng(9), 0
    for _ in range(500):
        log = world.log(draw)
        content = log["content"]
        try:
            estimate(sums(log["click"], world.logged[content], world.new[content]))
        except DataError:
            refused += 1
    assert refused <= 10


def test_one_user_has_no_interval() -> None:
    with pytest.raises(DataError, match=r"two units.*Got: 1\."):
        estimate(sums(**GOOD, unit=["a", "a", "a"]))


def test_a_policy_without_support_is_refused() -> None:
    """Half of the slots were filled without another content being possible, where the new one has others."""
    propensity = np.tile([1.0, 0.5], 500)
    with pytest.raises(DataError, match=r"At least 95%.*Got: 0\.6\..*explore"):
        estimate(sums(np.ones(1_000), propensity, np.tile([0.2, 0.5], 500)))
    with pytest.raises(DataError, match=r"Got: 0\.0\."):
        estimate(sums(np.ones(1_000), propensity, np.zeros(1_000)))
    with pytest.raises(DataError, match=r"Got: 0\.94\."):
        estimate(sums(np.ones(1_000), propensity, propensity, supported=np.full(1_000, 0.94)))


def test_a_little_without_support_is_told() -> None:
    found = estimate(sums(np.ones(100), np.full(100, 0.5), np.full(100, 0.5), supported=np.full(100, 0.97)))
    assert found.supported == pytest.approx(0.97)
    assert found.warnings == (
        "3.00% of the new policy's probability is on contents that the log could not show: "
        "what they would earn is not in the estimates.",
    )
    found = estimate(sums(np.ones(100), np.ones(100), np.full(100, 0.97)))
    assert [told[:20] for told in found.warnings] == ["Weights average 0.97"]


def test_a_mean_weight_that_chance_explains_is_not_refused() -> None:
    """Full support, but few rows, and a mean weight of 0.8 by bad luck."""
    found = estimate(sums([1, 0, 0, 0, 1], np.full(5, 0.25), [0.5, 0.125, 0.125, 0.125, 0.125]))
    assert found.mean_weight == pytest.approx(0.8)
    assert len(found.warnings) == 1
    assert "effective sample size is 3.2 rows, below 100" in found.warnings[0]
