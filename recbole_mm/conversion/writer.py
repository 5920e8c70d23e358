"""A dataset of RecBole's, written from its description."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from recbole_mm.base.errors import InputError, number_of
from recbole_mm.conversion.feature_files import number_rows
from recbole_mm.conversion.interaction_files import INTERACTION_FILES
from recbole_mm.conversion.source import FeatureFile, Source


@dataclass(frozen=True, slots=True)
class Written:
    """What was made: counts, the interactions of each part, and the features with their ids."""

    users: int
    items: int
    without_interactions: int
    interactions: dict[str, int]
    features: Sequence[FeatureFile]
    assumed: Sequence[str]


def write(source: Source, folder: Path, name: str, form: str = "text") -> Written:
    """Write interactions, items, features and `<name>.yaml` into an empty folder.

    Parameters
    ----------
    source : Source
        What is written.
    folder : Path
        Of the dataset.
    name : str
        Of the dataset.
    form : str
        Of the interactions, one of `INTERACTION_FILES`.

    Raises
    ------
    InputError
        On what the reader of the source refuses, a part without interactions, and features whose rows belong to no
        item that is known.
    """
    users, items = _Distinct(), _Distinct()
    counts = _write_interactions(source, folder, name, form, {"user_id": users, "item_id": items})
    for part, count in counts.items():
        if not count:
            where, cure = (f" in the {part} part", ", or leave the split out") if part else ("", "")
            raise InputError(f"{source.place}: no interactions{where}: add at least one{cure}")
    occurring = items.values().to_pylist()
    features, assumed = _with_ids(source, occurring)
    order = _item_order(features, [*occurring, *source.titles])
    _write_items(folder / f"{name}.item", order, source.titles)
    modalities = {feature.modality: _write_features(feature, folder, order) for feature in features}
    settings: dict[str, Any] = {"benchmark_filename": list(source.parts)} if source.split else {}
    settings["load_col"] = {"inter": list(source.fields), "item": ["item_id"]}
    if modalities:
        settings |= {"modalities": modalities, "normalize": "l2", "missing_modality": "mean"}
    text = yaml.safe_dump(settings, default_flow_style=None, sort_keys=False, allow_unicode=True, width=1000)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return Written(
        len(users.values()), len(order), len(order) - len(occurring), counts, features, [*source.assumed, *assumed]
    )


class _Distinct:
    """The distinct texts of a stream in the order of their first appearance."""

    def __init__(self) -> None:
        self._known = pa.array([], pa.string())
        self._new: list[pa.Array] = []

    def add(self, texts: pa.Array) -> None:
        self._new.append(pc.unique(texts))
        if sum(map(len, self._new)) > len(self._known) + (1 << 16):  # so that merging stays linear
            self.values()

    def values(self) -> pa.Array:
        if self._new:
            self._known = pc.unique(pa.chunked_array([self._known, *self._new]))
            self._new = []
        return self._known


def _write_interactions(
    source: Source, folder: Path, name: str, form: str, ids: Mapping[str, _Distinct]
) -> dict[str, int]:
    counts = dict.fromkeys(source.parts, 0)
    with ExitStack() as stack:
        paths = {part: folder / f"{name}{part and '.'}{part}.inter" for part in source.parts}
        make = INTERACTION_FILES[form]
        files = {part: stack.enter_context(make(path, source.fields)) for part, path in paths.items()}
        for part, batch in stack.enter_context(closing(source.interactions)):
            for field, distinct in ids.items():
                distinct.add(batch[field])
            files[part].write(batch)
            counts[part] += len(batch)
    return counts


def _with_ids(source: Source, occurring: Sequence[str]) -> tuple[list[FeatureFile], list[str]]:
    """Return the features with the ids of their rows, and what was taken for granted about them."""
    known = {*occurring, *source.titles}
    found, assumed = [], []
    numbered = [feature for feature in source.features if feature.ids is None]
    for feature in numbered:
        if feature.n_rows != numbered[0].n_rows:
            both = f"{feature.file} has {number_of(feature.n_rows, 'row')} but {numbered[0].file} {numbered[0].n_rows}"
            raise InputError(f"{both}: where row i is item i they must have the same; else put .ids files beside them")
    for feature in source.features:
        ids = feature.ids
        if ids is None:
            ids = number_rows(feature, known, source.numbered_from)
            counted = "" if ids[0] == "0" else f" (row 0 is item {ids[0]})"
            doubt = "" if ids[0] in known else f"; item {ids[0]} has no interactions: check that ids count from it"
            assumed.append(f"row i of {feature.file.name} is item i{counted}{doubt}")
        found.append(replace(feature, ids=ids))
        if lacking := len(known.difference(ids)):
            _refuse_strangers(feature.file, ids, known, lacking)
            assumed.append(f"{lacking:,} of {len(known):,} items are not in {feature.file.name}: they get its mean")
    return found, assumed


def _refuse_strangers(file: Path, ids: Sequence[str], known: set[str], lacking: int) -> None:
    if lacking == len(known):
        raise InputError(
            f"{file}: none of its item ids has interactions: it has '{ids[0]}', the interactions have '{min(known)}'. "
            "Ids are compared as text ('007' is not '7'): correct them"
        )


def _item_order(features: Sequence[FeatureFile], others: Iterable[str]) -> list[str]:
    """Return every item once, the rows of the first feature file first, so that it needs no ids file if it can."""
    return list(dict.fromkeys([*(item for feature in features for item in feature.ids or ()), *others]))


def _write_items(file: Path, order: Sequence[str], titles: Mapping[str, str]) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as lines:
        lines.write("item_id:token\ttitle:token_seq\n" if titles else "item_id:token\n")
        lines.writelines(f"{item}\t{titles.get(item, '')}\n" if titles else f"{item}\n" for item in order)


def _write_features(feature: FeatureFile, folder: Path, order: Sequence[str]) -> dict[str, str]:
    """Copy a feature file, with an ids file if it needs one; return how the yaml describes it."""
    feature.check_numbers()
    target = folder / f"{feature.modality}{feature.file.suffix.lower()}"
    shutil.copyfile(feature.file, target)
    if list(feature.ids or ()) == list(feature.own_ids or order):
        return {"file": target.name}
    ids = target.with_suffix(".ids")
    ids.write_text("".join(f"{item}\n" for item in feature.ids or ()), encoding="utf-8", newline="\n")
    return {"file": target.name, "ids": ids.name}
