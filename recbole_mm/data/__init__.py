"""Data: feature files, multimodal datasets, the embedded data set."""
