"""The rows of a comparison on one dataset: configured, with their data loaded, and found to be comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recbole.config import Config
from recbole.utils import get_model

from recbole_mm.comparison.planned_runs import PlannedRun, configure_row, own_files, planned_run
from recbole_mm.comparison.rows import PlannedRow, with_controls
from recbole_mm.comparison.together import MIXED, check_alike, is_mixed, load_alike
from recbole_mm.configuration.request import Request, read_yaml
from recbole_mm.data.cache import digests_of
from recbole_mm.training.run_screen import Line


@dataclass(frozen=True, slots=True)
class ConfiguredRows:
    """The rows on one dataset.

    Attributes
    ----------
    rows : tuple of PlannedRow
        With their controls.
    common : Request
        Files and settings of all.
    asked : mapping
        The request and the Config of each row.
    hashes : mapping
        Of the data of each row.
    first_seed : int
    """

    dataset: str
    rows: tuple[PlannedRow, ...]
    common: Request
    asked: Mapping[str, tuple[Request, Config]]
    hashes: Mapping[str, str]
    first_seed: int

    @property
    def config(self) -> Config:
        """Of the first row; all are evaluated alike."""
        return self.asked[self.rows[0].label][1]

    def given(self, row: PlannedRow) -> set[str]:
        """Return the settings that the user has given for a row, by the command line or in files."""
        files = (*self.common.config_files, *own_files(row, self.dataset))
        return {*(self.common.settings or {}), *(key for file in files for key in read_yaml(file))}

    def planned(self, row: PlannedRow, values: Mapping[str, Any], **where: Any) -> PlannedRun:
        """Return a run of a row with tuned values; `where` is what `planned_run` takes.

        Raises
        ------
        InputError
            Values that the row cannot have.
        """
        asked = self.asked[row.label]
        if values:
            known = digests_of(asked[1]).known
            asked = configure_row(row, self.dataset, self.common, values)
            digests_of(asked[1]).known.update(known)
        return planned_run(row, asked, data_hash=self.hashes[row.label], **where)


def configured_rows(
    rows: Sequence[PlannedRow], dataset: str, common: Request, controls: Sequence[str], say: Line
) -> ConfiguredRows:
    """Configure all rows on a dataset, with their controls, and load their data.

    Raises
    ------
    InputError
        Settings or data that cannot be used, or rows that cannot be compared.
    """
    # Of no row, whose own file may have a seed of its own.
    _, plain = configure_row(PlannedRow(rows[0].model, rows[0].model), dataset, common)
    mixed = is_mixed(get_model(row.model).type for row in rows)
    if mixed:
        files = [*common.config_files, *(file for row in rows for file in row.files)]
        given = {key for file in files for key in read_yaml(file)}
        if plain["benchmark_filename"]:
            given.add("eval_args")
        added = {key: value for key, value in MIXED.items() if key not in given}
        common = replace(common, settings={**added, **(common.settings or {})})
    asked = {row.label: configure_row(row, dataset, common) for row in rows}
    rows = with_controls(rows, {label: config for label, (_, config) in asked.items()}, controls)
    asked |= {row.label: configure_row(row, dataset, common) for row in rows if row.label not in asked}
    configs = {label: config for label, (_, config) in asked.items()}
    check_alike(configs)
    hashes, held_out = load_alike(configs)
    say(_told(dataset, held_out, next(iter(configs.values())), mixed))
    return ConfiguredRows(dataset, tuple(rows), common, asked, hashes, plain["seed"])


def _told(dataset: str, held_out: Mapping[str, Any], config: Any, mixed: bool) -> str:
    valid, test = (
        f"{held_out[split]['interactions']} interactions of {held_out[split]['users']} users"
        for split in ("valid", "test")
    )
    kinds = "; sequential models, too, rank once per user and leave seen items out" if mixed else ""
    return (
        f"{dataset}: {valid} in validation and {test} in test, each among {held_out['items']} items, "
        f"chosen by {config['valid_metric']}{kinds}"
    )
