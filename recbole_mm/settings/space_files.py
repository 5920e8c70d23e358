"""Files of search spaces: yaml, and RecBole's text format; nothing in them is executed."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError
from recbole_mm.settings.names import properties_folder
from recbole_mm.settings.space import Domain, Space, domain, finite_number, text_of
from recbole_mm.settings.yaml_text import yaml_content


def default_space(model: str) -> Path | None:
    """Return the file of the space that the pack brings for a model, None where it brings none."""
    file = properties_folder() / "sweep" / f"{model}.yaml"
    return file if file.is_file() else None


def model_space(model: type) -> Space | None:
    """Return the space that a class declares as its attribute `sweep_space`, else the pack's; None where none has it.

    Raises
    ------
    InputError
        What `space_of` raises.
    """
    if declared := getattr(model, "sweep_space", None):
        return space_of(declared, f"{model.__name__}.sweep_space")
    file = default_space(model.__name__)
    return None if file is None else read_space(file)


def read_space(file: Path) -> Space:
    """Read a space.

    Parameters
    ----------
    file : Path
        ``.yaml``: ``learning_rate: {loguniform: [1.0e-4, 1.0e-2]}``, a line a setting. Any other file is of RecBole's
        format: ``learning_rate loguniform -8,0``, where the bounds of loguniform are natural logarithms.

    Raises
    ------
    InputError
        A file that cannot be read, an unknown kind, or bounds that are none; with the line or the setting.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--space: {file} cannot be read ({error})") from error
    if file.suffix in (".yaml", ".yml"):
        space = space_of(yaml_content(text, str(file)), str(file))
    else:
        space = dict(_from_lines(file, text))
    if not space:
        raise InputError(f"{file}: has no setting to search, such as learning_rate: {{loguniform: [1.0e-4, 1.0e-2]}}")
    return space


def space_of(content: Any, where: str) -> Space:
    """Return the space of what a yaml file holds; `where` is for messages.

    Raises
    ------
    InputError
        What `read_space` raises of a file.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"{where} must hold `setting: {{kind: values}}` lines")
    space = {}
    for name, described in content.items():
        if not isinstance(described, Mapping) or len(described) != 1:
            raise InputError(
                f"{where}, {name}: write {{kind: [values]}}, such as {{choice: [16, 32]}}, not {text_of(described)}"
            )
        ((kind, values),) = described.items()
        space[str(name)] = domain(f"{where}, {name}", str(kind), values)
    return space


def _from_lines(file: Path, text: str) -> Iterable[tuple[str, Domain]]:
    seen: set[str] = set()
    for place, line in enumerate(text.splitlines(), start=1):
        words = line.split(maxsplit=2)  # a comment behind the values is one to Python, too
        where = f"{file}, line {place}"
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 3:
            raise InputError(f"{where}: write NAME KIND VALUES, such as learning_rate loguniform -8,0")
        name, kind, rest = words
        if name in seen:
            raise InputError(f"{where}: duplicate setting {name}")
        seen.add(name)
        values = _literal(where, rest)
        if kind == "loguniform":
            values = [_exp(where, value) for value in values]
        yield name, domain(where, kind, values)


def _literal(where: str, text: str) -> list[Any]:
    try:
        values = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise InputError(f"{where}: invalid values '{text}': quote words, such as ['adam', 'sgd']") from error
    return list(values) if isinstance(values, list | tuple) else [values]


def _exp(where: str, value: Any) -> float:
    try:
        return math.exp(finite_number(where, value))
    except OverflowError as error:
        raise InputError(
            f"{where}: bounds of loguniform are natural logarithms here, and e^{value} is not finite"
        ) from error
