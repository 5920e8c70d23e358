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
from recbole_mm.base.plain import to_json
from recbole_mm.data.cache import Digests
from recbole_mm.serving.export_card import CARD, FORMAT, ExportCard
from recbole_mm.serving.export_files import INDEX, replaced_export
from recbole_mm.serving.onnx_encoder import check_onnx_libraries, write_onnx
from recbole_mm.serving.onnx_users import ONNX
from recbole_mm.serving.trained_model import TrainedModel
from recbole_mm.serving.vector_index import faiss_library, write_index
from recbole_mm.serving.vectors import Vectors, vectors_of


def export(
    trained: TrainedModel, out: Path, *, parquet: bool = False, index: bool = False, onnx: bool = False
) -> ExportCard:
    """Write the vectors of a model, and what is needed to recommend with them, into a folder.

    They take the place of an earlier export at the end; an error leaves that as it was.

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
    if index:
        faiss_library()
    if onnx:
        check_onnx_libraries()
    vectors = vectors_of(trained)
    with replaced_export(out) as partial:
        _write(trained, vectors, partial, parquet)
        found = {
            "index": write_index(vectors, partial / INDEX) if index else {},
            "onnx": write_onnx(trained, partial / ONNX) if onnx else {},
        }
        card = _card(trained, vectors, found)
        text = json.dumps(to_json(asdict(card)), indent=2, ensure_ascii=False) + "\n"
        (partial / CARD).write_text(text, encoding="utf-8", newline="")
    return card


def _write(trained: TrainedModel, vectors: Vectors, out: Path, parquet: bool) -> None:
    arrays = {
        "users": vectors.users, "items": vectors.items, "seen_starts": trained.seen.starts,
        "seen_items": trained.seen.items,
    }  # fmt: skip
    for name, values in arrays.items():
        np.save(out / f"{name}.npy", values, allow_pickle=False)
    for name, ids in (("users", trained.user_ids), ("items", trained.item_ids)):
        (out / f"{name}.ids").write_text("".join(f"{one}\n" for one in ids), encoding="utf-8", newline="")
    if not parquet:
        return
    for name, field_name, ids in (
        ("users", trained.user_field, trained.user_ids), ("items", trained.item_field, trained.item_ids),
    ):  # fmt: skip
        table = arrays[name]
        rows = pa.FixedSizeListArray.from_arrays(pa.array(table.ravel()), table.shape[1])
        table_of_ids = pa.table({field_name: pa.array(ids.tolist()), "vector": rows})
        pyarrow.parquet.write_table(table_of_ids, out / f"{name}.parquet")


def _card(trained: TrainedModel, vectors: Vectors, found: Mapping[str, Mapping[str, Any]]) -> ExportCard:
    config = trained.config
    expected = config.expected or {}
    return ExportCard(
        format=FORMAT, model=config["model"], dataset=config["dataset"],
        user_field=trained.user_field, item_field=trained.item_field, time_field=trained.time_field,
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
