"""The rows of a comparison on one dataset: configured, with their data loaded, and found to be comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recbole.config import Config
from recbole.utils import get_model

from recbole_mm.base.errors import InputError
from recbole_mm.comparison.planned_runs import (
    PlannedRun,
    configure_row,
    configure_tuned,
    own_files,
    planned_run,
    stands_on,
)
from recbole_mm.comparison.rows import PlannedRow, with_controls
from recbole_mm.comparison.together import MIXED, check_alike, is_mixed, load_alike
from recbole_mm.configuration.request import Request, settings_in
from recbole_mm.data.cache import digests_of
from recbole_mm.training.run_screen import Line


@dataclass(frozen=True, slots=True)
class ConfiguredRows:
    """The rows on one dataset.

    Attributes
    ----------
    rows : tuple of PlannedRow
        Those that stand on the dataset, with their controls.
    common : Request
        Files and settings that the user gives all.
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
        """Return the settings of a row that the user has given, by the command line or in files, or the comparison."""
        files = (*self.common.config_files, *own_files(row, self.dataset))
        return {*(self.asked[row.label][0].settings or {}), *settings_in(files)}

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
            asked = configure_tuned(row, asked[0], values)
            digests_of(asked[1]).known.update(known)
        return planned_run(row, asked, data_hash=self.hashes[row.label], **where)


def configured_rows(
    rows: Sequence[PlannedRow], dataset: str, common: Request, controls: Sequence[str], say: Line
) -> ConfiguredRows:
    """Configure the rows that stand on a dataset, with their controls, and load their data.

    Raises
    ------
    InputError
        Settings or data that cannot be used, or rows that cannot be compared.
    """
    left_out = [row.label for row in rows if not stands_on(row, dataset)]
    rows = [row for row in rows if row.label not in left_out]
    if not rows:
        raise InputError(f"no row stands on {dataset}: all have files of other datasets; leave it out of --datasets")
    # Of no row, whose own file may have a seed of its own.
    _, plain = configure_row(PlannedRow(rows[0].model, rows[0].model), dataset, common)
    mixed = is_mixed(get_model(row.model).type for row in rows)
    given = {*settings_in(common.config_files), *(["eval_args"] if plain["benchmark_filename"] else [])}
    protocol = {key: value for key, value in MIXED.items() if mixed and key not in given}

    def configured(row: PlannedRow) -> tuple[Request, Config]:
        """Configure a row with the seed of all, and the protocol of all where its own files have no other."""
        own = settings_in(own_files(row, dataset))
        shared = {key: value for key, value in protocol.items() if key not in own}
        return configure_row(row, dataset, common, {**shared, "seed": plain["seed"]})

    asked = {row.label: configured(row) for row in rows}
    rows = with_controls(rows, {label: config for label, (_, config) in asked.items()}, controls)
    asked |= {row.label: configured(row) for row in rows if row.label not in asked}
    configs = {label: config for label, (_, config) in asked.items()}
    check_alike(configs)
    hashes, held_out = load_alike(configs)
    without = f"; without {', '.join(left_out)}, of which no file counts there" if left_out else ""
    say(_told(dataset, held_out, next(iter(configs.values())), mixed) + without)
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
