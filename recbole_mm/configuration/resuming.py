"""The settings of a run that goes on: those of its checkpoint, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from recbole.config import Config

from recbole_mm.base.errors import InputError
from recbole_mm.base.plain import to_json
from recbole_mm.configuration.request import Request, build_config, check_command, check_settings, read_yaml
from recbole_mm.configuration.valid_names import PLACE
from recbole_mm.data.file_checks import check_files
from recbole_mm.recbole_bridge import checkpoint
from recbole_mm.recbole_bridge.model_sources import named

# What may change from one part of a run to the next: how long it trains, and where and with what.
FREE = PLACE | {"epochs", "pretrain_epochs", "stopping_step", "eval_batch_size", "worker"}


def configure_resumed(request: Request) -> Config:
    """Build RecBole's Config of a run that goes on; the data that are loaded for it must be the checkpoint's.

    Raises
    ------
    InputError
        A checkpoint that cannot be read, or a model, dataset or setting that is not that of the checkpoint.
    """
    file = Path(request.resume)
    given = {key: value for each in request.config_files for key, value in read_yaml(each).items()}
    given |= request.settings or {}
    if model := request.model or given.get("model"):  # before the checkpoint is read: its file may have been moved
        request = replace(request, model=named(str(model), given.get("model_source")))
    saved = checkpoint.load_checkpoint(file, map_location="cpu")["config"]
    for key in ("model", "dataset"):
        asked = getattr(request, key) or given.get(key, saved[key])
        if asked != saved[key]:
            raise InputError(f"--resume={file} was trained with {key} '{saved[key]}', not '{asked}'")
    check_command(replace(request, model=saved["model"], dataset=saved["dataset"]))
    settings = {**saved.external_config_dict, **given}
    data_path = settings.get("data_path")
    config = build_config(Request(settings=settings), saved["model"], saved["dataset"], data_path)
    _check_same(file, saved.final_config_dict, config.final_config_dict, set(given))
    check_settings(config)
    config.expected = saved.expected
    if config.expected is None:
        raise InputError(f"--resume={file}: the checkpoint does not say which data it was trained on: train again")
    check_files(config)
    return config


def _check_same(file: Path, saved: dict[str, Any], now: dict[str, Any], given: set[str]) -> None:
    changed = [
        f"{key} is {to_json(now.get(key))!r} and was {to_json(saved.get(key))!r}"
        for key in sorted(now)
        if key not in FREE and (key in saved or key in given) and to_json(now[key]) != to_json(saved.get(key))
    ]
    if changed:
        raise InputError(
            f"--resume={file}: {'; '.join(changed)}. A resumed run keeps its settings: leave out those that differ, "
            "or train again. Only epochs, stopping_step and the execution settings may change"
        )
