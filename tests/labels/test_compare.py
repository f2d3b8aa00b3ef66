"""Comparing two classifiers: equal to naive loops in exact fractions; intervals cover as they say."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstday.errors import DataError
from firstday.labels.compare import (
    STATUSES,
    Confusion,
    calibration,
    confusion,
    disagreement,
    newly_called,
    threshold_for,
)
from firstday.stats.shares import wilson


class Row(NamedTuple):
    """Scores and labels are eighths and quarters, so that sums of them are exact and scores tie."""

    score: float
    label: float
    before: int
    after: int
    status: str
    any_positive: int
    any_negative: int
    weight: int


FLAG = st.integers(0, 1)
EIGHTHS, QUARTERS = (st.sampled_from([k / parts for k in range(parts + 1)]) for parts in (8, 4))
ROWS = st.lists(
    st.builds(Row, EIGHTHS, QUARTERS, FLAG, FLAG, st.sampled_from(STATUSES), FLAG, FLAG, st.integers(0, 3)),
    max_size=40,
)


def column(rows: Sequence[Row], name: str) -> np.ndarray[Any, Any]:
    return np.array([getattr(row, name) for row in rows], dtype=object if name == "status" else float)


def share(part: Fraction | int, whole: Fraction | int) -> float:
    return float(Fraction(part) / Fraction(whole)) if whole else np.nan


def multinomials(chances: Sequence[float], rows: int, times: int) -> list[Confusion]:
    draw = np.random.default_rng(3)
    return [Confusion(*map(float, cells)) for cells in draw.multinomial(rows, chances, times)]


def covered(
    interval: Callable[[Confusion], tuple[float, float]], truth: float, drawn: Sequence[Confusion]
) -> float:
    bounds = np.array([interval(each) for each in drawn])
    return float(((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean())


@given(rows=ROWS)
def test_confusion_is_a_naive_count(rows: list[Row]) -> None:
    four = {(called, sign): Fraction(0) for called in (0, 1) for sign in (0, 1)}
    for row in rows:
        four[row.after, 1] += row.weight * Fraction(row.label)
        four[row.after, 0] += row.weight * (1 - Fraction(row.label))
    found = confusion(*(column(rows, name) for name in ("label", "after", "weight")))
    tp, fp, fn, tn = (float(four[cell]) for cell in ((1, 1), (1, 0), (0, 1), (0, 0)))
    assert found == Confusion(tp, fp, fn, tn)
    assert found.total == sum(row.weight for row in rows)
    assert found.precision == pytest.approx(share(four[1, 1], four[1, 1] + four[1, 0]), nan_ok=True)
    assert found.recall == pytest.approx(share(four[1, 1], four[1, 1] + four[0, 1]), nan_ok=True)
    whole = 2 * four[1, 1] + four[1, 0] + four[0, 1]
    assert found.f1 == pytest.approx(share(2 * four[1, 1], whole), nan_ok=True)


@given(rows=ROWS)
def test_weights_are_rows_that_many_times(rows: list[Row]) -> None:
    repeated = [row for row in rows for _ in range(row.weight)]
    names = ("before", "after", "status", "any_positive", "any_negative")
    weight = column(rows, "weight")
    pd.testing.assert_frame_equal(
        newly_called(*(column(rows, name) for name in (*names, "weight"))),
        newly_called(*(column(repeated, name) for name in names)),
    )
    pd.testing.assert_frame_equal(
        disagreement(column(rows, "before"), column(rows, "after"), weight),
        disagreement(column(repeated, "before"), column(repeated, "after")),
    )
    one, other = (
        calibration(column(each, "score"), column(each, "label"), 4, weights)
        for each, weights in ((rows, weight), (repeated, None))
    )
    pd.testing.assert_frame_equal(one.table, other.table)
    assert one.error == pytest.approx(other.error, nan_ok=True)
    assert confusion(column(rows, "label"), column(rows, "after"), weight) == confusion(
        column(repeated, "label"), column(repeated, "after")
    )


@given(rows=ROWS)
def test_disagreement_is_a_naive_count(rows: list[Row]) -> None:
    found = disagreement(column(rows, "before"), column(rows, "after"))
    for before, index in enumerate(("negative", "positive")):
        for after, name in enumerate(("negative", "positive")):
            expected = share(sum((row.before, row.after) == (before, after) for row in rows), len(rows))
            assert found.loc[index, name] == pytest.approx(expected, nan_ok=True)


@given(rows=ROWS)
def test_newly_called_is_a_naive_count(rows: list[Row]) -> None:
    names = ("before", "after", "status", "any_positive", "any_negative")
    found = newly_called(*(column(rows, name) for name in names))
    assert found["status"].tolist() == ["positive", "negative", "unknown"]
    new = [row for row in rows if row.after and not row.before]
    for told in found.itertuples():
        of_it = [row for row in new if row.status == told.status]
        expected = (
            len(of_it),
            share(len(of_it), len(new)),
            share(sum(row.any_positive for row in of_it), len(of_it)),
            share(sum(row.any_negative for row in of_it), len(of_it)),
        )
        found_here = (told.rows, told.share, told.any_positive, told.any_negative)
        assert found_here == pytest.approx(expected, nan_ok=True)


@given(rows=ROWS, precision=EIGHTHS)
def test_the_threshold_is_the_lowest_that_reaches_the_precision(rows: list[Row], precision: float) -> None:
    reaching = []
    for threshold in {row.score for row in rows}:
        called = [row for row in rows if row.score >= threshold]
        whole = sum(row.weight for row in called)
        right = sum(row.weight * Fraction(row.label) for row in called)
        if whole and right >= Fraction(precision) * whole:
            reaching.append(threshold)
    found = threshold_for(column(rows, "score"), column(rows, "label"), precision, column(rows, "weight"))
    assert found == min(reaching, default=None)


def test_thresholds_by_hand() -> None:
    scores, labels = [0.9, 0.8, 0.8, 0.7, 0.1], [1, 1, 0, 1, 0]
    assert threshold_for(scores, labels, 1.0) == 0.9
    assert threshold_for(scores, labels, 0.75) == 0.7  # though at 0.8 it is 2 of 3
    assert threshold_for(scores, labels, 0.6) == 0.1
    assert threshold_for(scores, [0, 1, 1, 1, 1], 0.9) is None
    assert threshold_for([], [], 0.5) is None
    assert threshold_for(np.ones(100), [1] * 7 + [0] * 93, 0.07) == 1.0  # 0.07 * 100 is above 7


@given(rows=ROWS, bins=st.integers(1, 10))
def test_calibration_is_a_naive_count(rows: list[Row], bins: int) -> None:
    found = calibration(column(rows, "score"), column(rows, "label"), bins)
    assert found.table["low"].tolist() == [k / bins for k in range(bins)]
    assert found.table["high"].tolist() == [(k + 1) / bins for k in range(bins)]
    error = Fraction(0)
    for k, told in enumerate(found.table.itertuples()):
        here = [row for row in rows if min(int(Fraction(row.score) * bins), bins - 1) == k]
        scored = sum((Fraction(row.score) for row in here), Fraction(0))
        labelled = sum((Fraction(row.label) for row in here), Fraction(0))
        error += abs(scored - labelled)
        expected = (len(here), share(scored, len(here)), share(labelled, len(here)))
        assert (told.weight, told.mean_score, told.mean_label) == pytest.approx(expected, nan_ok=True)
    assert found.error == pytest.approx(share(error, len(rows)), nan_ok=True)


def test_calibrated_scores_have_little_error() -> None:
    draw = np.random.default_rng(1)
    scores = draw.random(50_000)
    labels = (draw.random(50_000) < scores).astype(int)
    assert calibration(scores, labels).error < 0.01
    assert calibration(scores**2, labels).error == pytest.approx(np.mean(scores - scores**2), abs=0.01)
    assert calibration([0.3], [1]).table["weight"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_precision_and_recall_have_wilsons_interval() -> None:
    of = Confusion(tp=30, fp=10, fn=5, tn=55)
    assert of.precision_interval() == tuple(map(float, wilson(30 / 40, 40)))
    assert of.recall_interval() == tuple(map(float, wilson(30 / 35, 35)))


def test_for_many_rows_the_f1_interval_is_the_delta_methods() -> None:
    """With the gradient by differences and the full covariance of four shares."""
    cells = np.array([120_000, 30_000, 50_000, 800_000])
    shares = cells / cells.sum()
    step = 1e-6

    def f1(p: Any) -> float:
        return float(2 * p[0] / (2 * p[0] + p[1] + p[2]))

    gradient = np.array([(f1(shares + move) - f1(shares - move)) / (2 * step) for move in step * np.eye(4)])
    covariance = (np.diag(shares) - np.outer(shares, shares)) / cells.sum()
    reach = 1.959963984540054 * np.sqrt(gradient @ covariance @ gradient)
    expected = (f1(shares) - reach, f1(shares) + reach)
    assert Confusion(*map(float, cells)).f1_interval() == pytest.approx(expected, abs=1e-5)


CHANCES = (0.12, 0.03, 0.05, 0.80)


def test_intervals_cover_as_often_as_they_say() -> None:
    truth, drawn = Confusion(*CHANCES), multinomials(CHANCES, 1_000, 4_000)
    near = pytest.approx(0.95, abs=0.012)
    assert covered(Confusion.precision_interval, truth.precision, drawn) == near
    assert covered(Confusion.recall_interval, truth.recall, drawn) == near
    assert covered(Confusion.f1_interval, truth.f1, drawn) == near


def test_for_few_rows_the_f1_interval_still_covers() -> None:
    chances = (0.15, 0.01, 0.01, 0.83)
    truth, drawn = Confusion(*chances).f1, multinomials(chances, 60, 4_000)
    drawn = [each for each in drawn if each.tp + each.fp + each.fn > 0]
    assert covered(Confusion.f1_interval, truth, drawn) > 0.92


def test_soft_labels_are_covered_as_if_drawn() -> None:
    """The interval from expected counts holds the precision on labels drawn from the probabilities."""
    draw = np.random.default_rng(5)
    inside = []
    for _ in range(400):
        soft = draw.beta(2, 1, 500)
        low, high = confusion(soft, np.ones(500)).precision_interval()
        inside.append(low <= (draw.random(500) < soft).mean() <= high)
    assert np.mean(inside) > 0.95


def test_what_is_undefined_is_nan() -> None:
    nothing = confusion([], [])
    assert nothing == Confusion(0, 0, 0, 0)
    ratios = (nothing.precision, nothing.recall, nothing.f1)
    bounds = (*nothing.precision_interval(), *nothing.f1_interval())
    assert np.isnan([*ratios, *bounds]).all()
    assert Confusion(0, 3, 2, 5).f1 == 0.0
    assert Confusion(0, 3, 2, 5).f1_interval()[1] > 0.3
    assert disagreement([], []).isna().all(axis=None)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: confusion([0, 1], [1]), "one length"),
        (lambda: confusion([[0, 1]], [[0, 1]]), "one dimension"),
        (lambda: confusion([0, 1.5], [1, 1]), "1.5"),
        (lambda: confusion([0, np.nan], [1, 1]), "finite"),
        (lambda: confusion([0, 1], [1, 0.5]), "0.5"),
        (lambda: confusion([0, 1], [1, 1], [1, -2]), "-2"),
        (lambda: confusion([0, 1], [1, 1], [1]), "one length"),
        (lambda: disagreement([0, 2], [1, 1]), "before"),
        (lambda: newly_called([0], [1], ["tie"], [1], [0]), "'tie'"),
        (lambda: newly_called([0], [1], ["positive", "unknown"], [1], [0]), "one length"),
        (lambda: calibration([1.2], [1]), "scores"),
        (lambda: threshold_for([np.inf], [1], 0.5), "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], told: str) -> None:
    with pytest.raises(DataError, match=told):
        call()
