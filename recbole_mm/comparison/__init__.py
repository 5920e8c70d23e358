"""Comparisons of models over data sets and seeds."""
