"""Latent classes of rules: parameters are recovered, copies found, shares told where votes tell them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.fraud_worlds import fraud_votes
from firstday.labels.models import blocks as block
from firstday.labels.models import components, fitting, mixture
from firstday.labels.models.base import LabelModel
from firstday.labels.models.mixture import LatentClasses
from firstday.labels.patterns import Packing, Patterns, uniform
from tests.labels.worlds import Votes

RARE = 0.04


def fraud(rows: int, seed: int, accusing: int = 4, clearing: int = 3) -> tuple[Votes, NDArray[np.int64]]:
    """Independent rules of a rare class, and the truth."""
    draw = np.random.default_rng(seed)
    truth = (draw.random(rows) < RARE).astype(np.int64)
    recall, false = np.linspace(0.3, 0.6, accusing), np.linspace(0.002, 0.01, accusing)
    seldom, often = np.linspace(0.02, 0.1, clearing), np.linspace(0.3, 0.6, clearing)
    hits = np.where(truth[:, None] == 1, [*recall, *seldom], [*false, *often])
    own = [1] * accusing + [0] * clearing
    return np.where(draw.random(hits.shape) < hits, own, -1), truth


def probabilities(model: LabelModel, votes: Votes) -> NDArray[np.float64]:
    packing = Packing(votes.shape[1], model.classes)
    return model.posterior(packing.unpack(packing.pack(votes)))[:, 1]


def test_what_votes_were_drawn_from_is_recovered_the_better_the_more_there_are() -> None:
    errors = []
    for rows in (4_000, 256_000):
        votes, truth = fraud(rows, 1)
        model = fitting.fit(Patterns.of(votes, 2), "latent_class")
        precision = [(truth[votes[:, at] == 1] == 1).mean() for at in range(4)]
        found = np.abs(model.figures["accuracy"][:4] - precision).max()
        errors.append(max(found, 5 * abs(model.balance[1] - truth.mean())))
    assert errors[1] < 0.02
    assert errors[1] < errors[0]


def test_rows_one_by_one_give_what_patterns_give() -> None:
    votes, _ = fraud(3_000, 2)
    counted = Patterns.of(votes, 2)
    blocks = block.Blocks.of(np.array([0, 0, 1, 2, 3, 3, 4]), counted)
    once = mixture.Encoded(counted.votes, counted.rows, blocks)
    packing = Packing(7, 2)
    apart = mixture.Encoded(packing.unpack(packing.pack(votes)), np.ones(len(votes)), blocks)
    classes = np.array([0, 1, 1])
    fits = [
        mixture.climb(each.expect, each.begun(each.split(classes, 3), classes), steps=25)
        for each in (once, apart)
    ]
    np.testing.assert_allclose(fits[0].shares, fits[1].shares, atol=1e-9)
    found = [fit.scores.posterior(apart.votes) for fit in fits]
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)
    np.testing.assert_allclose(found[0], by_loops(fits[0].scores, votes), atol=1e-9)


def by_loops(scores: LatentClasses, votes: Votes) -> NDArray[np.float64]:
    """P(class), row by row and block by block, from the definition."""
    found = np.zeros((len(votes), 2))
    codes = {tuple(pair): at for at, pair in enumerate(scores.blocks.outcomes.tolist())}
    for row, cast in enumerate(votes):
        joint = scores.base.copy()
        for number, members in enumerate(scores.blocks.members):
            code = sum((cast[voter] + 1) * 3**at for at, voter in enumerate(members))
            if (number, code) in codes:
                joint += scores.table[codes[number, code]]
        share = np.exp(joint - joint.max())
        np.add.at(found[row], scores.classes, share / share.sum())
    return found


def test_leaving_a_vote_out_is_that_voter_keeping_silent() -> None:
    votes, _ = fraud(400, 3)
    counted = Patterns.of(votes, 2)
    blocks = block.Blocks.of(np.array([0, 0, 1, 1, 2, 3, 4]), counted)
    encoded = mixture.Encoded(counted.votes, counted.rows, blocks)
    scores = encoded.begun(encoded.start(0.8), np.arange(2))
    packing = Packing(7, 2)
    cast = votes[(votes >= 0).sum(axis=1) > 0]
    given = packing.unpack(packing.pack(cast))
    found, at = scores.without(given), 0
    for row in cast:
        for voter in np.flatnonzero(row >= 0):
            silent = row.copy()
            silent[voter] = -1
            expected = scores.joint(packing.unpack(packing.pack(silent[None])))[0]
            np.testing.assert_allclose(found[at], expected, atol=1e-9)
            at += 1
    assert at == given.nnz


@pytest.mark.parametrize("kept", [1.0, 0.85])
def test_copies_of_rare_rules_are_one_voter(kept: float) -> None:
    votes, truth = fraud(20_000, 4)
    draw = np.random.default_rng(5)
    copied = np.where(draw.random((len(votes), 2)) < kept, votes[:, [0, 5]], -1)
    model = fitting.fit(Patterns.of(np.hstack([votes, copied]), 2))
    assert isinstance(model.scores, LatentClasses)
    assert {each for each in model.scores.blocks.members if len(each) > 1} == {(0, 7), (5, 8)}
    shares = model.class_shares
    assert shares is not None
    assert shares.doubt is None
    assert shares.low[1] < truth.mean() < shares.high[1]


def test_what_votes_do_not_tell_is_not_told() -> None:
    for accusing, clearing in ((2, 3), (5, 0)):
        votes, _ = fraud(20_000, 6, accusing, clearing)
        shares = fitting.fit(Patterns.of(votes, 2)).class_shares
        assert shares is not None
        assert shares.doubt is not None
        assert np.isnan(shares.low).all()


def test_a_balance_that_the_votes_contradict_changes_nothing_and_is_said() -> None:
    votes, _ = fraud(20_000, 7)
    counted = Patterns.of(votes, 2)
    free, far, near = (
        fitting.fit(counted, "auto", given) for given in (None, np.array([0.8, 0.2]), np.array([0.96, 0.04]))
    )
    np.testing.assert_allclose(probabilities(far, votes), probabilities(free, votes))
    assert any("contradict" in note for note in far.notes)
    assert near.balance.tolist() == pytest.approx([0.96, 0.04], abs=1e-6)
    assert not any("contradict" in note for note in near.notes)


def test_the_order_of_rules_and_rows_changes_nothing() -> None:
    world = fraud_votes(6)
    order = np.random.default_rng(1).permutation(len(world.votes))
    rules = np.arange(world.votes.shape[1])[::-1]
    one, other = (
        fitting.fit(Patterns.of(votes, 2), "latent_class")
        for votes in (world.votes, world.votes[order][:, rules])
    )
    np.testing.assert_allclose(one.balance, other.balance, rtol=1e-3)


def test_classes_cannot_change_places() -> None:
    """As many components as classes are named together; of more, each by the extreme that it is nearer to."""
    assert components.named(np.array([[-1.0, 3.0], [0.5, 2.0]])).tolist() == [1, 0]
    assert components.named(np.array([[0.5, 0.4, -3.0], [-8.0, -4.0, 9.0]])).tolist() == [0, 0, 1]


def test_a_hash_of_a_pattern_is_uniform_and_its_own() -> None:
    votes, _ = fraud(2_000, 8)
    counted = Patterns.of(votes, 2)
    found = uniform(counted.votes, 2, seed=1)
    turned = uniform(counted.votes[::-1], 2, seed=1)
    np.testing.assert_array_equal(found, turned[::-1])
    assert len(np.unique(found)) == found.size
    assert abs(found.mean() - 0.5) < 0.05


def test_a_sample_of_patterns_stands_for_all_rows() -> None:
    votes, _ = fraud(60_000, 9, 6, 5)
    counted = Patterns.of(votes, 2)
    sampled = Patterns.sampled(counted, 300)
    assert len(sampled.rows) == 300 < len(counted.rows)
    assert sampled.total == pytest.approx(counted.total, rel=0.05)
    np.testing.assert_allclose(sampled.given, counted.given, rtol=0.3, atol=200)


def test_fraud_sets_of_another_making_beat_majority_vote() -> None:
    scores = []
    for seed in (22, 23, 34):
        world = fraud_votes(seed)
        counted = Patterns.of(world.votes, 2)
        for kind in ("auto", "majority"):
            called = probabilities(fitting.fit(counted, kind), world.votes.astype(np.int64)) > 0.5
            hits = (called & (world.gold == 1)).sum()
            scores.append(2 * hits / (called.sum() + world.gold.sum()))
    assert np.mean(scores[::2]) > np.mean(scores[1::2]) + 0.2
