"""Other libraries beside the pack: one script each, which runs as `peers.X_side` in the library's own environment."""
