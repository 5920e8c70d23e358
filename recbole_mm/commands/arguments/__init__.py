"""What each command takes, in modules that import nothing heavy: help and mistakes come at once."""
