"""Files of a dataset refused where RecBole would misread them.

RecBole meets these mistakes late, with another message, or not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recbole_mm.base.errors import InputError
from recbole_mm.data.atomic import atomic_suffix, files_and_gaps, interaction_files, is_parquet
from recbole_mm.data.encoded import read_encoded
from recbole_mm.data.headers import is_ordered, is_sequential
from recbole_mm.data.one_file import Content, check_file
from recbole_mm.data.parquet_checks import all_ids_in_parquet, check_parquet


def check_files(config: Any) -> None:
    """Read once every atomic file that RecBole will load, and refuse what it would misread.

    Each file is read once, in blocks; only the different ids of users and items are kept.

    Parameters
    ----------
    config : Config
        `data_path` is the folder of the dataset and `dataset` the prefix of its files.

    Raises
    ------
    InputError
        One line naming the file and, where there is one, the line, the field and the value: a missing file, a
        header without types or with another separator, a missing column, a row with more or fewer fields
        than the header, an id that pandas reads as missing or that has blanks around it, one that a `.user` or
        `.item` file has twice, text among numbers, a time that is missing, no rows, one and the same time where
        interactions are taken in their order, or ids of a `.user` or `.item` file that never occur in the `.inter`
        file.
    """
    for mistake in mistakes_in_files(config):
        raise mistake


def mistakes_in_files(config: Any) -> Iterator[InputError]:
    """Yield what `check_files` refuses, the first mistake of every file; each file is read when its turn comes."""
    ids: defaultdict[tuple[str, str], dict[Path, Any]] = defaultdict(dict)  # of a suffix and an id field
    interactions: list[Content] = []
    for path in files_and_gaps(config):
        if isinstance(path, InputError):
            yield path
            continue
        try:
            found = check_parquet(path, config) if is_parquet(path) else check_file(path, config)
        except InputError as error:
            yield error
        except UnicodeError as error:  # of UTF-16 without a byte-order mark it is no UnicodeDecodeError
            encoding, reason = config["encoding"] or "utf-8", getattr(error, "reason", error)
            yield InputError(f"{path}: not valid {encoding} ({reason}): set encoding to what it is")
        else:
            suffix = atomic_suffix(path)
            interactions += [found] if suffix == "inter" else []
            for field, values in found.ids.items():
                ids[suffix, field][path] = values
    if len(interactions) == len(interaction_files(config)):
        yield from _order_mistakes(config, interactions)
    if config["filter_inter_by_user_or_item"] is True and config["benchmark_filename"] is None:
        for suffix, field in (("user", config["USER_ID_FIELD"]), ("item", config["ITEM_ID_FIELD"])):
            yield from _overlap_mistakes(config, suffix, ids["inter", field], ids[suffix, field], field)


def _order_mistakes(config: Any, interactions: Sequence[Content]) -> Iterator[InputError]:
    """Yield that all times are the same, where interactions are taken in their order."""
    n_rows, field = sum(found.n_rows for found in interactions), config["TIME_FIELD"]
    times = set().union(*(found.times for found in interactions))
    come_split = config["benchmark_filename"] is not None
    if n_rows < 2 or len(times) != 1 or not (is_sequential(config) if come_split else is_ordered(config)):
        return
    if come_split:
        advice = f"Leave {field} out of load_col, so that the order of the lines counts, or write real times"
    elif is_sequential(config):
        advice = (
            f"Write real times, or give the split in files of its own (benchmark_filename) with {field} left out of "
            "load_col: then the order of the lines counts"
        )
    else:
        advice = "Write real times, or use a split without them (eval_args.order: RO)"
    where = ", ".join(path.name for path in interaction_files(config))
    yield InputError(
        f"{Path(config['data_path'])}: all {n_rows} interactions in {where} have the {field} {times.pop():g}: nothing "
        f"can be ordered by time. {advice}."
    )


def _overlap_mistakes(
    config: Any, suffix: str, here: Mapping[Path, Any], there: Mapping[Path, Any], field: str
) -> Iterator[InputError]:
    """Yield that interactions and the file of users or items have no id in common; each has the ids by file."""
    if not here or not there or _share(here.values(), there.values()):
        return
    of_inter, of_feat = (_all_ids(config, ids, field) for ids in (here, there))  # those of the first rows do not meet
    if not _share(of_inter, of_feat):
        inter, feat = (f"{config['dataset']}.{one}" for one in ("inter", suffix))
        first = [min(pc.min(ids).as_py() for ids in each) for each in (of_inter, of_feat)]
        yield InputError(
            f"{Path(config['data_path'])}: {inter} and {feat} share no {field}, so every interaction would "
            f"be filtered out: {inter} has {first[0]!r}, {feat} has {first[1]!r}"
        )


def _share(here: Iterable[Any], there: Iterable[Any]) -> bool:
    known = pa.chunked_array(list(there), type=pa.string()).combine_chunks()
    return any(pc.any(pc.is_in(ids, value_set=known)).as_py() for ids in here)


def _all_ids(config: Any, known: Mapping[Path, Any], field: str) -> list[Any]:
    """Return all ids of files as arrow arrays; what was read line by line is known as a whole."""
    separator, encoding = config["field_separator"] or "\t", config["encoding"] or "utf-8"
    found = []
    for path, ids in known.items():
        if is_parquet(path):
            found.append(all_ids_in_parquet(path, config, field))
            continue
        frame = read_encoded(path, {f"{field}:token": False}, separator, encoding)
        found.append(ids if frame is None else pa.array(frame.iloc[:, 0].cat.categories))
    return found
