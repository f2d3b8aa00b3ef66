"""What a ranker goes by: LightGBM's gain, and SHAP values of a sample of rows.

Neither says what would happen if a feature were changed: a feature that goes with clicks need not bring them.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.ranking.ranker import Ranker

COLUMNS = ("feature", "gain", "gain_share", "splits", "mean_absolute_shap")


def importance(ranker: Ranker, sample: NDArray[np.float64]) -> pd.DataFrame:
    """One row a feature, the greatest gain first, as COLUMNS. sample: (rows, features), NaN where missing.

    gain: what splits by the feature took off the training loss. mean_absolute_shap: by how much the feature
    moves a score of the sample, up or down, in the score's unit before any sigmoid (Lundberg et al. 2020,
    TreeSHAP, as LightGBM has it).
    """
    from lightgbm import Booster

    booster = Booster(model_str=ranker.native)
    gain = booster.feature_importance("gain")
    parts = np.asarray(booster.predict(sample, pred_contrib=True)) if len(sample) else None
    moved = np.full(len(gain), np.nan) if parts is None else np.abs(parts[:, :-1]).mean(axis=0)
    found = pd.DataFrame(
        {
            "feature": ranker.features,
            "gain": gain,
            "gain_share": gain / max(gain.sum(), 1e-300),
            "splits": booster.feature_importance("split"),
            "mean_absolute_shap": moved,
        }
    )
    return found.sort_values(["gain", "feature"], ascending=[False, True], ignore_index=True)
