"""What serving needs of a trained model, in a folder of its own: vectors, ids, what was seen, and a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from recbole_mm.base.environment import environment
from recbole_mm.base.errors import InputError
from recbole_mm.base.files import folder_lock, replace_text, replaced
from recbole_mm.base.plain import to_json
from recbole_mm.data.cache import Digests
from recbole_mm.serving.export_card import CARD, FORMAT, ExportCard
from recbole_mm.serving.onnx_encoder import write_onnx
from recbole_mm.serving.onnx_users import ONNX
from recbole_mm.serving.trained_model import TrainedModel
from recbole_mm.serving.vector_index import INDEX, write_index
from recbole_mm.serving.vectors import Vectors, vectors_of


def export(
    trained: TrainedModel, out: Path, *, parquet: bool = False, index: bool = False, onnx: bool = False
) -> ExportCard:
    """Write the vectors of a model, and what is needed to recommend with them, into a folder.

    The card is written last: a folder without it is not complete.

    Parameters
    ----------
    parquet : bool
        Whether vectors are written as Parquet, too.
    index : bool
        Whether faiss builds an index of the items.
    onnx : bool
        Whether the encoder of histories is written, of a sequential model.

    Raises
    ------
    InputError
        The scores of the model are no dot products, or a library that is asked for is missing.
    """
    if onnx and not trained.sequential:
        raise InputError(f"--onnx: {trained.config['model']} has no encoder of histories: leave it out")
    vectors = vectors_of(trained)
    with folder_lock(out):
        (out / CARD).unlink(missing_ok=True)
        _write(trained, vectors, out, parquet)
        found = {
            "index": write_index(vectors, out / INDEX) if index else {},
            "onnx": write_onnx(trained, out / ONNX) if onnx else {},
        }
        card = _card(trained, vectors, found)
        replace_text(out / CARD, json.dumps(to_json(asdict(card)), indent=2, ensure_ascii=False) + "\n")
    return card


def _write(trained: TrainedModel, vectors: Vectors, out: Path, parquet: bool) -> None:
    arrays = {
        "users": vectors.users, "items": vectors.items, "seen_starts": trained.seen.starts,
        "seen_items": trained.seen.items,
    }  # fmt: skip
    for name, values in arrays.items():
        with replaced(out / f"{name}.npy") as partial, partial.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
    for name, ids in (("users", trained.user_ids), ("items", trained.item_ids)):
        replace_text(out / f"{name}.ids", "".join(f"{one}\n" for one in ids))
    if not parquet:
        return
    for name, field_name, ids in (
        ("users", trained.user_field, trained.user_ids), ("items", trained.item_field, trained.item_ids),
    ):  # fmt: skip
        table = arrays[name]
        rows = pa.FixedSizeListArray.from_arrays(pa.array(table.ravel()), table.shape[1])
        with replaced(out / f"{name}.parquet") as partial:
            pyarrow.parquet.write_table(pa.table({field_name: pa.array(ids.tolist()), "vector": rows}), partial)


def _card(trained: TrainedModel, vectors: Vectors, found: Mapping[str, Mapping[str, Any]]) -> ExportCard:
    config = trained.config
    expected = config.expected or {}
    return ExportCard(
        format=FORMAT, model=config["model"], dataset=config["dataset"],
        user_field=trained.user_field, item_field=trained.item_field,
        users=len(vectors.users), items=len(vectors.items), dim=vectors.items.shape[1],
        interactions=len(trained.seen.items), sequential=trained.sequential,
        length=config["MAX_ITEM_LIST_LENGTH"] if trained.sequential else 0, checked=vectors.checked,
        checkpoint_sha256=Digests().of(trained.file).hex(), data_hash=str(expected.get("hash", "")),
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"), metrics=_metrics(trained.file.parent),
        settings=to_json(config.final_config_dict), environment=environment(), **found,
    )  # fmt: skip


def _metrics(folder: Path) -> dict[str, Any]:
    """Return the metrics of the run that the checkpoint is of, where its result is there and can be read."""
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return {part: result[part] for part in ("valid", "test") if result.get(part)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
