"""Whether a ranker beats what it is compared with, in one sentence each."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from firstday.ranking.examples import VALID

METRIC = "ndcg@10"  # what is decided by; AUC where lists have nothing to order
AUC = "auc"


@dataclass(frozen=True)
class Against:
    """The comparison with one other model, on the same lists. gain: the ranker's figure less the other's."""

    other: str
    metric: str
    gain: float
    low: float | None
    high: float | None

    @property
    def shown(self) -> bool:
        """Whether the gain is above 0 beyond chance, where there is an interval to tell by."""
        return (self.gain if self.low is None else self.low) > 0

    @property
    def sentence(self) -> str:
        gain = f"{self.gain:+.4f}" + ("" if self.low is None else f" ({self.low:+.4f} to {self.high:+.4f})")
        if self.shown:
            return f"It beats {self.other}: {self.metric} {gain}."
        return f"It is not shown to beat {self.other}: {self.metric} {gain}."


def against(metrics: pd.DataFrame, model: str, others: Sequence[str]) -> tuple[Against, ...]:
    """The ranker against each of the others, on the rows to measure on. metrics: as in `ranker_metrics`."""
    valid = metrics[metrics["split"] == VALID].set_index(["model", "metric"])
    first_gain = valid["gain"].get((others[0], METRIC))
    metric = METRIC if first_gain is not None and first_gain == first_gain else AUC
    return tuple(_one(valid, model, other, metric) for other in others)


def _one(valid: pd.DataFrame, model: str, other: str, metric: str) -> Against:
    row = valid.loc[(other, metric)]
    if metric == METRIC:
        low, high = (None if bound != bound else bound for bound in (row["gain_low"], row["gain_high"]))
        return Against(other, metric, row["gain"], low, high)
    return Against(other, metric, valid.loc[(model, metric), "value"] - row["value"], None, None)
