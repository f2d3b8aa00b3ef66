"""Users whom labels set apart: they are counted like all others, but not learned from.

Whoever is left out is left out whole, also where users are weighed: one is kept with the probability of not
being of the class, drawn by a hash of the id. So the expected counts are the weighted ones, all counts are of
users, and intervals are what they are for so many users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError, SettingsError
from firstday.moments import choose
from firstday.moments.analyse import COUNTS, WHOLE
from firstday.moments.collect import summed
from firstday.moments.findings import Findings
from firstday.moments.members import LEFT_OUT, NO, YES
from firstday.spark.frames import uniform_hash

KEPT, EVERYONE = "kept", "everyone"
SAME = 1e-9  # probabilities that differ by less are equal
SALT = 11  # so that other hashes of the id draw other users
ADJUSTED = ("adjusted", "adjusted_low", "adjusted_high")


def class_of(labels: DataFrame, asked: int | None) -> int:
    """The class that is not learned from: as asked, else the last one that `labels` have."""
    try:
        size = F.size("probabilities")
        row = labels.agg(F.min(size).alias("least"), F.max(size).alias("most")).first()
    except AnalysisException as error:
        raise DataError(
            "labels must have probabilities as an array of numbers, in class order",
            value=labels.schema["probabilities"].dataType.simpleString(),
            next_step="name what `firstday label` wrote, or a table like its soft_labels",
        ) from error
    least, most = (0, 0) if row is None else (row["least"] or 0, row["most"] or 0)
    if least < 2 or least != most:
        raise DataError(
            "labels must have a probability for each class, two at least, on every row",
            value=f"from {least} to {most} of them",
            next_step="mend the table of labels",
        )
    if asked is not None and asked >= most:
        raise SettingsError(
            f"--label-class must be one of the labels' classes, 0 to {most - 1}",
            value=asked,
            next_step="leave it out for the last class",
        )
    return most - 1 if asked is None else asked


def refuse_strangers(users: DataFrame, labels: DataFrame) -> None:
    """Raise DataError where no label is of any of the users: all would be kept, in silence."""
    if not users.join(labels, "user_id", "left_semi").isEmpty():
        return
    one, other = (rows.select("user_id").first() for rows in (users, labels))
    raise DataError(
        "labels must be of the users, but none is",
        value=f"user_id {one and one[0]!r} of users, {other and other[0]!r} of labels",
        next_step="label rows whose row_id is the user_id",
    )


def with_left_out(
    users: DataFrame, labels: DataFrame, label_class: int | None = None, *, use: str, limit: float
) -> DataFrame:
    """`users` with LEFT_OUT: YES where P(label_class) of `labels` (user_id, probabilities) is above `limit`,
    or, where `use` is 'weigh', with that probability; NO for users without a label, and where all classes are
    as likely. Raises DataError or SettingsError where labels, class and users do not fit each other.
    """
    refuse_strangers(users, labels)
    probability = F.col("probabilities")[class_of(labels, label_class)]
    differ = F.array_max("probabilities") - F.array_min("probabilities") > SAME
    above = uniform_hash("user_id", SALT) < probability if use == "weigh" else probability > limit
    doubted = labels.select("user_id", (differ & above).alias(LEFT_OUT))
    word = F.when(F.col(LEFT_OUT), YES).otherwise(NO)
    return users.join(doubted, "user_id", "left").withColumn(LEFT_OUT, word)


@dataclass(frozen=True)
class Tables:
    """moment_counts and moment_products, of some users."""

    moment_counts: DataFrame
    moment_products: DataFrame

    def apart(self) -> "tuple[Tables, Tables]":
        """Of tables with the segment LEFT_OUT: those of the users kept, and of those left out."""
        kept, left_out = (
            Tables(
                *(
                    rows.where(F.col(LEFT_OUT) == word).drop(LEFT_OUT)
                    for rows in (self.moment_counts, self.moment_products)
                )
            )
            for word in (NO, YES)
        )
        return kept, left_out

    def together(self, other: "Tables", segments: Sequence[str]) -> "Tables":
        """Those of the users of both."""
        return Tables(
            self.moment_counts.unionByName(other.moment_counts),
            summed(self.moment_products.unionByName(other.moment_products), segments),
        )


@dataclass(frozen=True)
class Population:
    """users whose Dn is known, how many of them were retained, and what was found in them."""

    users: int
    retained: int
    hypothesis: Mapping[str, object]


@dataclass(frozen=True)
class Changed:
    """The answer without the users left out (`kept`) and with them (`everyone`).

    candidates: what each of segment `all` is worth, and its verdict, one row a population and candidate.
    """

    kept: Population
    everyone: Population
    candidates: pd.DataFrame

    def content(self) -> dict[str, Any]:
        """For the report."""
        return {KEPT: vars(self.kept), EVERYONE: vars(self.everyone), "candidates": self.candidates}


Found = tuple[pd.DataFrame, pd.DataFrame, Findings]  # cohorts by date, `analyse`'s rows of `all`, the choice


def changed(kept: Found, everyone: Found, day: int) -> Changed:
    """What leaving users out changed, on Dn: the same things found without them and with them."""
    populations, parts = {}, []
    for name, (cohorts, halves, findings) in {KEPT: kept, EVERYONE: everyone}.items():
        users, retained = (int(cohorts[f"{kind}_d{day}"].sum()) for kind in ("matured", "retained"))
        populations[name] = Population(users, retained, findings.hypothesis)
        rows = halves[(halves["half"] == WHOLE) & (halves["day"] == day)]
        rows = rows[["segment", "action", "threshold", "day", *COUNTS, *ADJUSTED]]
        verdicts = findings.verdicts[["action", "threshold", "verdict", "reason"]]
        rows = rows.merge(verdicts, how="left", on=["action", "threshold"])
        parts.append(
            rows.assign(
                population=name,
                precision=rows["both"] / rows["experienced"].where(rows["experienced"] > 0),
                recall=rows["both"] / rows["retained"].where(rows["retained"] > 0),
                phi=choose.phi(rows),
            )
        )
    return Changed(populations[KEPT], populations[EVERYONE], pd.concat(parts, ignore_index=True))
