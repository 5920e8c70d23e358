"""What a result was made with: versions, platform, threads."""

from __future__ import annotations

import platform

import torch

from recbole_mm.base.versions import version

LIBRARIES = ("torch", "numpy", "scipy", "pandas", "recbole", "recbole_mm")


def environment() -> dict[str, str | int]:
    """Return the versions of Python and of the libraries, the platform, and the threads of torch.

    A library that is not installed, such as the pack in a source checkout, is ``not installed``.
    """
    versions = {name: version(name) for name in LIBRARIES}
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
    }
