"""The table of results and the decision, from invented sums: against row-level formulas, without Spark."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from firstday.errors import DataError
from firstday.experiments.analyse import Analysis, analyse
from firstday.experiments.designs import Tables
from firstday.experiments.panels import PanelSums
from firstday.experiments.results import COLUMNS, SUMS, Question, methods_that_test
from firstday.experiments.sums import PARTS
from firstday.settings.experiment import Encouragement, Looks
from firstday.settings.metrics import Metric

START = date(2024, 6, 1)
BACK = Metric(name="back", kind="retention", day=1)
SPEND = Metric(name="spend", kind="count", window="2d", covariate="pre")
LOSS = Metric(name="loss", kind="column", value="loss", margin=0.05, rise_is_good=False)
QUESTION = Question("push", "control", ("treatment",), (BACK, SPEND))


def world(
    units: int = 4_000, effect: float = 0.0, seed: int = 1, arms: tuple[str, ...] = ("control", "treatment")
) -> pd.DataFrame:
    """A row a unit: back and loss are 0 or 1, spend depends on the past; the last arm has the effect."""
    draw = np.random.default_rng(seed)
    variant = np.array(arms)[np.arange(units) % len(arms)]
    past = draw.normal(10, 3, units)
    treated = variant == arms[-1]
    return pd.DataFrame(
        {
            "variant": variant,
            "assigned_on": [START + timedelta(days=int(day)) for day in draw.integers(0, 20, units)],
            "country": draw.choice(["DE", "KR", "US"], units),
            "met": draw.random(units) < 0.5,
            "back": (draw.random(units) < 0.3 + effect * treated) * 1.0,
            "spend": past + draw.normal(0, 1, units) + effect * treated,
            "past": past,
            "loss": (draw.random(units) < 0.2 - effect * treated) * 1.0,
        }
    )


def sums(people: pd.DataFrame, *metrics: Metric, triggered: bool = False) -> pd.DataFrame:
    """What `aggregate` makes of the units, by pandas."""
    copies = [people.assign(segment="all"), people.assign(segment="country=" + people["country"])]
    rows = pd.concat(copies).assign(population="all")
    if triggered:
        rows = pd.concat([rows, rows[rows["met"]].assign(population="triggered")])
    parts = []
    for metric in metrics:
        y, x = rows[metric.name], rows["past"] * (metric.covariate is not None)
        known = y.notna()
        y, x, one = y.fillna(0.0), x.where(known, 0.0), known * 1.0
        each = (one, y, one, x, y * y, one, x * x, y, y * x, x)
        told = rows.assign(metric=metric.name, units=1, **dict(zip(PARTS, each, strict=True)))
        keys = ["metric", "variant", "segment", "population", "assigned_on"]
        parts.append(told.groupby(keys, as_index=False)[["units", *PARTS]].sum())
    return pd.concat(parts).reindex(columns=SUMS.names)


def analysed(question: Question, people: pd.DataFrame, **tables: Any) -> Analysis:
    found = analyse(question, Tables(sums(people, *question.metrics), tables))
    assert list(found.results.columns) == COLUMNS
    return found


def row(found: Analysis, method: str, metric: str = "back", **where: Any) -> pd.Series:
    rows = found.results[(found.results["method"] == method) & (found.results["metric"] == metric)]
    for name, value in ({"segment": "all", "population": "all"} | where).items():
        rows = rows[rows[name] == value]
    return rows.iloc[-1]


def test_the_first_row_is_the_sample_ratio_and_each_scope_has_its_own_formula() -> None:
    people = world(effect=0.05)
    found = analysed(QUESTION, people)
    first = found.results.iloc[0]
    assert (first["method"], first["segment"], first["verdict"]) == ("sample_ratio", "all", "passes")
    for segment, chosen in (("all", people), ("country=KR", people[people["country"] == "KR"])):
        treated, control = (chosen[chosen["variant"] == name]["spend"] for name in ("treatment", "control"))
        told = row(found, "difference", "spend", segment=segment)
        naive = ttest_ind(treated, control, equal_var=False)
        np.testing.assert_allclose(told["estimate"], treated.mean() - control.mean(), rtol=1e-9)
        np.testing.assert_allclose(told["p_value"], naive.pvalue, rtol=1e-6)
        interval = naive.confidence_interval()
        np.testing.assert_allclose([told["low"], told["high"]], [interval.low, interval.high], rtol=1e-6)
        assert (told["n_treatment"], told["n_control"]) == (len(treated), len(control))
        np.testing.assert_allclose(
            row(found, "relative_lift", "spend", segment=segment)["estimate"],
            treated.mean() / control.mean() - 1,
        )
    # What is known before is nine tenths of the variance.
    errors = [row(found, method, "spend")["standard_error"] for method in ("cuped", "difference")]
    assert errors[0] / errors[1] == pytest.approx(np.sqrt(0.1), rel=0.1)
    assert "back" not in set(found.results[found.results["method"] == "cuped"]["metric"])
    assert (row(found, "difference")["verdict"], found.decision.verdict) == ("better", "better")
    assert "treatment is better than control on back (+" in found.decision.headline


def test_p_values_are_corrected_over_metrics_and_over_segments() -> None:
    found = analysed(QUESTION, world(effect=0.03))
    results = found.results[found.results["method"] == "difference"]
    whole = results[results["segment"] == "all"]
    np.testing.assert_allclose(whole["p_adjusted"], multipletests(whole["p_value"], method="holm")[1])
    for metric in ("back", "spend"):
        parts = results[(results["segment"] != "all") & (results["metric"] == metric)]
        assert len(parts) == 3
        np.testing.assert_allclose(parts["p_adjusted"], multipletests(parts["p_value"], method="fdr_bh")[1])


def test_looks_have_all_units_to_date_and_daily_ones_are_wider() -> None:
    people = world(effect=0.05)
    found = analysed(replace(QUESTION, planned_units=2_000), people)
    cumulated = found.results[found.results["method"] == "difference_to_date"]
    for day in (3, 12):
        until = people[people["assigned_on"] <= START + timedelta(days=day)]
        means = until.groupby("variant")["back"].mean()
        told = cumulated[(cumulated["metric"] == "back") & (cumulated["date"] == START + timedelta(days=day))]
        np.testing.assert_allclose(told["estimate"], means["treatment"] - means["control"])
    held = row(found, "always_valid")
    assert held["date"] == people["assigned_on"].max()
    widths = [told["high"] - told["low"] for told in (held, row(found, "difference"))]
    assert 1.4 < widths[0] / widths[1] < 1.7
    # Who says to look every day is held to it.
    daily = analysed(replace(QUESTION, daily=True, metrics=(BACK,)), world(effect=0.02, seed=3))
    assert set(daily.methods.values()) == {"always_valid"}
    assert daily.decision.verdict == row(daily, "always_valid")["verdict"] == "no effect shown"


def test_who_looks_daily_is_held_to_it_in_segments_too() -> None:
    people = world(effect=0.1)
    late = people["assigned_on"] > START + timedelta(days=10)
    people = people[~(late & (people["country"] == "DE"))]  # nobody comes in from there any more
    found = analysed(replace(QUESTION, daily=True, metrics=(BACK,)), people)
    parts = found.results[(found.results["method"] == "always_valid") & (found.results["segment"] != "all")]
    assert list(parts["segment"]) == ["country=DE", "country=KR", "country=US"]
    assert set(parts["date"]) == {people["assigned_on"].max()}
    plain = found.results[(found.results["method"] == "difference") & (found.results["segment"] != "all")]
    np.testing.assert_allclose(parts["estimate"], plain["estimate"])
    widths = [told["high"].to_numpy() - told["low"].to_numpy() for told in (parts, plain)]
    big = (parts[["n_treatment", "n_control"]].min(axis=1) >= 500).to_numpy()
    assert 0 < big.sum() < 3
    # Each is tuned for its share of the planned units, of which it has a fifth.
    assert (widths[0][big] > 1.55 * widths[1][big]).all()
    assert (widths[0][big] < 2.2 * widths[1][big]).all()
    assert list(parts["verdict"][~big]) == ["cannot tell"] * int((~big).sum())
    known = parts["p_value"][big]
    np.testing.assert_allclose(parts["p_adjusted"][big], multipletests(known, method="fdr_bh")[1])


def test_an_outcome_that_goes_on_growing_has_no_daily_looks() -> None:
    growing = Metric(name="spend", kind="count")
    found = analysed(replace(QUESTION, daily=True, metrics=(growing,)), world(effect=3.0))
    told = row(found, "always_valid", "spend")
    assert (told["verdict"], found.decision.verdict) == ("cannot tell", "cannot tell")
    assert "window" in told["note"]


def test_planned_looks() -> None:
    looks = Looks(dates=[START + timedelta(days=day) for day in (9, 14, 40)])
    asked = replace(QUESTION, looks=looks, planned_units=2_000, until=START + timedelta(days=21))
    found = analysed(replace(asked, metrics=(BACK,)), world(effect=0.08))
    told = found.results[found.results["method"] == "group_sequential"]
    assert list(told["date"]) == [START + timedelta(days=9), START + timedelta(days=14)]
    assert found.methods == {"back": "group_sequential"}
    assert found.decision.verdict == "better"


def test_a_failed_check_withholds_every_verdict() -> None:
    people = world(effect=0.05)
    lost = people[~((people["variant"] == "treatment") & (people.index % 10 < 2))]
    found = analysed(QUESTION, lost)
    assert set(found.results["verdict"]) == {"withheld"}
    assert found.decision.verdict == "withheld"
    assert found.decision.headline.startswith("No verdict")
    assert found.decision.ship.startswith("Don't decide by this")
    shares: Mapping[int | None, Mapping[str, float]] = {None: {"control": 5 / 9, "treatment": 4 / 9}}
    assert analysed(replace(QUESTION, shares=shares), lost).decision.verdict == "better"


def test_the_triggered_are_compared_beside_all_and_checked_by_themselves() -> None:
    people = world(effect=0.1)
    even = analyse(QUESTION, Tables(sums(people, *QUESTION.metrics, triggered=True)))
    assert row(even, "difference", population="triggered")["verdict"] == "better"
    drawn_in = people.assign(met=people["met"] | (people["variant"] == "treatment"))
    found = analyse(QUESTION, Tables(sums(drawn_in, *QUESTION.metrics, triggered=True)))
    assert row(found, "difference", population="triggered")["verdict"] == "withheld"
    assert row(found, "difference")["verdict"] == "better"
    only = people.assign(met=people["met"] & (people["variant"] == "treatment"))
    found = analyse(QUESTION, Tables(sums(only, *QUESTION.metrics, triggered=True)))
    checks = found.results[found.results["method"] == "sample_ratio"]
    assert "Nobody in control met the change" in checks.iloc[1]["note"]


def test_each_treatment_is_held_against_the_control() -> None:
    arms = ("control", "mild", "strong")
    asked = replace(QUESTION, treatments=("mild", "strong"))
    found = analysed(asked, world(9_000, effect=0.06, arms=arms))
    verdicts = {name: row(found, "difference", treatment=name)["verdict"] for name in arms[1:]}
    assert verdicts == {"mild": "no effect shown", "strong": "better"}
    family = found.results[(found.results["method"] == "difference") & (found.results["segment"] == "all")]
    np.testing.assert_allclose(family["p_adjusted"], multipletests(family["p_value"], method="holm")[1])


def test_guardrails_decide_by_their_margin() -> None:
    asked = replace(QUESTION, metrics=(BACK, LOSS))
    people = world(20_000, effect=0.0)
    fine = analysed(asked, people)
    assert row(fine, "non_inferiority", "loss")["verdict"] == "not harmed"
    assert np.isnan(row(fine, "difference", "loss")["p_adjusted"])
    harmed = analysed(asked, people.assign(loss=people["loss"].where(people["variant"] == "control", 1.0)))
    assert row(harmed, "non_inferiority", "loss")["verdict"] == "harmed"
    assert harmed.decision.verdict == "harmed"
    assert "harms loss" in harmed.decision.headline
    assert row(harmed, "non_inferiority", "loss")["note"].endswith("points is accepted")


def test_what_can_be_seen_and_days_until_then() -> None:
    metric = BACK.model_copy(update={"smallest_effect": 0.02})
    people = world(4_000)
    found = analysed(replace(QUESTION, metrics=(metric,)), people)
    assert 0.03 < row(found, "detectable_effect")["estimate"] < 0.05
    rate = people.loc[people["variant"] == "control", "back"].mean()
    needed = 2 * samplesize_proportions_2indep_onetail(0.02, rate, 0.8)
    # 4,000 are there, 200 come a day, and two days after its assignment a unit's outcome is known.
    assert row(found, "days_needed")["estimate"] == pytest.approx((needed - 4_000) / 200 + 2, abs=1)
    assert "would have been found" in found.decision.sentences[-1]


def test_outcomes_that_are_not_known_are_left_out_and_counted() -> None:
    people = world(1_000)
    people.loc[people.index < 100, "back"] = np.nan
    found = analysed(replace(QUESTION, metrics=(BACK,)), people)
    told = row(found, "difference")
    assert told["n_treatment"] + told["n_control"] == 900
    assert found.notes == ("back: 100 of 1,000 units have not reached the end of day 1 and are left out.",)


def test_metrics_that_do_not_vary_and_arms_without_units() -> None:
    people = world(1_000).assign(back=0.0, spend=3.0, past=1.0)
    found = analysed(QUESTION, people)
    assert row(found, "cuped", "spend")["verdict"] == "cannot tell"
    assert "nothing varies" in row(found, "difference", "spend")["note"]
    assert "nothing varies" in row(found, "relative_lift")["note"]
    assert found.decision.verdict == "cannot tell"
    with pytest.raises(DataError, match="variant has units"):
        analysed(QUESTION, people[people["variant"] == "control"])


def panel(y: np.ndarray, groups: dict[str, np.ndarray], metric: str = "back") -> pd.DataFrame:
    """What `panel_table` makes of units: y is (units, periods), groups name their units."""
    parts = []
    for name, chosen in groups.items():
        told = PanelSums.of(y[chosen], group=np.zeros(int(chosen.sum()), dtype=int), groups=1)
        period, other = (place.ravel() for place in np.indices(told.yy.shape[1:]))
        values = {"n": told.n[0], "y": told.y[0][period], "d": told.d[0][period]}
        values |= {part: getattr(told, part)[0].ravel() for part in ("yy", "yd", "dd")}
        parts.append(
            pd.DataFrame({"metric": metric, "group": name, "period": period, "other": other, **values})
        )
    return pd.concat(parts)


def staged(people: pd.DataFrame, variants: np.ndarray, number: str) -> pd.DataFrame:
    """Sums with a row for each stage or period; variants: (units, periods)."""
    return pd.concat(
        [
            sums(people.assign(variant=variants[:, place]), BACK).assign(**{number: place + 1})
            for place in range(variants.shape[1])
        ]
    )


def test_a_ramp_is_compared_stage_by_stage() -> None:
    draw, units = np.random.default_rng(4), 20_000
    treated = draw.random(units)[:, None] < np.array([0.1, 0.5])
    y = (draw.random((units, 2)) < np.array([0.2, 0.6]) + 0.05 * treated) * 1.0
    variants = np.where(treated, "treatment", "control")
    names = np.array([f'["{one}","{two}"]' for one, two in variants])
    table = panel(y, {name: names == name for name in np.unique(names)})
    shares: Mapping[int | None, Mapping[str, float]] = {
        1: {"treatment": 0.1, "control": 0.9},
        2: {"treatment": 0.5, "control": 0.5},
    }
    asked = replace(QUESTION, metrics=(BACK,), design="ramp", shares=shares)
    found = analyse(asked, Tables(staged(world(units), variants, "stage"), {"panel": table}))
    told = row(found, "ramp")
    assert told["low"] < 0.05 < told["high"]
    assert told["high"] - told["low"] < 0.04
    stages = found.results[found.results["method"] == "ramp_stage"]
    assert list(stages["part"]) == ["1", "2"]
    for place in (0, 1):
        means = [y[treated[:, place] == arm, place].mean() for arm in (True, False)]
        stage = stages.iloc[place]
        np.testing.assert_allclose([stage["value_treatment"], stage["value_control"]], means)
        assert stage["n_treatment"] == treated[:, place].sum()
    assert "difference" not in set(found.results["method"])  # pooled, it would be far off
    assert found.decision.verdict == "better"


def test_a_crossover_is_compared_within_units() -> None:
    draw, units = np.random.default_rng(5), 2_000
    first = np.arange(units) % 2 == 0
    treated = np.stack([first, ~first], axis=1)
    y = draw.normal(0, 5, (units, 1)) + draw.normal(0, 1, (units, 2)) + [0.0, 3.0] + 0.2 * treated
    variants = np.where(treated, "treatment", "control")
    table = panel(y, {'["treatment","control"]': first, '["control","treatment"]': ~first})
    asked = replace(QUESTION, metrics=(BACK,), design="crossover")
    found = analyse(asked, Tables(staged(world(units), variants, "period"), {"panel": table}))
    told = row(found, "crossover")
    change = y[:, 0] - y[:, 1]
    np.testing.assert_allclose(told["estimate"], (change[first].mean() - change[~first].mean()) / 2)
    assert told["verdict"] == "better"
    assert row(found, "carry_over")["note"] == "a diagnostic only"
    assert row(found, "carry_over")["verdict"] is None


def test_effects_by_age_and_a_word_for_their_trend() -> None:
    draw, units = np.random.default_rng(6), 4_000
    treated = np.arange(units) % 2 == 0
    effect = np.linspace(0.6, 0.0, 7)
    y = draw.normal(1, 1, (units, 7)) + treated[:, None] * effect
    table = panel(y, {'["treatment"]': treated, '["control"]': ~treated})
    found = analysed(QUESTION, world(units), ages=table)
    ages = found.results[found.results["method"] == "novelty"]
    assert list(ages["part"]) == list("0123456")
    np.testing.assert_allclose(ages["estimate"], y[treated].mean(0) - y[~treated].mean(0))
    assert "fades" in row(found, "novelty_trend")["note"]


def test_clusters_and_when_they_are_few_their_assignments() -> None:
    draw = np.random.default_rng(7)
    frame = pd.DataFrame({"metric": "back", "variant": ["control", "treatment"] * 6, "cluster": range(12)})
    frame["d"] = draw.integers(50, 500, 12).astype(float)
    frame["y"] = frame["d"] * (0.3 + 0.2 * (frame["variant"] == "treatment") + draw.normal(0, 0.01, 12))
    asked = replace(QUESTION, metrics=(BACK,), clustered=True, shared_pool=True)
    found = analyse(asked, Tables(sums(world(), BACK), {"clusters": frame}))
    totals = frame.groupby("variant")[["y", "d"]].sum()
    values = totals["y"] / totals["d"]
    told = row(found, "cluster")
    np.testing.assert_allclose(told["estimate"], values["treatment"] - values["control"])
    assert row(found, "randomisation")["note"] == "924 assignments, all there are"
    assert found.decision.verdict == "better"
    assert not any("share a pool" in sentence for sentence in found.decision.sentences)
    by_unit = analysed(replace(asked, clustered=False), world())
    assert any("share a pool" in sentence for sentence in by_unit.decision.sentences)


def encouraged(pushed: float, units: int = 20_000) -> pd.DataFrame:
    """Sums with the moment as denominator: reaching it adds 0.4 to the outcome, for those who are moved."""
    draw = np.random.default_rng(8)
    treated = np.arange(units) % 2 == 0
    engaged = draw.random(units)
    reached = (engaged < 0.3 + pushed * treated) * 1.0
    y = (draw.random(units) < 0.2 + 0.3 * (engaged < 0.3) + 0.4 * reached) * 1.0
    rows = []
    for name, chosen in (("treatment", treated), ("control", ~treated)):
        one, own, moment = np.ones(chosen.sum()), y[chosen], reached[chosen]
        each = (one, own, moment, 0 * one, own, moment, 0 * one, own * moment, 0 * one, 0 * one)
        told = dict(zip(PARTS, (part.sum() for part in each), strict=True))
        rows.append(
            {"metric": "back", "variant": name, "segment": "all", "population": "all", "centre": 0.0, **told}
        )
    return pd.DataFrame(rows)


def test_the_effect_of_reaching_the_moment() -> None:
    asked = replace(QUESTION, encouragement=Encouragement(moment="spend", outcome="back"))
    strong = analysed(asked, world(), encouraged=encouraged(0.2))
    told = row(strong, "encouragement")
    assert told["low"] < 0.4 < told["high"]
    assert told["part"] == "spend"
    assert told["verdict"] == "better"
    weak = row(analysed(asked, world(), encouraged=encouraged(0.001)), "encouragement")
    assert weak["verdict"] == "cannot tell"
    assert "hardly moved" in weak["note"]
    assert "encouragement" in methods_that_test()
