"""How many workers train together: one where a category has more values than several can learn from."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from firstday.ranking.examples import VECTOR
from firstday.ranking.ranker import MOST_TOGETHER, tasks_for
from firstday.spark.frames import with_vector


@pytest.mark.parametrize(("values", "tasks"), [(MOST_TOGETHER, 2), (MOST_TOGETHER + 1, 1), (100, 1)])
def test_many_values_are_learned_by_one_worker(spark: SparkSession, values: int, tasks: int) -> None:
    codes = np.append(np.arange(values, dtype=float), np.nan)  # a value that was not seen
    rows = spark.createDataFrame(pd.DataFrame({"region": codes, "amount": np.linspace(0, 1e6, values + 1)}))
    vectors = with_vector(rows, ["amount", "region"], VECTOR)
    assert tasks_for(vectors, [1], 2) == tasks
    assert tasks_for(vectors, [], 2) == 2  # a number may have as many as it likes
    assert tasks_for(vectors, [1], 1) == 1
