"""The label job's page: what it says, with and without a comparison, whatever the names hold."""

import json
import re
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from firstday.labels import decision
from firstday.labels.audit import Estimate, Estimates
from firstday.labels.charts import repeated
from firstday.labels.content import LabelContent
from firstday.labels.models.base import ClassShares
from firstday.labels.report import label_report
from firstday.report.page import Report

NASTY = "</script><script>alert('x')</script>"
SUMMARY = pd.DataFrame(
    {
        "function": [NASTY, "quiet"],
        "polarity": [[1], []],
        "coverage": [0.2, 0.0],
        "overlaps": [0.1, 0.0],
        "conflicts": [0.05, 0.0],
        "correct": [None, None],
        "incorrect": [None, None],
        "empirical_accuracy": [None, None],
        "learned_accuracy": [0.8, None],
        "likelihood_ratio": [4.0, None],
        "agreement": [0.8, None],
        "changed": [0.01, 0.0],
        "copies": [[], []],
        "verdict": ["fine", "dead"],
    }
)
CONTENT = LabelContent(
    run_id="run",
    kind="precision",
    classes=("honest", "fraud"),
    balance=(0.7, 0.3),
    statuses={"decided": 80, "unknown": 20},
    summary=SUMMARY,
    comparison=None,
    drift=None,
    notes=(f"auto takes {NASTY}",),
    settings={"seed": 7},
    inputs={"votes": "somewhere"},
)
COMPARISON = pd.DataFrame(
    [
        *[
            ("models", None, f"{one} to {other}", 0.25)
            for one in ("negative", "positive")
            for other in ("negative", "positive")
        ],
        *[
            (f"newly positive, {status}", None, measure, 0.5)
            for status in ("positive", "negative", "unknown")
            for measure in ("share", "any_positive", "any_negative")
        ],
        *[
            ("label model", model, measure, 0.75)
            for model in ("before", "after")
            for measure in ("tp", "fp", "fn", "tn", "f1", "precision", "recall")
        ],
    ],
    columns=["against", "model", "measure", "value"],
).assign(low=0.7, high=0.8)


# 1,000 rows: 10 at .9, 40 at .6, 850 at .01, and 100 that nobody votes on, at .02.
SPREAD = decision.Distribution(np.array([0.9, 0.6, 0.01]), np.array([10.0, 40.0, 850.0]), 0.02, 100.0)
RULES = pd.DataFrame(
    {
        "function": [NASTY, "plain", "copy", "wrong", "quiet"],
        "polarity": [[1], [0], [1], [1], []],
        "coverage": [0.02, 0.8, 0.01, 0.1, 0.0],
        "overlaps": [0.01, 0.1, 0.01, 0.1, 0.0],
        "conflicts": [0.005, 0.1, 0.005, 0.1, 0.0],
        "correct": None,
        "incorrect": None,
        "empirical_accuracy": None,
        "learned_accuracy": [0.8, 0.99, 0.8, 0.01, None],
        "likelihood_ratio": [60.0, 30.0, 60.0, 0.2, None],
        "changed": [0.01, 0.3, 0.0, 0.05, 0.0],
        "copies": [["copy"], [], [NASTY], [], []],
        "verdict": ["redundant", "fine", "redundant", "speaks against its class", "dead"],
    }
)
PAIRS = pd.DataFrame(
    {
        "function": [NASTY, "plain"],
        "other": ["copy", "wrong"],
        "rows": [10, 90],
        "agreement": [0.9, 0.0],
        "dependency": [3.0, 0.0],
    }
)
STRATA = pd.DataFrame(
    {
        "stratum": ["no vote", NASTY],
        "rows": [100, 50],
        "answered": [20, 30],
        "positive": [0, 12],
        "told": [0.02, 0.66],
        "recalibrated": [0.01, 0.45],
        "low": [0.0, 0.227],
        "high": [0.168, 0.594],
    }
)
FULL = replace(
    CONTENT,
    kind="latent_class",
    balance=(0.95, 0.05),
    statuses={"decided": 900, "tie": 0, "unknown": 100},
    summary=RULES,
    positive="fraud",
    class_shares=ClassShares(np.array([0.93, 0.04]), np.array([0.96, 0.07]), None),
    decision=decision.decide(SPREAD, decision.Rule()),
    distribution=SPREAD,
    thresholds=decision.thresholds(SPREAD),
    overlaps=PAIRS,
)


def answer(report: Report) -> str:
    """The box that a fraud team's lead reads, as text."""
    box = report.html.split('aria-label="The answer">')[1].split("</section>")[0]
    return " ".join(re.sub("<[^>]+>", " ", box).split())


def specs(html: str) -> dict[str, dict[str, Any]]:
    """The chart of each figure, as Vega-Lite has it; each figure has one."""
    figures = re.findall(
        r'id="figure-(\w+)".*?<script type="application/json">(.*?)</script>', html, re.DOTALL
    )
    return {name: json.loads(text) for name, text in figures}


def drawn(spec: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """All rows of a chart that have the field."""
    return [row for rows in spec["datasets"].values() for row in rows if field in row]


def first_cells(html: str, caption: str) -> list[str]:
    """The first column of a table."""
    part = html.split(f"<summary>{caption}</summary>")[1].split("</table>")[0]
    return re.findall(r'<th scope="row">(.*?)</th>', part)


def test_names_are_data_and_what_is_absent_is_left_out() -> None:
    html = label_report(CONTENT).html
    assert NASTY not in html
    assert "&lt;script&gt;alert" in html
    assert "80 of 100 rows have a label" in html
    assert "Dead (it never votes): quiet." in html
    assert "Before and after" not in html
    assert "right where known" not in html
    assert set(specs(html)) == {"rules"}


def test_known_labels_have_their_columns() -> None:
    known = SUMMARY.assign(correct=[9, None], incorrect=[1, None], empirical_accuracy=[0.9, None])
    assert "90.0% of 10<" in label_report(replace(CONTENT, summary=known)).html


def test_the_head_tells_what_is_called_missed_and_how_common_it_is() -> None:
    told = answer(label_report(replace(FULL, gold_share=0.052, gold_precision=0.61, stakes=(1234.4, 567.0))))
    assert "50 of 1,000 rows are called fraud" in told
    assert "66.0% of these are expected to be fraud" in told  # (10 × .9 + 40 × .6) / 50
    # 850 × .01 + 100 × .02 = 10.5
    assert "10 fraud rows are expected to be missed, 2 of them among the 100 rows" in told
    assert "5.0% (4.0 to 7.0%) of all rows are fraud, if rules depend" in told
    assert "5.2%" in told
    assert "61.0%" in told
    assert "1,234" in told
    assert "--audit" not in told


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        (None, "knows no limits"),
        (
            ClassShares(np.full(2, np.nan), np.full(2, np.nan), "too few rules"),
            "too few rules. Use the order",
        ),
        (ClassShares(np.array([0.95, 0.05]), np.array([0.95, 0.05]), None), "as given by --balance"),
    ],
)
def test_a_share_is_told_as_surely_as_it_is_known(shares: ClassShares | None, told: str) -> None:
    text = answer(label_report(replace(FULL, class_shares=shares)))
    assert told in text
    assert "if rules depend" not in text
    assert ("--audit 150" in text) == (shares is not None and shares.doubt is not None)
    assert ("5.0%" in text) == (shares is None or shares.doubt is None)


def test_an_audit_comes_first() -> None:
    audit = Estimates(Estimate(0.08, 0.03, 0.12), Estimate(0.4, 0.23, 0.59), Estimate(0.3, 0.1, 0.6))
    doubt = ClassShares(np.full(2, np.nan), np.full(2, np.nan), "too few rules")
    report = label_report(replace(FULL, audit=audit, reliability=STRATA, class_shares=doubt))
    told = answer(report)
    assert "By rows checked by hand 40.0% (23.0 to 59.0%) of these are fraud" in told
    assert "8.0% (3.0 to 12.0%) of all rows" in told
    assert told.index("Checked by hand: recall") < told.index("Expected precision")
    assert "50 rows were checked by hand" in report.html
    assert "in 1 of 2 strata" in report.html  # .66 is above .594
    marks = drawn(specs(report.html)["reliability"], "series")
    assert sorted(mark["x"] for mark in marks) == [0, 1, 2, 40, 45, 66]


def test_charts_draw_the_tables() -> None:
    html = label_report(FULL).html
    assert NASTY not in html
    charts = specs(html)
    assert set(charts) == {"scores", "threshold", "rules", "overlaps"}
    for spec in charts.values():
        alt.LayerChart.from_dict(spec | {"datasets": {}})  # raises what Vega-Lite's schema does not allow
    bars = {(row["rows"], row["low"]) for row in drawn(charts["scores"], "rows")}
    assert {rows for rows, _ in bars} == {10, 40, 850, 100}
    assert all((low < 0) == (rows == 100) for rows, low in bars)  # rows without votes stand apart
    assert [row["low"] for row in drawn(charts["scores"], "low") if "rows" not in row] == [0.6]
    lines = drawn(charts["threshold"], "series")
    assert sorted({row["called"] for row in lines}) == [10, 50, 900]
    rules = {row["x"]: row for row in drawn(charts["rules"], "x")}
    assert set(rules) == {0.02, 0.8, 0.01, 0.1}  # a rule without votes has no place
    assert rules[0.02]["series"] != rules[0.8]["series"]
    assert rules[0.02]["low"] < 0.8 < rules[0.02]["high"]
    cells = drawn(charts["overlaps"], "repeats")
    assert sorted(cell["repeats"] for cell in cells) == [0, 0, 0.9, 0.9]  # both halves of the matrix


def test_what_needs_action_comes_first_and_copies_are_named_once() -> None:
    html = label_report(FULL).html
    order = first_cells(html, "Label functions")
    assert order[0] == "wrong"
    assert order[-2:] == ["quiet", "plain"]
    assert html.count("Copies: ") == 1
    assert ">fine<" not in html


def test_where_nobody_is_called() -> None:
    rule = decision.Rule(precision=0.95)
    found = decision.decide(SPREAD, rule)
    report = label_report(replace(FULL, rule=rule, decision=found))
    assert "None of 1,000 rows is called fraud" in answer(report)
    assert "44 fraud rows are expected to be missed" in answer(report)  # 43.5, all of them
    assert [row for row in drawn(specs(report.html)["scores"], "low") if "rows" not in row] == []


def test_what_is_nearly_sure_is_not_told_as_sure() -> None:
    sure = decision.Distribution(np.array([0.99998, 0.0001]), np.array([10.0, 990.0]), 0.0, 0.0)
    found = decision.decide(sure, decision.Rule())
    moves = decision.thresholds(sure)
    report = label_report(replace(FULL, distribution=sure, decision=found, thresholds=moves))
    assert "over 99.9% of these are expected" in answer(report)
    assert first_cells(report.html, "Thresholds") == ["0.999980", "0.000100"]
    assert "100.0%" not in answer(report)


def test_repeats_are_of_the_rarer_rule() -> None:
    found = repeated(PAIRS, RULES, 1000).set_index("rarer")
    assert found.loc["copy", "repeats"] == pytest.approx(10 * 0.9 / 10)
    assert found.loc["copy", "wider"] == NASTY
    assert found.loc["wrong", "repeats"] == 0


def test_without_known_labels_it_says_what_the_comparison_favours() -> None:
    html = label_report(replace(CONTENT, comparison=COMPARISON, positive=NASTY)).html
    assert NASTY not in html
    assert "75.0%" in html
    assert "favour the corrected model" in html
    assert "Only a known answer" in html


def test_drift_is_named() -> None:
    drift = pd.DataFrame(
        {
            "period": ["1", "2"] * 2,
            "function": [NASTY, NASTY, "quiet", "quiet"],
            "rows": 100,
            "votes": [10, 60, 0, 0],
            "coverage": [0.1, 0.6, 0.0, 0.0],
            "p_value": [1e-9, 1e-9, 1.0, 1.0],
        }
    )
    html = label_report(replace(CONTENT, drift=drift)).html
    assert "has changed." in html
    assert "quiet has changed." not in html
