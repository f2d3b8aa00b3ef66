"""The tables that labelling writes beside soft_labels and label_patterns, without run_id."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from firstday.labels.models import fitting
from firstday.labels.models.base import LabelModel
from firstday.tables.schemas import table_schema

LABEL_MODEL = table_schema(
    [
        ("kind", T.StringType()),
        ("voters", T.LongType()),
        ("classes", T.IntegerType()),
        ("balance", T.ArrayType(T.DoubleType())),
        ("notes", T.ArrayType(T.StringType())),
        ("iterations", T.LongType()),
        ("converged", T.BooleanType()),
        ("model", T.StringType()),
    ]
)


def label_model(spark: SparkSession, model: LabelModel) -> DataFrame:
    """One row; `model` holds all of it as JSON, to be applied to other rows."""
    row = (
        model.kind,
        len(model.voters),
        model.classes,
        model.balance.tolist(),
        list(model.notes),
        model.iterations,
        model.converged,
        fitting.to_json(model),
    )
    return spark.createDataFrame([row], LABEL_MODEL)
