"""What the user asks for, and RecBole's Config of it, checked name by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.utils import get_model

from recbole_mm.base.errors import InputError
from recbole_mm.configuration.recbole_settings import check_values
from recbole_mm.configuration.setting_checks import check_config
from recbole_mm.configuration.tracker_names import trackers_asked
from recbole_mm.configuration.valid_names import check_keys, check_model
from recbole_mm.data.atomic import files_and_gaps
from recbole_mm.data.cache import FileState, digests_of, state_of
from recbole_mm.data.file_checks import check_files
from recbole_mm.recbole_bridge.model_sources import named
from recbole_mm.recbole_bridge.several_batches import batches_per_step
from recbole_mm.settings.execution import Engine, Histories, Ranked, read_groups
from recbole_mm.settings.names import DEFAULT_DATASET, DEFAULT_MODEL, dataset_yaml
from recbole_mm.settings.parameters import check_model_parameters, read_config
from recbole_mm.settings.yaml_text import UniqueKeyLoader, yaml_content

SETTINGS_CHECKS: tuple[Callable[[Any], object], ...] = (
    check_config,
    partial(read_config, Engine),
    partial(read_config, Ranked),
    partial(read_config, Histories),
    batches_per_step,
    trackers_asked,
    read_groups,
    check_model_parameters,
)

# Options of `recbole-mm run` that are no settings: nothing reads them in a file.
COMMAND_OPTIONS = frozenset(("config_files", "resume", "nproc", "ip", "port", "world_size", "group_offset"))


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes
    ----------
    model, dataset : str
        Empty: from the configuration files, else MHCR on ml-100k. A model from outside the pack is `FILE:Class` or
        `module:Class`, or a name with the setting `model_source` in one of these forms.
    config_files : sequence of str
        RecBole yaml files; later ones win.
    settings : mapping
        `--key=value` of the command line as text, or values; they win over the files.
    resume : str
        A checkpoint to train on from, or empty.
    checked : mapping
        Files that were checked for the same settings, as they were then, and their digests: they are not checked again
        unless they have changed.
    tested : bool
        Whether the run ends with the test. One that does not has no test metrics, and leaves no checkpoint: it is to
        be chosen from by its validation.
    """

    model: str = ""
    dataset: str = ""
    config_files: Sequence[str] = ()
    settings: Mapping[str, Any] | None = None
    resume: str = ""
    checked: Mapping[FileState, bytes] = field(default_factory=dict)
    tested: bool = True


def configure(request: Request) -> Config:
    """Build RecBole's Config of a request, after checking every name in it, and check its settings and files.

    Raises
    ------
    InputError
        An unknown model or key, a file that cannot be read, or settings that contradict each other.
    """
    config = build_config(request, *check_command(request))
    check_settings(config)
    if not _are_checked(config, request.checked):
        check_files(config)
    return config


def _are_checked(config: Config, checked: Mapping[FileState, bytes]) -> bool:
    """Tell whether all files that are loaded are still as they were when they were checked, and note their digests."""
    files = list(files_and_gaps(config)) if checked else []
    if not files or any(isinstance(file, InputError) or state_of(file) not in checked for file in files):
        return False
    digests_of(config).known.update(checked)
    return True


def check_settings(config: Config) -> None:
    """Refuse settings that contradict each other, whatever the files.

    Raises
    ------
    InputError
        Naming the setting.
    """
    for check in SETTINGS_CHECKS:
        check(config)


def check_command(request: Request) -> tuple[str, str, str | None]:
    """Return the model, the dataset and the data path of a request, and check the names that the user wrote himself.

    Raises
    ------
    InputError
        An unknown model or key, or a configuration file that cannot be read.
    """
    from_files: dict[str, Any] = {}
    keys: list[tuple[str, list[str]]] = []
    for file in request.config_files:
        content = read_yaml(file)
        keys.append((file, list(content)))
        from_files.update(content)
    settings = dict(request.settings or {})
    keys.append(("command line", list(settings)))
    model = request.model or from_files.get("model") or DEFAULT_MODEL
    dataset = request.dataset or from_files.get("dataset") or DEFAULT_DATASET
    model = named(str(model), settings.get("model_source") or from_files.get("model_source"))
    check_model(model)
    for where, names in keys:
        check_keys(names, get_model(model), where)
    return model, dataset, settings.get("data_path") or from_files.get("data_path")


def build_config(request: Request, model: str, dataset: str, data_path: str | None) -> Config:
    """Build RecBole's Config, after checking the names in the dataset's own yaml file.

    Raises
    ------
    InputError
        An unknown key, a yaml file that cannot be read, or settings that RecBole refuses.
    """
    model = named(model, (request.settings or {}).get("model_source"))
    own = dataset_yaml(dataset, data_path)
    given = read_yaml(str(own)) if own.is_file() else {}
    if given:
        check_keys(given, get_model(model), str(own))
    with _empty_command_line():
        try:
            return Config(
                model=model,
                dataset=dataset,
                config_file_list=list(request.config_files),
                config_dict=dict(request.settings or {}),
            )
        except (InputError, ImportError):
            raise
        except Exception as error:  # whatever RecBole does with values that it does not expect
            check_values(given | settings_given(request))
            raise InputError(f"the settings do not fit together: {' '.join(str(error).split())}") from error


class PlainLoader(UniqueKeyLoader):
    """Reads numbers as RecBole does, to which 1e-3 is one."""

    yaml_implicit_resolvers = Config._build_yaml_loader(None).yaml_implicit_resolvers


def settings_given(request: Request) -> dict[str, Any]:
    """Return the settings of a request's files and of its own, which win, as the values that RecBole reads."""
    return settings_in(request.config_files) | Config._convert_config_dict(None, dict(request.settings or {}))


def settings_in(files: Iterable[str]) -> dict[str, Any]:
    """Return the settings in yaml files; those of a later one win."""
    return {key: value for file in files for key, value in read_yaml(file).items()}


def read_yaml(file: str) -> dict[str, Any]:
    """Return the settings in a yaml file.

    Raises
    ------
    InputError
        A file that cannot be read, or holds anything else, such as an option of the command line.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"--config_files: {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not valid UTF-8 ({error.reason}): save it as utf-8") from error
    content = yaml_content(text, file, PlainLoader)
    if not isinstance(content, dict | None):
        raise InputError(f"{file} must hold `key: value` lines, not {type(content).__name__}")
    for key in content or ():
        if key in COMMAND_OPTIONS:
            raise InputError(
                f"{file}: {key} is an option of the command line alone: take it out, and write --{key}=..."
            )
    return content or {}


@contextmanager
def _empty_command_line() -> Iterator[None]:
    """RecBole's Config reads sys.argv by itself; the settings are already in `config_dict`."""
    saved = sys.argv
    sys.argv = saved[:1]
    try:
        yield
    finally:
        sys.argv = saved
