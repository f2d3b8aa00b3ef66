"""Effects by age: whether they fade or grow."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from firstday.experiments.novelty import effects_by_age, lasting
from firstday.experiments.panel_outcomes import panel_of
from firstday.experiments.panels import PARTS as PANEL_PARTS
from firstday.experiments.panels import PanelSums
from firstday.experiments.results import Question, rows


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
