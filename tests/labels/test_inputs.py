"""What the label job reads fits its settings, its functions and an earlier model, or is refused."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pyspark.sql import SparkSession

from firstday.errors import SettingsError
from firstday.labels.functions import LabelFunction, LabelFunctions
from firstday.labels.inputs import _as_checked, _refuse_other_functions
from firstday.labels.models import fitting
from firstday.labels.patterns import Patterns
from firstday.tables import Input, check, schemas


def test_functions_are_checked_against_rows_as_they_will_be(spark: SparkSession) -> None:
    # With the rows called s, s.x is both a field of the column s and a column of the rows.
    rows = spark.sql("select 7 as row_id, 1 as x, named_struct('x', 2) as s").alias("s")
    assert rows.select("s.x").first() == (1,)
    plain = _as_checked(rows)
    assert plain.select("s.x").first() == (2,)
    assert plain.dtypes == [("row_id", "string"), *rows.dtypes[1:]]
    assert _as_checked(rows.drop("row_id")).columns == ["x", "s"]


def test_a_model_is_applied_to_its_own_functions_and_classes_only() -> None:
    def rules(*classes: str, name: str = "many") -> LabelFunctions:
        return LabelFunctions(classes, (LabelFunction(name, "reports > 5", 1),))

    votes = Patterns.of(np.array([[1], [-1]]), 2, ["many"])
    unnamed = fitting.fit(votes, "majority")
    named = replace(unnamed, class_names=("honest", "fraud"))
    _refuse_other_functions(rules("fraud", "honest"), unnamed)
    _refuse_other_functions(rules("honest", "fraud"), named)
    for other, told in (
        (rules("fraud", "honest"), r"in its order.*Write classes: \[honest, fraud\]"),
        (rules("honest", "bot"), "Got: 'honest', 'bot'"),
        (rules("honest", "fraud", "unsure"), "Got: '3 classes'"),
        (rules("honest", "fraud", name="few"), "Got: 'few', 'many'"),
    ):
        with pytest.raises(SettingsError, match=told):
            _refuse_other_functions(other, named)


def test_a_vote_that_fits_no_int_does_not_wrap_round_into_a_class(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", 1), ("b", 2**32 + 1)], "row_id string, voter bigint")
    source = Input("votes", "votes", "parquet", "1", frame, None)
    checked = check(source, schemas.wide_votes(["voter"], None), now=datetime(2024, 6, 1, tzinfo=UTC))
    assert [tuple(row) for row in checked.good.collect()] == [("a", 1)]
    assert checked.profile.reasons == {"voter is a vote outside of the classes": 1}
