"""The train job's page: what it says with and without slots, whatever the names hold."""

import re
from dataclasses import replace

import pandas as pd

from firstday.ranking.report import SlotContent, TrainContent, train_report

NASTY = "<script>alert('x')</script>"
METRICS = pd.DataFrame(
    [
        ("valid", "model", "ndcg@10", 0.71, 0.69, 0.73, None, None, None),
        ("valid", "random", "ndcg@10", 0.52, 0.5, 0.54, 0.19, 0.17, 0.21),
        ("valid", NASTY, "ndcg@10", 0.61, None, None, 0.1, None, None),
        ("train", "model", "ndcg@10", 0.93, 0.92, 0.94, None, None, None),
        ("valid", "model", "auc", None, None, None, None, None, None),
    ],
    columns=["split", "model", "metric", "value", "low", "high", "gain", "gain_low", "gain_high"],
)
FEATURES = pd.DataFrame(
    {
        "feature": [NASTY, "age"],
        "gain": [10.0, 0.0],
        "gain_share": [1.0, 0.0],
        "splits": [4, 0],
        "mean_absolute_shap": [0.2, None],
    }
)
CONTENT = TrainContent(
    run_id=NASTY,
    objective="binary",
    beats=False,
    comparisons=(f"Its gain on {NASTY} is 0.1.",),
    champion=None,
    metrics=METRICS,
    features=FEATURES,
    sizes={"train": (100, 400, 60), "valid": (1_234, 80, 9)},
    notes=(f"The column {NASTY} is no feature.",),
    settings={"segment": [NASTY], "seed": 7},
    inputs={"impressions": NASTY},
)
SLOTS = SlotContent(
    table=pd.DataFrame(
        {
            "slots": [1, 2],
            "expected_click_rate": [0.0436, 0.0352],
            "low": [0.036, None],
            "high": [0.052, None],
            "clicks_per_list": [0.0436, 0.0703],
            "last_slot_click_rate": [0.0436, 0.0268],
            "examination": [1.0, 0.73],
            "examination_low": [1.0, None],
            "examination_high": [1.0, None],
            "recommended": [False, True],
        }
    ),
    way=f"what {NASTY} says",
    lists_per_week=2.0,
    notes=(f"2 of 2 slots are recommended: {NASTY}", "Customers see 2.00 lists in 7 days."),
)


def test_names_are_data_and_the_answer_is_plain() -> None:
    html = train_report(CONTENT).html
    assert NASTY not in html
    assert "&lt;script&gt;alert" in html
    assert "not shown to beat every baseline: do not recommend by it" in html
    assert "1 of 2 features are not used." in html
    assert "[0.6900, 0.7300]" in html
    assert "1,234" in html
    assert "How many slots" not in html
    better = train_report(replace(CONTENT, beats=True, champion=f"It beats {NASTY}.")).html
    assert "The model beats every baseline." in better
    assert "It beats &lt;script&gt;" in better
    assert NASTY not in better


def test_slots_with_and_without_intervals() -> None:
    html = train_report(replace(CONTENT, slots=SLOTS)).html
    assert NASTY not in html
    assert "2 of 2 slots are recommended: &lt;script&gt;" in html
    assert "Customers see 2.00 lists in 7 days." in html
    assert "4.36% (3.60 to 5.20%)" in html
    assert re.search(r"3\.5\d%<", html)  # without an interval
    assert "2.68%" in html
    assert "1.46" in html  # looks at the second slot in 7 days


def test_a_log_without_clicks_enough() -> None:
    html = train_report(replace(CONTENT, slots=replace(SLOTS, table=SLOTS.table.head(0)))).html
    assert "No slot has clicks enough to learn from." in html
    assert "Customers see 2.00 lists in 7 days." in html
