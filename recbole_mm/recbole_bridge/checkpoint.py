"""The file of a checkpoint: tensors and plain values, read with torch's weights-only check and without RecBole.

RecBole writes its configuration as an object of its own class, which torch refuses to load since 2.6. Here it is a
mapping of plain values in the file, and RecBole's `Config` again once it is read.
"""

from __future__ import annotations

import enum
import functools
import os
import pickle
import zipfile
from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.utils import EvaluatorType, InputType, ModelType, get_model

from recbole_mm.base.environment import environment
from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replaced
from recbole_mm.recbole_bridge import own_models
from recbole_mm.recbole_bridge.model_sources import named

ENUMS: dict[str, type[enum.Enum]] = {
    "MODEL_TYPE": ModelType,
    "MODEL_INPUT_TYPE": InputType,
    "eval_type": EvaluatorType,
}

# What RecBole's item-item models (EASE, ItemKNN, AsymKNN, SLIMElastic) keep beside their weights.
ADMITTED = {
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.matrix",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"scipy.sparse._{form}.{form}_{kind}" for form in ("csr", "csc", "lil") for kind in ("matrix", "array")),
}


def save(state: Mapping[str, Any], file: str | os.PathLike[str] | BytesIO, pickle_protocol: int = 2) -> None:
    """Replace a checkpoint in one step: a run that is killed while it saves leaves the one before.

    Parameters
    ----------
    state : mapping
        As RecBole's trainer makes it. Beside it the file gets `recbole_mm`: what the data are (ids, split, features),
        and the versions of all libraries.
    file : path or BytesIO
        Into the latter it is only written.
    pickle_protocol : int
        Not used: torch's weights-only reader knows its own protocol alone.

    Raises
    ------
    OSError
        The file cannot be written. (torch's own writer of files says RuntimeError to a full disk.)
    """
    config = state.get("config")
    if isinstance(config, Config):
        identity = config.__dict__.get("identity")
        about = {"environment": _environment(torch.get_num_threads()), "data": identity.state() if identity else None}
        state = {**state, "config": _plain_config(config), "recbole_mm": about}
    content = file if isinstance(file, BytesIO) else BytesIO()
    torch.save(own_models.loadable(state), content)
    if not isinstance(file, BytesIO):
        with replaced(Path(file)) as partial:
            partial.write_bytes(content.getbuffer())


@functools.cache
def _environment(threads: int) -> dict[str, str | int]:
    """Return what a checkpoint is made with; looking up the versions takes as long as saving a small model."""
    return environment()


def load_checkpoint(file: str | os.PathLike[str], map_location: Any = None) -> Any:
    """Read a checkpoint; its configuration is RecBole's `Config`, which expects the data that the checkpoint is of.

    Raises
    ------
    InputError
        A file that is damaged, no checkpoint of the pack, or that holds anything but tensors, plain values and arrays:
        the last is never unpickled.
    """
    _check_sums(file)
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(os.fspath(file))
    except pickle.UnpicklingError as error:
        raise _foreign(file, _line(error)) from None
    except Exception as error:  # broken bytes fail in many ways
        raise InputError(f"{file}: not a checkpoint of RecBole ({_line(error)})") from None
    if any(name.startswith("recbole.config.") for name in names):
        raise _foreign(file, "it holds RecBole's own Config")
    if strange := sorted(set(names) - ADMITTED):
        raise InputError(
            f"{file}: it asks for {', '.join(strange[:3])}, which could run code, and was not opened: a checkpoint of "
            "the pack holds tensors, plain values and arrays alone. Take one that you or somebody you trust has trained"
        )
    allowed: list[Any] = [(_found(name), name) for name in names if name in ADMITTED]
    if "numpy.dtype" in names:  # what it makes are of classes of their own, which no name in the file gives away
        allowed += {type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "b1", "O")}
    with torch.serialization.safe_globals(allowed):  # process-wide while it lasts, and only ever additional
        try:
            state: Any = torch.load(file, map_location=map_location, weights_only=True)
        except pickle.UnpicklingError:  # whose text advises to turn the check off
            raise InputError(f"{file}: torch's weights-only check refuses it: not a checkpoint of RecBole") from None
    if isinstance(state, dict) and isinstance(state.get("config"), dict):
        try:
            state["config"] = _config(state["config"])
            state["config"].expected = (state.get("recbole_mm") or {}).get("data")
        except InputError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"{file}: its settings are not those of a run ({_line(error)})") from None
    return state


def load_trained(file: str | os.PathLike[str], map_location: Any = None, also: Collection[str] = ()) -> dict[str, Any]:
    """Read a checkpoint as `load_checkpoint` does, and check that it is that of a run.

    Parameters
    ----------
    file : path
    map_location : device, optional
        As of `torch.load`.
    also : collection of str
        What it needs beside its settings and weights.

    Raises
    ------
    InputError
        As `load_checkpoint`, or something is missing.
    """
    state = load_checkpoint(file, map_location)
    if not isinstance(state, dict) or not isinstance(state.get("config"), Config):
        raise InputError(f"{file}: it holds no settings of a run: not a checkpoint of RecBole")
    if missing := [name for name in ("state_dict", *also) if state.get(name) is None]:
        raise InputError(
            f"{file}: {' and '.join(missing)} of the training are not there: take the file as the run has left it"
        )
    return state


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _foreign(file: str | os.PathLike[str], why: str) -> InputError:
    return InputError(
        f"{file}: not readable without running code from it ({why}). RecBole writes such checkpoints when recbole_mm "
        "is not imported, and so did recbole_mm 0.1: import recbole_mm before training, and train again."
    )


def _check_sums(file: str | os.PathLike[str]) -> None:
    """Refuse a file whose content does not have the check sums that it was written with."""
    if not Path(file).is_file():
        raise InputError(f"{file}: there is no such checkpoint")
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # of zipfile, of zlib, of struct
        raise InputError(f"{file}: not a checkpoint of RecBole, or damaged ({_line(error)})") from None
    if damaged is not None:
        raise InputError(f"{file}: damaged: {damaged} does not have the content that was written. Take another copy.")


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(__import__(module, fromlist=[attribute]), attribute)


def _plain_config(config: Config) -> dict[str, Any]:
    """Return what `_config` makes a Config of: what the user gave, and all settings that came of it."""
    return {"given": _plain(config.external_config_dict), "settings": _plain(config.final_config_dict)}


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return _plain(value.tolist())
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _config(saved: Mapping[str, Any]) -> Config:
    """Return RecBole's Config of what a checkpoint holds; on a machine without a GPU its device is the CPU."""
    config = Config.__new__(Config)
    config._init_parameters_category()
    config.yaml_loader = config._build_yaml_loader()
    settings = dict(saved["settings"])
    for key, kind in ENUMS.items():
        if settings.get(key) is not None:
            settings[key] = kind[settings[key]]
    settings["device"] = torch.device(settings["device"] if torch.cuda.is_available() else "cpu")
    config.external_config_dict = config.variable_config_dict = dict(saved["given"])
    config.file_config_dict, config.cmd_config_dict, config.internal_config_dict = {}, {}, {}
    config.final_config_dict = settings
    config.model, config.dataset = settings["model"], settings["dataset"]
    config.model_class = get_model(named(config.model, settings.get("model_source")))
    return config
