"""The encoder of histories of a sequential model as ONNX: a user vector out of a history, without torch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recbole_mm.base.errors import InputError
from recbole_mm.extraction.encoder import optional
from recbole_mm.serving.onnx_users import INSTALL_ONNX, ONNX, OnnxEncoder
from recbole_mm.serving.trained_model import TrainedModel
from recbole_mm.serving.vectors import history_encoder

CHECKED_HISTORIES = 64
EXACT = 1e-3  # of the largest number of a vector


class _Encoder(nn.Module):
    """The model's `forward`, with the tables of the pack's models as constants."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.tables = model.scoring_embeddings() if hasattr(model, "scoring_embeddings") else None

    def forward(self, items: Tensor, length: Tensor) -> Tensor:
        tables = self.tables
        made: Tensor = self.model.encode(items, *tables)[0] if tables else self.model.forward(items, length)
        return made


def check_onnx_libraries() -> None:
    """Refuse to write an encoder where a library for it is missing.

    Raises
    ------
    InputError
        It is not installed, or cannot be imported.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        optional(library, INSTALL_ONNX)


def write_onnx(trained: TrainedModel, file: Path) -> dict[str, Any]:
    """Write the encoder, ask it and the model for the same users, and return how far apart they are.

    Its inputs are `items`, (n, length) rows of items + 1, from the left and with 0 behind them, and `length` (n,); its
    output is `user` (n, d).

    Raises
    ------
    InputError
        The model cannot be written, or the encoder answers otherwise.
    """
    longest = trained.config["MAX_ITEM_LIST_LENGTH"]
    example = torch.zeros(2, longest, dtype=torch.int64)
    example[:, 0] = 1
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Encoder(trained.model).eval(), (example, torch.ones(2, dtype=torch.int64)), dynamo=True, verbose=False,
                dynamic_shapes=({0: batch}, {0: batch}), input_names=["items", "length"], output_names=["user"],
            )  # fmt: skip
    except Exception as error:  # a model that torch cannot follow fails in many ways
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"--onnx: {trained.config['model']} cannot be written as ONNX ({reason}): leave it out"
        ) from error
    assert program is not None
    program.save(str(file))
    logging.getLogger("torch.onnx").setLevel(logging.WARNING)
    difference = _difference(trained, file)
    if difference > EXACT:
        raise InputError(f"--onnx: the encoder differs from the model by {difference:.2g}: leave it out")
    return {"file": ONNX, "difference": difference, "histories": min(CHECKED_HISTORIES, len(trained.user_ids))}


def _difference(trained: TrainedModel, file: Path) -> float:
    """Return the largest difference between vectors of both, in largest numbers of a vector."""
    encode = history_encoder(trained)
    assert encode is not None
    rows = np.arange(min(CHECKED_HISTORIES, len(trained.user_ids)))
    theirs = OnnxEncoder(file, trained.config["MAX_ITEM_LIST_LENGTH"]).users(trained.seen, rows)
    ours = encode(trained.seen, rows).numpy()
    return float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1e-12))
