"""MMRec's layout, of Amazon Baby, Sports, Clothing and of MicroLens: one file with a column of labels for the split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recbole_mm.conversion.feature_files import look_all
from recbole_mm.conversion.folders import files_in, only_file
from recbole_mm.conversion.record_batches import Field, checked_batches, column_names, find_column, has_column
from recbole_mm.conversion.source import Source, Stream
from recbole_mm.conversion.values import Times, ids, labels, numbers
from recbole_mm.data.folder import SPLIT_NAMES


def read(folder: Path) -> Source:
    """Describe a folder of MMRec's; an `InputError` says what it lacks."""
    file = only_file(folder, "*.inter")
    names = column_names(file)
    fields: dict[str, Field] = {
        "user_id": (find_column(file, names, ("userID", "user"), ""), ids),
        "item_id": (find_column(file, names, ("itemID", "item"), ""), ids),
    }
    for field, usual, check in (("rating", ("rating",), numbers), ("timestamp", ("timestamp",), Times())):
        if has_column(names, usual):
            fields[field] = (find_column(file, names, usual, ""), check)
    split = has_column(names, ("x_label",))
    features = look_all(files_in(folder, "*_feat.npy"))
    if not split:
        return Source(file, list(fields), (("", batch) for batch in checked_batches(file, fields)), False, features)
    labelled = {**fields, "x_label": (find_column(file, names, ("x_label",), ""), labels)}
    return Source(file, list(fields), _parts(checked_batches(file, labelled)), True, features)


def _parts(batches: Iterator[pa.RecordBatch]) -> Stream:
    for batch in batches:
        interactions = batch.drop_columns(["x_label"])
        for label, part in enumerate(SPLIT_NAMES):
            yield part, interactions.filter(pc.equal(batch["x_label"], str(label)))
