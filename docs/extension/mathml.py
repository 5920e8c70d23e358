"""Formulas as MathML, written when the site is built: a page loads nothing to show them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def formula(latex: str, block: bool) -> str:
    """Return LaTeX as a MathML element."""
    return convert(latex.strip(), display="block" if block else "inline")


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(formula(node.astext(), block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{formula(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def add(app: Sphinx) -> None:
    """Make it the way in which Sphinx shows formulas."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
