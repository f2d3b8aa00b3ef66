"""Label models: they recover what votes were drawn from, equal slow oracles, and are chosen by the votes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from firstday.errors import DataError
from firstday.labels.models import confusion, dependencies, em, fitting
from firstday.labels.models.base import LabelModel, identity_information
from firstday.labels.patterns import Packing, Patterns
from tests.labels.worlds import (
    Votes,
    World,
    dawid_skene,
    one_sided,
    right_share,
    two_sided,
    with_copies,
)


def probabilities(model: LabelModel, votes: Votes) -> NDArray[np.float64]:
    packing = Packing(votes.shape[1], model.classes)
    return model.posterior(packing.unpack(packing.pack(votes)))


def accuracy(
    kind: str, world: World, votes: Votes | None = None, groups: dependencies.Groups | None = None
) -> float:
    cast = world.votes if votes is None else votes
    model = fitting.fit(Patterns.of(cast, len(world.balance)), kind, groups=groups)
    return right_share(probabilities(model, cast), world.truth)


def test_patterns_stand_for_their_rows() -> None:
    votes = np.random.default_rng(0).integers(-1, 3, (200, 45))
    packing = Packing(45, 3)
    assert packing.words == 2
    unpacked = packing.unpack(packing.pack(votes)).toarray().reshape(200, 45, 3)
    assert (unpacked == (votes[:, :, None] == np.arange(3))).all()
    patterns = Patterns.of(np.repeat(votes, 3, axis=0), 3)
    assert patterns.total == 600
    assert (patterns.rows % 3 == 0).all()
    given = 3 * np.stack([(votes == vote).sum(axis=0) for vote in range(3)], axis=1)
    np.testing.assert_array_equal(patterns.given, given)


@pytest.mark.parametrize(("balance", "steps"), [((0.7, 0.3), 7), ((0.5, 0.3, 0.2), 4)])
def test_em_on_patterns_equals_em_on_rows(
    balance: tuple[float, ...], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    votes = two_sided(150, 6, balance, 1).votes
    monkeypatch.setattr(em, "MOST_STEPS", steps)
    model = confusion.fit(Patterns.of(votes, len(balance)), abstaining_tells=False)
    assert model.iterations == steps
    assert not model.converged
    slow = dawid_skene(votes, len(balance), steps)
    np.testing.assert_allclose(probabilities(model, votes), slow, atol=1e-9)


@pytest.mark.parametrize("kind", ["propensity", "confusion"])
def test_what_votes_were_drawn_from_is_recovered_the_better_the_more_there_are(kind: str) -> None:
    errors = []
    for rows in (2_000, 200_000):
        world = two_sided(rows, 8, (0.7, 0.3), 3)
        model = fitting.fit(Patterns.of(world.votes, 2), kind)
        found = (model.figures["accuracy"], model.figures["propensity"], model.balance)
        drawn = (world.accuracy, world.propensity, world.balance)
        errors.append(max(np.abs(one - other).max() for one, other in zip(found, drawn, strict=True)))
    assert errors[1] < 0.015
    assert errors[1] < errors[0] / 2


def test_one_sided_rules_are_recovered_where_abstaining_is_an_outcome() -> None:
    world = one_sided(200_000, (0.7, 0.3), 2)
    model = fitting.fit(Patterns.of(world.votes, 2), "confusion")
    assert np.abs(model.balance - world.balance).max() < 0.02
    assert np.abs(model.figures["accuracy"] - world.accuracy).max() < 0.02  # of a rule, its precision
    assert accuracy("confusion", world) > accuracy("majority", world) + 0.02
    assert fitting.fit(Patterns.of(world.votes, 2)).kind == "confusion"  # they are independent indeed


def test_posteriors_are_calibrated() -> None:
    world = two_sided(100_000, 8, (0.7, 0.3), 5)
    found = probabilities(fitting.fit(Patterns.of(world.votes, 2)), world.votes)[:, 1]
    covered = (world.votes >= 0).any(axis=1)
    tenth = np.where(covered, np.minimum((found * 10).astype(int), 9), -1)
    looked_at = [at for at in range(10) if (tenth == at).sum() > 2_000]
    assert len(looked_at) > 3
    for at in looked_at:
        assert abs(found[tenth == at].mean() - world.truth[tenth == at].mean()) < 0.03


@pytest.mark.parametrize("sides", ["two", "one"])
def test_copies_are_found_and_count_once(sides: str) -> None:
    gains = []
    for seed in range(3):
        world = (
            two_sided(20_000, 6, (0.6, 0.4), seed, (0.6, 0.8))
            if sides == "two"
            else one_sided(20_000, (0.6, 0.4), seed, precision=(0.6, 0.85))
        )
        votes, voters = with_copies(world, 3, seed), world.votes.shape[1]
        groups = dependencies.copies(dependencies.agreements(Patterns.of(votes, 2)))
        assert set(np.flatnonzero(groups == groups[0])) == {0, *range(voters, voters + 3)}
        assert len(set(groups)) == voters  # nobody else is a copy
        known = groups if seed else None  # one fit learns them by itself
        gains.append(accuracy("structure", world, votes, known) - accuracy("confusion", world, votes))
    assert np.mean(gains) > 0.01
    assert min(gains) > -0.002


@pytest.mark.parametrize("scale", [1, 50, 2_000])
def test_exponentials_and_their_sums_are_scipys(scale: float) -> None:
    scores = np.random.default_rng(3).normal(0, scale, (500, 7))
    logs, shares = dependencies._normalised(scores)
    expected = logsumexp(scores, axis=1)
    np.testing.assert_allclose(logs, expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(shares, np.exp(scores - expected[:, None]), atol=1e-12)


def test_few_voters_are_compared_and_many_only_for_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "MOST_COMPARED", 5)
    few, many = (
        Patterns.of(with_copies(two_sided(300, voters, (0.6, 0.4), 1), 1, 1), 2) for voters in (4, 5)
    )
    for counted, kind, compared in (
        (few, "auto", True),
        (few, "majority", True),
        (many, "auto", False),
        (many, "structure", True),
    ):
        found = dependencies.learned(counted, kind)
        if compared:
            assert found.agreements is not None
            np.testing.assert_array_equal(found.groups, dependencies.copies(found.agreements))
        else:
            assert found.agreements is None
            assert found.groups.tolist() == list(range(6))


def test_crowd_workers_abstain_for_other_reasons_than_rules() -> None:
    crowd, rules = two_sided(3_000, 30, (0.5, 0.3, 0.2), 1), one_sided(3_000, (0.5, 0.3, 0.2), 1)
    assert identity_information(Patterns.of(crowd.votes, 3).given) < 0.1
    assert identity_information(Patterns.of(rules.votes, 3).given) > 0.9
    patterns = Patterns.of(rules.votes, 3)
    good, collapsed = (
        right_share(probabilities(confusion.fit(patterns, abstaining_tells=tells), rules.votes), rules.truth)
        for tells in (True, False)
    )
    assert good > collapsed + 0.1


@pytest.mark.parametrize("kind", ["propensity", "confusion"])
def test_a_known_balance_helps(kind: str) -> None:
    """Few rows with few votes tell the balance badly: with it the posteriors come closer to the truth's."""
    losses: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(8):
        world = two_sided(300, 4, (0.9, 0.1), seed, (0.6, 0.75))
        for known in losses:
            given = world.balance if known else None
            found = probabilities(fitting.fit(Patterns.of(world.votes, 2), kind, given), world.votes)
            losses[known].append(float(np.square(found[:, 1] - world.truth).mean()))
    assert np.mean(losses[True]) < np.mean(losses[False])


def test_rows_with_votes_have_no_more_of_a_class_than_all_rows() -> None:
    world, known = one_sided(20_000, (0.9, 0.1), 4), np.array([0.9, 0.1])
    free, held = (
        probabilities(fitting.fit(Patterns.of(world.votes, 2), "precision", given), world.votes)
        for given in (None, known)
    )
    covered = (world.votes >= 0).any(axis=1)
    assert free[covered].sum(axis=0)[1] > 2_500
    assert held[covered].sum(axis=0)[1] == pytest.approx(2_000, rel=0.01)
    assert right_share(held, world.truth) > right_share(free, world.truth)
    # A balance that leaves room for what is found changes nothing.
    room = (free[covered].sum(axis=0) + (~covered).sum() / 2) / len(covered)
    same = probabilities(fitting.fit(Patterns.of(world.votes, 2), "precision", room), world.votes)
    np.testing.assert_allclose(same, free, atol=1e-6)


def test_rules_that_never_meet_tell_no_confusions() -> None:
    votes = np.full((4_000, 4), -1)
    for rule in range(4):
        votes[rule * 1_000 : (rule + 1) * 1_000, rule] = rule % 2
    assert fitting.fit(Patterns.of(votes, 2)).kind == "precision"


def test_rules_that_depend_on_each_other_are_left_to_the_precision_model() -> None:
    """A row's length makes all rules speak: a model of independent votes takes it for the class."""
    draw = np.random.default_rng(3)
    truth = draw.integers(0, 2, 20_000)
    long = draw.random(len(truth)) < 0.3
    own = np.repeat([0, 1], 5)
    chance = np.where(long[:, None], 0.6, 0.04) * np.where(truth[:, None] == own, 1.0, 0.25)
    votes = np.where(draw.random(chance.shape) < chance, own, -1)
    model = fitting.fit(Patterns.of(votes, 2))
    assert model.kind == "precision"
    scores = {
        kind: right_share(probabilities(fitting.fit(Patterns.of(votes, 2), kind), votes), truth)
        for kind in ("precision", "confusion", "majority")
    }
    assert scores["precision"] > scores["confusion"] + 0.05
    assert scores["precision"] > scores["majority"] - 0.005


def test_a_crowd_of_many_classes_with_few_votes_a_row_gets_no_worse_than_majority() -> None:
    world = two_sided(400, 30, (0.4, 0.2, 0.2, 0.1, 0.1), 1, (0.4, 0.7))
    order = np.random.default_rng(2).random(world.votes.shape)
    few = np.where((np.argsort(np.argsort(order, axis=1), axis=1) < 4), world.votes, -1)
    few[np.cumsum(few >= 0, axis=1) > 2] = -1
    model = fitting.fit(Patterns.of(few, 5))
    assert "fewer than 20%" in model.notes[0]
    score = right_share(probabilities(model, few), world.truth)
    assert score >= accuracy("majority", world, few)
    assert score > accuracy("precision", world, few)


def test_models_survive_being_written_down() -> None:
    votes = two_sided(500, 5, (0.6, 0.4), 1).votes
    for kind in fitting.KINDS:
        model = replace(fitting.fit(Patterns.of(votes, 2), kind), class_names=("honest", "fraud"))
        again = fitting.from_json(fitting.to_json(model))
        assert (probabilities(again, votes) == probabilities(model, votes)).all()
        assert (again.notes, again.voters) == (model.notes, model.voters)
        assert again.class_names == ("honest", "fraud")
    unnamed = json.loads(fitting.to_json(model))
    del unnamed["class_names"]
    assert fitting.from_json(json.dumps(unnamed)).class_names == ()


@pytest.mark.parametrize("kind", list(fitting.KINDS))
def test_odd_votes(kind: str) -> None:
    """Unanimous rows, absent classes, a voter who never votes, one who always does, a single voter."""
    never, always = np.full((60, 1), -1), np.zeros((60, 1), dtype=np.int64)
    some, unanimous = two_sided(60, 3, (0.6, 0.4), 1).votes, np.ones((60, 3), dtype=np.int64)
    for votes, classes in (
        (unanimous, 2),
        (some, 4),
        (np.hstack([some, never, always]), 2),
        (some[:, :1], 2),
    ):
        found = probabilities(fitting.fit(Patterns.of(votes, classes), kind), votes)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)
        silent = found[(votes < 0).all(axis=1)]
        assert (silent == silent[:1]).all()
    found = probabilities(fitting.fit(Patterns.of(unanimous, 2), kind), unanimous)
    assert (found[:, 1] > 0.5).all()


def test_no_votes_at_all() -> None:
    with pytest.raises(DataError, match="all voters abstain"):
        fitting.fit(Patterns.of(np.full((5, 2), -1), 2))
