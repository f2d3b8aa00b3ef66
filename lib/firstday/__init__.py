"""Distributed Spark jobs that find what, done on the first day, makes users stay."""

__version__ = "0.1.0"
