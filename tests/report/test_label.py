"""The label job's page: what it says, with and without a comparison, whatever the names hold."""

from dataclasses import replace

import pandas as pd

from firstday.report import LabelContent, label_report

NASTY = "<script>alert('x')</script>"
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


def test_names_are_data_and_what_is_absent_is_left_out() -> None:
    html = label_report(CONTENT).html
    assert NASTY not in html
    assert "&lt;script&gt;alert" in html
    assert "80 of 100 rows have a label" in html
    assert "quiet: dead." in html
    assert "Before and after" not in html
    assert ">correct<" not in html


def test_known_labels_have_their_columns() -> None:
    known = SUMMARY.assign(correct=[9, None], incorrect=[1, None], empirical_accuracy=[0.9, None])
    html = label_report(replace(CONTENT, summary=known)).html
    assert ">correct<" in html
    assert "90.0%" in html


def test_without_known_labels_it_says_what_the_comparison_favours() -> None:
    html = label_report(replace(CONTENT, comparison=COMPARISON, positive=NASTY)).html
    assert NASTY not in html
    assert "Positive is &lt;script&gt;" in html
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
