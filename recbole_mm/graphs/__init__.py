"""Graphs of users and items: building them, nearest neighbours, sparse products."""
