"""What a fit would hang on, or learn nothing from, is told before it."""

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.errors import DataError, SettingsError
from firstday.ranking import examples
from firstday.ranking.baselines import with_baselines
from firstday.ranking.examples import Sizes, refuse_unfit

FINE = Sizes(40, 10, 6, 5, 0.0, 3.0, True, 1.0)


def found(**changed: object) -> dict[str, Sizes]:
    return {"train": Sizes(**{**vars(FINE), **changed}), "valid": FINE}


@pytest.mark.parametrize(
    ("sizes", "objective", "told"),
    [
        ({"valid": FINE}, "lambdarank", "to learn from"),
        ({"train": FINE}, "lambdarank", "to measure on"),
        (found(whole_labels=False), "lambdarank", "whole numbers.*with fractions"),
        (found(greatest_label=31.0), "lambdarank", "0 to 30"),
        (found(), "binary", "0 to 1.*0 to 3"),
        (found(greatest_label=0.0), "binary", "must differ.*all 40 are 0"),
        (found(greatest_label=0.0), "lambdarank", "must differ"),
        (found(mixed=0), "lambdarank", "lists to learn from must have rows with different labels.*10 lists"),
        (found(greatest_weight=0.0), "lambdarank", "weights"),
    ],
)
def test_examples_that_teach_nothing_are_refused(sizes: dict[str, Sizes], objective: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        refuse_unfit(sizes, objective)


def test_examples_that_teach_are_let_through() -> None:
    refuse_unfit(found(), "lambdarank")
    one = Sizes(**{**vars(FINE), "greatest_label": 1.0, "mixed": 0})
    refuse_unfit({"train": one, "valid": one}, "binary")
    assert examples.alike(found()) == ()
    assert "cannot be measured" in examples.alike({"valid": one})[0]


def test_sizes_and_baselines_of_a_small_table(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame(
        [
            ("train", 1, 0.0, 1.0, "a"),
            ("train", 1, 1.0, 2.0, "b"),
            ("train", 2, 1.0, 1.0, "b"),
            ("train", 2, 0.0, 1.0, None),
            ("valid", 3, 0.5, 1.0, "b"),
            ("valid", 3, 0.0, 1.0, "new"),
            ("valid", 3, 0.0, 1.0, "a"),
        ],
        columns=["split", "firstday_list", "label", "firstday_weight", "category"],
    ).assign(firstday_tie=[5, 4, 3, 2, 1, 7, 6], firstday_order=0.0, key="")
    frame = spark.createDataFrame(rows)
    sizes = examples.sizes(frame)
    assert sizes == {
        "train": Sizes(4, 2, 2, 2, 0.0, 1.0, True, 2.0),
        "valid": Sizes(3, 1, 3, 1, 0.0, 0.5, False, 1.0),
    }
    scored, names = with_baselines(frame, categories=True)
    found: pd.DataFrame = scored.where(F.col("split") == "valid").toPandas()
    valid = found.set_index("category")
    assert names == ("random", "popularity", "category mean")
    assert valid["popularity"].to_dict() == {"a": 0.0, "b": 2.0, "new": 0.0}
    assert valid["category mean"].to_dict() == {"a": 0.0, "b": 1.0, "new": 0.5}
    assert with_baselines(frame, categories=False)[1] == ("random",)
    # A list that is too long is cut by the hash, and the cut is told.
    assert examples.capped(frame, sizes)[1] == ()
    monkeypatch.setattr(examples, "LONGEST_LIST", 2)
    kept, [told] = examples.capped(frame, sizes)
    assert "longest has 3" in told
    assert sorted(row["category"] for row in kept.where("split = 'valid'").collect()) == ["a", "b"]


def test_a_cluster_that_takes_workers_away_is_refused(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples.refuse_session(spark)
    conf = spark.sparkContext.getConf()
    monkeypatch.setattr(conf, "get", lambda key, default: "true" if "dynamic" in key else default)
    monkeypatch.setattr(spark.sparkContext, "getConf", lambda: conf)
    with pytest.raises(SettingsError, match=r"dynamicAllocation.*fixed number of executors"):
        examples.refuse_session(spark)
