"""How much memory this process has taken."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

MIB = 1 << 20
STATUS = Path("/proc/self/status")  # on Linux
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's numbers of its options


def peak_memory() -> dict[str, float]:
    """Return the largest memory of this process so far in MiB: `ram`, and `cuda` where there is a GPU."""
    peak = {"ram": round(_peak_ram() / MIB, 1)}
    if torch.cuda.is_available():
        peak["cuda"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
    return peak


def give_back() -> None:
    """Return freed memory to the system, which glibc keeps in pieces where many arrays came and went."""
    if (trim := _glibc("malloc_trim")) is not None:
        trim(0)


def keep_freed() -> None:
    """Let glibc keep freed memory for the next tensors, unless the environment says how it allocates.

    Else each tensor of more than 32 MiB is mapped and cleared anew, in a tenth of the time of MHCR's step on Baby.
    """
    set_option = _glibc("mallopt")
    if set_option is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        for option, size in (MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, (1 << 31) - 1):
            set_option(option, size)


def _glibc(name: str) -> Any:
    """Return a function of glibc's, None where there is none."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _peak_ram() -> int:
    """Return bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = STATUS.read_text(encoding="utf-8") if STATUS.is_file() else ""
    if found := re.search(r"VmHWM:\s*(\d+) kB", status):
        return int(found[1]) * 1024  # what getrusage says includes the process that started this one
    import resource  # noqa: PLC0415 (not on Windows)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB
