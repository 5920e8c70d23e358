"""A look at a dataset: its numbers, its features, and what is wrong with it, as text and as a page."""
