"""From a ranker to lists: recall, filters, slots, contents, and how lists were taken."""
