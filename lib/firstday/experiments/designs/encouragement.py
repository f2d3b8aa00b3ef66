"""An encouragement: the push moves who reaches a moment, which estimates what reaching it does."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from firstday.experiments.aggregate import EVERYONE, Centres, aggregate
from firstday.experiments.designs.base import Design, Measured, Tables, to_small
from firstday.experiments.encouragement import encouragement, refusal
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.results import Question, rows
from firstday.experiments.sums import PARTS, Sums
from firstday.segments import ALL
from firstday.settings import ExperimentPlan
from firstday.settings.metrics import Metric


def asked(question: Question, plan: ExperimentPlan) -> Question:
    """With the moment and the outcome."""
    return replace(question, encouragement=plan.encouragement)


def tables(question: Question, measured: Measured) -> Mapping[str, Callable[[], pd.DataFrame]]:
    """The table `encouraged`: of `aggregate`, with the moment as the outcome's denominator, and centre, what
    a unit's outcome is counted from.
    """
    return {"encouraged": partial(_encouraged, question, measured.shifted, measured.centres)}


def _encouraged(question: Question, units: Outcomes, centres: Centres) -> pd.DataFrame:
    assert question.encouragement is not None
    place = {metric.name: at for at, metric in enumerate(units.metrics)}
    outcome = F.col(f"y_{place[question.encouragement.outcome]}")
    moment = F.col(f"y_{place[question.encouragement.moment]}")
    known = outcome.isNotNull() & moment.isNotNull()
    frame = units.frame.select(
        *("unit_id", "variant", "assigned_on", "met"),
        F.when(known, outcome).alias("y_0"),
        F.when(known, moment).alias("d_0"),
    )
    metric = Metric(name=question.encouragement.outcome, kind="column", value="y", denominator="d")
    sums = to_small(aggregate(Outcomes(frame, (metric,))), "sums by date")
    return sums.assign(centre=centres.y.get(metric.name, 0.0))


def effects(question: Question, tables: Tables) -> Iterator[pd.DataFrame]:
    """The effect of reaching the moment."""
    assert question.encouragement is not None
    table = tables.further["encouraged"]
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


def applies(question: Question) -> bool:
    """Of plain experiments only."""
    return question.encouragement is not None and question.design == "plain" and not question.clustered


ENCOURAGEMENT = Design(
    "encouragement",
    applies=applies,
    asked=asked,
    tables=tables,
    effects=effects,
    words={"encouragement": "effect of reaching the moment"},
    tests=("encouragement",),
    beside=True,
)
