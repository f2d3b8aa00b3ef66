"""What the label job reads fits its settings, its functions and an earlier model, or is refused."""

from pyspark.sql import SparkSession

from firstday.inputs.label import _as_checked


def test_functions_are_checked_against_rows_as_they_will_be(spark: SparkSession) -> None:
    # With the rows called s, s.x is both a field of the column s and a column of the rows.
    rows = spark.sql("select 7 as row_id, 1 as x, named_struct('x', 2) as s").alias("s")
    assert rows.select("s.x").first() == (1,)
    plain = _as_checked(rows)
    assert plain.select("s.x").first() == (2,)
    assert plain.dtypes == [("row_id", "string"), *rows.dtypes[1:]]
    assert _as_checked(rows.drop("row_id")).columns == ["x", "s"]
