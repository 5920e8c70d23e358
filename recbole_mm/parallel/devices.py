"""GPUs of a sweep: those that Ray finds, and those that it gives to a trial.

RecBole's Config writes its `gpu_id`, the first GPU by default, over CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def devices_kept() -> Iterator[None]:
    """Put CUDA_VISIBLE_DEVICES back at the end, so that Ray finds all GPUs that the user lets it."""
    before = os.environ.get(VISIBLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VISIBLE, None)
        else:
            os.environ[VISIBLE] = before


def devices_of_trial() -> dict[str, Any]:
    """Return the settings with which RecBole uses what Ray has given to this trial, and no more."""
    import ray  # noqa: PLC0415 (heavy)

    given = ray.get_gpu_ids()
    return {"use_gpu": bool(given), "gpu_id": os.environ[VISIBLE] if given else ""}
