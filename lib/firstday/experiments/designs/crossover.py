"""A crossover: units change places from period to period."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from firstday.experiments.crossover import crossover
from firstday.experiments.designs.base import Design, Tables
from firstday.experiments.designs.panel import arms_of, panel_tables, panels, unknown, whole
from firstday.experiments.results import Question, rows
from firstday.settings import ExperimentPlan

NAME = "crossover"


def effects(question: Question, tables: Tables) -> Iterator[pd.DataFrame]:
    """The effect within units, and carry-over as a diagnostic."""
    for _, place, panel in panels(question, tables.further["panel"]):
        if panel is None or panel.sums.y.shape[-1] < 2:
            yield rows(place, "crossover", unknown(), note="no two periods are known yet")
            continue
        treated = panel.treated(question.treatments[0])
        found = crossover(
            panel.sums, treated, adjust_carry_over=question.adjust_carry_over, alpha=question.alpha
        )
        in_all = whole(arms_of(panel, treated)) | dict.fromkeys(("n_treatment", "n_control"), found.units)
        note = ""
        if found.left_out > 0:
            note = f"{float(found.left_out):,.0f} units left out, as they are known in one period only"
            if found.left_out_p_value < question.alpha:
                note += f"; not as many in each sequence (p {float(found.left_out_p_value):.2g}): take care"
        yield rows(place, "crossover", found.effect, **in_all, note=note)
        role = "a term of the model" if question.adjust_carry_over else "a diagnostic only"
        yield rows(place, "carry_over", found.carry_over, note=role)


def asked(question: Question, plan: ExperimentPlan) -> Question:
    """With whether carry-over is a term of the model."""
    if plan.crossover is None:
        return question
    return replace(question, design=NAME, adjust_carry_over=plan.crossover.adjust_carry_over)


def first_period(sums: pd.DataFrame) -> tuple[pd.DataFrame, int | None]:
    """The sums of what units begin with."""
    return sums[sums["period"] == sums["period"].min()], None


CROSSOVER = Design(
    NAME,
    applies=lambda question: question.design == NAME,
    asked=asked,
    tables=panel_tables,
    effects=effects,
    method=(NAME, ", within units"),
    words={"crossover": "within units, both variants", "carry_over": "carry-over of a period to the next"},
    tests=(NAME,),
    compared=first_period,
    counted_once_a="period",
)
