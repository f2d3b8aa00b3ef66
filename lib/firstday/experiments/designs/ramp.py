"""A ramp: the treated share grows by stages, and who is treated stays so."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from firstday.experiments import assign
from firstday.experiments.designs.base import Design, Tables
from firstday.experiments.designs.panel import NOBODY, arms_of, numbers, panel_tables, panels, unknown, whole
from firstday.experiments.ramp import ramp
from firstday.experiments.results import Question, rows
from firstday.settings import ExperimentPlan

NAME = "ramp"


def effects(question: Question, tables: Tables) -> Iterator[pd.DataFrame]:
    """The stage-weighted effect of each metric, and the stages by themselves."""
    table = tables.further["panel"]
    for metric, place, panel in panels(question, table):
        if panel is None:
            yield rows(place, "ramp", unknown(), note=NOBODY)
            continue
        treated = panel.treated(question.treatments[0])
        found = ramp(panel.sums, treated, alpha=question.alpha)
        arms = arms_of(panel, treated)
        p_value = float(found.same_effect_p_value)
        note = f"the same effect in all stages: p {p_value:.2g}" if np.isfinite(p_value) else ""
        yield rows(place, "ramp", found.effect, **whole(arms), note=note)
        stages = [str(number) for number in sorted(set(numbers(table, metric)))]
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


def asked(question: Question, plan: ExperimentPlan) -> Question:
    """With the shares of each stage."""
    if not plan.ramp:
        return question
    return replace(question, design=NAME, shares={span.number: span.shares for span in assign.spans(plan)})


def last_stage(sums: pd.DataFrame) -> tuple[pd.DataFrame, int | None]:
    """The sums of the last stage, and its number."""
    stage = int(sums["stage"].max())
    return sums[sums["stage"] == stage], stage


RAMP = Design(
    NAME,
    applies=lambda question: question.design == NAME,
    asked=asked,
    tables=panel_tables,
    effects=effects,
    method=(NAME, ", stage by stage"),
    words={"ramp": "average of the stages' effects", "ramp_stage": "effect in a stage"},
    tests=(NAME,),
    compared=last_stage,
    counted_once_a="stage",
)
