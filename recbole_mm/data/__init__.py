"""Data: feature files, multimodal datasets, the embedded dataset."""
