"""Directives that write what the package says of itself: ``model``, ``command`` and ``every-setting``."""

from __future__ import annotations

import argparse

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from extension import facts


def table_node(table: facts.Table) -> nodes.table:
    """Return a table with a title, whose first column is literal."""
    group = nodes.tgroup(cols=len(table.header))
    group += [nodes.colspec(colwidth=1) for _ in table.header]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([nodes.Text(cell) for cell in table.header])
    for first, *rest in table.rows:
        body += _row([nodes.literal(first, first), *(nodes.Text(cell) for cell in rest)])
    group += [head, body]
    node = nodes.table(classes=["generated"])
    node += [nodes.title(table.title, table.title), group]
    return node


def _row(cells: list[nodes.Node]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        entry, paragraph = nodes.entry(), nodes.paragraph()
        paragraph += cell
        entry += paragraph
        row += entry
    return row


def _paragraph(text: str) -> nodes.paragraph:
    return nodes.paragraph(text, text)


class ModelTables(Directive):
    """``model NAME``: its kind and its tables."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        model = self.arguments[0]
        return [_paragraph(facts.model_kind(model)), *map(table_node, facts.model_tables(model))]


class CommandTables(Directive):
    """``command NAME``: its usage, its tables, and what its help ends with."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        command = self.arguments[0]
        parser = facts.parser_of(command)
        found: list[nodes.Node] = [_literal(parser.usage or "", "usage"), _paragraph(parser.description or "")]
        found += map(table_node, facts.command_tables(command))
        if parser.epilog:
            raw = parser.formatter_class is argparse.RawDescriptionHelpFormatter
            found.append(_literal(parser.epilog) if raw else _paragraph(parser.epilog))
        return found


class EverySetting(Directive):
    """``every-setting``: the settings that every model has."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        return [table_node(facts.every_setting())]


def _literal(text: str, *classes: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language="text", classes=list(classes))


def add(app: Sphinx) -> None:
    """Add the directives."""
    app.add_directive("model", ModelTables)
    app.add_directive("command", CommandTables)
    app.add_directive("every-setting", EverySetting)
