"""RecBole's datasets read interactions in Parquet, where these are there in the place of text."""

from __future__ import annotations

import functools
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
from recbole.utils import FeatureSource, FeatureType

from recbole_mm.data.atomic import in_both_forms, interaction_files, is_parquet
from recbole_mm.data.parquet import parquet_columns
from recbole_mm.data.parquet_frame import read_parquet_frame
from recbole_mm.recbole_bridge.reading import below_each_other


def parquet_interactions(load: Any) -> Any:
    """Find the interactions, all or of each part, in the form in which they are there."""

    @functools.wraps(load)
    def load_inter_feat(self: Any, token: str, dataset_path: str) -> None:
        files = interaction_files(self.config)
        for path in files:
            if mistake := in_both_forms(path):
                raise mistake
        if not any(map(is_parquet, files)):
            load(self, token, dataset_path)
            return
        frames: list[pd.DataFrame] = []
        lengths: defaultdict[str, int] = defaultdict(int)
        for path in files:
            frames.append(self._load_feat(str(path), FeatureSource.INTERACTION))
            for field, length in self.field2seqlen.items():
                lengths[field] = max(lengths[field], length)
        if self.benchmark_filename_list is None:
            self.inter_feat = frames[0]
        else:
            self.file_size_list, self.field2seqlen = [len(frame) for frame in frames], lengths
            self.inter_feat = below_each_other(frames, ignore_index=True)

    return load_inter_feat


def parquet_features(load: Any) -> Any:
    """Read a file in Parquet as RecBole reads text: the columns that are asked for, and what is known of each."""

    @functools.wraps(load)
    def load_feat(self: Any, filepath: str, source: Any) -> pd.DataFrame | None:
        path = Path(filepath)
        if not is_parquet(path):
            text: pd.DataFrame | None = load(self, filepath, source)
            return text
        asked, left_out = self._get_load_and_unload_col(source)
        kinds = {
            field: column.kind
            for field, column in parquet_columns(path, self.config).items()
            if (asked is None or field in asked) and field not in (left_out or ())
        }
        for field, kind in kinds.items():
            self.field2source[field], self.field2type[field] = source, FeatureType(kind)
            self.field2seqlen[field] = 1
            if kind == "float":
                self.field2bucketnum[field] = 2
        if not kinds:
            self.logger.warning(f"no columns are loaded from {path}")
            return None
        return read_parquet_frame(path, self.config, kinds)

    return load_feat
