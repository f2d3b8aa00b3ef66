"""The list of each customer: the best of what is allowed, empty slots refilled, one slot for exploring.

All allowed categories of a customer are put into one order of precedence, and the list takes the first:
1. those within the quota of their group before those above it,
2. those that were recalled before those that were not,
3. by score, that of the ranker or, for those not recalled, the category's fallback,
4. by a hash of customer and category.
So a list is shorter than its size only where no allowed category is left: the quota gives way last. What was
taken is then sorted again, by score alone. Scores are on one scale, that of weighted click probabilities.

With an exploring slot the order fills all others, and that one's category is drawn from all allowed ones that
are not yet placed, whatever their group: by inverse CDF, one draw a customer and occasion.

With a random share some customers, drawn anew at each occasion, get a list in which each allowed category is
equally likely in each slot. A category's propensity in a slot is then that of both kinds of lists together,
(1 - share) × ranked + share / m with m allowed categories, and no slot is without one.
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.recommendations.weights import TIE
from firstday.spark.frames import uniform_hash

REFILL, EXPLORING, RANDOM = "refill", "exploring", "random"
REFILLED = "fills an empty slot: the best that is left"
EXPLORED = "drawn, to learn what it earns"
MOST_SLOTS = 100
DRAW, RANDOM_CUSTOMER, RANDOM_ORDER = 12, 14, 15  # salts of the hashes that draw


@dataclass(frozen=True)
class Exploring:
    """The slot for exploring, and how its category is drawn.

    probability = (1 - uniform) × weight / sum of weights + uniform / m, over the m categories that are
    allowed and not yet placed. weight: the candidates' column called `weights` (say Thompson sampling's
    probabilities; null, NaN and what is below 0 is 0), or score ** (1 / temperature): a temperature of 1
    draws in proportion to the score, a higher one more evenly; click rates are so near to each other that
    the default favours the better ones more. Without a weight above 0 all are alike.
    """

    slot: int
    uniform: float = 0.1
    temperature: float = 0.5
    weights: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.uniform <= 1:
            raise SettingsError("the uniform share of exploring is from 0 to 1", value=self.uniform)
        if not 0.1 <= self.temperature <= 100:  # powers of scores stay above 0
            raise SettingsError("the temperature of exploring is from 0.1 to 100", value=self.temperature)


@dataclass(frozen=True)
class Slots:
    """size: of a list. per_group: at most so many categories of a group while others are left; None: no
    quota. exploring: None fills all slots without a draw. random_share: of the customers, whose whole list
    is drawn.
    """

    size: int = 4
    per_group: int | None = None
    exploring: Exploring | None = None
    random_share: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST_SLOTS:
            raise SettingsError(f"a list has from 1 to {MOST_SLOTS} slots", value=self.size)
        if self.per_group is not None and self.per_group < 1:
            raise SettingsError("a group's quota is at least 1", value=self.per_group)
        if self.exploring is not None and not 1 <= self.exploring.slot <= self.size:
            raise SettingsError("the exploring slot is one of the list's", value=self.exploring.slot)
        if not 0 <= self.random_share <= 1:
            raise SettingsError("the random share is from 0 to 1", value=self.random_share)

    @property
    def placed(self) -> int:
        """Slots that are filled without a draw."""
        return self.size - (self.exploring is not None)


def fill(
    candidates: DataFrame,
    blocked: DataFrame,
    categories: DataFrame,
    slots: Slots,
    *,
    seed: int,
    occasion: str,
) -> DataFrame:
    """The lists: user_id, slot (1, 2, ... without a gap), category, source, reason, score, propensity.

    candidates: user_id, category, source, reason, score [, the exploring weight]; of repeated pairs the best
    counts. A null or NaN score counts as not recalled. blocked: of `filters.blocked`, one row for each
    customer who may get a list; candidates that are blocked, of other customers or of other categories are
    passed over. categories: category, category_group, fallback (a score; null is 0). propensity: the
    probability of that category in that slot after all steps up to here; null where it was not drawn.
    occasion: another one draws anew.

    Candidates are shuffled once, by user_id, and `blocked` only where it is not by user_id yet.
    """
    rows = _ranked(candidates, blocked, categories, slots, seed)
    number = uniform_hash("user_id", F.lit(occasion), seed, DRAW)
    explored = F.col("share").isNotNull() & (F.col("low") <= number) & (number < F.col("high"))
    ranked = F.col("sure") | explored
    if slots.random_share:
        taken = _some_random(rows, ranked, slots, seed, occasion)
    else:
        taken = _numbered(rows.where(ranked), slots)
        taken = taken.withColumns(
            {"random": F.lit(False), "propensity": F.when(~F.col("sure"), F.col("share"))}
        )
    drawn_as = F.when(F.col("random"), RANDOM).when(~F.col("sure"), EXPLORING)
    return taken.select(
        *("user_id", "slot", "category"),
        F.coalesce(drawn_as, "source").alias("source"),
        F.when(drawn_as.isNotNull(), EXPLORED).otherwise(F.col("reason")).alias("reason"),
        *("score", "propensity"),
    )


def placements(
    candidates: DataFrame, blocked: DataFrame, categories: DataFrame, slots: Slots, *, seed: int
) -> DataFrame:
    """Where a ranked list has each allowed category, before anything is drawn: user_id, category, score,
    slot, odds.

    Arguments as of `fill`. odds: the probability of that category in that slot, 1 where it is no draw; 0,
    and slot null, where it is in no list.
    """
    rows = _numbered(_ranked(candidates, blocked, categories, slots, seed), slots)
    odds = F.when(F.col("sure"), F.lit(1.0)).otherwise(F.coalesce("share", F.lit(0.0)))
    return rows.select("user_id", "category", "score", "slot", odds.alias("odds"))


def counts(lists: DataFrame, blocked: DataFrame, size: int) -> DataFrame:
    """The step in figures, one row: customers, lists, full (lists), slots, refilled, explored (slots)."""
    customers = blocked.agg(F.count(F.lit(1)).alias("customers"))
    by_slot = lists.agg(
        F.count_if(F.col("slot") == 1).alias("lists"),
        F.count_if(F.col("slot") == size).alias("full"),
        F.count(F.lit(1)).alias("slots"),
        F.count_if(F.col("source") == REFILL).alias("refilled"),
        F.count_if(F.col("source") == EXPLORING).alias("explored"),
    )
    return customers.crossJoin(by_slot)


def _allowed(candidates: DataFrame, blocked: DataFrame, categories: DataFrame, slots: Slots) -> DataFrame:
    """Each customer's allowed categories, recalled or not."""
    weights = slots.exploring.weights if slots.exploring else None
    score = F.when(~F.isnan("score"), F.col("score").cast("double"))
    weight = F.col(weights).cast("double") if weights else F.lit(None).cast("double")
    # Sorted by category, then the best score first: of repeated pairs the first is found.
    candidate = F.struct("category", (-score).alias("negative"), "source", "reason", weight.alias("weight"))
    by_user = (
        candidates.where(score.isNotNull())
        .groupBy("user_id")
        .agg(F.sort_array(F.collect_list(candidate)).alias("candidates"))
    )
    offered = F.struct("category", "category_group", _or_zero(F.col("fallback")).alias("fallback"))
    every = categories.agg(F.sort_array(F.collect_list(offered)).alias("every"))
    known = blocked.select("user_id", F.col("blocked.category").alias("blocked")).join(
        by_user, "user_id", "left"
    )
    pairs = known.crossJoin(F.broadcast(every)).select(
        "user_id", "blocked", "candidates", F.col("candidates.category").alias("recalled"), F.inline("every")
    )
    pairs = pairs.where(~F.array_contains("blocked", F.col("category")))
    # The position is 0 where there is none, and null without candidates.
    place = F.call_function("array_position", F.col("recalled"), F.col("category")).cast("int")
    found = F.get("candidates", place - 1)
    return pairs.select("user_id", "category", "category_group", "fallback", found.alias("found")).select(
        "user_id",
        "category",
        "category_group",
        F.col("found").isNotNull().alias("recalled"),
        F.coalesce(-F.col("found.negative"), "fallback").alias("score"),
        F.when(F.col("found").isNull(), REFILL).otherwise(F.col("found.source")).alias("source"),
        F.when(F.col("found").isNull(), REFILLED).otherwise(F.col("found.reason")).alias("reason"),
        F.greatest(_or_zero(F.col("found.weight")), F.lit(0.0)).alias("weight"),
    )


def _ranked(
    candidates: DataFrame, blocked: DataFrame, categories: DataFrame, slots: Slots, seed: int
) -> DataFrame:
    """Each customer's allowed categories with: sure, whether it is placed without a draw; share, its
    probability in the exploring slot, null where it is not drawn from; low and high, the part of [0, 1) in
    which a number draws it; drawing, the size of what is drawn from.
    """
    rows = _allowed(candidates, blocked, categories, slots)
    rows = rows.withColumn("tie", uniform_hash("user_id", "category", seed, TIE))
    precedence = (F.col("recalled").desc(), *_by_score())
    if slots.per_group is not None:
        of_group = Window.partitionBy("user_id", "category_group").orderBy(*precedence)
        rows = rows.withColumn("above", F.row_number().over(of_group) > slots.per_group)
        precedence = (F.col("above").asc(), *precedence)
    in_order = Window.partitionBy("user_id").orderBy(*precedence)
    rows = rows.withColumn("place", F.row_number().over(in_order))
    rows = rows.withColumn("sure", F.col("place") <= slots.placed)
    if slots.exploring is None:
        none = F.lit(None).cast("double")
        return rows.withColumns({"share": none, "low": none, "high": none, "drawing": F.lit(0)})
    return _shared(rows, in_order, slots.placed, slots.exploring)


def _some_random(rows: DataFrame, ranked: Column, slots: Slots, seed: int, occasion: str) -> DataFrame:
    """The rows that are taken, in ranked lists or in those of the customers who have random ones."""
    user = Window.partitionBy("user_id")
    luck = uniform_hash("user_id", "category", F.lit(occasion), seed, RANDOM_ORDER)
    is_random = uniform_hash("user_id", F.lit(occasion), seed, RANDOM_CUSTOMER) < slots.random_share
    known = rows.withColumns(
        {
            "random": is_random,
            "luck": F.row_number().over(user.orderBy(luck, "category")),
            "allowed": F.count(F.lit(1)).over(user),
        }
    )
    # A random list's other categories, too: where a ranked list would have them counts.
    numbered = _numbered(known.where(F.col("random") | ranked), slots).withColumnRenamed("slot", "in_ranked")
    slot = F.when(F.col("random"), F.col("luck")).otherwise(F.col("in_ranked"))
    odds = F.when(F.col("in_ranked") == slot, F.when(F.col("sure"), 1.0).otherwise(F.col("share"))).otherwise(
        0.0
    )
    propensity = (1 - slots.random_share) * odds + slots.random_share / F.col("allowed")
    return numbered.withColumns({"slot": slot, "propensity": propensity}).where(F.col("slot") <= slots.size)


def _shared(rows: DataFrame, in_order: WindowSpec, placed: int, exploring: Exploring) -> DataFrame:
    """The rows with how the exploring slot is drawn."""
    score = F.greatest("score", F.lit(0.0))
    weight = F.col("weight") if exploring.weights else F.pow(score, F.lit(1 / exploring.temperature))
    pooled = rows.withColumn("pooled", F.when(~F.col("sure"), weight))
    first, last = Window.unboundedPreceding, Window.unboundedFollowing
    # Of one window, so that the sum through a row is the sum before the next one to the last bit.
    summed = pooled.select(
        "*",
        F.sum("pooled").over(in_order.rowsBetween(first, -1)).alias("before"),
        F.sum("pooled").over(in_order.rowsBetween(first, 0)).alias("through"),
        F.sum("pooled").over(in_order.rowsBetween(first, last)).alias("total"),
        F.count("pooled").over(in_order.rowsBetween(first, last)).alias("drawing"),
    )

    def share(weights: Column, many: Column) -> Column:
        even = many / F.col("drawing")
        by_weight = F.when(F.col("total") > 0, weights / F.col("total")).otherwise(even)
        return (1 - exploring.uniform) * by_weight + exploring.uniform * even

    at = F.col("place") - placed
    is_pooled = F.col("pooled").isNotNull()
    high = F.when(at < F.col("drawing"), share(F.col("through"), at)).otherwise(1.0)
    return summed.withColumns(
        {
            "share": F.when(is_pooled, share(F.col("pooled"), F.lit(1))),
            "low": F.when(is_pooled, share(F.coalesce("before", F.lit(0.0)), at - 1)),
            "high": F.when(is_pooled, high),
        }
    )


def _numbered(rows: DataFrame, slots: Slots) -> DataFrame:
    """The rows with the slot that a ranked list has them in: by score, the exploring one for what is drawn
    there; null for those in no list.
    """
    place = F.row_number().over(Window.partitionBy("user_id").orderBy(F.col("sure").desc(), *_by_score()))
    if slots.exploring is None:
        return rows.withColumn("slot", F.when(F.col("sure"), place))
    own = slots.exploring.slot
    moved = (F.col("drawing") > 0) & (place >= own)
    return rows.withColumn("slot", F.when(~F.col("sure"), own).when(moved, place + 1).otherwise(place))


def _by_score() -> tuple[Column, ...]:
    return (F.col("score").desc(), F.col("tie"), F.col("category"))


def _or_zero(value: Column) -> Column:
    return F.coalesce(F.nanvl(value, F.lit(0.0)), F.lit(0.0))
