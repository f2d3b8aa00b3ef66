"""A new design, recall source or label model is one file and one line in a registry: as they are here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.experiments.analyse import analyse
from firstday.experiments.content import MeasureContent
from firstday.experiments.designs import DESIGNS, Design, Tables
from firstday.experiments.report import measure_answer, measure_report, measure_text
from firstday.experiments.results import Question, rows
from firstday.labels.models import fitting
from firstday.labels.models.base import Floats, LabelModel, Scores, VotePatterns
from firstday.labels.patterns import Patterns
from firstday.recommendations.recall.catalog import Catalog
from firstday.recommendations.recall.greedy import Merging
from firstday.recommendations.recall.merge import gathered, merge
from firstday.recommendations.recall.relevance import CoOccurrence
from firstday.recommendations.recall.source import Asked, Source
from firstday.recommendations.recall.sources import SOURCES
from firstday.stats.estimate import Estimate
from tests.experiments.test_results import QUESTION, sums, world


def of_first_dates(question: Question, tables: Tables) -> Iterator[pd.DataFrame]:
    """A dummy design: the difference among those of the first ten dates, as if its error were known."""
    whole = tables.sums[(tables.sums["segment"] == "all") & (tables.sums["metric"] == "back")]
    first = whole[whole["assigned_on"].isin(sorted(whole["assigned_on"].unique())[:10])]
    arms = first.groupby("variant")[["y", "n"]].sum()
    values = (arms["y"] / arms["n"]).to_dict()
    gain = np.array([values["treatment"] - values["control"]])
    effect = Estimate.normal(gain, np.array([0.001]), question.alpha)
    place = {"metric": "back", "treatment": "treatment", "n_treatment": 1, "n_control": 1}
    levels = {f"value_{name}": values[name] for name in ("treatment", "control")}
    yield rows(place, "first_dates", effect, **levels)


FIRST_DATES = Design(
    "first_dates",
    applies=lambda question: question.design == "first_dates",
    effects=of_first_dates,
    method=("first_dates", ", of the first dates"),
    words={"first_dates": "those of the first dates"},
    tests=("first_dates",),
)


def test_a_design_is_added_by_the_registry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DESIGNS, "first_dates", FIRST_DATES)
    people = world(effect=0.1)
    asked = replace(QUESTION, metrics=QUESTION.metrics[:1], design="first_dates")
    found = analyse(asked, Tables(sums(people, *asked.metrics)))
    early = people[people["assigned_on"].isin(sorted(people["assigned_on"].unique())[:10])]
    means = early.groupby("variant")["back"].mean()
    expected = means["treatment"] - means["control"]
    assert found.methods == {"back": "first_dates"}
    assert found.decision.verdict == "better"
    assert any(", of the first dates" in sentence for sentence in found.decision.rows)
    content = MeasureContent(
        run_id="run",
        experiment="push",
        results=found.results,
        decision=found.decision,
        notes=found.notes,
        settings={},
        inputs={},
        shares=found.shares,
        methods=found.methods,
    )
    [fact] = [fact for fact in measure_answer(content).facts if fact.about.get("metric") == "back"]
    assert fact.value == pytest.approx(expected)
    assert (fact.unit, fact.about["method"]) == ("points", "first_dates")
    assert "those of the first dates" in measure_report(content).html
    assert f"{100 * expected:+.2f} points" in measure_text(content)


@dataclass(frozen=True)
class FirstVoter(Scores):
    """A dummy label model: the first voter is right nine times in ten."""

    classes: int

    def joint(self, votes: sp.csr_matrix) -> Floats:
        first = np.asarray(votes[:, : self.classes].todense())
        return np.log(np.where(first > 0, 0.9, 0.1 / (self.classes - 1)))

    def without(self, votes: sp.csr_matrix) -> Floats:
        return np.zeros((votes.nnz, self.classes))

    def to_dict(self) -> dict[str, Any]:
        return {"classes": self.classes}

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> "FirstVoter":
        return cls(**written)


def by_first_voter(counted: VotePatterns, balance: Floats | None, _: Any) -> LabelModel:
    given = np.full(counted.classes, 1 / counted.classes) if balance is None else balance
    return LabelModel("first", counted.voters, counted.classes, FirstVoter(counted.classes), given)


def test_a_label_model_is_added_by_the_registry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = fitting.Kind(by_first_voter, scores=("first_voter", FirstVoter))
    monkeypatch.setitem(fitting.KINDS, "first", kind)
    votes = np.array([[0, 1, 1], [1, 0, 0], [1, -1, 0]])
    counted = Patterns.of(votes, 2)
    model = fitting.fit(counted, "first")
    again = fitting.from_json(fitting.to_json(model))
    posterior = again.posterior(counted.votes)
    assert again.kind == "first"
    assert sorted(posterior[:, 1].round(3)) == [0.1, 0.9, 0.9]
    # Models of other kinds are written as they were.
    other = fitting.fit(counted, "majority")
    assert fitting.from_json(fitting.to_json(other)).kind == "majority"


def test_a_recall_source_is_added_by_the_registry_alone(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arrays(asked: Asked) -> Any:
        said = F.array(*(F.lit(float(place)) for place in range(len(asked.catalog))))
        return lambda _: (
            asked.customers.select("user_id", said.alias("in_turn"), F.lit("late").alias("why")),
        )

    monkeypatch.setitem(
        SOURCES,
        "in_turn",
        Source(
            "in_turn",
            views={"in_turn": "in_turn"},
            arrays=arrays,
            score=lambda views, _: views["in_turn"],
            reason=lambda pick, _, __: F.format_string("%s: %.0f", F.col("why"), pick["in_turn"]),
            passed={"why": "string"},
        ),
    )
    catalog = Catalog(("a", "b", "c"), ("g", "g", "h"))
    customers = spark.createDataFrame([("u",)], "user_id string")
    nothing: Any = None
    asked = Asked(
        customers=customers,
        attributes=nothing,
        facts=nothing,
        met=nothing,
        catalog=catalog,
        until=nothing,
        segments=nothing,
        profile=(),
        seed=1,
    )
    alike = CoOccurrence(np.zeros((3, 3)), np.ones(3, dtype=np.int64))
    novel = spark.createDataFrame(
        [("u", [2.0, None, None], "all")], "user_id string, novelty array<double>, profile string"
    )
    scores = gathered(customers, novel, *SOURCES["in_turn"].arrays(asked)(alike))
    found = (
        merge(scores, catalog, alike, 1, Merging(most=3, balance=1.0, quotas={}))
        .orderBy("category")
        .collect()
    )
    picks = [(row["category"], row["source"], row["reason"], row["in_turn"]) for row in found]
    taken_up = "Taken up 2.0 times as often as on average by customers like this one (all)"
    assert picks == [
        ("a", "novelty", taken_up, 0.0),
        ("b", "in_turn", "late: 1", 1.0),
        ("c", "in_turn", "late: 2", 2.0),
    ]
    assert Merging().quotas["in_turn"] == 2
