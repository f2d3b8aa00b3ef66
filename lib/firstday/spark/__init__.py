"""The session Spark runs in, what it needs to start, and small helpers for DataFrames."""
