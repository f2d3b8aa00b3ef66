"""The tables that jobs write, as this version of the package declares them: for what works on any output."""

from pyspark.sql.types import StructType

from firstday.experiments import assign, results
from firstday.labels import outputs as labels
from firstday.moments import outputs as moments
from firstday.ranking import outputs as ranker
from firstday.recommendations import recommendation_outputs as recommendations

# By the job that writes them, without run_id. The histograms' columns depend on settings as well.
DECLARED: dict[str, dict[str, StructType]] = {
    "discover": moments.TABLES
    | {
        "label_changes": moments.LABEL_CHANGES,
        "moment_timing": moments.MOMENT_TIMING,
        "moment_pairs": moments.MOMENT_PAIRS,
    },
    "label": labels.TABLES,
    "train": ranker.TABLES,
    "recommend": recommendations.TABLES,
    "assign": assign.TABLES,
    "measure": results.TABLES,
}
BY_SETTINGS = ("moment_counts", "moment_products", "left_out_counts", "left_out_products")
SCHEMAS = {name: schema for tables in DECLARED.values() for name, schema in tables.items()}
NAMES = (*SCHEMAS, *BY_SETTINGS)
