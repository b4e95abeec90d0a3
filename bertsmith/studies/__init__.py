"""Comparisons under an equal budget: arms, seeds, runs, and what they say about a claim."""
