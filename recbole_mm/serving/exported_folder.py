"""An exported folder: scores of its users and items without the data, the features and RecBole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_mm.base.errors import InputError
from recbole_mm.serving.export_card import CARD, FORMAT, ExportCard
from recbole_mm.serving.export_files import ARRAYS, ID_TABLES, is_incomplete
from recbole_mm.serving.onnx_users import ONNX, OnnxEncoder
from recbole_mm.serving.user_items import UserItems

SCORES_AT_ONCE = 1 << 22  # 16 MiB: what is larger leaves the cache


@dataclass
class ExportedFolder:
    """See `recbole_mm.serving.scorer.Scorer`; vectors are mapped, not read.

    Attributes
    ----------
    encoder : OnnxEncoder or str
        Of histories, or why there is none.
    """

    path: Path
    card: ExportCard
    users: np.ndarray
    items: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    seen: UserItems
    encoder: OnnxEncoder | str

    def __post_init__(self) -> None:
        self.user_field, self.item_field = self.card.user_field, self.card.item_field
        self.time_field, self.trained_items = self.card.time_field, self.card.items
        self.name = f"{self.card.model} on {self.card.dataset}"
        self.sequential = self.card.sequential
        self.at_once = max(1, SCORES_AT_ONCE // max(1, len(self.items)))

    @cached_property
    def item_table(self) -> Tensor:
        return torch.from_numpy(np.array(self.items)).T.contiguous()  # (d, n_items)

    def scores(self, users: np.ndarray) -> Tensor:
        return torch.from_numpy(self.users[users]) @ self.item_table

    def history_scores(self, histories: UserItems, rows: np.ndarray) -> Tensor:
        if isinstance(self.encoder, str):
            raise InputError(self.encoder)
        users = torch.from_numpy(self.encoder.users(histories, rows))
        if users.shape[1] < self.card.dim:  # the last number is that of the items' bias
            users = torch.nn.functional.pad(users, (0, 1), value=1.0)
        return users @ self.item_table


def exported_folder(path: Path) -> ExportedFolder:
    """Open a folder that `recbole-mm export` wrote.

    Raises
    ------
    InputError
        A file is missing, damaged, or does not fit the others.
    """
    if is_incomplete(path):
        raise InputError(f"{path}: an incomplete export, without {CARD}: wait for one that is at work, or export again")
    try:
        text = (path / CARD).read_text(encoding="utf-8")
        told: dict[str, Any] = json.loads(text)
        card = ExportCard(**told)
        if card.format != FORMAT:
            raise InputError(f"{path / CARD}: format {card.format}, but this version reads {FORMAT}: export again")
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        ids = [
            np.array((path / f"{name}.ids").read_text(encoding="utf-8").removesuffix("\n").split("\n"), dtype=str)
            for name in ID_TABLES
        ]
        encoder = _encoder(path, card)
        if (path / CARD).read_text(encoding="utf-8") != text:
            raise InputError(f"{path}: was exported again while it was read: try again")
    except InputError:
        raise
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: no folder that recbole-mm export wrote, or damaged ({reason})") from error
    n_users, n_items = card.users, card.items
    shapes = [arrays["users"].shape, arrays["items"].shape, len(ids[0]), len(ids[1]), len(arrays["seen_starts"])]
    if shapes != [(n_users, card.dim), (n_items, card.dim), n_users, n_items, n_users + 1]:
        raise InputError(f"{path}: its files do not fit each other: export again")
    seen = UserItems(np.asarray(arrays["seen_starts"]), arrays["seen_items"])
    return ExportedFolder(path, card, arrays["users"], arrays["items"], ids[0], ids[1], seen, encoder)


def _encoder(path: Path, card: ExportCard) -> OnnxEncoder | str:
    if not card.onnx:
        return f"{path}: has no encoder of histories; export again with --onnx"
    try:
        return OnnxEncoder(path / ONNX, card.length)
    except InputError as error:  # lists of known users need none
        return str(error)
