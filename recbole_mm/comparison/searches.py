"""The trials by which a row is tuned on a dataset: the same number for every row, drawn from its declared space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recbole.utils import get_model

from recbole_mm.base.errors import InputError
from recbole_mm.comparison.configured import ConfiguredRows
from recbole_mm.comparison.planned_runs import PlannedRun, own_files
from recbole_mm.comparison.rows import PlannedRow
from recbole_mm.comparison.together import SHARED
from recbole_mm.configuration.request import settings_in
from recbole_mm.configuration.valid_names import check_keys, data_keys
from recbole_mm.settings.drawing import draws
from recbole_mm.settings.space import Space
from recbole_mm.settings.space_files import model_space

NO_SPACE, ALL_GIVEN = "no search space", "all settings given"
ALIKE = {*SHARED, "epochs"}  # what the trials of all rows share


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One set of values, and the run that tries it.

    Attributes
    ----------
    values : mapping
        What is changed; nothing in the first trial, which is of the row's own settings.
    searched : mapping
        The values of all searched settings.
    """

    values: Mapping[str, Any]
    searched: Mapping[str, Any]
    run: PlannedRun


@dataclass(frozen=True, slots=True)
class Search:
    """The trials of a row on a dataset.

    Attributes
    ----------
    settings : mapping
        All that is given for the row, in files, on the command line and by the comparison.
    trials : tuple of PlannedTrial
        None where there is nothing to search.
    reason : str
        Why there is nothing to search, else empty.
    given : tuple of str
        Settings of the space that files of the row itself give, and that are therefore not searched; without those
        that are given for all rows.
    """

    row: PlannedRow
    dataset: str
    settings: Mapping[str, Any]
    trials: tuple[PlannedTrial, ...] = ()
    reason: str = ""
    given: tuple[str, ...] = ()


def planned_search(rows: ConfiguredRows, row: PlannedRow, n_trials: int, **where: Any) -> Search:
    """Return the trials of a row: first its own settings, then draws from its space; all with the first seed.

    Settings that the user has given are not searched. What is drawn depends on the first seed and the model.

    Parameters
    ----------
    rows : ConfiguredRows
        All rows on the dataset.
    row : PlannedRow
        One of them.
    n_trials : int
        A space that has fewer sets of values is tried as a whole.
    **where
        The folder and the threads, as `planned_run` takes them.

    Raises
    ------
    InputError
        A space with settings that the model does not know, or that trials have to share, or values it cannot have.
    """
    space = _space(row)
    given = rows.given(row)
    left = {name: domain for name, domain in space.items() if name not in given}
    config = rows.asked[row.label][1]
    settings = dict(config.external_config_dict)
    if not left:
        return Search(row, rows.dataset, settings, reason=ALL_GIVEN if space else NO_SPACE)
    own = {name: config[name] for name in left}
    drawn = draws(left, n_trials - 1, f"{rows.first_seed} {row.model}", own)
    trials = [
        PlannedTrial(values, values or own, rows.planned(row, values, seed=rows.first_seed, trial=number, **where))
        for number, values in enumerate([{}, *drawn], start=1)
    ]
    own_alone = settings_in(own_files(row, rows.dataset)).keys() - (rows.common.settings or {}).keys()  # which win
    named = tuple(name for name in space if name in own_alone)
    return Search(row, rows.dataset, settings, tuple(trials), given=named)


def _space(row: PlannedRow) -> Space:
    """Return the declared space of a row's model, empty where it has none."""
    model = get_model(row.model)
    space = model_space(model) or {}
    where = f"the search space of {row.model}"
    check_keys(space, model, where)
    if shared := next((name for name in space if name in data_keys() | ALIKE), None):
        raise InputError(f"{where} has {shared}, in which the trials of a comparison must be alike: leave it out")
    return space
