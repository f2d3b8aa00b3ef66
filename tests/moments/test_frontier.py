"""The frontier against comparing each candidate with each, and the bootstrap against drawing one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from firstday.moments import frontier
from firstday.moments.frontier import frontier_share, on_frontier
from tests import oracle

RATIOS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, np.nan])  # few values: many ties


@given(st.lists(st.tuples(RATIOS, RATIOS), max_size=12))
def test_as_by_comparing_each_with_each(pairs: list[tuple[float, float]]) -> None:
    table = np.array(pairs).reshape(-1, 2)
    assert on_frontier(table[:, 0], table[:, 1]).tolist() == oracle.on_frontier(pairs)


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_of_many_at_once_as_of_each(seed: int, candidates: int) -> None:
    draw = np.random.default_rng(seed)
    precision, recall = draw.integers(0, 8, (2, 5, candidates)) / 8
    precision[draw.random(precision.shape) < 0.1] = np.nan
    together = on_frontier(precision, recall)
    for row in range(5):
        assert together[row].tolist() == oracle.on_frontier(
            list(zip(precision[row], recall[row], strict=True))
        )


def sample(seed: int, dates: int, candidates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    retained = draw.integers(0, 20, dates).astype(float)
    experienced = draw.integers(0, 20, (dates, candidates)).astype(float)
    both = np.minimum(draw.binomial(20, 0.3, (dates, candidates)), np.minimum(experienced, retained[:, None]))
    return retained, experienced, both


def test_the_bootstrap_as_drawn_one_by_one() -> None:
    retained, experienced, both = sample(3, dates=9, candidates=15)
    found = frontier_share(retained, experienced, both, resamples=60, seed=11)
    weights = np.random.default_rng(11).multinomial(9, np.full(9, 1 / 9), 60)
    times = np.zeros(15)
    for weight in weights:
        drawn = np.repeat(np.arange(9), weight)
        e, b, r = experienced[drawn].sum(axis=0), both[drawn].sum(axis=0), retained[drawn].sum()
        times += oracle.on_frontier(
            [(x / y if y else np.nan, x / r if r else np.nan) for x, y in zip(b, e, strict=True)]
        )
    assert_allclose(found, times / 60)
    assert 0 < found.max() <= 1
    assert ((found > 0) & (found < 1)).any()


def test_the_same_seed_draws_the_same(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    retained, experienced, both = sample(4, dates=20, candidates=50)
    one = frontier_share(retained, experienced, both, 40, seed=1)
    assert_allclose(one, frontier_share(retained, experienced, both, 40, seed=1), atol=0)
    assert (one != frontier_share(retained, experienced, both, 40, seed=2)).any()
    monkeypatch.setattr(frontier, "BLOCK", 7)  # in small blocks too
    assert_allclose(one, frontier_share(retained, experienced, both, 40, seed=1), atol=0)


def test_one_date_is_the_same_in_every_resample() -> None:
    retained, experienced, both = np.array([4.0]), np.array([[4.0, 2.0, 0.0]]), np.array([[4.0, 1.0, 0.0]])
    assert frontier_share(retained, experienced, both, 10, seed=0).tolist() == [1.0, 0.0, 0.0]


def test_without_resamples_or_candidates_it_is_unknown() -> None:
    retained, experienced, both = sample(5, dates=3, candidates=2)
    assert np.isnan(frontier_share(retained, experienced, both, 0, seed=0)).all()
    assert frontier_share(retained, experienced[:, :0], both[:, :0], 5, seed=0).shape == (0,)


def test_where_nobody_is_retained_nothing_is_on_it() -> None:
    nobody = np.zeros((3, 2))
    assert frontier_share(nobody[:, 0], nobody + 1, nobody, 5, seed=0).tolist() == [0.0, 0.0]
