"""Clusters got the variants, as a whole: they are the units."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from firstday.experiments.clusters import cluster_difference, randomisation_test
from firstday.experiments.designs.base import Design, Measured, Tables, to_small
from firstday.experiments.designs.panel import NOBODY, unknown
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.results import Question, rows
from firstday.settings import ExperimentPlan

MOST_CLUSTERS = 20_000
FEW_CLUSTERS = 20  # an arm; with fewer the assignments themselves are asked, too


def asked(question: Question, plan: ExperimentPlan) -> Question:
    """The units of a cluster have no covariate in common."""
    if not plan.cluster:
        return question
    plain = tuple(metric.model_copy(update={"covariate": None}) for metric in question.metrics)
    return replace(question, metrics=plain, clustered=True)


def tables(_: Question, measured: Measured) -> Mapping[str, Callable[[], pd.DataFrame]]:
    """The table `clusters`: metric, variant, cluster, y and d, one row a cluster and metric."""
    return {"clusters": partial(_clusters, measured.units)}


def _clusters(units: Outcomes) -> pd.DataFrame:
    frame = to_small(units.frame, "clusters", MOST_CLUSTERS)
    parts = [
        frame[["variant", "unit_id"]].assign(metric=metric.name, y=frame[f"y_{at}"], d=frame[f"d_{at}"])
        for at, metric in enumerate(units.metrics)
    ]
    return pd.concat(parts).dropna(subset=["y", "d"]).rename(columns={"unit_id": "cluster"})


def effects(question: Question, tables: Tables) -> Iterator[pd.DataFrame]:
    """Clusters compared."""
    totals = tables.further["clusters"]
    for metric in question.metrics:
        own = totals[totals["metric"] == metric.name]
        for name in question.treatments:
            pair = own[own["variant"].isin([name, question.control])]
            place = {"metric": metric.name, "treatment": name}
            treated = (pair["variant"] == name).to_numpy()
            y, d = (pair[part].to_numpy(dtype=float) for part in ("y", "d"))
            counts = {"n_treatment": float(treated.sum()), "n_control": float((~treated).sum())}
            if not min(counts.values()):
                yield rows(place, "cluster", unknown(), note=NOBODY, **counts)
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
            note = f"{drawn.assignments:,} assignments, {'all there are' if drawn.exact else 'drawn'}"
            yield rows(place, "randomisation", drawn.effect, note=note, **counts, **values)


CLUSTER = Design(
    "cluster",
    applies=lambda question: question.clustered and question.design == "plain",
    asked=asked,
    tables=tables,
    effects=effects,
    method=("cluster", ", by cluster"),
    words={"cluster": "clusters compared", "randomisation": "clusters drawn anew"},
    tests=("cluster", "randomisation"),
)
