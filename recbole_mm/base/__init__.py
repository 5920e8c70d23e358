"""What every room of the pack uses: errors, files, randomness, versions."""
