"""The specification of a sweep: everything that its trials have in common, in a file that it is resumed from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from recbole.config import Config
from recbole.utils import ModelType, get_model

from recbole_mm.base.errors import InputError
from recbole_mm.base.plain import to_json
from recbole_mm.configuration.request import Request, build_config, check_command, check_settings, configure, read_yaml
from recbole_mm.configuration.valid_names import check_keys
from recbole_mm.parallel.devices import devices_kept
from recbole_mm.settings.names import DATA_PATH, dataset_yaml
from recbole_mm.settings.parameters import read_parameters
from recbole_mm.settings.space import Space
from recbole_mm.settings.space_files import space_of
from recbole_mm.tuning.searching import SweepOptions, n_drawn


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """A sweep to be carried out.

    Attributes
    ----------
    model, dataset : str
    settings : dict
        All that the user has set, in files, on the command line and beside the data. The files are not read again:
        neither another machine nor a later day changes what a trial is.
    space, options
        What is searched, and how.
    data_hash : str
        Of the files of the dataset, once they are read.
    """

    model: str
    dataset: str
    settings: dict[str, Any]
    space: Space
    options: SweepOptions
    data_hash: str = ""

    def config(self, values: Mapping[str, Any]) -> Config:
        """Return the configuration of a trial with these values; only settings are checked, no files."""
        settings = {**self.settings, **values}
        request = Request(self.model, self.dataset, settings=settings)
        config = build_config(request, self.model, self.dataset, settings["data_path"])
        check_settings(config)
        return config

    @property
    def first(self) -> list[dict[str, Any]]:
        """The values that are tried before any is drawn: the defaults, unless a setting has none."""
        config = self.config({})
        values = {name: config[name] for name in self.space}
        return [] if None in values.values() else [values]

    @property
    def n_trials(self) -> int:
        return n_drawn(self.options, self.space) + (len(self.first) if self.options.search == "grid" else 0)

    def to_yaml(self) -> str:
        content = dataclasses.asdict(self) | {"space": {name: one.described() for name, one in self.space.items()}}
        return yaml.safe_dump(to_json(content), sort_keys=False, allow_unicode=True)


@devices_kept()
def sweep_spec(request: Request, space: Space, options: SweepOptions) -> SweepSpec:
    """Check all that can be checked before a trial, and return the specification.

    Raises
    ------
    InputError
        Settings or files that no trial could use, or a value at an end of the space that its setting cannot have.
    """
    config = configure(request)
    if config["MODEL_TYPE"] == ModelType.DECISIONTREE:
        raise InputError(f"{config['model']} is not trained epoch by epoch: a sweep cannot stop or compare its trials")
    if config["log"]:
        raise InputError("log: trackers are told of runs and of comparisons, and a sweep has trials: leave log out")
    path = check_command(request)[2] or DATA_PATH
    beside = dataset_yaml(config["dataset"], path)
    given = to_json((read_yaml(str(beside)) if beside.is_file() else {}) | config.external_config_dict)
    given = {name: value for name, value in given.items() if name not in ("model", "dataset")}
    given["data_path"] = str(Path(path).resolve())
    given.setdefault("threads", max(1, int(options.cpus_per_trial)))
    n_drawn(options, space)
    spec = SweepSpec(config["model"], config["dataset"], given, space, options)
    _check_space(spec)
    return spec


def _check_space(spec: SweepSpec) -> None:
    """Try every value of a choice, and both ends of a range, one at a time."""
    check_keys(spec.space, get_model(spec.model), "--space")
    for name, domain in spec.space.items():
        for value in domain.ends():
            try:
                spec.config({name: value})
            except InputError as error:
                raise InputError(f"--space, {name} {value}: {error}") from error


def read_spec(text: str, where: str) -> SweepSpec:
    """Return what `SweepSpec.to_yaml` wrote.

    Raises
    ------
    InputError
        Text that is none of it.
    """
    try:
        content = yaml.safe_load(text)
        space = space_of(content["space"], where)
        options = read_parameters(SweepOptions, content["options" if "options" in content else "plan"], where)
        return SweepSpec(
            content["model"], content["dataset"], dict(content["settings"]), space, options, content["data_hash"]
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where} is not a description of a sweep: {' '.join(str(error).split())}") from error
