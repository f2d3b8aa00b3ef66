"""How varied lists are, those that were shown and those that are new: figures that need no click.

category_coverage, content_coverage: the share of the categories, and of the contents that were live, that
    were shown at all.
category_top_share: the share of the impressions that the most shown tenth of the categories has.
category_gini: 0 if all categories are shown alike, up to 1 - 1 / categories if one is shown alone.
diversity: the share of the pairs in a list whose category groups differ, mean over lists of two or more
    (Ziegler et al. 2005, WWW, with 0 and 1 for likeness).
novelty: the mean over impressions of -log2(p), p the category's share of the window's impressions, in bits
    (Zhou et al. 2010, PNAS 107). Of what was shown that is the entropy of the categories; of new lists it is
    how far they are from what was mostly shown. A category that was never shown counts as shown once.
"""

from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from firstday.windows import timestamp_literal

SHOWN, NEW = "all", "new lists"
LIST = ("of", "user_id", "listed_at")
TENTH = 10
KINDS = (("category", "category"), ("content", "content_id"))  # of what is shown, with the column


def varied(
    listed: DataFrame, categories: DataFrame, contents: DataFrame, since: datetime, now: datetime
) -> DataFrame:
    """All figures, as dimension (SHOWN or NEW), figure, amount; what there is nothing of is null or left out.

    listed: `of` (SHOWN or NEW), user_id, listed_at, category, content_id. Contents that were live at some
    time of [since, now) are those that could be shown, those at `now` those that new lists could have.
    """
    counts = _counts(listed)
    return (
        _diversity(listed, categories)
        .unionByName(_concentration(counts, _offered(categories, contents, since, now)))
        .unionByName(_novelty(counts))
    )


def _counts(listed: DataFrame) -> DataFrame:
    """of, kind (category or content), item, shown: how often."""
    items = F.array(*(F.struct(F.lit(kind).alias("kind"), F.col(name).alias("item")) for kind, name in KINDS))
    return (
        listed.select("of", F.inline(items))
        .groupBy("of", "kind", "item")
        .agg(F.count(F.lit(1)).alias("shown"))
    )


def _diversity(listed: DataFrame, categories: DataFrame) -> DataFrame:
    groups = categories.select("category", "category_group")
    group = F.coalesce("category_group", "category").alias("group")
    known = listed.join(F.broadcast(groups), "category", "left").select(*LIST, group)
    known = known.repartition(*map(F.col, LIST))  # once for both sums
    of_groups = known.groupBy(*LIST, "group").agg(F.count(F.lit(1)).alias("size"))
    lists = of_groups.groupBy(*LIST).agg(
        F.sum("size").alias("size"), F.sum(F.col("size") * F.col("size")).alias("alike")
    )
    size, alike = F.col("size"), F.col("alike")
    share = (size * size - alike) / (size * (size - 1))
    means = lists.where(size > 1).groupBy("of").agg(F.avg(share).alias("amount"))
    return means.select(F.col("of").alias("dimension"), F.lit("diversity").alias("figure"), "amount")


def _offered(categories: DataFrame, contents: DataFrame, since: datetime, now: datetime) -> DataFrame:
    """of, kind, item: what could be shown."""
    begun = F.col("starts_at") < timestamp_literal(now)
    live = {SHOWN: (begun, since), NEW: (begun | (F.col("starts_at") == timestamp_literal(now)), now)}
    parts = []
    for of, (started, first) in live.items():
        over = F.coalesce(F.col("ends_at") <= timestamp_literal(first), F.lit(False))
        there = {"category": categories, "content": contents.where(started & ~over)}
        for kind, name in KINDS:
            item = F.col(name).alias("item")
            parts.append(there[kind].select(F.lit(of).alias("of"), F.lit(kind).alias("kind"), item))
    return reduce(DataFrame.unionByName, parts)


def _concentration(counts: DataFrame, offered: DataFrame) -> DataFrame:
    """Of each kind of items: how many were shown, and how unevenly."""
    keys = ["of", "kind", "item"]
    shown = offered.join(counts, keys, "left").withColumn("shown", F.coalesce("shown", F.lit(0)))
    of_kind = Window.partitionBy("of", "kind")
    placed = shown.select(
        *keys,
        "shown",
        F.row_number().over(of_kind.orderBy("shown", "item")).alias("place"),
        F.count(F.lit(1)).over(of_kind).alias("items"),
    )
    items, place = F.col("items"), F.col("place")
    in_top = items - place < F.ceil(items / TENTH)
    summed = placed.groupBy("of", "kind").agg(
        F.max("items").alias("items"),
        F.count_if(F.col("shown") > 0).alias("met"),
        F.sum("shown").alias("shown"),
        F.sum((2 * place - items - 1) * F.col("shown")).alias("uneven"),
        F.sum(F.when(in_top, F.col("shown")).otherwise(0)).alias("top"),
    )
    shown_any = F.when(F.col("shown") > 0, F.col("shown"))
    amounts = {
        "coverage": F.when(F.col("shown") > 0, F.col("met") / items),
        "top_share": F.col("top") / shown_any,
        "gini": F.col("uneven") / (items * shown_any),
    }
    figures = F.array(
        *(
            F.struct(F.concat_ws("_", "kind", F.lit(name)).alias("figure"), amount.alias("amount"))
            for name, amount in amounts.items()
        )
    )
    found = summed.select(F.col("of").alias("dimension"), F.inline(figures))
    unsaid = F.col("figure").isin("content_top_share", "content_gini")
    return found.where(F.col("amount").isNotNull() & ~unsaid)


def _novelty(counts: DataFrame) -> DataFrame:
    of_category = (
        counts.where(F.col("kind") == "category")
        .groupBy("item")
        .agg(
            *(
                F.coalesce(F.sum(F.when(F.col("of") == of, F.col("shown"))), F.lit(0)).alias(name)
                for of, name in ((SHOWN, "shown"), (NEW, "listed"))
            )
        )
    )
    often = F.log2(F.greatest("shown", F.lit(1)))
    sums = of_category.agg(
        F.log2(F.sum("shown")).alias("all"),
        *(
            (F.sum(F.col(name) * often) / F.nullif(F.sum(name), F.lit(0))).alias(f"mean_{name}")
            for name in ("shown", "listed")
        ),
    )
    figures = F.array(
        *(
            F.struct(
                F.lit(of).alias("dimension"),
                F.lit("novelty").alias("figure"),
                (F.col("all") - F.col(f"mean_{name}")).alias("amount"),
            )
            for of, name in ((SHOWN, "shown"), (NEW, "listed"))
        )
    )
    return sums.select(F.inline(figures)).where(F.col("amount").isNotNull())
