"""Where a run goes on, and with which settings: those of its checkpoint, and no others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole.config import Config

from recbole_mm.base.errors import InputError
from recbole_mm.base.plain import to_json
from recbole_mm.configuration.request import Request, build_config, check_command, check_settings, settings_in
from recbole_mm.configuration.valid_names import PLACE
from recbole_mm.data.file_checks import check_files
from recbole_mm.recbole_bridge import checkpoint
from recbole_mm.recbole_bridge.model_sources import named

# What may change from one part of a run to the next: how long it trains, and where and with what.
FREE = PLACE | {"epochs", "pretrain_epochs", "stopping_step", "eval_batch_size", "worker", "last_state_every", "log"}

BEST, LAST = ".pth", ".last"  # the endings of the files of a run's best state and of its last one
STATE = ("epoch", "cur_step", "best_valid_score", "optimizer")  # what training on needs of a checkpoint


@dataclass(frozen=True, slots=True)
class Resumption:
    """A run that goes on.

    Attributes
    ----------
    config : Config
        Of the run.
    file : Path
        The later one of its two states, from which it goes on.
    epoch : int
        The last one that is part of that state.
    best : Path
        The file of its best state, which need not be there yet.
    """

    config: Config
    file: Path
    epoch: int
    best: Path


def configure_resumed(request: Request) -> Resumption:
    """Find where a run goes on, and build RecBole's Config of it; the data loaded for it must be the checkpoint's.

    Raises
    ------
    InputError
        A checkpoint that cannot be read, or a model, dataset or setting that is not that of the checkpoint.
    """
    best, there = _states(request.resume)
    given = settings_in(request.config_files) | dict(request.settings or {})
    if model := request.model or given.get("model"):  # before the checkpoint is read: its file may have been moved
        request = replace(request, model=named(str(model), given.get("model_source")))
    states = {each: checkpoint.load_trained(each, "cpu", also=STATE) for each in there}
    file = max(there, key=lambda each: int(states[each]["epoch"]))
    saved = states[file]["config"]
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
    return Resumption(config, file, int(states[file]["epoch"]), best)


def _states(resume: str) -> tuple[Path, list[Path]]:
    """Return the file of the best state of a run, and the files of its states that are there.

    Parameters
    ----------
    resume : str
        One of its two files, or its folder.
    """
    path = Path(resume)
    if path.is_dir():
        found = sorted(path.glob(f"*{LAST}")) or sorted(path.glob(f"*{BEST}"))
        if len(found) != 1:
            held = f"holds {', '.join(file.name for file in found)}: name one" if found else "holds no checkpoint"
            raise InputError(f"--resume={resume}: this folder {held}")
        path = found[0]
    best = path.with_suffix(BEST) if path.suffix == LAST else path
    there = [file for file in (best, best.with_suffix(LAST)) if file.is_file()]
    if not there:
        raise InputError(f"--resume={resume}: there is no such checkpoint")
    return best, there


def _check_same(file: Path, saved: dict[str, Any], now: dict[str, Any], given: set[str]) -> None:
    changed = [
        f"{key} is {to_json(now.get(key))!r} and was {to_json(saved.get(key))!r}"
        for key in sorted(now)
        if key not in FREE and (key in saved or key in given) and to_json(now[key]) != to_json(saved.get(key))
        if key != "learning_rate" or not _is_lower(now[key], saved.get(key))
    ]
    if changed:
        raise InputError(
            f"--resume={file}: {'; '.join(changed)}. A resumed run keeps its settings: leave out those that differ, "
            "or train again. Only epochs, stopping_step and the execution settings may change, and learning_rate may "
            "become lower"
        )


def _is_lower(now: object, then: object) -> bool:
    return isinstance(now, int | float) and isinstance(then, int | float) and 0 < now < then
