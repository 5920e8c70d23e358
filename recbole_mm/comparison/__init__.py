"""Comparisons of models over datasets and seeds."""
