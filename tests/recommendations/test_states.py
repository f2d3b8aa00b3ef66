"""The state in which a customer has left a category: the latest thing wins."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.ranking.states import STATES, candidate_id, exposure_state

# unanswered impressions, instants of the last reaction and of the last dismissal: the state
CASES = [
    (0, None, None, "never"),
    (1, None, None, "shown_once"),
    (2, None, None, "shown_2_3"),
    (3, None, None, "shown_2_3"),
    (4, None, None, "shown_4_plus"),
    (0, 5, None, "reacted"),
    (3, 5, None, "reacted"),
    (4, 5, None, "shown_4_plus"),
    (4, 5, 5, "shown_4_plus"),
    (0, 5, 5, "dismissed"),
    (3, 5, 5, "dismissed"),
    (0, 6, 5, "reacted"),
]


def test_the_latest_thing_wins(spark: SparkSession) -> None:
    table = spark.createDataFrame(CASES, "unanswered int, reaction int, dismissal int, state string")
    state = exposure_state(F.col("unanswered"), F.col("reaction"), F.col("dismissal"))
    rows = table.select(state, "state", candidate_id(F.lit("a:b"), state).alias("id")).collect()
    assert [row[0] for row in rows] == [row[1] for row in rows]
    assert [row["id"].rpartition(":") for row in rows] == [("a:b", ":", case[3]) for case in CASES]
    assert {case[3] for case in CASES} == set(STATES)
