"""What the site needs beyond Sphinx and MyST: formulas, tables made from the package, links, and a last check."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

PARTS = ("mathml", "tables", "links", "built")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add all of it to Sphinx, which the tests of the other modules do without."""
    for part in PARTS:
        importlib.import_module(f"extension.{part}").add(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
