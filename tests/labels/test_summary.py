"""The summary's figures are those of Snorkel's LFAnalysis, by its definitions, row by row."""

import numpy as np
import pytest

from firstday.labels import soft, summary
from firstday.labels.models import dependencies, fitting
from firstday.labels.patterns import Packing, Patterns
from tests.labels.worlds import one_sided, two_sided, with_copies


def test_figures_equal_their_definitions() -> None:
    world = one_sided(500, (0.6, 0.4), 1)
    cast = np.hstack([world.votes, np.full((500, 1), -1)])
    known = np.where(np.arange(500) % 4 == 0, world.truth, -1)
    packing = Packing(9, 2)
    words, place = np.unique(packing.pack(cast), axis=0, return_inverse=True)
    gold = np.zeros((len(words), 2))
    np.add.at(gold, (place.ravel()[known >= 0], known[known >= 0]), 1)
    rows = np.bincount(place.ravel()).astype(float)
    patterns = Patterns(packing.unpack(words), words, rows, tuple("abcdefghi"), 2, gold)
    model = fitting.fit(patterns, "majority")
    found = summary.summarise(patterns, model, np.arange(9)).set_index("function")
    for at, name in enumerate("abcdefghi"):
        mine, others = cast[:, at], np.delete(cast, at, axis=1)
        voted = mine >= 0
        overlaps = voted & (others >= 0).any(axis=1)
        conflicts = voted & ((others >= 0) & (others != mine[:, None])).any(axis=1)
        correct = (voted & (known >= 0) & (mine == known)).sum()
        incorrect = (voted & (known >= 0) & (mine != known)).sum()
        assert found.loc[name, "polarity"] == sorted(set(mine[voted].tolist()))
        shares = found.loc[name, ["coverage", "overlaps", "conflicts"]].to_list()
        assert shares == pytest.approx([voted.mean(), overlaps.mean(), conflicts.mean()])
        if name == "i":
            assert found.loc[name, "verdict"] == summary.DEAD
            assert np.isnan(found.loc[name, "empirical_accuracy"])
        else:
            assert found.loc[name, ["correct", "incorrect"]].to_list() == [correct, incorrect]
            accuracy = correct / (correct + incorrect)
            assert found.loc[name, "empirical_accuracy"] == pytest.approx(accuracy)
        without = [np.bincount(row[row >= 0], minlength=2) for row in others]
        every = [np.bincount(row[row >= 0], minlength=2) for row in cast]
        changed = np.mean(
            [label(one) != label(other) for one, other in zip(every, without, strict=True)],
        )
        assert found.loc[name, "changed"] == pytest.approx(changed)


def label(tally: np.ndarray) -> int:
    return -1 if tally[0] == tally[1] else int(tally.argmax())


def test_it_names_what_is_redundant_dead_or_at_odds() -> None:
    world = two_sided(5_000, 7, (0.5, 0.5), 2, (0.8, 0.9))
    draw = np.random.default_rng(3)
    wrong = np.where(draw.random((5_000, 1)) < 0.8, 1 - world.truth[:, None], world.truth[:, None])
    wrong[draw.random(5_000) < 0.5] = -1
    cast = np.hstack([with_copies(world, 1, 1), wrong, np.full((5_000, 1), -1)])
    patterns = Patterns.of(cast, 2)
    agreements = dependencies.agreements(patterns)
    groups = dependencies.copies(agreements)
    found = summary.summarise(patterns, fitting.fit(patterns, "auto", None, groups), groups)
    assert found["verdict"].to_list() == [
        summary.REDUNDANT, *[summary.FINE] * 6, summary.REDUNDANT, summary.AGAINST, summary.DEAD,
    ]  # fmt: skip
    assert found["copies"].to_list()[0] == ["7"]
    pairs = summary.pairs(patterns, agreements).set_index(["function", "other"])
    assert pairs.loc[("0", "7"), "agreement"] == 1
    assert pairs["dependency"].idxmax() == ("0", "7")


def test_drift_is_told_from_chance() -> None:
    given = np.array([[[50.0, 0], [30, 20]], [[52, 0], [10, 60]]])
    found = summary.drift(["1", "2"], given, np.array([100.0, 100.0]), ("still", "moved"))
    p_values = found.groupby("function")["p_value"].first()
    assert p_values["still"] > 0.5
    assert p_values["moved"] < 1e-6
    assert found["coverage"].to_list() == [0.5, 0.52, 0.5, 0.7]


def test_answers_say_which_votes_decided() -> None:
    cast = np.array([[1, 1, -1], [1, 0, -1], [-1, -1, -1], [0, -1, -1]])
    model = fitting.fit(Patterns.of(np.repeat(cast, 10, axis=0), 2), "majority")
    packing = Packing(3, 2)
    found = soft.answers(model, packing.unpack(packing.pack(cast)))
    assert found.status.tolist() == ["decided", "tie", "unknown", "decided"]
    assert found.label.tolist() == [1, -1, -1, 0]
    assert found.probabilities.tolist() == [[0, 1], [0.5, 0.5], [0.5, 0.5], [1, 0]]
    assert found.weights.tolist() == [1, 1, -1, 1, 1]  # the second of a tie's votes counts against the first
