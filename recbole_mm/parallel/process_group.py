"""What processes that train one model together tell each other, through torch.distributed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

INTERFACE = "GLOO_SOCKET_IFNAME"


@dataclass(frozen=True, slots=True)
class Placement:
    """A process among those that train one model.

    Attributes
    ----------
    rank, size : int
        Its number, and how many there are.
    local : int
        Its number on its machine, which is that of its GPU.
    address : str
        Where all of them meet: an `init_method` of torch.distributed.
    """

    rank: int
    size: int
    local: int
    address: str


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """All processes; each calls the same methods in the same order."""

    placement: Placement

    @property
    def rank(self) -> int:
        return self.placement.rank

    @property
    def size(self) -> int:
        return self.placement.size

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def told(self, tensors: Mapping[str, Tensor] | None, source: int = 0) -> dict[str, Tensor] | None:
        """Return in every process the tensors, on the CPU, of the process `source`; the others' are passed over."""
        named = {name: tensor.detach().cpu().contiguous() for name, tensor in (tensors or {}).items()}
        header = [(name, str(one.dtype).removeprefix("torch."), list(one.shape)) for name, one in named.items()]
        text = bytearray(json.dumps(None if tensors is None else header).encode())
        length = torch.tensor([len(text)])
        dist.broadcast(length, source)
        letters = torch.frombuffer(text, dtype=torch.uint8) if self.rank == source else _empty("uint8", length.tolist())
        dist.broadcast(letters, source)
        header = json.loads(bytes(letters.tolist()))
        if header is None:
            return None
        if self.rank != source:
            named = {name: _empty(dtype, shape) for name, dtype, shape in header}
        for tensor in named.values():
            if tensor.numel():
                dist.broadcast(tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor, source)
        return named

    def told_text(self, text: str) -> str:
        """Return in every process the text of the first one."""
        found = self.told({"text": torch.tensor(list(text.encode()), dtype=torch.uint8)})
        return bytes(found["text"].tolist()).decode() if found else ""

    def add(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes, which takes the place of the tensor."""
        dist.all_reduce(tensor)
        return tensor

    def mean(self, number: float) -> float:
        return float(self.add(torch.tensor([number], dtype=torch.float64))) / self.size

    def all_true(self, flag: bool) -> bool:
        return int(self.add(torch.tensor([int(flag)]))) == self.size

    def share_state(self, module: nn.Module) -> None:
        """Give every process the parameters and buffers of the first one."""
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.layout == torch.strided and tensor.numel():
                    whole = tensor.detach().contiguous()
                    dist.broadcast(whole, 0)
                    if whole.data_ptr() != tensor.data_ptr():
                        tensor.copy_(whole)


def _empty(dtype: str, shape: Any) -> Tensor:
    return torch.empty(shape, dtype=getattr(torch, dtype))


@contextmanager
def _loopback() -> Iterator[None]:
    """Let gloo listen to this machine alone, unless the user has named an interface."""
    if INTERFACE in os.environ:
        yield
        return
    os.environ[INTERFACE] = "lo"
    try:
        yield
    finally:
        del os.environ[INTERFACE]


@contextmanager
def joined(placement: Placement) -> Iterator[ProcessGroup]:
    """Wait for the other processes, and be one of them within the block."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    alone = placement.address.startswith("file:") and sys.platform == "linux"
    try:
        with _loopback() if alone else nullcontext():
            dist.init_process_group(
                backend, init_method=placement.address, rank=placement.rank, world_size=placement.size
            )
    except Exception:
        world: Any = dist.distributed_c10d._world
        world.group_count = 0  # by which torch names groups: the next one of this process would wait under another name
        raise
    try:
        yield ProcessGroup(placement)
    finally:
        dist.destroy_process_group()
