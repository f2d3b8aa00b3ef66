"""The rows of an audit: drawn from the labelled rows, and read back with their answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.labels import audit
from firstday.labels.models.base import Floats, LabelModel
from firstday.labels.models.calibrated import graded
from firstday.labels.soft import UNKNOWN
from firstday.labels.votes import Votes, class_of
from firstday.spark.frames import to_driver, uniform_hash
from firstday.spark.local_rows import local_rows
from firstday.tables.schemas import column

MOST_ANSWERS = 100_000
SPARE = 6.0  # standard deviations of chance by which more rows are looked at than are drawn
AUDIT = ["row_id", "stratum", "stratum_rows", "called", "probability", "votes"]


@dataclass(frozen=True)
class Answers:
    """rows: those with an answer: row_id, positive (0 or 1) and, of an audit that was drawn, stratum,
    stratum_rows and called. probability: (n,), P(positive) by the model as it was fitted; silent: (n,),
    nobody votes.
    """

    rows: pd.DataFrame
    probability: Floats
    silent: NDArray[np.bool_]
    calibration: audit.Calibration

    def of_a_random_sample(self) -> audit.Estimates:
        """What the answers say, if they are a random sample: rows more likely than not are called."""
        return audit.random_sample(self.rows["positive"].to_numpy(), self.probability > 0.5)

    def strata(self) -> pd.DataFrame:
        """By stratum: rows, called, answered, positive, and the mean probabilities, told and recalibrated."""
        after = audit.applied(self.calibration, self.probability, self.silent)
        rows = self.rows.assign(told=self.probability, recalibrated=after)
        return rows.groupby("stratum").agg(
            rows=("stratum_rows", "max"),
            called=("called", "max"),
            answered=("positive", "size"),
            positive=("positive", "sum"),
            told=("told", "mean"),
            recalibrated=("recalibrated", "mean"),
        )


def draw(
    labelled: DataFrame,
    patterns: DataFrame,
    positive: int,
    wanted: int,
    seed: int,
    class_names: Sequence[str] = (),
) -> DataFrame:
    """AUDIT: so many rows, the most informative ones. labelled: soft_labels; patterns: label_patterns.

    A stratum is a span of P(positive), rows that nobody speaks on apart, and whether the row is called.
    Raises SettingsError where too few are wanted.
    """
    probability = F.col("probabilities")[positive]
    rows = labelled.select(
        "row_id",
        "pattern",
        probability.alias("probability"),
        (F.col("label") == positive).cast("int").alias("called"),
        _stratum(probability, positive).alias("stratum"),
        uniform_hash("row_id", F.lit(seed)).alias("place"),
    )
    sizes: pd.DataFrame = (
        rows.groupBy("stratum").agg(F.count("*").alias("n"), F.avg("probability").alias("p")).toPandas()
    )
    sizes = sizes.sort_values("stratum", ignore_index=True)
    number = sizes["n"].to_numpy(float)
    taken = audit.allocation(number, sizes["p"].to_numpy(float), wanted)
    # A hash picks a few more than are wanted, so that only these are ordered.
    share = np.minimum((taken + SPARE * np.sqrt(taken) + SPARE) / number, 1.0)
    plan = local_rows(
        labelled.sparkSession,
        zip(sizes["stratum"], sizes["n"].tolist(), taken.tolist(), share.tolist(), strict=True),
        "stratum string, stratum_rows long, taken long, share double",
    )
    near = rows.join(F.broadcast(plan), "stratum").where(F.col("place") < F.col("share"))
    by_place = F.struct("place", "row_id", "stratum_rows", "called", "probability", "pattern")
    ordered = near.groupBy("stratum", "taken").agg(F.sort_array(F.collect_list(by_place)).alias("rows"))
    kept = ordered.select("stratum", F.explode(F.expr("slice(rows, 1, int(taken))")).alias("row"))
    text = F.zip_with(
        "voters", "votes", lambda voter, vote: F.concat(voter, F.lit(": "), _named(vote, class_names))
    )
    said = patterns.select("pattern", F.array_join(text, ", ").alias("votes"))
    return kept.select("stratum", "row.*").join(said, "pattern").select(*AUDIT)


def read_answers(
    given: DataFrame, cast: Votes, model: LabelModel, positive: int, *, is_random: bool
) -> Answers:
    """The answers of checked rows, and the recalibration that they lead to. given: row_id, answer and, unless
    the rows are a random sample, stratum, stratum_rows and called; rows without an answer are left out.

    Raises DataError where there is no answer, or rows are not among those that are labelled.
    """
    answer = class_of("answer", model.class_names)
    answered = given.where(answer.isNotNull()).withColumn("positive", (answer == positive).cast("int"))
    others = [] if is_random else ["stratum", "stratum_rows", "called"]
    numbers = {"stratum": "string", "stratum_rows": "double", "called": "int"}
    columns = [column(name).cast(numbers[name]).alias(name) for name in others]
    wanted = answered.select("row_id", "positive", *columns)
    joined = wanted.join(cast.rows.select("row_id", *cast.words), "row_id", "left")
    frame = to_driver(joined, "an audit's answers", MOST_ANSWERS, "give fewer rows").sort_values("row_id")
    if frame.empty:
        raise DataError(
            "an audit needs answers",
            value="no row has one",
            next_step="write a class into the column answer of the rows that were checked",
        )
    strange = frame[frame[cast.words[0]].isna()]
    if len(strange):
        raise DataError(
            "audited rows must be among the rows that are labelled",
            value=f"{len(strange)} are not, such as {strange['row_id'].iloc[0]}",
            next_step="give the rows that the audit was drawn from",
        )
    votes = cast.packing.unpack(frame[cast.words].to_numpy(np.int64))
    probability = graded(model).posterior(votes)[:, positive]
    silent = np.diff(votes.indptr) == 0
    rows = frame.drop(columns=cast.words).reset_index(drop=True)
    found = audit.recalibrated(probability, silent, rows["positive"].to_numpy() == 1)
    return Answers(rows, probability, silent, found)


def _stratum(probability: Column, positive: int) -> Column:
    """Its name, such as "0.1 to 0.3", or "0.9 to 1, called"."""
    edges = (0.0, *audit.BOUNDS, 1.0)
    spans = pairwise(edges)
    name = F.lit(f"{edges[-2]:g} to 1")
    for low, high in reversed([*spans][:-1]):
        name = F.when(probability < high, f"{low:g} to {high:g}").otherwise(name)
    name = F.when(F.col("status") == UNKNOWN, "no votes").otherwise(name)
    return F.concat(name, F.when(F.col("label") == positive, ", called").otherwise(""))


def _named(vote: Column, class_names: Sequence[str]) -> Column:
    if not class_names:
        return vote.cast("string")
    return F.element_at(F.array(*map(F.lit, class_names)), vote + 1)
