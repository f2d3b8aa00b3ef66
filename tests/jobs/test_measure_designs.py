"""`firstday measure` of other designs: ramp, crossover, clusters, switchback, planned looks, impressions."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.jobs.measured import CHATS, D1, DAY, RAMP, START, VISITS, Files, app, row
from tests.jobs.small import Collected, status

pytestmark = pytest.mark.usefixtures("restored_logs")

CROSSOVER = {"by": "hash", "period": "4d", "periods": 2, "washout": "12h"}


@pytest.mark.parametrize(
    ("design", "methods"),
    [
        ({"ramp": RAMP}, {"sample_ratio", "ramp", "ramp_stage"}),
        ({"crossover": CROSSOVER}, {"sample_ratio", "crossover", "carry_over"}),
        ({"cluster": "city", "shared_pool": True}, {"sample_ratio", "cluster", "randomisation"}),
        ({"cluster": "city", "crossover": CROSSOVER}, {"sample_ratio", "crossover", "carry_over"}),
    ],
)
def test_what_assign_deals_is_measured_by_its_design(
    collected_by_place: dict[str, Collected],
    files: Files,
    design: dict[str, Any],
    methods: set[str],
) -> None:
    count = 300
    units = pd.DataFrame({"user_id": range(count), "city": [f"c{number % 15}" for number in range(count)]})
    plan = files.planned(metrics=[VISITS], ends_at=None, **design)
    where = ["--plan", plan, "--units", files.saved("units", units), "--out", "assigned"]
    assert status(["assign", *where]) == 0
    assigned = collected_by_place["assigned"].rows("assignments").dropna(axis=1, how="all")
    draw = np.random.default_rng(3)
    who = draw.integers(0, count, 3_000).astype(str)
    at = (START + pd.to_timedelta(draw.integers(0, 8 * 24, 3_000), unit="h")).as_unit("us")
    events = pd.DataFrame({"user_id": who, "action": "open", "occurred_at": at})
    flags = ("--input-time-zone", "UTC")
    assert files.log(assigned, events, *flags, metrics=[VISITS], ends_at=None, **design) == 0
    results = collected_by_place[str(files.out)].rows("experiment_results")
    assert set(results["method"]) == methods
    method = next(name for name in ("ramp", "crossover", "cluster") if name in methods)
    one = row(results, method, "visits")
    assert one["low"] < 0 < one["high"]
    assert one["verdict"] == "no effect shown"


def test_planned_looks_count_those_whose_outcome_was_known(collected: Collected, files: Files) -> None:
    assignments, events = app()
    dates = [date(2024, 6, 2), date(2024, 6, 4), date(2024, 6, 6)]
    plan = {"metrics": [CHATS], "planned_units": 290, "looks": {"dates": dates, "spending": "pocock"}}
    assert files.log(assignments, events, **plan) == 0
    results = collected.rows("experiment_results")
    looks = results[(results["method"] == "group_sequential") & (results["population"] == "all")]
    assert list(looks["date"]) == dates
    joined = events.merge(assignments, left_on="user_id", right_on="unit_id")
    since = joined["occurred_at"] - joined["assigned_at"]
    within = joined[(joined["action"] == "chat") & (since >= 0 * DAY) & (since < 2 * DAY)]
    chats = within.groupby("unit_id").size().reindex(assignments["unit_id"], fill_value=0).to_numpy()
    until = assignments["assigned_at"].dt.date
    for look in looks.itertuples():
        been = (until <= look.date).to_numpy()
        treated = (assignments["variant"] == "treatment").to_numpy()
        assert look.n_treatment == (been & treated).sum()
        assert look.value_treatment == pytest.approx(chats[been & treated].mean())
        assert look.value_control == pytest.approx(chats[been & ~treated].mean())
    width = (looks["high"] - looks["low"]).to_numpy()
    fixed = results[(results["method"] == "difference_to_date") & results["date"].isin(dates)]
    assert (width > (fixed["high"] - fixed["low"]).to_numpy()).all()
    assert looks["verdict"].iloc[-1] == "better"


def test_impressions_and_reactions(collected: Collected, files: Files) -> None:
    assignments, events = app()
    draw = np.random.default_rng(4)
    shown = draw.integers(0, 600, 4_000)  # also before the assignment, and after the window
    impressions = pd.DataFrame(
        {
            "impression_id": [f"i{number}" for number in range(len(shown))],
            "user_id": assignments["unit_id"].to_numpy()[shown],
            "category": draw.choice(["news", "people", "live", "games", "talk", "art"], len(shown)),
            "shown_at": assignments["assigned_at"].iloc[shown].reset_index(drop=True)
            + pd.to_timedelta(draw.integers(-24, 48, len(shown)), unit="h"),
        }
    )
    impressions["shown_at"] = impressions["shown_at"].dt.as_unit("us")
    treated = (assignments["variant"] == "treatment").to_numpy()[shown]
    clicked = impressions[draw.random(len(shown)) < 0.1 + 0.2 * treated]
    reactions = pd.DataFrame(
        {"impression_id": clicked["impression_id"], "kind": "click", "reacted_at": clicked["shown_at"]}
    )
    tables = {"impressions": impressions, "reactions": reactions}
    flags = [word for name in tables for word in (f"--{name}", files.saved(name, tables[name]))]
    metrics = [
        {"name": "clicks", "kind": "click_rate", "window": "1d"},
        {"name": "met", "kind": "categories", "window": "1d"},
        D1,
    ]
    assert files.log(assignments, events, *flags, metrics=metrics) == 0
    results = collected.rows("experiment_results")

    joined = impressions.merge(assignments, left_on="user_id", right_on="unit_id")
    joined["clicked"] = joined["impression_id"].isin(reactions["impression_id"])
    since = joined["shown_at"] - joined["assigned_at"]
    within = joined[(since >= 0 * DAY) & (since < DAY)]
    rates = within.groupby("variant")["clicked"].mean()
    clicks = row(results, "difference", "clicks")
    assert clicks["value_treatment"] == pytest.approx(rates["treatment"])
    assert clicks["value_control"] == pytest.approx(rates["control"])
    assert clicks["verdict"] == "better"
    met = within[within["clicked"]].groupby("unit_id")["category"].nunique()
    met = met.reindex(assignments["unit_id"], fill_value=0)
    means = met.groupby(assignments.set_index("unit_id")["variant"]).mean()
    found = row(results, "difference", "met")
    assert (found["value_treatment"], found["value_control"]) == pytest.approx(
        (means["treatment"], means["control"])
    )

    back = events.merge(assignments, left_on="user_id", right_on="unit_id")
    since = back["occurred_at"] - back["assigned_at"]
    returned = met.index.isin(back.loc[(since >= DAY) & (since < 2 * DAY), "user_id"])
    label = met.clip(upper=4).astype(str).where(met < 4, "4+")
    by = [assignments["variant"].to_numpy(), label.to_numpy()]
    expected = pd.DataFrame({"returned": returned}).groupby(by)["returned"].agg(["size", "sum"])
    told = collected.rows("retention_by_categories").set_index(["variant", "categories_met"]).sort_index()
    assert list(told.index) == list(expected.index)
    assert list(told["units"]) == list(expected["size"])
    assert list(told["retained"]) == list(expected["sum"])
