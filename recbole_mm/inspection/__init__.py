"""A look at a data set: its numbers, its features, and what is wrong with it, as text and as a page."""
