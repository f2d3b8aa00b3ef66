"""What a ranker has to beat: chance, popularity, and the mean label of the category.

A model that is not better than these earns nothing that a table of forty rows would not.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.ranking.examples import CATEGORY, LABEL, SPLIT, TRAIN

RANDOM, POPULARITY, CATEGORY_MEAN = "random", "popularity", "category mean"
ALL = (RANDOM, POPULARITY, CATEGORY_MEAN)


def with_baselines(rows: DataFrame, categories: bool) -> tuple[DataFrame, tuple[str, ...]]:
    """The rows with a column of scores for each baseline, and the baselines' names.

    random: one score for all, whose NDCG is what chance has. Of the training rows of the same category:
    popularity, the sum of labels (clicks); category mean, their mean (the click rate). A category that was
    not there has no clicks, and the mean of all. Without `categories` there is chance alone.
    """
    scored = rows.withColumn(RANDOM, F.lit(0.0))
    if not categories:
        return scored, (RANDOM,)
    learned = rows.where(F.col(SPLIT) == TRAIN)
    by_category = learned.groupBy(CATEGORY).agg(
        F.sum(LABEL).alias(POPULARITY), F.avg(LABEL).alias(CATEGORY_MEAN)
    )
    overall = learned.agg(F.avg(LABEL).alias("firstday_mean"))
    joined = scored.join(by_category, CATEGORY, "left").crossJoin(F.broadcast(overall))
    filled = joined.withColumns(
        {
            POPULARITY: F.coalesce(POPULARITY, F.lit(0.0)),
            CATEGORY_MEAN: F.coalesce(CATEGORY_MEAN, F.col("firstday_mean")),
        }
    )
    return filled.drop("firstday_mean"), ALL
