"""Somebody else's layouts of a data set, turned into RecBole's atomic files and feature files."""
