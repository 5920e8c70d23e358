"""Sweeps over settings with Ray Tune: spaces, trials, the sweep itself, and what it leaves behind."""
