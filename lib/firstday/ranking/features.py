"""Features of (customer, category) at an instant, of facts before it only.

`at_each` answers many instants a customer, for training; `at_once` one instant for all, for recommending.
Both read the same measures and the same formulas. Facts, customers and asks become one log, which is shuffled
once, by customer. In `at_each` a measure is a running sum in order of time, and a trailing window the
difference of two of these, so that 100,000 facts of one customer are read a few times, not squared. In
`at_once` it is a conditional sum by customer and category; candidates, which are many more than facts, are no
rows of the log, but are joined to one row a customer.

A fact at exactly the instant asked about is not before it: neither the impression that is being learned from
nor its reaction counts, nor a holding that begins or ends there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.ranking.formulas import STATE, TENURE_FROM, FeatureSettings, formulas
from firstday.ranking.history import ACTION, SHOWN
from firstday.ranking.measures import (
    ACTION_DAYS,
    AT,
    FIRST_MET,
    SHOWN_THROUGH,
    at_end,
    filled,
    met,
    of_pairs,
    of_parts,
    of_users,
    running,
)
from firstday.ranking.rates import CATEGORY_RATE, DAYS, SEGMENT, SEGMENT_RATE, Rates, rates
from firstday.ranking.states import candidate_id, exposure_state
from firstday.tables.schemas import column
from firstday.windows import DAY, instant_at, microseconds, timestamp_literal

ASK, CUSTOMER = "ask", "customer"  # kinds of rows beside those of facts, and the columns that these carry
CANDIDATE = "candidate_id"
PAIRS, PAIR = "measures_by_category", "measures_of_category"
JOINED = ("joined_at", "anchored_at")


def at_each(
    asks: DataFrame,
    facts: DataFrame,
    settings: FeatureSettings | None = None,
    customers: DataFrame | None = None,
) -> DataFrame:
    """Each row of `asks` (user_id, category, asked_at, further columns) with the features at its asked_at.

    customers: user_id (unique) and columns that come along; joined_at or anchored_at is the start of tenure.
    Adds the customers' columns, `settings.names` and candidate_id. Raises SettingsError where columns of the
    same name would meet, or the segment is no column of the customers.
    """
    settings = settings or FeatureSettings()
    log = _Log(settings, asks, customers)
    rows = log.prepared(log.facts(facts), log.asked(F.unix_micros(F.col("asked_at").cast("timestamp"))))
    for measures, keys in ((of_pairs(), ["user_id", "category"]), (of_users(settings.actions), ["user_id"])):
        sums, trailing = running(measures, Window.partitionBy(*keys).orderBy(AT))
        rows = rows.withColumns(sums).withColumns(trailing)
    if log.columns:
        user = Window.partitionBy("user_id")
        rows = rows.withColumn(CUSTOMER, F.first(CUSTOMER, ignorenulls=True).over(user))
    answered = rows.where(F.col("kind") == ASK)
    return log.answers(answered, rates(facts, log.segments))


def at_once(
    candidates: DataFrame,
    facts: DataFrame,
    now: datetime,
    settings: FeatureSettings | None = None,
    customers: DataFrame | None = None,
) -> DataFrame:
    """Each row of `candidates` (user_id, category, further columns) with asked_at = `now` (UTC where it has
    no zone) and the same columns as at_each. Raises SettingsError as at_each does.
    """
    settings = settings or FeatureSettings()
    instant = now if now.tzinfo else now.replace(tzinfo=UTC)
    micros = microseconds(instant)
    log = _Log(settings, candidates, customers)
    # Actions count for some days only, and their log is the longest.
    counts = (F.col("kind") != ACTION) | (
        F.col("at") >= timestamp_literal(instant - timedelta(days=ACTION_DAYS))
    )
    before = log.facts(facts.where((F.col("at") < timestamp_literal(instant)) & counts))
    found = _of_users(log.prepared(before), settings, micros)
    asked = log.asked(F.lit(micros)).join(found, "user_id", "left")
    pair = F.try_element_at(PAIRS, F.col("category"))
    asked = asked.withColumn(PAIR, pair).withColumns(
        {**filled(of_pairs(), F.col(PAIR).getField), **filled(of_users(settings.actions), F.col)}
    )
    midnight = instant_at(micros - micros % DAY)
    recent = facts.where(
        (F.col("at") < timestamp_literal(midnight))
        & (F.col("at") >= timestamp_literal(midnight - timedelta(days=DAYS)))
    )
    return log.answers(asked, rates(recent, log.segments))


class _Log:
    """Asks, facts and customers as rows of one log, and the way back to the asks' columns."""

    def __init__(self, settings: FeatureSettings, asks: DataFrame, customers: DataFrame | None) -> None:
        self.settings, self.asks, self.customers = settings, asks, customers
        self.keys = [name for name in asks.columns if name not in ("user_id", "category", "asked_at")]
        self.columns = [] if customers is None else [name for name in customers.columns if name != "user_id"]
        _refuse_clashes([*self.keys, "user_id", "asked_at"], self.columns, [*settings.names, CANDIDATE])
        if settings.segment is not None and settings.segment not in self.columns:
            raise SettingsError(
                "the segment is a column of the customers",
                value=settings.segment,
                next_step=f"choose one of {', '.join(self.columns)}" if self.columns else "give customers",
            )

    @property
    def segments(self) -> DataFrame | None:
        if self.customers is None or self.settings.segment is None:
            return None
        segment = column(self.settings.segment).cast("string").alias(SEGMENT)
        return self.customers.select("user_id", segment)

    def asked(self, at: Column) -> DataFrame:
        """Asks as rows of the log; `at` in microseconds."""
        keys = F.struct(*(column(name) for name in self.keys)) if self.keys else F.lit(None).cast("boolean")
        return self.asks.select(
            "user_id", "category", F.lit(ASK).alias("kind"), at.alias(AT), keys.alias(ASK)
        )

    def facts(self, facts: DataFrame) -> DataFrame:
        """Facts and customers as rows of the log."""
        rows = facts.select("user_id", "category", "kind", F.unix_micros("at").alias(AT), "value")
        if self.customers is None or not self.columns:
            return rows
        known = F.struct(*(column(name) for name in self.columns)).alias(CUSTOMER)
        start = F.lit(0).cast("bigint").alias(AT)
        customers = self.customers.select("user_id", F.lit(CUSTOMER).alias("kind"), start, known)
        return rows.unionByName(customers, allowMissingColumns=True)

    @staticmethod
    def prepared(*parts: DataFrame) -> DataFrame:
        """The log, shuffled once, with what a fact is among those of its customer and category."""
        together = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)
        pair = Window.partitionBy("user_id", "category").orderBy(AT)
        until_now = pair.rangeBetween(Window.unboundedPreceding, Window.currentRow)
        earlier = pair.rowsBetween(Window.unboundedPreceding, -1)
        # Of several first ones at one instant any is marked: they all count from that instant.
        first = met() & (F.count(F.when(met(), 1)).over(earlier) == 0)
        shown = F.count(F.when(F.col("kind") == SHOWN, 1)).over(until_now)
        return together.repartition("user_id").withColumns({SHOWN_THROUGH: shown, FIRST_MET: first})

    def answers(self, asks: DataFrame, known: Rates) -> DataFrame:
        """Asks with measures and CUSTOMER in, asks with features out."""
        asks = asks.withColumn("asked_at", F.timestamp_micros(AT))
        joined = next((name for name in JOINED if name in self.columns), None)
        tenure = F.lit(None) if joined is None else F.unix_micros(_customer(joined).cast("timestamp"))
        asks = asks.withColumn(TENURE_FROM, tenure.cast("bigint"))
        if self.settings.segment is not None:
            asks = asks.withColumn(SEGMENT, _customer(self.settings.segment).cast("string"))
        asks = known.join(asks, F.to_date("asked_at"))
        features = {name: formula() for name, formula in formulas(self.settings).items()}
        packed = {name: F.col(ASK).getField(name) for name in self.keys}
        given = [packed.get(name, F.col(name)).alias(name) for name in self.asks.columns]
        found = asks.select(
            *given,
            *([] if "asked_at" in self.asks.columns else ["asked_at"]),
            *(_customer(name).alias(name) for name in self.columns),
            *(feature.alias(name) for name, feature in features.items()),
            *(name for name in self.settings.names if name in (CATEGORY_RATE, SEGMENT_RATE)),
            exposure_state(
                features["unanswered"],
                F.col("last_reaction"),
                F.col("last_dismissal"),
            ).alias(STATE),
        )
        return found.withColumn(CANDIDATE, candidate_id(F.col("category"), F.col(STATE)))


def _of_users(rows: DataFrame, settings: FeatureSettings, end: int) -> DataFrame:
    """A row a user: PAIRS, the measures of each category by its name; the user's measures; CUSTOMER.

    So candidates are joined by user_id alone, as the facts are partitioned already.
    """
    pair, user = of_pairs(), of_users(settings.actions)
    carried = [F.first(CUSTOMER, ignorenulls=True).alias(CUSTOMER)] if CUSTOMER in rows.columns else []
    sums = {**at_end(pair, end), **at_end(user, end)}
    pairs = rows.groupBy("user_id", "category").agg(*(s.alias(name) for name, s in sums.items()), *carried)
    of_pair = F.struct(*(name for measure in pair for name in measure.columns))
    entry = F.when(F.col("category").isNotNull(), F.struct("category", of_pair))
    return pairs.groupBy("user_id").agg(
        F.map_from_entries(F.collect_list(entry)).alias(PAIRS),
        *(total.alias(name) for name, total in of_parts(user).items()),
        *carried,
    )


def _customer(name: str) -> Column:
    return F.col(CUSTOMER).getField(name)


def _refuse_clashes(*groups: Sequence[str]) -> None:
    """Raise SettingsError where a name is in two of the groups; Spark takes no notice of case."""
    seen: set[str] = set()
    for group in groups:
        names = {name.lower() for name in group}
        if names & seen:
            raise SettingsError(
                "columns of asks, columns of customers and features have different names",
                value=sorted(names & seen),
                next_step="rename or leave out the columns",
            )
        seen |= names
