"""Which recommender brings that about: recall, rank, slots, contents, and what a new policy would earn."""
