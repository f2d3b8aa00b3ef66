"""Label models: each weighs the votes without an answer key, from sums over patterns alone."""
