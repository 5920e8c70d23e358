"""RecBole reads files of interactions by columns, where they can be read so."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_mm.data.encoded import read_encoded
from recbole_mm.recbole_bridge.applying import Overlay
from recbole_mm.recbole_bridge.encoding import in_one_space, is_encoded


def files_by_columns(module: Any) -> None:
    """Let a module of RecBole's read files of interactions by columns, where they can be read so."""
    read_line_by_line = module.pd.read_csv

    @functools.wraps(read_line_by_line)
    def read_csv(path: Any, **given: Any) -> pd.DataFrame:
        if Path(path).suffix == ".inter" and not any(column.endswith("_seq") for column in given["usecols"]):
            columns = {column: given["dtype"][column] is not str for column in given["usecols"]}
            encoding = given["encoding"] or "utf-8"
            frame = read_encoded(Path(path), columns, given["delimiter"], encoding)
            if frame is not None:
                return frame
        found: pd.DataFrame = read_line_by_line(path, **given)
        return found

    module.pd = Overlay(module.pd, read_csv=read_csv, concat=below_each_other)


def below_each_other(frames: list[pd.DataFrame], ignore_index: bool = False) -> pd.DataFrame:
    """Put the files of a split below each other; pandas makes texts again of columns whose categories differ."""
    names = list(map(str, frames[0]))
    alike = all(list(frame) == names for frame in frames)
    texts = [name for name in names if alike and all(is_encoded(frame[name]) for frame in frames)]
    columns = {name: _joined_texts([frame.pop(name) for frame in frames]) for name in texts}
    others = pd.concat(frames, ignore_index=ignore_index)
    if not columns:
        return others
    return pd.DataFrame({name: columns[name] if name in columns else others[name] for name in names}, copy=False)


def _joined_texts(parts: list[pd.Series]) -> pd.Categorical:
    shared, texts = in_one_space([part.cat.categories.to_numpy() for part in parts])
    codes, end = np.empty(sum(map(len, parts)), dtype=np.int32), 0
    for part, to in zip(parts, shared, strict=True):
        codes[end : end + len(part)] = to[part.cat.codes.to_numpy()]
        end += len(part)
    return pd.Categorical.from_codes(codes, categories=pd.Index(texts, dtype=object))
