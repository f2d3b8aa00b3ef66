"""The measure job's page: the answer in a minute, the failed check first, and names that are no markup."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from firstday.experiments.content import RESULT_COLUMNS, MeasureContent
from firstday.experiments.difference import difference, relative_lift
from firstday.experiments.report import measure_report
from firstday.experiments.sample_ratio import sample_ratio
from firstday.experiments.sequential import always_valid
from firstday.experiments.sums import Sums
from firstday.stats.estimate import Estimate
from tests.report.test_escaping import Running

NASTY = "</script><script>alert('x')</script>"
START, DATES = date(2026, 5, 4), 21
SHARES = {"retention_1": (0.44, 0.012), "retention_7": (0.18, 0.009), "crashed": (0.03, 0.0)}
SEGMENTS = {"country=KR": 0.5, "country=US": 0.3, "country=BR": 0.2}


@dataclass(frozen=True)
class Decision:
    """As the job hands it over."""

    verdict: str
    headline: str
    warnings: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    ship: str = "Ship push: it is better on retention_7."


def effects(method: str, effect: Estimate, arms: Any = None, **others: Any) -> pd.DataFrame:
    """Rows of the results from an estimate."""
    parts = ("estimate", "low", "high", "standard_error", "statistic", "p_value")
    rows = {part: np.ravel(getattr(effect, part)) for part in parts}
    if arms is not None:
        for name, arm in zip(("treatment", "control"), arms, strict=True):
            rows |= {f"n_{name}": np.ravel(arm.n), f"value_{name}": np.ravel(arm.y / arm.d)}
    return pd.DataFrame({**rows, "method": method} | others)


def binomial(random: np.random.Generator, units: np.ndarray, share: float | np.ndarray) -> Sums:
    """Sums of so many units an entry, of which a share came back."""
    return sums_of(units.astype(float), random.binomial(units, share).astype(float))


def sums_of(n: np.ndarray, y: np.ndarray) -> Sums:
    """Of n units, y came back."""
    nothing = np.zeros_like(n)
    return Sums(n, y, n, nothing, y, n, nothing, y, nothing, nothing)


def metric_rows(random: np.random.Generator, metric: str, base: float, effect: float) -> list[pd.DataFrame]:
    """Of one metric that is a share: all, by segment, to date, by age, and what can be seen."""
    daily = np.array([[int(900 * part)] * DATES for part in SEGMENTS.values()])
    treatment, control = binomial(random, daily, base + effect), binomial(random, daily, base)
    place = {"metric": metric, "treatment": "push", "segment": "all"}
    arms = treatment.sum().sum(), control.sum().sum()
    whole = difference(*arms)
    verdict = "no effect shown" if whole.p_value > 0.05 else "better"
    rows = [
        effects("difference", whole, arms, **place, p_adjusted=min(1, 2 * whole.p_value), verdict=verdict)
    ]
    rows.append(effects("relative_lift", relative_lift(*arms), arms, **place))
    own = treatment.sum(), control.sum()
    parts = difference(*own)
    said = np.where(3 * parts.p_value > 0.05, "no effect shown", "better")
    by_segment = place | {"segment": list(SEGMENTS), "p_adjusted": np.minimum(1, 3 * parts.p_value)}
    rows.append(effects("difference", parts, own, **by_segment, verdict=said))
    to_date = treatment.sum(0).cumulative(), control.sum(0).cumulative()
    fixed = difference(*to_date)
    held = always_valid(fixed.estimate, fixed.standard_error, to_date[0].n, planned_units=15_000)
    dates = place | {"date": [START + timedelta(day) for day in range(DATES)]}
    rows.append(effects("difference_to_date", fixed, to_date, **dates))
    rows.append(effects("always_valid", held, to_date, **dates, verdict="no effect shown"))
    ages = binomial(random, np.full(14, 9_000), base + effect), binomial(random, np.full(14, 9_000), base)
    by_age = place | {"part": [str(age) for age in range(14)]}
    rows.append(effects("novelty", difference(*ages), ages, **by_age))
    trend = Estimate.normal(np.array([-0.0004]), np.array([0.0003]), 0.05)
    later = Estimate.normal(np.array([effect]), np.array([0.0004]), 0.05)
    rows.append(effects("novelty_later", later, **place, part="1 to 13"))
    rows.append(effects("novelty_trend", trend, **place, note="no change is shown"))
    seen = {"estimate": [0.0122], "note": ["smallest effect that would be found with 80% power"]}
    rows.append(pd.DataFrame({**place, "method": "detectable_effect", **seen}))
    return rows


def frame(rows: Sequence[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(rows, ignore_index=True).reindex(columns=list(RESULT_COLUMNS))
    filled = {"segment": "all", "population": "all", "experiment": "profile_push", "control": "control"}
    return whole.fillna(filled)


def check(counts: dict[str, int], population: str = "all") -> pd.DataFrame:
    ratio = sample_ratio(counts)
    row = {
        "method": "sample_ratio",
        "statistic": ratio.chi2,
        "p_value": ratio.p_value,
        "note": ratio.sentence,
    }
    return pd.DataFrame([row | {"verdict": "passes" if ratio.passes else "fails", "population": population}])


def results() -> pd.DataFrame:
    """An A/B test of two retentions, a guardrail and a count."""
    random = np.random.default_rng(11)
    rows = [check({"control": 44_700, "push": 45_489})]
    for metric, (base, effect) in SHARES.items():
        rows += metric_rows(random, metric, base, effect)
    crashes = rows[-9].head(1).assign(method="non_inferiority", verdict="not harmed", p_adjusted=np.nan)
    rows.append(crashes.assign(note="a loss of 0.5 points is accepted"))
    arms = [Sums.of(random.poisson(rate, 20_000).astype(float)) for rate in (2.36, 2.31)]
    place = {"metric": "categories", "treatment": "push", "verdict": "better"}
    rows.append(effects("difference", difference(arms[0], arms[1]), arms, **place))
    days = {"estimate": [12.0], "note": ["52,000 units find an effect of 0.01 with 80% power"]}
    rows.append(pd.DataFrame({"metric": "retention_1", "treatment": "push", "method": "days_needed", **days}))
    return frame(rows)


def ramp_results() -> pd.DataFrame:
    """A ramp of four stages; the base moves, the effect does not."""
    random = np.random.default_rng(5)
    units, base = 20_000, np.array([0.30, 0.33, 0.36, 0.34])
    treated = (units * np.array([0.005, 0.05, 0.25, 0.5])).astype(int)
    arms = binomial(random, treated, base + 0.02), binomial(random, units - treated, base)
    place = {"metric": "retention_1", "treatment": "push"}
    stages = effects("ramp_stage", difference(*arms), arms, **place, part=["1", "2", "3", "4"])
    whole = Estimate.normal(np.array([0.0204]), np.array([0.0051]), 0.05)
    note = "the same effect in all stages: p 0.41"
    return frame(
        [
            check({"control": 10_050, "push": 9_950}),
            stages,
            effects("ramp", whole, **place, verdict="better", note=note),
        ]
    )


@pytest.fixture(scope="module")
def content() -> MeasureContent:
    table = results()
    return MeasureContent(
        run_id="20260601T101500-7f3a",
        experiment="profile_push",
        results=table,
        decision=Decision(
            "better",
            "push is better than control on retention_7 (+0.90 points); no effect shown on crashed.",
            ("Arms share a pool: they disturb each other.",),
            ("retention_1, push against control: +1.2 points.",),
        ),
        notes=("412 units without an outcome are left out",),
        settings={"alpha": "0.05", "control": "control"},
        inputs={"units": "units.parquet (fingerprint 9f2c)"},
    )


@pytest.fixture(scope="module")
def small(content: MeasureContent) -> MeasureContent:
    """One metric among all units, for what needs no more."""
    rows = content.results
    kept = rows["method"].isin(("difference", "sample_ratio")) & (rows["segment"] == "all")
    return replace(content, results=rows[kept & rows["metric"].isin(("retention_1", np.nan))])


@pytest.fixture(scope="module")
def html(content: MeasureContent) -> str:
    return measure_report(content).html


def answer(html: str) -> str:
    """The box that a decision-maker reads, as text."""
    box = html.split('aria-label="The answer">')[1].split("</section>")[0]
    return " ".join(re.sub("<[^>]+>", " ", box).replace("\u00a0", " ").split())


def specs(html: str, figure: str) -> list[dict[str, Any]]:
    """The charts of a figure, as Vega-Lite has them."""
    part = html.split(f'id="figure-{figure}"')[1].split("</figure>")[0]
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', part)]


def data(spec: dict[str, Any], layer: int) -> list[dict[str, Any]]:
    """The rows that a layer of a chart draws."""
    rows: list[dict[str, Any]] = spec["datasets"][spec["layer"][layer]["data"]["name"]]
    return rows


def test_the_answer_in_a_minute(html: str) -> None:
    told = answer(html)
    found, last = told.index("push is better than control on retention_7 (+0.90 points)"), len(told)
    assert told.startswith("Ship push: it is better on retention_7.")
    assert found < told.index("Group sizes fit equal shares, which are assumed as none were planned") < last
    assert "Arms share a pool: they disturb each other." in told.split("How sure is that?")[0]
    assert "412 units without an outcome are left out." in told
    assert "retention_1, push against control: +1.2 points." in told.split("The same in sentences")[1]
    assert "Treatment less control, among all units, by 95% intervals (plain difference, one look)." in told
    assert "crashed not harmed −0.11 points (−0.45 to +0.24) · a loss of 0.5 points is accepted." in told
    assert "still needed" not in told  # an effect is shown
    assert "retention_7: better in country=US; nothing shown in 2 segments." in told
    assert "No guardrail was planned" not in told
    assert "retention_1: what these units could show" not in told  # an effect is shown


def test_figures_of_a_real_experiment_in_words(content: MeasureContent) -> None:
    """The game's gate test: 44.819 % against 44.228 %, +0.591 points, p 0.0744; D7 +0.820, p 0.00155."""
    units, rows = (
        (np.array([44_700.0]), np.array([45_489.0])),
        [check({"gate_30": 44_700, "gate_40": 45_489})],
    )
    for metric, counts in {"retention_1": (20_034, 20_119), "retention_7": (8_502, 8_279)}.items():
        arms = [sums_of(n, np.array([float(back)])) for n, back in zip(units, counts, strict=True)]
        effect = difference(arms[0], arms[1])
        verdict = "better" if effect.p_value < 0.05 else "no effect shown"
        place = {"metric": metric, "treatment": "gate_30", "control": "gate_40", "verdict": verdict}
        rows.append(effects("difference", effect, arms, **place, p_adjusted=2 * effect.p_value))
    told = answer(measure_report(replace(content, results=frame(rows))).html)
    assert (
        "retention_1 +0.59 points No effect shown: a fall of 0.06 to a rise of 1.24 points fits the data. "
        "44.82% against 44.23% · p 0.149, corrected for two metrics."
    ) in told
    assert (
        "retention_7 +0.82 points Better: a rise of 0.31 to 1.33 points. "
        "19.02% against 18.20% · p 0.0031, corrected for two metrics."
    ) in told
    assert "Treatment less gate_40" in told
    assert (
        "At 95%, the data exclude a fall of retention_1 by more than 0.06 points and any fall of "
        "retention_7. Smaller harm is not excluded. No guardrail was planned" in told
    )


def test_a_failed_check_withholds_all_verdicts(content: MeasureContent) -> None:
    failed = check({"control": 44_000, "push": 45_700})
    results = frame([failed, content.results.iloc[1:]]).assign(verdict="withheld")
    headline = "No verdict: the sample-ratio check failed, so those compared are not alike."
    told_by_rows = "retention_1, push against control: +1.2 points."
    ship = "Don't decide by this. Neither more units nor other statistics repair it."
    decision = Decision("withheld", headline, (), (told_by_rows,), ship)
    html = measure_report(replace(content, results=results, decision=decision)).html
    told = answer(html)
    assert told.startswith(f"{headline} Do not believe any figure on this page. Group sizes do not fit")
    assert 'class="answer withheld"' in html
    assert "Neither more units nor other statistics repair it" in told
    assert "points" not in told
    for claim in ("better", "worse", "has been clear of 0", "no change is shown", "not harmed"):
        assert claim not in html.split("<footer")[0].split('id="words"')[0], claim


def test_names_are_data(content: MeasureContent) -> None:
    names = {"retention_1": NASTY, "push": NASTY, "country=KR": f"country={NASTY}"}
    results = content.results.replace(names).assign(note=NASTY, part=lambda rows: rows["part"].fillna(NASTY))
    results.loc[results["method"] == "novelty", "part"] = [str(age % 14) for age in range(14 * len(SHARES))]
    decision = Decision("better", NASTY, (NASTY,), (f"{NASTY}, x",), NASTY)
    nasty = replace(
        content, results=results, decision=decision, notes=(f"{{{{ 7*7 }}}}{NASTY}",), experiment=NASTY
    )
    html = measure_report(replace(nasty, run_id=NASTY, settings={NASTY: NASTY}, inputs={NASTY: NASTY})).html
    page = Running(html)
    assert not [text for text in page.scripts if "alert(" in text[:200]]
    assert page.others == []
    assert len(page.scripts) == 2  # Vega and ours
    assert NASTY not in html
    assert "{{ 7*7 }}" in html
    assert "country=&lt;/script&gt;&lt;script&gt;" in html
    assert specs(html, "segments")[0]  # JSON that can be read


def test_charts_are_valid_and_show_the_rows(html: str, content: MeasureContent) -> None:
    for figure in ("effects", "segments", "to_date", "by_age"):
        for spec in specs(html, figure):
            alt.Chart.from_dict(spec | {"$schema": alt.SCHEMA_URL})
    band, *_ = specs(html, "to_date")
    held = content.results[
        (content.results["method"] == "always_valid") & (content.results["metric"] == "retention_1")
    ]
    drawn = data(band, 0)
    assert [row["date"] for row in drawn] == [day.isoformat() for day in held["date"]]
    assert drawn[-1]["low"] == pytest.approx(100 * held["low"].iloc[-1], rel=1e-5)
    forest = json.dumps(specs(html, "segments")[0])
    assert forest.index("all units") < forest.index("country=KR") < forest.index("country=US")


def test_the_ramp_has_both_arms_by_treated_share(content: MeasureContent) -> None:
    decision = Decision("better", "push is better than control on retention_1.")
    report = measure_report(replace(content, results=ramp_results(), decision=decision))
    arms, effect = specs(report.html, "ramp")
    values = [data(arms, place) for place in (0, 2)]  # the lines
    assert [[row["place"] for row in line] for line in values] == [["0.5%", "5%", "25%", "50%"]] * 2
    stages = ramp_results().query("method == 'ramp_stage'")
    expected = [list(100 * stages[f"value_{arm}"]) for arm in ("treatment", "control")]
    assert [[row["value"] for row in line] for line in values] == [
        pytest.approx(line, rel=1e-5) for line in expected
    ]
    assert len(data(effect, 1)) == 4
    assert "average of the stages&#39; effects" in report.html
    assert "retention_1: the same effect in all stages: p 0.41." in report.html
    assert "No segments were asked for (--segments)." in report.html
    assert {name: png[:4] for name, png in report.figures.items()} == dict.fromkeys(
        ("effects.png", "ramp.png"), b"\x89PNG"
    )


def test_those_that_met_the_change(small: MeasureContent) -> None:
    every = small.results[small.results["method"] == "difference"].head(1).assign(population="triggered")
    told = answer(measure_report(replace(small, results=frame([small.results, every]))).html)
    assert "All units were exposed to the change" in told
    assert "of those exposed to the change" not in told
    row = every.assign(n_treatment=9_050, n_control=9_000)
    met = frame([small.results, row, check({"control": 9_000, "push": 9_050}, "triggered")])
    told = answer(measure_report(replace(small, results=met)).html)
    assert "retention_1, of those exposed to the change +1.49 points Better:" in told
    unlike = frame([small.results, row, check({"control": 9_000, "push": 9_950}, "triggered")])
    told = answer(measure_report(replace(small, results=unlike)).html)
    assert "Leave the figures of those exposed to the change aside. Group sizes do not fit" in told
    assert "of those exposed to the change +1.49" not in told


def test_several_treatments_and_looks_every_day(content: MeasureContent) -> None:
    results = content.results[content.results["metric"].isin(("retention_1", "retention_7"))]
    results = results[results["method"].isin(("difference", "difference_to_date", "always_valid"))]
    other = results[results["metric"] == "retention_1"].assign(treatment="mail")
    daily = replace(
        content,
        results=frame([results, other]),
        methods={"retention_1": "always_valid"},
        shares=(),
        alpha=0.1,
    )
    html = measure_report(daily).html
    told = answer(html)
    assert "retention_1 · push +0.0149 No effect shown: a fall of 0.0007 to a rise of 0.0304" in told
    assert "retention_1 · mail" in told
    assert "by 90% intervals (difference, holds at every look and plain difference, one look)" in told
    assert "retention_1 · push: the band left 0" in html
    assert "retention_7 · push, if looked at every day: the band has 0 in it" in html


def test_next_to_nothing(content: MeasureContent) -> None:
    bare = replace(content, results=frame([check({"control": 10, "push": 10})]), notes=())
    html = measure_report(replace(bare, decision=Decision("cannot tell", "These units cannot tell."))).html
    assert "No metric was compared, beside guardrails." in answer(html)
    assert "<figure" not in html
    nothing = replace(bare, results=content.results.head(0))
    assert "The sample ratio was not checked." in answer(measure_report(nothing).html)
    with pytest.raises(ValueError, match=r"lacks the columns \['verdict'\]"):
        replace(content, results=content.results.drop(columns="verdict"))


def test_an_effect_that_correction_takes_back(small: MeasureContent) -> None:
    rows = small.results.assign(verdict="no effect shown", p_adjusted=0.08, note="74% of the planned units")
    told = answer(measure_report(replace(small, results=rows)).html)
    assert "No effect shown once corrected for one metric; by itself a rise of 0.48 to 2.49 points." in told
    assert "p 0.080, corrected for one metric. 74% of the planned units." in told


def test_the_effect_of_reaching_the_moment(small: MeasureContent) -> None:
    place = {"metric": "retention_1", "treatment": "push", "method": "encouragement", "part": "friends"}
    known = {"estimate": 0.12, "low": 0.04, "high": 0.2, "standard_error": 0.04, "verdict": "better"}
    weak = {"estimate": 0.5, "verdict": "cannot tell", "note": "The push hardly moved people"}
    for row, said in (
        (known, "+12.00 points Better: a rise of 4.00 to 20.00 points."),
        (weak, "cannot tell The push hardly moved people."),
    ):
        results = frame([small.results, pd.DataFrame([place | row])])
        html = measure_report(replace(small, results=results)).html
        assert f"retention_1, of reaching friends {said}" in answer(html)


def test_an_unknown_effect_says_why(content: MeasureContent) -> None:
    unknown = {"method": "difference", "verdict": "cannot tell", "note": "one variant has no units"}
    rows = pd.DataFrame([{"metric": "retention_1", "treatment": "push", **unknown}])
    told = answer(measure_report(replace(content, results=frame([rows]))).html)
    assert "retention_1 cannot tell One variant has no units." in told
