"""Real bandit logs: the click rate of one policy from the log of the other, and how often intervals hold it.

Saito, Aihara, Matsutani & Narita (2021), Open Bandit Dataset, arXiv 2008.07146: a fashion shop's contents in
three positions, drawn at random or by Bernoulli Thompson sampling (BTS).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from firstday.recommendations.off_policy import OffPolicy, estimate
from firstday.recommendations.off_policy_sums import sums

pytestmark = pytest.mark.real_data
CLICK_RATES = {
    ("random", "all"): 0.0038,
    ("bts", "all"): 0.0042,
    ("random", "men"): 0.0046,
    ("bts", "men"): 0.0069,
}
CAMPAIGNS = ("all", "men")
FOLDS = 5
ESTIMATORS = ("ips", "snips", "doubly_robust", "self_normalised_doubly_robust")
Array = np.ndarray[Any, Any]


class Campaign(NamedTuple):
    """The random log: content, position (0 to 2), click, propensity. bts: its shares, (3, contents)."""

    content: Array
    position: Array
    click: Array
    propensity: Array
    bts: Array
    bts_rate: float


def read(folder: Path, policy: str, campaign: str) -> pd.DataFrame:
    file = folder / "openbandit-sample" / policy / campaign / f"{campaign}.csv.gz"
    return pd.read_csv(file, usecols=["item_id", "position", "click", "propensity_score"])


def campaign_of(folder: Path, name: str) -> Campaign:
    random, bts = read(folder, "random", name), read(folder, "bts", name)
    counts = pd.crosstab(bts["position"], bts["item_id"]).reindex(columns=range(bts["item_id"].max() + 1))
    shares = counts.fillna(0).to_numpy(dtype=float)
    return Campaign(
        content=random["item_id"].to_numpy(),
        position=random["position"].to_numpy() - 1,
        click=random["click"].to_numpy(dtype=float),
        propensity=random["propensity_score"].to_numpy(),
        bts=shares / shares.sum(axis=1, keepdims=True),
        bts_rate=float(bts["click"].mean()),
    )


def predictions(log: Campaign) -> tuple[Array, Array]:
    """Click rates by content, drawn to the mean as by 500 further rows, from the other folds of the log."""
    fold = np.arange(len(log.click)) % FOLDS
    predicted, expected = np.empty(len(fold)), np.empty(len(fold))
    for held_out in range(FOLDS):
        here, others = fold == held_out, fold != held_out
        clicks, rows = (
            np.bincount(log.content[others], values, log.bts.shape[1])
            for values in (log.click[others], np.ones(others.sum()))
        )
        rates = (clicks + 500 * log.click[others].mean()) / (rows + 500)
        predicted[here] = rates[log.content[here]]
        expected[here] = (log.bts @ rates)[log.position[here]]
    return predicted, expected


def estimated(log: Campaign, model: bool = True) -> OffPolicy:
    modelled = dict(zip(("predicted", "expected"), predictions(log), strict=True)) if model else {}
    return estimate(
        sums(
            log.click,
            log.propensity,
            log.bts[log.position, log.content],
            supported=np.ones(len(log.click)),  # at random any content may come
            **modelled,
        )
    )


@pytest.mark.parametrize(("log", "rate"), CLICK_RATES.items())
def test_click_rates_are_the_published_ones(real_data: Path, log: tuple[str, str], rate: float) -> None:
    rows = read(real_data, *log)
    assert len(rows) == 10_000
    assert rows["click"].mean() == pytest.approx(rate)


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_the_random_log_tells_what_bts_earns(real_data: Path, name: str) -> None:
    log = campaign_of(real_data, name)
    found = estimated(log)
    assert found.logged.value == pytest.approx(CLICK_RATES["random", name])
    assert found.effective_sample_size > 2_000
    for estimator in ESTIMATORS:
        told = getattr(found, estimator)
        assert told.low < log.bts_rate < told.high
        # 10,000 rows with some 40 clicks do not tell the two policies apart, and say so.
        assert told.gain_low < 0 < told.gain_high
        assert told.low < found.logged.value < told.high


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_intervals_hold_the_truth_in_logs_like_these(real_data: Path, name: str) -> None:
    """Contents and positions as logged; clicks drawn from known rates, spread as far as the log's may be."""
    log = campaign_of(real_data, name)
    draw = np.random.default_rng(8)
    contents = log.bts.shape[1]
    rates = draw.gamma(2, log.click.mean() / 2, contents)
    positions = np.bincount(log.position) / len(log.position)
    truth = float(positions @ log.bts @ rates)
    inside = []
    for _ in range(500):
        content = draw.integers(contents, size=len(log.click))
        click = (draw.random(len(content)) < rates[content]).astype(float)
        found = estimated(log._replace(content=content, click=click), model=False)
        inside.append([each.low <= truth <= each.high for each in (found.ips, found.snips)])
    assert np.mean(inside, axis=0) == pytest.approx([0.955, 0.955], abs=0.025)
