"""Putting replacements in RecBole's place: in modules as they are imported, and in those that are there already."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

import torch

MARK = "recbole_mm_behaviours"  # on the package `recbole`, once its behaviours are replaced


@dataclass(frozen=True, slots=True)
class Patch:
    """One change of RecBole.

    Attributes
    ----------
    targets : tuple of str
        ``module`` or ``module:attribute.of.it``.
    change : callable
        Of a module: is called with it, and changes it. Of an attribute: is called with what stands there, and returns
        what takes its place.
    why : str
        The symptom that it cures, or what it is for.
    since : str
        The library and version from which on RecBole needs it, or ``always``.
    needed : bool
        Whether the installed libraries show the symptom.
    """

    targets: tuple[str, ...]
    change: Callable[[Any], Any]
    why: str
    since: str = "always"
    needed: bool = True


class Overlay(ModuleType):
    """A module as RecBole sees it: the original with some names replaced."""

    def __init__(self, original: Any, **names: Any) -> None:
        super().__init__(original.__name__)
        self.__dict__.update(names, _original=original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class PatchAfterImport(MetaPathFinder):
    """Applies the patches of a RecBole module right after it is executed, whenever that is."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self.changes: dict[str, list[Callable[[Any], Any]]] = {}
        for patch in patches:
            for module in patch.targets if patch.needed else ():
                self.changes.setdefault(module, []).append(patch.change)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.changes:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                anomaly = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
                run(module)
                self.apply(module)
                torch.autograd.set_detect_anomaly(*anomaly)  # a module of RecBole's turns it on for the whole process

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def apply(self, module: ModuleType) -> None:
        for change in self.changes[module.__name__]:
            change(module)


def patch_modules(patches: Iterable[Patch]) -> None:
    """Change RecBole's modules, those already imported now and the others as they are imported; once in a process."""
    if any(isinstance(finder, PatchAfterImport) for finder in sys.meta_path):
        return
    finder = PatchAfterImport(patches)
    sys.meta_path.insert(0, finder)
    for name in finder.changes:
        if name in sys.modules:
            finder.apply(sys.modules[name])
    # pandas announces, and torch deprecates, what RecBole still does; its users cannot act on it.
    pandas_errors: Any = importlib.import_module("pandas.errors")
    for category in (DeprecationWarning, FutureWarning, pandas_errors.ChainedAssignmentError):
        warnings.filterwarnings("ignore", category=category, module=r"recbole\.")
    warnings.filterwarnings("ignore", message="torch.sparse.SparseTensor", module=r"recbole\.")


def patch_attributes(patches: Iterable[Patch]) -> None:
    """Replace attributes of RecBole, whatever others have put around them before; once in a process."""
    recbole = importlib.import_module("recbole")
    if hasattr(recbole, MARK):
        return
    setattr(recbole, MARK, True)
    for patch in patches:
        for target in patch.targets if patch.needed else ():
            name, _, path = target.partition(":")
            *parents, leaf = path.split(".")
            owner: Any = importlib.import_module(name)
            for parent in parents:
                owner = getattr(owner, parent)
            setattr(owner, leaf, patch.change(getattr(owner, leaf)))
