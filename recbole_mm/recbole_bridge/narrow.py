"""The interactions of a dataset with whole numbers of 4 bytes, which are read as RecBole's of 8."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType
from torch import Tensor

LARGEST_KEPT = 2**31 - 1  # what 4 bytes hold


class NarrowColumns(MutableMapping[str, Tensor]):
    """Columns by name. Those of whole numbers are kept in 4 bytes; what is read of them is a copy in 8 bytes.

    Parameters
    ----------
    columns : mapping
        Of the same length.
    wide : mapping, optional
        Of columns that are kept in 4 bytes, the type that is read.
    """

    def __init__(self, columns: Mapping[str, Tensor], wide: Mapping[str, torch.dtype] | None = None) -> None:
        self.kept, self.wide = dict(columns), dict(wide or {})

    def __getitem__(self, name: str) -> Tensor:
        column = self.kept[name]
        return column.to(self.wide[name]) if name in self.wide else column

    def __setitem__(self, name: str, column: Tensor) -> None:
        if name in self.wide and (column.dtype != self.wide[name] or not _fits(column)):
            del self.wide[name]
        self.kept[name] = column.to(torch.int32) if name in self.wide else column

    def __delitem__(self, name: str) -> None:
        del self.kept[name]
        self.wide.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    def __or__(self, other: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**self, **other}

    def rows(self, index: Any) -> NarrowColumns:
        """Return the rows at an index; those of a slice share the memory."""
        return NarrowColumns({name: column[index] for name, column in self.kept.items()}, self.wide)


def _fits(column: Tensor) -> bool:
    """Tell whether a column is of whole numbers that 4 bytes hold."""
    if not len(column):
        return True
    least, largest = column.aminmax()
    if not (least >= -LARGEST_KEPT and largest <= LARGEST_KEPT):  # NaN is in no order
        return False
    return not column.is_floating_point() or bool((column == column.to(torch.int32)).all())


def with_columns(columns: NarrowColumns) -> Interaction:
    """Return interactions that have these columns, which are not copied."""
    made = Interaction({})
    made.interaction = columns
    made.length = max((column.unsqueeze(-1).shape[0] for column in columns.kept.values()), default=-1)
    return made


def narrow_tensors(convert: Any) -> Any:
    """Make the tensors of interactions as narrow as they can be.

    Times stay as exact as they are, where RecBole makes 32-bit floats of them.
    """

    @functools.wraps(convert)
    def dataframe_to_interaction(self: Any, data: pd.DataFrame) -> Any:
        if data is not self.inter_feat:
            return convert(self, data)
        kept: dict[str, Tensor] = {}
        wide: dict[str, torch.dtype] = {}
        for field in data:
            kind, is_time = self.field2type[field], field == self.time_field
            if kind == FeatureType.TOKEN or (is_time and kind == FeatureType.FLOAT):
                column = _tensor(data[field])
                if kind == FeatureType.TOKEN or _fits(column):
                    wide[field] = torch.int64 if kind == FeatureType.TOKEN else column.dtype
                kept[field] = column.to(torch.int32) if field in wide else column
            else:
                kept[field] = convert(self, data[[field]])[field]
        return with_columns(NarrowColumns(kept, wide))

    return dataframe_to_interaction


def _tensor(column: pd.Series) -> Tensor:
    """Return a column (n,), or (n, 2) of a numerical feature, without a copy where there can be none."""
    values = np.array(column.tolist()) if column.dtype == object else column.to_numpy()
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def reindexed(self: Interaction, index: Any) -> None:
    """Put the rows in another order, in the place of RecBole's `Interaction._reindex`."""
    columns = self.interaction
    kept = getattr(columns, "kept", columns)
    for name in kept:
        kept[name] = kept[name][index]
