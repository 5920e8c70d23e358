"""What result.json holds of a run while it trains: what it is, and its epochs so far."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config

from recbole_mm.base.environment import environment
from recbole_mm.base.memory import peak_memory
from recbole_mm.base.metrics import best_epoch
from recbole_mm.data.identity import data_hash
from recbole_mm.training.result_files import resolved_config


def about_run(config: Config, trainer: Any, dataset: Any, folder: Path) -> dict[str, Any]:
    """Return what is the same from the beginning of a run to its end."""
    return {
        "model": config["model"],
        "dataset": config["dataset"],
        "dataset_hash": data_hash(dataset),
        "seed": config["seed"],
        "valid_metric": config["valid_metric"],
        "n_parameters": _n_parameters(trainer.model),
        "environment": environment(),
        "config": resolved_config(config),
        "folder": str(folder),
    }


def progress_of_run(config: Config, trainer: Any) -> dict[str, Any]:
    """Return what the epochs so far tell."""
    seconds = [entry["seconds"] for entry in trainer.history]
    return {
        "best_epoch": best_epoch(trainer.history, config["valid_metric"]),
        "epochs": len(trainer.history),
        "seconds_per_epoch": statistics.median(seconds) if seconds else None,
        "history": trainer.history,
        "learning_rates": trainer.learning_rates,
        "checkpoint": str(trainer.saved_model_file),
        "peak_memory_mib": peak_memory(),
    }


def _n_parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters()) if isinstance(model, torch.nn.Module) else 0  # trees have none
