"""Features out of raw items: texts and images, encoded in batches, with a card that says how."""
