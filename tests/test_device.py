"""The device of a run is the one that was asked for, or the run is refused; GPUs are imitated."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from recbole.config import Config
from test_checks import message

from recbole_mm.commands import cli
from recbole_mm.recbole_bridge.device import without_gpu


def made(**given: Any) -> Config:
    return Config("BPR", "ml-100k", config_dict=given)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch find the GPUs that CUDA_VISIBLE_DEVICES leaves of three."""

    def visible() -> bool:
        return os.environ["CUDA_VISIBLE_DEVICES"].split(",")[0] in {"0", "1", "2", "GPU-5", "GPU-6"}

    monkeypatch.setattr(torch.cuda, "is_available", visible)


def refused(**given: Any) -> str:
    return message(lambda: made(**given))


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("given", "device", "gpu_id"),
    [
        ({}, "cuda", "0"),
        ({"use_gpu": True}, "cuda", "0"),
        ({"use_gpu": False}, "cpu", ""),
        ({"device": "cpu"}, "cpu", ""),
        ({"device": torch.device("cpu")}, "cpu", ""),
        ({"device": "cpu", "gpu_id": "1"}, "cpu", ""),
        ({"gpu_id": ""}, "cpu", ""),
        ({"gpu_id": None}, "cpu", ""),
        ({"gpu_id": 1}, "cuda", "1"),
        ({"gpu_id": "1,2"}, "cuda", "1,2"),
        ({"gpu_id": [1, 2]}, "cuda", "1,2"),
        ({"gpu_id": "GPU-5, GPU-6"}, "cuda", "GPU-5,GPU-6"),
        ({"device": "cuda"}, "cuda", "0"),
        ({"device": "cuda:2"}, "cuda", "2"),  # the only one that is visible then
        ({"device": "cuda:1", "gpu_id": "1,2"}, "cuda:1", "1,2"),
    ],
)
def test_the_device_is_the_one_asked_for(given: dict[str, Any], device: str, gpu_id: str) -> None:
    config = made(**given)
    assert (str(config["device"]), config["gpu_id"]) == (device, gpu_id)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu_id
    assert without_gpu(config) == ""


NO_GPU = "but torch finds no such GPU (gpu_id is '{}'): set device to cpu, or install a torch for your GPU"


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"device": "mars"}, "unknown device 'mars': it must be cpu, cuda or, for the second GPU, cuda:1"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x': it must be cpu, cuda or, for the second GPU, cuda:1"),
        ({"device": "cuda", "use_gpu": False}, "device is cuda and use_gpu is False: leave one of them out"),
        ({"device": "cuda", "gpu_id": ""}, f"device is cuda, {NO_GPU.format('')}"),
        ({"device": "cuda:7"}, f"device is cuda:7, {NO_GPU.format('7')}"),
        (
            {"device": "cuda:2", "gpu_id": "1,2"},
            "device is cuda:2, which counts the GPUs of gpu_id, from 0, and gpu_id is 1,2: leave one of them out",
        ),
        (
            {"gpu_id": "abc"},
            "invalid gpu_id 'abc': it must be whole numbers between commas, such as 0,1, CUDA's own ids, such as "
            "GPU-..., or empty for the CPU",
        ),
        ({"gpu_id": "0,0"}, "duplicate number in gpu_id '0,0': name each GPU once"),
    ],
)
def test_a_device_that_is_none_is_refused(given: dict[str, Any], expected: str) -> None:
    assert refused(**given) == expected


def test_a_gpu_that_the_machine_lacks_is_refused_by_device_and_told_of_by_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refused(device="cuda") == f"device is cuda, {NO_GPU.format('0')}"
    end = "torch finds no such GPU on this machine: training on the CPU"
    assert without_gpu(made(gpu_id=0)) == f"gpu_id=0: {end}"
    assert without_gpu(made(use_gpu=True, gpu_id="1,2")) == f"gpu_id=1,2, use_gpu=True: {end}"
    assert without_gpu(made(use_gpu=True, device="cpu")) == "use_gpu is True and device is cpu: training on the CPU"
    for given in ({}, {"device": "cpu"}, {"use_gpu": False}, {"use_gpu": False, "gpu_id": "1"}, {"gpu_id": ""}):
        assert without_gpu(made(**given)) == ""


@pytest.mark.parametrize("given", [{"device": "cpu"}, {"use_gpu": False}, {"device": "cuda:1"}])
def test_several_processes_want_their_own_gpus(given: dict[str, Any]) -> None:
    assert refused(local_rank=0, **given) == (
        "RecBole trains in several processes only on GPUs, one each: leave out device and use_gpu"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["extract", "ml-100k", "--modality=image", "--source=posters/", "--encoder=logmel"],
        ["pretrain", "--images=posters/", "--out=out"],
        ["refine", "--images=posters/", "--out=out", "--encoder=vit:none.safetensors"],
    ],
)
@pytest.mark.parametrize(("device", "said"), [("gpu", "unknown device 'gpu'"), ("cuda:7", "torch finds no such GPU")])
def test_features_are_made_on_a_device_that_is_there(
    command: list[str], device: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert cli.main(["features", *command, f"--device={device}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
