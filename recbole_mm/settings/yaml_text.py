"""Yaml text as plain values: nothing in it is executed, and a duplicate key is refused."""

from __future__ import annotations

from typing import Any

import yaml

from recbole_mm.base.errors import InputError


class UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a duplicate key, of which yaml would take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)  # its keys as written, before any merge
        first: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if (key.tag, key.value) in first:
                before = first[key.tag, key.value]
                place = f"line {line}" if line == before else f"lines {before} and {line}"
                raise InputError(f"{self.name}, {place}: duplicate key '{key.value}'; keep one")
            first[key.tag, key.value] = line
        return node


def yaml_content(text: str, where: str, loader: type[yaml.SafeLoader] = UniqueKeyLoader) -> Any:
    """Return what yaml text holds; `where` is for messages.

    Raises
    ------
    InputError
        Text that is not valid yaml, or a duplicate key.
    """
    try:
        reader = loader(text)
        reader.name = where
        return reader.get_single_data()
    except InputError:
        raise
    except RecursionError as error:
        raise InputError(f"{where} is not valid yaml: its brackets are nested too deeply") from error
    # A date such as 2020-99-99 is a ValueError, a tag with a value that it cannot have any of the others.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        raise InputError(f"{where} is not valid yaml: {' '.join(str(error).split())}") from error
