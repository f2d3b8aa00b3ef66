"""The recommend job's page: a first run, everything at once, and names that are no markup."""

from dataclasses import replace

import pandas as pd

from firstday.recommendations.monitoring_outputs import RECOMMEND_DRIFT
from firstday.recommendations.report import RecommendContent, recommend_report

NASTY = "<script>alert('x')</script>"
COLUMNS = ["dimension", "value", "figure", "amount", "low", "high", "impressions"]
RATES = ("click_rate", "join_rate", "dismiss_rate")
FIRST = RecommendContent(
    run_id="run",
    customers=1_000,
    lists=990,
    full=900,
    slots=3_800,
    size=4,
    sources={"relevance": 3_000, NASTY: 700, "refill": 100},
    window="the last 7 days",
    steps=pd.DataFrame(
        {
            "step": ["recall", NASTY],
            "figure": [NASTY, "pairs"],
            "source": [NASTY, None],
            "reason": [None, NASTY],
            "value": [12_345.0, 7.0],
        }
    ),
    monitoring=pd.DataFrame(
        [
            ("new lists", None, "diversity", 0.875, None, None, 3_800),
            ("new lists", None, "refilled_share", 0.026, None, None, 3_800),
        ],
        columns=COLUMNS,
    ),
    drift=pd.DataFrame(columns=RECOMMEND_DRIFT.names),
    off_policy=(f"No estimate: {NASTY}",),
    notes=(f"nothing of {NASTY}",),
    settings={NASTY: NASTY},
    inputs={"customers": NASTY},
)
PLACES = (
    *(("all", None), ("policy", NASTY), ("policy", None), ("source", "relevance"), ("source", None)),
    *(("slot", str(slot)) for slot in (10, 2, 1)),
    *(("category", f"{NASTY} {number}") for number in range(40)),
    ("segment", f"gender {NASTY}"),
)
MONITORING = pd.DataFrame(
    [
        *((*place, figure, 0.0321, 0.0301, 0.0345, 1_234) for place in PLACES for figure in RATES),
        ("all", None, "serendipity", 0.4567, 0.4, 0.5, 9_999),
        ("all", None, "categories_per_customer", 1.234, 1.2, 1.3, 9_999),
        ("all", None, "category_gini", 0.345, None, None, 9_999),
        ("all", None, "novelty", 4.321, None, None, 9_999),
    ],
    columns=COLUMNS,
)
DRIFT = pd.DataFrame(
    {
        "feature": [NASTY, "firstday_score", "age", "income"],
        "psi": [0.51, 0.3, 0.12, None],
        "by_chance": [0.01, 0.01, 0.01, None],
        "rows": [500, 500, 500, 0],
        "verdict": ["shifted", "shifted", "moved", None],
        "since": pd.Timestamp("2024-04-24"),
    }
)


def test_a_first_run_has_no_rates() -> None:
    html = recommend_report(FIRST).html
    assert NASTY not in html
    assert "900 of 1,000 customers got a full list of 4 slots.</p>" in html
    assert "Nothing to show: nothing was shown in the last 7 days." in html
    assert "87.5%" in html
    assert "90 lists are shorter" in html
    assert "10 customers got no list" in html
    assert "the next run is compared with this one" in html
    assert "what was shown to whom" not in html
    assert "vegaEmbed" not in html  # no charts, no scripts


def test_everything_and_names_are_data() -> None:
    html = recommend_report(replace(FIRST, monitoring=MONITORING, drift=DRIFT, off_policy=())).html
    assert NASTY not in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    # The click rate of what was shown before is no part of the verdict on the new lists.
    assert "full list of 4 slots.</p>" in html
    assert "In the last 7 days, by the policy" in html
    assert "3.21% (3.01 to 3.45%)" in html
    assert "3.21" in html  # drawn in percent, as the tables have it
    assert "The 25 most shown." in html
    assert "Shifted since 2024-04-24: &lt;script&gt;alert" in html
    assert "and the score. Look" in html
    assert "3 of 4 features have moved since 2024-04-24" in html
    assert "not known" in html
    assert "it was not asked" in html
    assert html.count('class="chart"') == 4
    assert html.index('"label":"1"') < html.index('"label":"2"') < html.index('"label":"10"')


def test_nothing_at_all() -> None:
    empty = pd.DataFrame(columns=COLUMNS)
    bare = replace(FIRST, customers=0, lists=0, full=0, slots=0, sources={}, monitoring=empty)
    html = recommend_report(replace(bare, drift=DRIFT.head(0), off_policy=(), notes=())).html
    assert "0 of 0 customers" in html
    assert "there are no lists, old or new" in html
