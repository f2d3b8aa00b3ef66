"""Answers: figures and units as programs read them, kept as JSON and as a page writes them."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from firstday.answer import Answer, Fact
from firstday.experiments.content import RESULT_COLUMNS, MeasureContent
from firstday.experiments.report import measure_answer
from firstday.report.page import tile
from tests.report.test_measure_report import Decision

FIRST, LAST = date(2024, 6, 1), date(2024, 6, 9)
RESULTS = pd.DataFrame(
    [
        ("d1", "a", "always_valid", "all", "all", None, FIRST, 0.1),
        ("d1", "a", "always_valid", "all", "all", None, LAST, 0.2),
        ("d1", "a", "difference", "all", "all", None, None, 0.3),
        ("d1", "b", "difference", "all", "all", None, None, 0.4),
        ("d1", "a", "difference", "country=KR", "all", None, None, 0.5),
        ("d1", "a", "difference", "all", "triggered", None, None, 0.6),
        ("d1", "a", "difference_to_date", "all", "all", None, LAST, 0.7),
        ("d1", "a", "cuped", "all", "all", None, None, 0.8),
        ("d1", "a", "ramp_stage", "all", "all", "1", None, 0.9),
        ("d1", "a", "ramp", "all", "all", None, None, 1.0),
        ("spend", "a", "difference", "all", "all", None, None, 12.5),
        ("crashed", "a", "non_inferiority", "all", "all", None, None, -0.01),
    ],
    columns=["metric", "treatment", "method", "segment", "population", "part", "date", "estimate"],
).reindex(columns=list(RESULT_COLUMNS))


def content(method: str) -> MeasureContent:
    results = RESULTS.assign(experiment="push", verdict="better", low=0.05, standard_error=0.02)
    return MeasureContent(
        run_id="run",
        experiment="push",
        results=results,
        decision=Decision("better", "It is better", ("Arms share a pool",), (), "Ship it"),
        notes=("a note",),
        settings={},
        inputs={},
        shares=["d1", "crashed"],
        methods={"d1": method, "spend": "difference"},
        units={"spend": "EUR per user"},
    )


def test_one_row_decides_on_each_metric_and_treatment() -> None:
    for method, expected in {
        "difference": {"d1 of a": 0.3, "d1 of b": 0.4},
        "always_valid": {"d1 of a": 0.2},
        "cuped": {"d1 of a": 0.8},
        "ramp": {"d1 of a": 1.0},
    }.items():
        facts = measure_answer(content(method)).facts
        assert {fact.name: fact.value for fact in facts if fact.about.get("metric") == "d1"} == expected
        others = {fact.name: (fact.value, fact.unit) for fact in facts if fact.about.get("metric") != "d1"}
        assert others == {"spend of a": (12.5, "EUR per user"), "crashed of a": (-0.01, "points")}
        names = {(fact.about["experiment"], fact.about["treatment"]) for fact in facts}
        assert names <= {("push", "a"), ("push", "b")}


def test_an_answer_is_kept_as_json_and_read_again() -> None:
    found = measure_answer(content("difference"))
    assert found.warnings == ("Arms share a pool", "a note")
    assert Answer.of(json.loads(json.dumps(found.as_dict(), allow_nan=False))) == found


def test_numbers_are_python_s_and_what_is_missing_is_none() -> None:
    odd: Any = np.float32("inf")
    fact = Fact("x", 0.25, "share", np.nan, odd)
    assert (fact.value, fact.low, fact.high) == (0.25, None, None)
    assert type(fact.value) is float
    whole: Any = np.int64(3)
    assert type(Fact("n", whole).value) is int


def test_a_page_writes_figures_by_their_unit() -> None:
    written = [
        (Fact("a share", 0.123, "share", 0.1, 0.15, "of all"), ("12.3%", "10.0 to 15.0%; of all")),
        (Fact("effect", -0.012, "points"), ("−1.2 points", "")),
        (Fact("p_works", 0.5, "probability"), ("0.50", "")),
        (Fact("called", 1234, "rows"), ("1,234 rows", "")),
        (Fact("gain", 0.01234, "ndcg@10", 0.01, 0.02), ("0.0123 ndcg@10", "0.0100 to 0.0200")),
        (Fact("action", "a\nb"), ("a↵b", "")),
        (Fact("nothing", None, "share"), ("–", "")),
    ]
    for fact, (value, meaning) in written:
        assert (tile(fact).value, tile(fact).meaning) == (value, meaning), fact
    assert tile(replace(Fact("p_works", 1), unit="")).label == "p works"
