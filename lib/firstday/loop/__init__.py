"""The whole loop: which steps there are, what each takes from the others, and what was done already."""
