"""Where a dataset lies, which items it has, and its yaml, into which a new modality is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import recbole
import yaml

from recbole_mm.base.errors import InputError
from recbole_mm.base.files import replace_text
from recbole_mm.data.atomic import as_list, in_both_forms, is_parquet, written_form
from recbole_mm.data.features import check_spec
from recbole_mm.data.folder import SPLIT_NAMES, DatasetFolder, place_of
from recbole_mm.data.parquet_checks import all_ids_in_parquet
from recbole_mm.extraction.outputs import Outputs
from recbole_mm.settings.names import dataset_yaml, properties_folder
from recbole_mm.settings.value_kinds import Codec, as_shown
from recbole_mm.settings.yaml_text import yaml_content

CARRIED = Path(recbole.__file__).parent / "dataset_example"  # datasets that RecBole reads from there, and nowhere else


def find_dataset(data_path: str, name: str) -> DatasetFolder:
    """Return the folder that RecBole reads a dataset from, and the ids of its items.

    The ids are those of the ``.item`` file, or else those of the interactions, in the order of the file.

    Raises
    ------
    InputError
        There is no such folder, neither items nor interactions in it, or an encoding that Python does not know.
    """
    path = CARRIED / name if (CARRIED / name).is_dir() else Path(data_path) / name
    if not path.is_dir():
        raise InputError(f"{path} does not exist: give the name of a dataset in --data_path")
    settings = dataset_yaml(name, data_path)
    told = _told(properties_folder() / "dataset" / f"{name}.yaml") | _told(settings)
    encoding = told.get("encoding") or "utf-8"
    Codec().check(f"{settings}: encoding", encoding)
    folder = DatasetFolder(
        path=path,
        name=name,
        item_field=told.get("ITEM_ID_FIELD") or "item_id",
        field_separator=told.get("field_separator") or "\t",
        seq_separator=told.get("seq_separator") or " ",
        encoding=encoding,
    )
    if folder.item_file.is_file():
        return folder
    return replace(folder, items=list(dict.fromkeys(_interacted(folder, as_list(told.get("benchmark_filename"))))))


def add_modality(file: Path, name: str, features: Path, absolute: bool = False) -> bool:
    """Describe a modality in ``<dataset>.yaml``; return whether that was done.

    A file with comments, which would be lost, is left as it is, and so is one that says something else.

    Parameters
    ----------
    absolute : bool
        Whether the features lie elsewhere than the dataset, and their paths are written in full.
    """
    spec = modality_spec(features, absolute)
    described = modality_specs(file)
    if spec.items() <= described.get(name, {}).items():
        return True
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if "#" in text or name in described:
        return False
    found = _told(file) | {"modalities": described | {name: spec}}
    replace_text(file, yaml.safe_dump(found, default_flow_style=None, sort_keys=False, allow_unicode=True, width=1000))
    return True


def modality_specs(file: Path) -> dict[str, Mapping[str, Any]]:
    """Return the modalities that ``<dataset>.yaml`` describes.

    Raises
    ------
    InputError
        A description that no dataset could be read by.
    """
    described = _told(file).get("modalities") or {}
    if not isinstance(described, dict):
        raise InputError(
            f"{file}: modalities is {as_shown(described)}: it must name each with its features, such as "
            "{image: {file: image.npy}}"
        )
    for name, spec in described.items():
        try:
            check_spec(name, spec)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    return described


def check_free(file: Path, name: str, features: Path, folder: Path) -> None:
    """Refuse to write features that ``<dataset>.yaml`` describes as another modality, or as files of other features.

    Parameters
    ----------
    folder : Path
        Relative files in the yaml are relative to it.

    Raises
    ------
    InputError
        It describes them so; or see `modality_specs`.
    """
    own = {features.resolve(), Outputs(features).ids.resolve()}
    for other, spec in modality_specs(file).items():
        named = {(folder / spec[key]).resolve() for key in ("file", "ids") if key in spec}
        taken = sorted(path.name for path in named & own)
        if taken and not (other == name and named <= own):
            told = ", ".join(f"{key}: {value}" for key, value in spec.items())
            raise InputError(
                f"{file}: modality '{other}' is {{{told}}}, and {' and '.join(taken)} would be replaced: choose "
                "another --modality, or remove its entry"
            )


def modality_spec(features: Path, absolute: bool) -> dict[str, str]:
    """Return what a yaml says of a modality."""
    both = {"file": features, "ids": Outputs(features).ids}
    return {key: str(file.resolve()) if absolute else file.name for key, file in both.items()}


def _told(file: Path) -> dict[str, Any]:
    """Return what a yaml says, if it is there."""
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as yaml: {' '.join(str(error).split())}") from error
    found = yaml_content(text, str(file))
    if not isinstance(found, dict | None):
        raise InputError(f"{file} must hold `key: value` lines, not {type(found).__name__}")
    return found or {}


def _interacted(folder: DatasetFolder, parts: list[str]) -> Iterator[str]:
    """Yield the item of every interaction; of Parquet every item."""
    whole = _interactions(folder, "")
    if not parts and not whole.is_file():
        parts = [part for part in SPLIT_NAMES if _interactions(folder, f".{part}").is_file()]
        if not parts:
            raise InputError(f"{folder.path}: neither {folder.item_file.name} nor {whole.name} is there; add one")
    for file in [_interactions(folder, f".{part}") for part in parts] or [whole]:
        if mistake := in_both_forms(file):
            raise mistake
        if is_parquet(file):
            fields = defaultdict(str, ITEM_ID_FIELD=folder.item_field)
            yield from all_ids_in_parquet(file, fields, folder.item_field).to_pylist()
            continue
        header, rows = folder.read(file)
        place = place_of(file, header, folder.item_field)
        for number, cells in rows:
            if len(cells) <= place:
                raise InputError(f"{file}, line {number}: no column {folder.item_field}")
            yield cells[place]


def _interactions(folder: DatasetFolder, part: str) -> Path:
    return written_form(folder.path / f"{folder.name}{part}.inter")
