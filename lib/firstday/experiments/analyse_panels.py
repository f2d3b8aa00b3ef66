"""Units seen more than once, or as a group: ramps, crossovers, effects by age, clusters, encouragement."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from firstday.experiments.aggregate import EVERYONE
from firstday.experiments.clusters import cluster_difference, randomisation_test
from firstday.experiments.crossover import crossover
from firstday.experiments.encouragement import encouragement, refusal
from firstday.experiments.estimate import Estimate
from firstday.experiments.novelty import effects_by_age, lasting
from firstday.experiments.panel_outcomes import Panel, panel_of
from firstday.experiments.panels import PARTS as PANEL_PARTS
from firstday.experiments.panels import PanelSums
from firstday.experiments.ramp import ramp
from firstday.experiments.results import Question, rows
from firstday.experiments.sums import PARTS, Floats, Sums
from firstday.segments import ALL
from firstday.settings.metrics import Metric

FEW_CLUSTERS = 20  # an arm; with fewer the assignments themselves are asked, too
NOBODY = "nobody's outcome is known yet"


def ramps(question: Question, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The stage-weighted effect of each metric, and the stages by themselves. table: of `panel_table`."""
    for metric, place, panel in _panels(question, table):
        if panel is None:
            yield rows(place, "ramp", _unknown(), note=NOBODY)
            continue
        treated = panel.treated(question.treatments[0])
        found = ramp(panel.sums, treated, alpha=question.alpha)
        arms = _arms(panel, treated)
        p_value = float(found.same_effect_p_value)
        note = f"the same effect in all stages: p {p_value:.2g}" if np.isfinite(p_value) else ""
        yield rows(place, "ramp", found.effect, **_whole(arms), note=note)
        stages = [str(number) for number in sorted(set(_numbers(table, metric)))]
        yield rows(
            {**place, "part": stages},
            "ramp_stage",
            found.difference,
            n_treatment=arms["n_treatment"],
            n_control=arms["n_control"],
            value_treatment=found.treatment_rate,
            value_control=found.control_rate,
            note=[f"{share:.3g} treated" if np.isfinite(share) else "" for share in found.share],
        )


def crossovers(question: Question, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The effect within units, and carry-over as a diagnostic. table: of `panel_table`."""
    for _, place, panel in _panels(question, table):
        if panel is None or panel.sums.y.shape[-1] < 2:
            yield rows(place, "crossover", _unknown(), note="no two periods are known yet")
            continue
        treated = panel.treated(question.treatments[0])
        found = crossover(
            panel.sums, treated, adjust_carry_over=question.adjust_carry_over, alpha=question.alpha
        )
        whole = _whole(_arms(panel, treated)) | dict.fromkeys(("n_treatment", "n_control"), found.units)
        note = ""
        if found.left_out > 0:
            note = f"{float(found.left_out):,.0f} units left out, as they are known in one period only"
            if found.left_out_p_value < question.alpha:
                note += f"; not as many in each sequence (p {float(found.left_out_p_value):.2g}): take care"
        yield rows(place, "crossover", found.effect, **whole, note=note)
        role = "a term of the model" if question.adjust_carry_over else "a diagnostic only"
        yield rows(place, "carry_over", found.carry_over, note=role)


def novelty(question: Question, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Effects by age in days, and whether they fade or grow. table: of `panel_table` over `ages`."""
    for metric in question.metrics:
        if not (table["metric"] == metric.name).any():
            continue
        panel = panel_of(table, metric.name)
        places = {group[0]: place for place, group in enumerate(panel.variants)}
        for name in question.treatments:
            if name not in places or question.control not in places:
                continue
            pair = [places[question.control], places[name]]
            parts = {part: getattr(panel.sums, part)[pair] for part in PANEL_PARTS}
            sums = PanelSums(**parts, centre=panel.sums.centre)
            ages = np.arange(sums.y.shape[-1])
            place = {"metric": metric.name, "treatment": name}
            values = sums.rates() + sums.centre
            arms = {"n_control": sums.n[0], "n_treatment": sums.n[1]}
            yield rows(
                {**place, "part": [str(age) for age in ages]},
                "novelty",
                effects_by_age(sums, alpha=question.alpha),
                value_control=values[0],
                value_treatment=values[1],
                **arms,
            )
            found = lasting(sums, ages, alpha=question.alpha)
            after = place | {"part": f"1 to {ages[-1]}"}
            yield rows(after, "novelty_later", found.later, note="the mean of these days", **arms)
            yield rows(place, "novelty_change", found.change, note="after the first day less on it", **arms)
            yield rows(place, "novelty_trend", found.trend, note=found.reading, **arms)


def clusters(question: Question, totals: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Clusters compared. totals: metric, variant, cluster, y and d, one row a cluster and metric."""
    for metric in question.metrics:
        own = totals[totals["metric"] == metric.name]
        for name in question.treatments:
            pair = own[own["variant"].isin([name, question.control])]
            place = {"metric": metric.name, "treatment": name}
            treated = (pair["variant"] == name).to_numpy()
            y, d = (pair[part].to_numpy(dtype=float) for part in ("y", "d"))
            counts = {"n_treatment": float(treated.sum()), "n_control": float((~treated).sum())}
            if not min(counts.values()):
                yield rows(place, "cluster", _unknown(), note=NOBODY, **counts)
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                values = {
                    f"value_{arm}": y[chosen].sum() / d[chosen].sum()
                    for arm, chosen in (("treatment", treated), ("control", ~treated))
                }
            effect = cluster_difference(y, d, treated, alpha=question.alpha)
            yield rows(place, "cluster", effect, note="units are clusters", **counts, **values)
            if min(counts.values()) >= FEW_CLUSTERS:
                continue
            drawn = randomisation_test(y, d, treated, alpha=question.alpha, seed=question.seed)
            told = f"{drawn.assignments:,} assignments, {'all there are' if drawn.exact else 'drawn'}"
            yield rows(place, "randomisation", drawn.effect, note=told, **counts, **values)


def encouraged(question: Question, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The effect of reaching the moment. table: of `aggregate`, with the moment as denominator."""
    assert question.encouragement is not None
    whole = table[(table["segment"] == ALL) & (table["population"] == EVERYONE)]
    arms = {str(name): Sums(*(own[[part]].sum() for part in PARTS)) for name, own in whole.groupby("variant")}
    arms = {
        name: Sums(*(np.asarray(getattr(arm, part), dtype=float) for part in PARTS))
        for name, arm in arms.items()
    }
    control = arms.get(question.control)
    for name in question.treatments:
        if name not in arms or control is None:
            continue
        treatment = arms[name]
        found = encouragement(treatment, control, alpha=question.alpha)
        strength, moved = float(found.first_stage_f[0]), float(found.on_reaching.estimate[0])
        place = {"metric": question.encouragement.outcome, "treatment": name}
        place["part"] = question.encouragement.moment
        note = refusal(strength, moved) or f"the push moved {moved:+.2%} (F {strength:.0f})"
        with np.errstate(divide="ignore", invalid="ignore"):
            centre = float(table["centre"].iloc[0])  # one a unit, whatever the moment
            values = {
                "value_treatment": treatment.y / treatment.n + centre,
                "value_control": control.y / control.n + centre,
            }
        counts = {"n_treatment": treatment.n, "n_control": control.n}
        verdict = {"verdict": "cannot tell"} if refusal(strength, moved) else {}
        yield rows(place, "encouragement", found.effect, note=note, **counts, **values, **verdict)


def _panels(
    question: Question, table: pd.DataFrame
) -> Iterator[tuple[Metric, dict[str, object], Panel | None]]:
    """Each metric with its place in the results and its panel; None where nobody's outcome is known."""
    for metric in question.metrics:
        own = table[table["metric"] == metric.name]
        known = own["group"].str.contains('"').any()
        merge = metric.is_ratio or question.clustered
        panel = panel_of(table, metric.name, merge=merge) if known else None
        yield metric, {"metric": metric.name, "treatment": question.treatments[0]}, panel


def _numbers(table: pd.DataFrame, metric: Metric) -> list[int]:
    """Of the periods, from 1."""
    return [int(place) + 1 for place in table.loc[table["metric"] == metric.name, "period"]]


def _arms(panel: Panel, treated: np.ndarray) -> dict[str, Floats]:
    """By period: units and totals of both arms."""
    there = np.array([[name is not None for name in group] for group in panel.variants])
    told = {}
    for arm, chosen in (("treatment", treated & there), ("control", ~treated & there)):
        told[f"n_{arm}"] = (panel.sums.n[:, None] * chosen).sum(0)
        told[f"y_{arm}"] = ((panel.sums.y + panel.sums.centre * panel.sums.d) * chosen).sum(0)
        told[f"d_{arm}"] = (panel.sums.d * chosen).sum(0)
    return told


def _whole(arms: Mapping[str, Floats]) -> dict[str, float]:
    """Units (those of the largest period: a unit is in many) and values over all periods."""
    told = {}
    for arm in ("treatment", "control"):
        told[f"n_{arm}"] = float(arms[f"n_{arm}"].max())
        total = arms[f"d_{arm}"].sum()
        told[f"value_{arm}"] = float(arms[f"y_{arm}"].sum() / total) if total else np.nan
    return told


def _unknown() -> Estimate:
    return Estimate(*(np.full(1, np.nan) for _ in range(6)))
