"""Versions of installed libraries."""

from __future__ import annotations

import importlib.metadata


def version(name: str) -> str:
    """Return the version of an installed library, or ``not installed``."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
