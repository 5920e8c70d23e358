"""Users out of histories by an encoder in ONNX, without torch and without the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recbole_mm.base.errors import InputError
from recbole_mm.extraction.encoder import optional
from recbole_mm.serving.user_items import UserItems

ONNX = "encoder.onnx"
INSTALL_ONNX = "pip install 'recbole-mm[onnx]'"


class OnnxEncoder:
    """Makes users out of histories by onnxruntime.

    Raises
    ------
    InputError
        onnxruntime is not installed, or cannot read the file.
    """

    def __init__(self, file: Path, length: int) -> None:
        runtime = optional("onnxruntime", INSTALL_ONNX)
        try:
            self.session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        except Exception as error:  # broken bytes fail in many ways
            raise InputError(f"{file}: no encoder can be read ({' '.join(str(error).split())[:120]})") from error
        self.length = length

    def users(self, histories: UserItems, rows: np.ndarray) -> np.ndarray:  # (n, d)
        items, held = histories.last(rows, self.length)
        asked = {"items": items.astype(np.int64) + 1, "length": held.clip(min=1).astype(np.int64)}
        return np.asarray(self.session.run(None, asked)[0])
