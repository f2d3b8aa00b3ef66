"""The hash and what is assigned by it: known values, evenness, and Spark's answer to the last bit."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from scipy.stats import chisquare, kstest

from firstday.experiments import assign, buckets
from firstday.experiments.buckets import bucket, held_out, in_layer, pick, treated

DOCS = Path(__file__).parents[2] / "docs" / "assign.md"
UNITS = [str(number) for number in range(20_000)]
# sha256sum of "salt:unit", its first thirteen digits by hand: a change of the hash deals everybody anew.
KNOWN = {
    ("profile_push", "12"): 0.27695443655073904,
    ("profile_push", "user 7"): 0.28261116636340544,
    ("holdout", ""): 0.7044674455418092,
    ("größe", "用户-1 🎲"): 0.754271585093196,
}


def test_known_values() -> None:
    assert {key: bucket(*key) for key in KNOWN} == KNOWN


def test_the_ten_lines_of_the_docs_are_these() -> None:
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    written: dict[str, Any] = {}
    exec(code[1], written)
    assert {key: written["bucket"](*key) for key in KNOWN} == KNOWN
    assert str(KNOWN["profile_push", "12"]) in code[1]
    shares = {"a": 0.1, "b": 0.2, "c": 0.7}
    for place in (0.0, 0.1, 0.3, 0.5, 1 - 2**-52):
        assert written["pick"](place, shares) == pick(place, shares)


def test_spark_says_the_same(spark: SparkSession) -> None:
    """For any text, all of it in one DataFrame."""
    drawn: list[tuple[str, str]] = list(KNOWN)

    @given(st.text(max_size=12), st.text(max_size=40))
    def draw(salt: str, unit: str) -> None:
        drawn.append((salt, unit))

    draw()
    salts = sorted({salt for salt, _ in drawn})[:8]
    units = sorted({unit for _, unit in drawn})
    rows = spark.createDataFrame([(unit,) for unit in units], "unit string")
    told = rows.select(
        "unit", *(assign.bucket(salt, F.col("unit")).alias(f"s{at}") for at, salt in enumerate(salts))
    )
    shares = {"a": 0.1, "b": 0.2, "c": 0.7}
    picked = told.select(
        "*", *(assign.pick(F.col(f"s{at}"), shares).alias(f"v{at}") for at in range(len(salts)))
    )
    for row in picked.collect():
        for at, salt in enumerate(salts):
            assert row[f"s{at}"] == bucket(salt, row["unit"])
            assert row[f"v{at}"] == pick(bucket(salt, row["unit"]), shares)
    assert len(units) > 50


def test_units_are_spread_evenly() -> None:
    places = np.array([bucket("even", unit) for unit in UNITS])
    assert kstest(places, "uniform").pvalue > 0.01
    assert places.min() >= 0
    assert places.max() < 1


def test_two_salts_know_nothing_of_each_other() -> None:
    both = Counter((int(4 * bucket("one", unit)), int(4 * bucket("other", unit))) for unit in UNITS)
    assert chisquare([both[a, b] for a in range(4) for b in range(4)]).pvalue > 0.01


def test_variants_get_their_shares() -> None:
    shares = {"control": 0.6, "small": 0.1, "large": 0.3}
    counts = Counter(pick(bucket("shares", unit), shares) for unit in UNITS)
    expected = [share * len(UNITS) for share in shares.values()]
    assert chisquare([counts[name] for name in shares], expected).pvalue > 0.01


def test_a_place_on_an_end_belongs_to_the_next_share_and_rounding_leaves_nobody_out() -> None:
    assert [pick(place, {"a": 0.5, "b": 0.5}) for place in (0.0, 0.5 - 2**-52, 0.5, 1 - 2**-52)] == list(
        "aabb"
    )
    thirds = dict.fromkeys("abc", 0.333_333)
    assert pick(1 - 2**-52, thirds) == "c"


def test_the_treated_of_a_ramp_stay_treated() -> None:
    shares = (0.01, 0.05, 0.25, 0.5)
    reached = [{unit for unit in UNITS if treated("ramp", unit, share)} for share in shares]
    for fewer, more in pairwise(reached):
        assert fewer < more
    assert [len(each) / len(UNITS) for each in reached] == pytest.approx(shares, abs=0.01)


def test_ranges_of_a_layer_share_nobody() -> None:
    ends = (0.0, 0.2, 0.5, 1.0)
    each = [{unit for unit in UNITS if in_layer("layer", unit, *ends)} for ends in pairwise(ends)]
    assert sum(map(len, each)) == len(set.union(*each)) == len(UNITS)


def test_the_holdout_is_one_for_all_experiments_and_no_variant_of_any() -> None:
    kept = {unit for unit in UNITS if held_out("holdout", unit, 0.05)}
    assert len(kept) / len(UNITS) == pytest.approx(0.05, abs=0.005)
    counts = Counter(pick(bucket("some experiment", unit), {"a": 0.5, "b": 0.5}) for unit in kept)
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_a_crossover_changes_places() -> None:
    variants = ("control", "treatment")
    assert [buckets.by_number(unit, variants) for unit in ("8", "13", "100000000000000000001")] == [
        "control", "treatment", "treatment",
    ]  # fmt: skip
    assert [buckets.in_period("treatment", variants, period) for period in (1, 2, 3)] == [
        "treatment", "control", "treatment",
    ]  # fmt: skip
