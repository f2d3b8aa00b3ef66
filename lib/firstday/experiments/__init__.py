"""Who gets what, what came of it, and how sure that is: A/B, crossover, ramp-up."""
