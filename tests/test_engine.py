"""How a run computes: threads, denormal numbers and the optimizer's kernels change no result."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recbole
import recbole.trainer.trainer
import torch
import yaml
from new_process import python
from recbole.data.interaction import Interaction
from recbole.model.general_recommender import BPR
from recbole.model.layers import FeedForward
from training import train

from benchmarks.plain import recboles_own
from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request, configure
from recbole_mm.graphs import products as sparse
from recbole_mm.recbole_bridge.engine import computing
from recbole_mm.settings.execution import Engine

pytestmark = pytest.mark.slow  # left out by `make quick`


@pytest.mark.parametrize("model", ["BPR", "LightGCN", "NGCF", "SGL", "SpectralCF", "MHCR"])
def test_models_train_as_on_recboles_own_parts(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "MET_OFTEN", 4)
    settings: dict[str, Any] = {"train_batch_size": 500, "epochs": 3}
    with recboles_own():
        plain = train(model, **settings)
    fast = train(model, **settings)
    np.testing.assert_allclose(fast.losses, plain.losses, rtol=1e-4)
    assert fast.losses[0] > fast.losses[2]
    assert fast.trainer.optimizer.defaults["fused"]
    assert not plain.trainer.optimizer.defaults["fused"]


@pytest.mark.parametrize("model", ["LightGCN", "NGCF", "SGL", "SpectralCF", "DGCF", "GCMC"])
def test_graph_models_train_in_mixed_precision(model: str) -> None:
    settings: dict[str, Any] = {"train_batch_size": 1000, "epochs": 1}
    full, mixed = (train(model, enable_amp=amp, **settings).losses for amp in (False, True))
    np.testing.assert_allclose(mixed, full, rtol=1e-2)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_one_kernel_steps_as_torchs_plain_optimizer(name: str) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(1000), torch.randn(5, 1000)
    weights = []
    for module in (recbole.trainer.trainer.optim, torch.optim):
        weight = torch.nn.Parameter(start.clone())
        optimizer = getattr(module, name)([weight], lr=0.01, weight_decay=0.1)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        weights.append(weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-7)


def test_the_one_kernel_of_gelu_is_recboles_formula() -> None:
    layer = FeedForward(4, 8, 0.0, "gelu", 1e-12)
    x = torch.linspace(-6, 6, 1001, requires_grad=True)
    written_out = x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))
    fused = layer.intermediate_act_fn(x)
    assert "Gelu" in type(fused.grad_fn).__name__
    torch.testing.assert_close(fused, written_out, rtol=1e-5, atol=1e-6)
    grads = (torch.autograd.grad(y.sum(), x)[0] for y in (fused, written_out))
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-6)


class TestComputing:
    def test_threads_for_the_block_alone(self) -> None:
        before = torch.get_num_threads()
        with computing(Engine(threads=before + 1)):
            assert torch.get_num_threads() == before + 1
        with pytest.raises(ValueError, match="within"), computing(Engine(threads=before + 1)):
            raise ValueError("within")
        assert torch.get_num_threads() == before
        with computing(Engine()):
            assert torch.get_num_threads() == before

    def test_denormal_numbers_are_0_in_the_block_alone(self) -> None:
        tiny = torch.tensor([1e-40])
        assert tiny * 0.5 > 0
        with computing(Engine()):
            assert tiny * 0.5 == 0
        assert tiny * 0.5 > 0

    def test_a_block_within_a_block_and_a_user_s_own_choice_leave_it_as_it_was(self) -> None:
        tiny = torch.tensor([1e-40])
        with computing(Engine()):
            with computing(Engine()):
                pass
            assert tiny * 0.5 == 0
        torch.set_flush_denormal(True)
        try:
            with computing(Engine()):
                pass
            assert tiny * 0.5 == 0
        finally:
            torch.set_flush_denormal(False)

    def test_so_they_are_in_threads_that_torch_starts_later(self) -> None:
        script = (
            "import torch\nfrom recbole_mm.recbole_bridge.engine import Engine, computing\n"
            "with computing(Engine(threads=2)):\n    print(int((torch.full((4_000_000,), 1e-40) * 0.5 != 0).sum()))"
        )
        done = python("-c", script, plugged_in=True)
        assert done.stdout == "0\n"

    def test_training_through_recboles_own_functions_has_both(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = set()
        compute = BPR.calculate_loss

        def watched(model: Any, batch: Any) -> torch.Tensor:
            seen.add((torch.get_num_threads(), float(torch.tensor([1e-40]) * 0.5)))
            return compute(model, batch)

        monkeypatch.setattr(BPR, "calculate_loss", watched)
        before = torch.get_num_threads()
        train("BPR", threads=before + 1, epochs=1)
        assert seen == {(before + 1, 0.0)}
        assert torch.get_num_threads() == before


def test_no_setting_has_the_name_of_one_of_recboles() -> None:
    files = sorted((Path(recbole.__file__).parent / "properties").rglob("*.yaml"))
    taken = {key for file in files for key in yaml.safe_load(file.read_text(encoding="utf-8")) or {}}
    assert {"knn_method", "embedding_size"} <= taken
    assert not taken & {field.name for field in dataclasses.fields(Engine)}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("threads", -1, "threads must be between 0 and 1024, not -1"),
        ("eval_memory", 0, "eval_memory must be at least 1, not 0"),
        ("eval_memory", "much", "eval_memory must be a whole number, not 'much'"),
        ("neighbour_search", "fais", "neighbour_search must be one of exact, faiss, not 'fais'. Did you mean 'faiss'?"),
    ],
)
def test_settings_are_checked_for_every_model(key: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        configure(Request(model="BPR", settings={key: value}))


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_scores_that_are_kept_are_made_again_after_a_step(name: str) -> None:
    run = train("VBPR", epochs=1, train_batch_size=1000)
    model = run.model.eval()
    batch = Interaction(
        {model.USER_ID: torch.arange(1, 9), model.ITEM_ID: torch.arange(1, 9), model.NEG_ITEM_ID: torch.arange(2, 10)}
    )
    optimizer = getattr(recbole.trainer.trainer.optim, name)(model.parameters(), lr=0.1)
    before = model.predict(batch)
    model.calculate_loss(batch).backward()
    optimizer.step()
    found = model.predict(batch)
    assert not torch.allclose(found, before)
    torch.testing.assert_close(found, model.train().eval().predict(batch))


FAULTS = """
import resource, sys, torch
from recbole_mm.recbole_bridge.engine import computing
from recbole_mm.settings.execution import Engine

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16 << 20)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
before = faults()
with computing(Engine()):
    print(before, min(faults() for _ in range(10)))  # the kernel moves pages, too: that only adds
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="glibc's memory")
@pytest.mark.parametrize("given", [{}, {"MALLOC_MMAP_THRESHOLD_": "1048576"}])
def test_freed_memory_is_kept_for_the_next_tensors_unless_the_environment_says_otherwise(given: dict[str, str]) -> None:
    done = python("-c", FAULTS, env={**os.environ, **given})
    assert not done.returncode, done.stderr
    before, kept = map(int, done.stdout.split())
    assert before > 100  # pages of 4 KiB, or of 2 MiB
    assert kept > 100 if given else kept < before / 100
