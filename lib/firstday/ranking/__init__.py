"""From the log to a ranker: history, features, examples, the LightGBM model and its baselines."""
