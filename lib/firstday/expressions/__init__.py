"""SQL expressions of users: parsed by Spark, checked whole before anything runs."""
