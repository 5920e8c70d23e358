"""What a comparison trains: rows of a table, on every dataset, with every seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.utils import get_model

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.configuration.request import Request, build_config, check_command, check_settings, read_yaml
from recbole_mm.configuration.valid_names import PLACE, check_model
from recbole_mm.data.cache import digests_of
from recbole_mm.recbole_bridge.model_sources import named, source_hash
from recbole_mm.recbole_bridge.models import is_proposed
from recbole_mm.settings.names import DATA_PATH
from recbole_mm.training.result_files import resolved_config


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row of the table.

    Attributes
    ----------
    label : str
        What it is called.
    model : str
    files : tuple of str
        Yaml files of its own; one that names a dataset counts on that dataset alone.
    changes : mapping
        Settings of an ablation, which win over all others.
    ablation_of : str
        The label of the whole model.
    baseline : bool
        Whether others are compared with it.
    """

    label: str
    model: str
    files: tuple[str, ...] = ()
    changes: Mapping[str, Any] | None = None
    ablation_of: str = ""
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One training, and the folder that is its own."""

    row: PlannedRow
    dataset: str
    seed: int
    request: Request
    folder: Path


def planned_rows(
    models: Sequence[str], files: Sequence[str], ablations: Sequence[str], baselines: Sequence[str] | None
) -> list[PlannedRow]:
    """Return the rows that a command asks for, ablations under their model.

    Parameters
    ----------
    models, ablations, baselines : sequence of str
        Names of models, or `FILE:Class` and `module:Class`; a model of `ablations` is added where `models` does not
        have it. Without `baselines` they are all models but those that are proposed: which a class says with its
        attribute `proposed`, and one from outside the pack and RecBole is.
    files : sequence of str
        ``NAME=FILE``: settings of a model, or of a row NAME of its own whose model the file names.

    Raises
    ------
    InputError
        An unknown model or row, or one that is named twice.
    """
    models, ablations = [named(model) for model in models], [named(model) for model in ablations]
    baselines = None if baselines is None else [named(name) for name in baselines]
    for option, names in (("models", models), ("ablations", ablations), ("baselines", baselines or ())):
        check_once(option, names)
    rows = {model: PlannedRow(model, model) for model in dict.fromkeys((*models, *ablations))}
    for text in files:
        name, equals, file = text.partition("=")
        if not equals:
            raise InputError(f"--settings={text}: write NAME=FILE, such as MHCR=best.yaml")
        name, content = named(name), read_yaml(file)
        model = named(str(content.get("model", name)), content.get("model_source"))
        if name not in rows and model == name:
            raise InputError(f"--settings={text}: {name} is not among the models, and {file} names no model")
        row = rows.get(name, PlannedRow(name, model))
        if model != row.model:
            raise InputError(f"--settings={text}: {file} is of {model}, not of {row.model}")
        rows[name] = replace(row, files=(*row.files, file))
    for row in rows.values():
        check_model(row.model)
    if baselines is None:
        baselines = [label for label, row in rows.items() if not is_proposed(get_model(row.model))]
    for name in baselines:
        if name not in rows:
            raise InputError(f"--baselines: {name} is not in the comparison.{nearest(name, rows)}")
    rows = {label: replace(row, baseline=label in baselines) for label, row in rows.items()}
    return [each for row in rows.values() for each in (row, *(_ablations(row) if row.model in ablations else ()))]


def check_once(option: str, names: Sequence[str]) -> None:
    """Refuse a name that an option of the command line has twice, with an `InputError`."""
    if twice := {name for name in names if list(names).count(name) > 1}:
        raise InputError(f"--{option} names {', '.join(sorted(twice))} twice")


def _ablations(row: PlannedRow) -> list[PlannedRow]:
    if row.label != row.model:
        return []
    declared = getattr(get_model(row.model), "ablations", {})
    if not declared:
        raise InputError(f"--ablations: {row.model} declares none")
    return [
        replace(row, label=f"{row.label} {name}", changes=dict(changes), ablation_of=row.label, baseline=False)
        for name, changes in declared.items()
    ]


def request_of(row: PlannedRow, dataset: str, common: Request) -> Request:
    """Return the request of a row on a dataset: what all have in common, and what is its own."""
    own = [file for file in row.files if read_yaml(file).get("dataset", dataset) == dataset]
    settings = {**(common.settings or {}), **(row.changes or {})}
    return Request(row.model, dataset, (*common.config_files, *own), settings)


def configure_row(row: PlannedRow, dataset: str, common: Request) -> tuple[Request, Config]:
    """Return the request of a row and RecBole's Config of it, checked but for the files.

    Raises
    ------
    InputError
        Naming the row.
    """
    request = request_of(row, dataset, common)
    try:
        config = build_config(request, *check_command(request))
        check_settings(config)
    except InputError as error:
        hint = "" if row.files or not common.settings else f" (for one model alone: --settings {row.label}=FILE)"
        raise InputError(f"{row.label} on {dataset}: {error}{hint}") from error
    return request, config


def planned_run(
    row: PlannedRow, asked: tuple[Request, Config], *, data_hash: str, seed: int, out: Path, threads: int
) -> PlannedRun:
    """Return the run of a seed; whatever decides its result, data included, is in the name of its folder."""
    request, config = asked
    what = {key: value for key, value in resolved_config(config).items() if key not in PLACE} | {"seed": 0}
    if code := source_hash(config["model_source"]):
        what["model_source"] = code  # a cell of a model that has been edited since is trained anew
    digest = hashlib.sha256(json.dumps([what, data_hash], sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]+", "_", row.label)
    folder = out / "runs" / request.dataset / f"{name}-{digest}" / f"seed-{seed}"
    data_path = Path(check_command(request)[2] or DATA_PATH).resolve()
    own = {"seed": seed, "checkpoint_dir": str(folder), "data_path": str(data_path)}
    if config["model_source"]:
        own["model_source"] = config["model_source"]  # another process does not know the model by its name
    settings = {"threads": threads, **(request.settings or {}), **own}
    files = [str(Path(file).resolve()) for file in request.config_files]
    checked = dict(digests_of(config).known)
    whole = replace(request, config_files=files, settings=settings, checked=checked)
    return PlannedRun(row, request.dataset, seed, whole, folder)
