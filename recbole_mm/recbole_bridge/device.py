"""The device of a run: what the user asks for, checked, and honoured where RecBole would pass over it.

RecBole chooses by `gpu_id` alone: it overwrites `device`, and trains on a GPU although `use_gpu` is false.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import torch

from recbole_mm.base.errors import InputError

DEVICE = re.compile(r"(cpu)|(cuda)(?::(\d+))?")
GPU_IDS = re.compile(r"|\d+(,\d+)*|(GPU|MIG)-[^,\s]+(,(GPU|MIG)-[^,\s]+)*")


def as_asked(init_device: Any) -> Any:
    """Wrap `Config._init_device` so that it gives the device that the settings ask for.

    Raises
    ------
    InputError
        From the wrapped method: a `device` or `gpu_id` that is none, or that torch does not find.
    """

    @functools.wraps(init_device)
    def wrapped(self: Any) -> None:
        final, asked = self.final_config_dict, self.external_config_dict.get("device")
        final["gpu_id"] = _gpu_ids(final["gpu_id"])
        kind, index = ("", None) if asked is None else _device(str(asked))
        if kind == "cuda" and final["use_gpu"] is False:
            raise InputError(f"device is {asked} and use_gpu is False: leave one of them out")
        if "local_rank" in final and (kind == "cpu" or index is not None or final["use_gpu"] is False):
            raise InputError("RecBole trains in several processes only on GPUs, one each: leave out device and use_gpu")
        if kind == "cpu" or final["use_gpu"] is False:
            final["gpu_id"] = ""  # RecBole's way to ask for the CPU
        elif index is not None and "gpu_id" not in self.external_config_dict:
            final["gpu_id"], index = str(index), None  # RecBole hides all GPUs but those of gpu_id
        init_device(self)
        if kind == "cpu":
            final["use_gpu"] = False  # which RecBole's trainer asks for
        if kind == "cuda":
            _check_found(str(asked), index, final)
            final["device"] = torch.device("cuda" if index is None else f"cuda:{index}")

    return wrapped


def without_gpu(config: Any) -> str:
    """Return the warning that the user asks for a GPU and the run has none; empty where that is not so.

    Parameters
    ----------
    config : Config
        Its device is chosen.
    """
    given = config.external_config_dict
    asked = [name for name in ("gpu_id", "use_gpu") if name in given and config[name] not in ("", False)]
    if given.get("use_gpu") is True and "use_gpu" not in asked:
        return f"use_gpu is True and device is {given['device']}: training on the CPU"
    if not asked or config["device"].type != "cpu":
        return ""
    settings = ", ".join(f"{name}={config[name]}" for name in asked)
    return f"{settings}: torch finds no such GPU on this machine: training on the CPU"


def device_of(name: str) -> str:
    """Return the device that was named, if it is there; without a name `cuda` where there is a GPU, else `cpu`."""
    return str(found_device(name)) if name else "cuda" if torch.cuda.is_available() else "cpu"


def found_device(text: str) -> torch.device:
    """Return a device by its name.

    Raises
    ------
    InputError
        There is none of that name, or torch does not find it.
    """
    kind, index = _device(text)
    if kind == "cuda" and (index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device is {text}, but torch finds no such GPU: set device to cpu, or install a torch for your GPU"
        )
    return torch.device(text)


def _device(text: str) -> tuple[str, int | None]:
    match = DEVICE.fullmatch(text)
    if match is None:
        raise InputError(f"unknown device '{text}': it must be cpu, cuda or, for the second GPU, cuda:1")
    return match[1] or match[2], None if match[3] is None else int(match[3])


def _gpu_ids(value: Any) -> str:
    parts = value if isinstance(value, list | tuple) else str("" if value is None else value).split(",")
    ids = [str(part).strip() for part in parts]
    text = ",".join(ids)
    if GPU_IDS.fullmatch(text) is None:
        raise InputError(
            f"invalid gpu_id {value!r}: it must be whole numbers between commas, such as 0,1, CUDA's own ids, such as "
            "GPU-..., or empty for the CPU"
        )
    if len(set(ids)) < len(ids):
        raise InputError(f"duplicate number in gpu_id '{text}': name each GPU once")
    return text


def _check_found(asked: str, index: int | None, final: dict[str, Any]) -> None:
    gpu_id = final["gpu_id"]
    if final["device"].type != "cuda":
        raise InputError(
            f"device is {asked}, but torch finds no such GPU (gpu_id is '{gpu_id}'): set device to cpu, or install a "
            "torch for your GPU"
        )
    if index is not None and index >= len(gpu_id.split(",")):
        raise InputError(
            f"device is {asked}, which counts the GPUs of gpu_id, from 0, and gpu_id is {gpu_id}: leave one of them out"
        )
