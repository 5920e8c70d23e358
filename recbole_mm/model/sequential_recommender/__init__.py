"""Models that score items for a history."""
