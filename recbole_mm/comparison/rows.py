"""The rows of a comparison's table: models, their ablations and controls, and rows of the user's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recbole.config import Config
from recbole.utils import get_model

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.comparison.options import CONTROLS
from recbole_mm.configuration.request import read_yaml
from recbole_mm.configuration.valid_names import check_model
from recbole_mm.recbole_bridge.model_sources import named
from recbole_mm.recbole_bridge.models import is_multimodal, is_proposed


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row of the table.

    Attributes
    ----------
    label : str
        What it is called.
    model : str
    files : tuple of str
        Yaml files of its own; one that names a dataset counts on that dataset alone. A row with a name of its own
        stands only where one counts.
    changes : mapping
        Settings of an ablation or a control, which win over all others.
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


def planned_rows(
    models: Sequence[str], files: Sequence[str], ablations: Sequence[str], baselines: str | None
) -> list[PlannedRow]:
    """Return the rows that a command asks for, ablations under their model.

    Parameters
    ----------
    models, ablations : sequence of str
        Names of models, or `FILE:Class` and `module:Class`; a model of `ablations` is added where `models` does not
        have it.
    files : sequence of str
        ``NAME=FILE``: settings of a model, or of a row NAME of its own whose model the file names.
    baselines : str, optional
        Names of rows between commas, which a name may have, too. Without them they are all rows but those of models
        that are proposed: which a class says with its attribute `proposed`, and one from outside the pack and RecBole
        is.

    Raises
    ------
    InputError
        An unknown model or row, or one that is named twice.
    """
    models, ablations = [named(model) for model in models], [named(model) for model in ablations]
    check_once("models", models)
    check_once("ablations", ablations)
    rows = {model: PlannedRow(model, model) for model in dict.fromkeys((*models, *ablations))}
    for text in files:
        name, equals, file = text.partition("=")
        if not equals:
            raise InputError(f"--settings={text}: write NAME=FILE, such as MHCR=best.yaml")
        name, content = named(name), read_yaml(file)
        model = named(str(content.get("model", name)), content.get("model_source"))
        if name not in rows and "model" not in content:
            raise InputError(f"--settings={text}: {name} is not among the models, and {file} names no model")
        row = rows.get(name, PlannedRow(name, model))
        if model != row.model:
            raise InputError(f"--settings={text}: {file} is of {model}, not of {row.model}")
        rows[name] = replace(row, files=(*row.files, file))
    for row in rows.values():
        check_model(row.model)
    if baselines is None:
        chosen = [label for label, row in rows.items() if not is_proposed(get_model(row.model))]
    else:
        chosen = _labels(baselines, rows)
    rows = {label: replace(row, baseline=label in chosen) for label, row in rows.items()}
    return [each for row in rows.values() for each in (row, *(_ablations(row) if row.model in ablations else ()))]


def _labels(text: str, known: Collection[str]) -> list[str]:
    """Return the rows that `--baselines` names between commas; of names that fit the longest counts."""
    whole = "|".join(re.escape(label) for label in sorted(known, key=len, reverse=True))
    found = [name.strip() for name in re.findall(rf"\s*({whole}|[^,]+?)\s*(?:,|$)", text)]
    labels = [name if name in known else named(name) for name in found if name]
    check_once("baselines", labels)
    for label in labels:
        if label not in known:
            raise InputError(f"--baselines: {label} is not in the comparison.{nearest(label, known)}")
    return labels


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


def with_controls(
    rows: Sequence[PlannedRow], configs: Mapping[str, Config], controls: Sequence[str]
) -> list[PlannedRow]:
    """Return the rows, and under each that reads features its controls.

    Parameters
    ----------
    rows : sequence of PlannedRow
    configs : mapping
        By row, on one dataset.
    controls : sequence of str
        Names of `CONTROLS`.

    Raises
    ------
    InputError
        An unknown control, or a row that is one already, or is called like one.
    """
    if unknown := [name for name in controls if name not in CONTROLS]:
        raise InputError(
            f"unknown control '{unknown[0]}'; choose from {', '.join(CONTROLS)}.{nearest(unknown[0], CONTROLS)}"
        )
    found = []
    for row in rows:
        config = configs[row.label]
        found.append(row)
        for name in controls if is_multimodal(config) and config["modalities"] and not row.ablation_of else ():
            title, changes = CONTROLS[name]
            label = f"{row.label}, {title}"
            if label in configs:
                raise InputError(f"--controls={name} makes a row '{label}', and there is one: call yours otherwise")
            if given := [key for key in changes if config[key]]:
                raise InputError(f"--controls={name} sets {given[0]}, which {row.label} has already: leave it out")
            found.append(replace(row, label=label, changes=changes, ablation_of=row.label, baseline=False))
    return found
