"""Which rows are called: by a rule, with what is expected of them; and what checked rows say of all rows."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import beta

from firstday.errors import DataError, SettingsError
from firstday.labels import audit
from firstday.labels.decision import NOBODY, Distribution, Rule, decide, thresholds

FOUND = Distribution(np.array([0.9, 0.6, 0.4, 0.05]), np.array([10.0, 20.0, 30.0, 40.0]), 0.02, 900.0)


@pytest.mark.parametrize(
    ("rule", "threshold", "called", "precision", "rest"),
    [
        (Rule(), 0.6, 30, 21 / 30, None),
        (Rule(precision=0.5), 0.4, 60, 33 / 60, None),
        (Rule(precision=0.95), NOBODY, 0, np.nan, None),
        (Rule(cost_ratio=9), 0.9, 10, 0.9, None),
        (Rule(cost_ratio=0.5), 0.4, 60, 33 / 60, None),
        (Rule(capacity=15), 0.6, 15, (9 + 3) / 15, 5),
        (Rule(capacity=30), 0.6, 30, 21 / 30, None),
        (Rule(capacity=5_000), 0.05, 100, 35 / 100, None),  # never rows that nobody speaks on
    ],
)
def test_a_rule_calls_whole_probabilities_from_the_top(
    rule: Rule, threshold: float, called: float, precision: float, rest: int | None
) -> None:
    found = decide(FOUND, rule)
    assert (found.threshold, found.called, found.rest) == (threshold, called, rest)
    assert found.precision == pytest.approx(precision, nan_ok=True)
    hits = 0 if np.isnan(precision) else precision * called
    assert found.missed == pytest.approx(9 + 12 + 12 + 2 + 18 - hits)


def test_what_is_less_likely_than_silence_is_not_called() -> None:
    quiet = Distribution(FOUND.probability, FOUND.rows, 0.5, 900.0)
    assert decide(quiet, Rule(capacity=5_000)).called == 30


def test_the_table_of_thresholds_is_what_each_would_call() -> None:
    table = thresholds(FOUND).set_index("threshold")
    for at, row in table.iterrows():
        called = FOUND.probability >= at
        assert row["called"] == FOUND.rows[called].sum()
        assert row["precision"] * row["called"] == pytest.approx(
            (FOUND.rows * FOUND.probability)[called].sum()
        )
    assert {0.9, 0.6, 0.4, 0.05} == set(table.index)


def test_an_audit_is_drawn_where_answers_tell_most() -> None:
    rows, probability = np.array([5.0, 300.0, 1_000.0, 20_000.0]), np.array([0.95, 0.5, 0.05, 0.001])
    found = audit.allocation(rows, probability, 150)
    assert found.sum() == 150
    assert found[0] == 5
    assert (found[1:] >= audit.LEAST).all()
    share = rows * np.sqrt(probability * (1 - probability))
    assert found[1] / found[2] == pytest.approx((share[1] - 8) / (share[2] - 8), rel=0.15)
    assert audit.allocation(rows, probability, 10**6).tolist() == rows.tolist()
    with pytest.raises(SettingsError, match="at least 29"):
        audit.allocation(rows, probability, 20)


def test_estimates_of_one_stratum_are_exact_and_of_a_whole_one_certain() -> None:
    one = pd.DataFrame({"rows": [1_000], "called": [1], "answered": [40], "positive": [30]})
    found = audit.estimates(one)
    assert found.share.value == found.precision.value == 0.75
    assert found.precision.low == pytest.approx(beta.ppf(0.025, 30, 11), abs=0.005)
    assert found.precision.high == pytest.approx(beta.ppf(0.975, 31, 10), abs=0.005)
    assert (found.recall.value, found.recall.low) == (1, 1)
    whole = audit.estimates(one.assign(rows=40))
    assert (whole.share.low, whole.share.high) == (0.75, 0.75)
    with pytest.raises(DataError, match="each stratum"):
        audit.estimates(pd.concat([one, one.assign(answered=0, positive=0)]))


def test_limits_cover_and_weigh_rows_by_what_they_stand_for() -> None:
    draw = np.random.default_rng(1)
    rows, truth = np.array([200, 800, 19_000]), np.array([0.9, 0.2, 0.004])
    called, drawn = np.array([1, 0, 0]), np.array([30, 40, 80])
    positive = rows * truth
    exact = {
        "share": positive.sum() / rows.sum(),
        "precision": truth[0],
        "recall": positive[0] / positive.sum(),
    }
    covered = dict.fromkeys(exact, 0)
    for seed in range(100):
        strata = pd.DataFrame(
            {"rows": rows, "called": called, "answered": drawn, "positive": draw.binomial(drawn, truth)}
        )
        found = audit.estimates(strata, seed)
        for name, value in exact.items():
            one = getattr(found, name)
            covered[name] += one.low <= value <= one.high
    assert min(covered.values()) >= 95


def test_a_recalibration_is_recovered_and_does_little_without_need() -> None:
    draw = np.random.default_rng(2)
    told = draw.uniform(0.01, 0.99, 60_000)
    silent = draw.random(len(told)) < 0.3
    for slope, shift, silent_shift in ((1.0, 0.0, 0.0), (0.6, -1.0, 0.5)):
        truth = expit(slope * logit(told) + shift + silent_shift * silent)
        found = audit.recalibrated(told, silent, draw.random(len(told)) < truth)
        after = audit.applied(found, told, silent)
        assert np.abs(after - truth).max() < 0.03
    few = audit.recalibrated(told[:5], silent[:5], np.ones(5, bool))
    assert 0.5 < few.slope < 1.8
    assert abs(few.shift) < 2.5
