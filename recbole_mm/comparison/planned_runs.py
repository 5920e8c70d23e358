"""What a comparison trains: a row of the table, on a dataset, with a seed, or with the settings of a trial."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole.config import Config

from recbole_mm.base.errors import InputError
from recbole_mm.comparison.rows import PlannedRow
from recbole_mm.configuration.request import Request, build_config, check_command, check_settings, read_yaml
from recbole_mm.configuration.valid_names import PLACE
from recbole_mm.data.cache import digests_of
from recbole_mm.recbole_bridge.model_sources import source_hash
from recbole_mm.settings.names import DATA_PATH
from recbole_mm.training.result_files import resolved_config


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One training, and the folder that is its own.

    Attributes
    ----------
    trial : int
        Which trial of its row it is, from 1, and then without a test; 0 for a run of the table.
    """

    row: PlannedRow
    dataset: str
    seed: int
    request: Request
    folder: Path
    trial: int = 0

    @property
    def title(self) -> str:
        return f"{self.row.label} on {self.dataset}, {f'trial {self.trial}' if self.trial else f'seed {self.seed}'}"


def own_files(row: PlannedRow, dataset: str) -> list[str]:
    """Return the files of a row that count on a dataset."""
    return [file for file in row.files if _only_on(file) in ("", dataset)]


def _only_on(file: str) -> str:
    """Return the dataset that a file names, empty where it names none."""
    return str(read_yaml(file).get("dataset") or "")


def check_own_files(rows: Sequence[PlannedRow], datasets: Sequence[str]) -> None:
    """Refuse a file of a row that counts on none of the datasets, with an `InputError`."""
    for row in rows:
        for file in row.files:
            if (only := _only_on(file)) not in ("", *datasets):
                raise InputError(
                    f"--settings: {file} of {row.label} is for the dataset {only}, which is not among --datasets: add "
                    f"{only} there, or take dataset out of the file, which then counts on every dataset"
                )


def stands_on(row: PlannedRow, dataset: str) -> bool:
    """Tell whether a dataset has a row: one with a name of its own needs a file that counts there."""
    is_model = (row.ablation_of or row.label) == row.model
    return is_model or not row.files or bool(own_files(row, dataset))


def configure_row(
    row: PlannedRow, dataset: str, common: Request, shared: Mapping[str, Any] | None = None
) -> tuple[Request, Config]:
    """Return the request of a row on a dataset and RecBole's Config of it, checked but for the files.

    Parameters
    ----------
    row : PlannedRow
    dataset : str
    common : Request
        Files and settings that the user gives all rows.
    shared : mapping, optional
        Settings that the comparison itself gives the row; they win over all files.

    Raises
    ------
    InputError
        Naming the row.
    """
    settings = {**(shared or {}), **(common.settings or {}), **(row.changes or {})}
    request = Request(row.model, dataset, (*common.config_files, *own_files(row, dataset)), settings)
    hint = f" (for one model alone: --settings {row.label}=FILE)" if common.settings and not row.files else ""
    return request, _config(row, request, hint)


def configure_tuned(row: PlannedRow, request: Request, values: Mapping[str, Any]) -> tuple[Request, Config]:
    """Return the request of a row with tuned values, over which its changes win, and RecBole's Config of it.

    Raises
    ------
    InputError
        Values that the row cannot have.
    """
    request = replace(request, settings={**(request.settings or {}), **values, **(row.changes or {})})
    return request, _config(row, request)


def _config(row: PlannedRow, request: Request, hint: str = "") -> Config:
    try:
        config = build_config(request, *check_command(request))
        check_settings(config)
    except InputError as error:
        raise InputError(f"{row.label} on {request.dataset}: {error}{hint}") from error
    return config


def planned_run(
    row: PlannedRow,
    asked: tuple[Request, Config],
    *,
    data_hash: str,
    seed: int,
    out: Path,
    threads: int,
    trial: int = 0,
) -> PlannedRun:
    """Return the run of a seed or a trial; whatever decides its result, data included, is in its folder's name."""
    request, config = asked
    what = {key: value for key, value in resolved_config(config).items() if key not in PLACE} | {"seed": 0}
    if code := source_hash(config["model_source"]):
        what["model_source"] = code  # a cell of a model that has been edited since is trained anew
    digest = hashlib.sha256(json.dumps([what, data_hash], sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]+", "_", row.label)
    folder = out / ("trials" if trial else "runs") / request.dataset / f"{name}-{digest}" / f"seed-{seed}"
    data_path = Path(check_command(request)[2] or DATA_PATH).resolve()
    own = {"seed": seed, "checkpoint_dir": str(folder), "data_path": str(data_path)}
    if config["model_source"]:
        own["model_source"] = config["model_source"]  # another process does not know the model by its name
    settings = {"threads": threads, **(request.settings or {}), **own}
    files = [str(Path(file).resolve()) for file in request.config_files]
    checked = dict(digests_of(config).known)
    whole = replace(request, config_files=files, settings=settings, checked=checked, tested=not trial)
    return PlannedRun(row, request.dataset, seed, whole, folder, trial)
