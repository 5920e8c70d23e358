"""The parts of a split of interactions in Parquet, written as they stand in the files of the data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from recbole_mm.data.interactions import Interactions
from recbole_mm.data.parquet import BATCH_ROWS, READ_AHEAD, readable_parquet


def write_parquet_parts(data: Interactions, parts: np.ndarray, targets: Sequence[Path]) -> None:
    """Write the rows of each part, in their order, into its file.

    Parameters
    ----------
    data : Interactions
        Of Parquet files with the same columns.
    parts : int array (n,)
        Of each interaction, the place of its file among the targets; rows of no target are left out.
    targets : sequence of Path
        One each part.
    """
    schema = pq.read_schema(data.files[0])
    start = 0
    with ExitStack() as stack:
        out = [stack.enter_context(pq.ParquetWriter(path, schema)) for path in targets]
        for path in data.files:
            file = stack.enter_context(pq.ParquetFile(path, buffer_size=READ_AHEAD))
            batches = file.iter_batches(BATCH_ROWS, use_threads=False)
            with readable_parquet(path):
                for batch in tqdm(batches, desc=f"writing {path.name}", unit=" batches"):
                    part = parts[start : start + len(batch)]
                    start += len(batch)
                    for number, writer in enumerate(out):
                        rows = batch.filter(pa.array(part == number))
                        if len(rows):
                            writer.write_batch(rows)
