"""Whether to ship, by the metrics and the guardrails; one verdict a metric."""

from dataclasses import replace

import pandas as pd
import pytest

from firstday.experiments.analyse import analyse
from firstday.experiments.designs import Tables
from firstday.experiments.results import Question
from tests.experiments.test_results import BACK, LOSS, QUESTION, analysed, sums, world


def test_a_metric_has_one_verdict_in_each_segment_whatever_other_methods_say() -> None:
    people = world(20_000, effect=0.02)
    for asked in (QUESTION, replace(QUESTION, daily=True)):
        told = analyse(asked, Tables(sums(people, *QUESTION.metrics, triggered=True))).results
        said = told[told["verdict"].notna() & told["metric"].notna()]
        last = said.drop_duplicates(["metric", "segment", "population", "method"], keep="last")
        assert not last.duplicated(["metric", "segment", "population"]).any()
        everywhere = told[told["metric"].notna()][["metric", "segment", "population"]].drop_duplicates()
        assert len(last) == len(everywhere)


GUARDED = replace(QUESTION, metrics=(BACK, LOSS))


@pytest.mark.parametrize(
    ("asked", "people", "ship"),
    [
        (GUARDED, world(20_000, effect=0.05), "Ship treatment: it is better on back, and loss is not harmed"),
        (QUESTION, world(20_000, effect=0.05), "Ship treatment, if these metrics are all that matters"),
        (
            GUARDED,
            world(400, effect=0.25).assign(loss=world(400, seed=2)["loss"]),
            "Don't ship treatment yet: it is",
        ),
        (GUARDED, world(20_000), "Don't ship treatment for what was found: no effect is shown on back"),
        (QUESTION, world(20_000, effect=-0.05), "Don't ship treatment: it is worse on back and spend"),
        (
            GUARDED,
            world(20_000, effect=0.05).assign(loss=world(20_000, effect=-0.1)["loss"]),
            "Don't ship treatment: it harms loss",
        ),
        (
            QUESTION,
            world(20_000, effect=0.05).assign(spend=world(20_000, effect=-0.5)["spend"]),
            "Don't ship treatment as it is: it is better on back, but worse on spend",
        ),
        (
            replace(QUESTION, daily=True, metrics=(BACK,)),
            world(4_000),
            "Keep treatment running: no effect is shown on back yet (2,000 of 10,000 planned units",
        ),
        (replace(QUESTION, metrics=(LOSS,)), world(20_000), "Ship treatment, if there is another reason to"),
        (replace(QUESTION, metrics=(LOSS,)), world(200), "Don't ship treatment yet: whether it harms loss"),
        (replace(QUESTION, daily=True), world(200), "Don't decide on treatment yet"),
    ],
)
def test_whether_to_ship_by_metrics_and_guardrails(asked: Question, people: pd.DataFrame, ship: str) -> None:
    assert analysed(asked, people).decision.ship.startswith(ship)


def test_whether_to_ship_one_of_several() -> None:
    asked = replace(QUESTION, treatments=("mild", "strong"), metrics=(BACK,))
    ship = analysed(asked, world(9_000, effect=0.06, arms=("control", "mild", "strong"))).decision.ship
    assert ship.startswith("mild: don't ship mild for what was found")
    assert "strong: ship strong, if these metrics" in ship
