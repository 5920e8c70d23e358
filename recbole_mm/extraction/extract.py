"""From the sources of items to a feature file, batch by batch, so that an extraction that was killed goes on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import folder_lock, replace_text, replaced
from recbole_mm.base.versions import version
from recbole_mm.data.cache import state_of
from recbole_mm.extraction.card import Card
from recbole_mm.extraction.encoder import Encoder, Unreadable
from recbole_mm.extraction.outputs import Outputs, check_ids
from recbole_mm.extraction.sources import Sources

BATCH = 64  # items


def extract(
    encoder: Encoder,
    sources: Sources,
    source: str,
    features: Path,
    batch_size: int = BATCH,
    *,
    encoding: str = "utf-8",
) -> Card:
    """Encode items and write ``FILE.npy``, ``FILE.ids``, a card and, of the items without a row, a report.

    Finished batches lie in ``.FILE.parts`` until the end; the same call goes on with them.

    Parameters
    ----------
    source : str
        What the sources are, for the card.
    features : Path
        The ``.npy`` file; its stem is the name of the modality.
    encoding : str
        Of ``FILE.ids``, in which the dataset is read.

    Raises
    ------
    InputError
        Nothing could be encoded, an id cannot be written, or the finished batches are not of these items.
    """
    without = sources.without | encoder.fit(sources.of)
    waiting = {item: one for item, one in sources.of.items() if item not in without}
    check_ids(waiting, encoding)
    outputs = Outputs(features)
    parts = outputs.parts
    with folder_lock(parts):
        _keep_only(parts, _plan(encoder, waiting, batch_size))
        ids, blocks = list[str](), list[np.ndarray]()
        for number, batch in enumerate(tqdm(list(_batches(waiting, batch_size)), unit="batch", desc=features.stem)):
            made, rows, failed = _part(parts / f"{number:06}.npz", encoder, batch)
            ids += made
            blocks += [rows] if len(rows) else []
            without |= failed
        if not ids:
            reason = next(iter(without.values()), "there are no items")
            raise InputError(f"{source}: nothing could be encoded ({reason})")
        if sorted([*ids, *without]) != sorted(sources.of.keys() | sources.without.keys()):
            raise InputError(f"{parts}: the batches in it are not of these items; remove it, and run the command again")
        table = np.concatenate(blocks)
        card = _card(encoder, source, features.stem, table, without)
        outputs.write(table, ids, encoding, without, card)
    shutil.rmtree(parts)
    return card


def _batches(waiting: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    items = list(waiting.items())
    for start in range(0, len(items), size):
        yield dict(items[start : start + size])


def _part(file: Path, encoder: Encoder, batch: dict[str, Any]) -> tuple[list[str], np.ndarray, dict[str, str]]:
    """Return ids, rows, and the reasons of those without, of a batch; from its file where that is finished."""
    if not file.is_file():
        read, failed = dict[str, Any](), dict[str, str]()
        for item, one in batch.items():
            try:
                read[item] = encoder.read(one)
            except Unreadable as error:
                failed[item] = str(error)
        rows = encoder.encode(list(read.values())) if read else np.zeros((0, 0), dtype=np.float32)
        finite = np.asarray(np.isfinite(rows).all(axis=1))
        failed |= {item: "its vector is not finite" for item, good in zip(read, finite, strict=True) if not good}
        ids = [item for item in read if item not in failed]
        text = json.dumps({"ids": ids, "failed": failed})
        with replaced(file) as partial, partial.open("wb") as stream:
            np.savez(stream, rows=rows[finite], told=np.array(text))
    with np.load(file, allow_pickle=False) as found:
        told = json.loads(str(found["told"]))
        return told["ids"], found["rows"], told["failed"]


def _plan(encoder: Encoder, waiting: dict[str, Any], batch_size: int) -> str:
    """Return a digest of all that the vectors, and the batches they are kept in, depend on."""
    states = {item: state_of(one) if isinstance(one, Path) else one for item, one in waiting.items()}
    told = json.dumps([asdict(encoder.provenance), batch_size, list(states.items())])
    return sha256(told.encode()).hexdigest()


def _keep_only(parts: Path, plan: str) -> None:
    """Remove the finished batches of an extraction by another plan."""
    told = parts / "plan"
    if not told.is_file() or told.read_text() != plan:
        for file in parts.glob("*.npz"):
            file.unlink()
        replace_text(told, plan)


def _card(encoder: Encoder, source: str, modality: str, table: np.ndarray, without: dict[str, str]) -> Card:
    how = encoder.provenance
    return Card(
        modality=modality,
        source=source,
        encoder=how.encoder,
        weights=how.weights,
        weights_sha256=how.weights_sha256,
        preprocessing=how.preprocessing,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        items=len(table) + len(without),
        rows=table.shape[0],
        dim=table.shape[1],
        versions={name: version(name) for name in ("recbole-mm", *how.libraries)},
        missing=dict(Counter(without.values()).most_common()),
    )
