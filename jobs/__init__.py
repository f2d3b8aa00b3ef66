"""One thin script a job: settings, session, read, one call a step, write, track.

Each module has `run(settings, ...)`, which the command line calls, and `main(argv=None)`, which
spark-submit, a Databricks wheel task and `python -m` call: the same command with the same flags.
"""
