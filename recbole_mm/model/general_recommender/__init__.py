"""Models that score items for a user."""
