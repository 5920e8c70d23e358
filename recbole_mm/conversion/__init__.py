"""Somebody else's layouts of a dataset, turned into RecBole's atomic files and feature files."""
