"""Where a model from outside the pack is: a file, a module, or an entry point of an installed package."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.recbole_bridge.models import FROM_FILE, is_own, register_model, registered, source_of

GROUP = "recbole_mm.models"
HASH = "__hash_of_file__"
FORMS = "--model=path/to/mine.py:MyModel or --model=package.module:MyModel"


def named(model: str, source: str | None = None) -> str:
    """Return the name by which RecBole finds a model, which is registered where it is from outside.

    Parameters
    ----------
    model : str
        A name, `FILE:Class` or `module:Class`.
    source : str, optional
        Where a model that is given by its name was, in the two other forms.

    Raises
    ------
    InputError
        It is not there, or cannot be imported.
    """
    if ":" in model:
        return load_model(model).__name__
    known = registered(model)
    if not source or (known is not None and source_of(known) != source):
        return model
    place = Path(source.rpartition(":")[0])
    if place.suffix != ".py" and known is not None:
        return model
    if place.suffix != ".py" or place.is_file():
        return load_model(source).__name__
    if known is None:
        raise InputError(
            f"the model {model} was in {place}, which is not there: put the file back, give its new place as "
            f"--model=FILE:{model}, or call recbole_mm.register_model({model}) first"
        )
    return model


def load_model(source: str) -> type:
    """Import a model from `FILE:Class` or `module:Class`, and register it.

    A file that has changed since it was imported is imported anew.

    Raises
    ------
    InputError
        There is no such file, module or class, it cannot be imported, or it is no recommender.
    """
    place, _, name = source.rpartition(":")
    if not place or not name:
        raise InputError(f"'{source}' does not name a model: write {FORMS}")
    module = _of_file(Path(place).resolve(), source) if place.endswith(".py") else _of_name(place, source)
    model = getattr(module, name, None)
    if model is None:
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise InputError(f"{source}: {place} has no class {name}.{nearest(name, classes)}")
    return register_model(model)


def source_hash(source: str | None) -> str:
    """Return the hash of the file that a model is in, empty where it is in none."""
    place = str(source).rpartition(":")[0]
    file = Path(place if place.endswith(".py") else getattr(sys.modules.get(place), "__file__", None) or "")
    return sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _of_file(file: Path, source: str) -> ModuleType:
    if not file.is_file():
        raise InputError(f"{source}: there is no file {file}; write {FORMS}")
    name, content = FROM_FILE + str(file).encode().hex(), source_hash(f"{file}:")
    known = sys.modules.get(name)
    if known is not None and vars(known).setdefault(HASH, content) == content:
        return known
    sys.modules.pop(name, None)
    try:
        with _errors_named(source, file), _found_beside(file.parent):
            module = importlib.import_module(name)
    except InputError:
        if known is not None:
            sys.modules[name] = known
        raise
    vars(module)[HASH] = content
    return module


class Uncached(SourceFileLoader):
    """Leaves no byte code, which Python takes for that of a file changed within the second."""

    def path_stats(self, path: Any) -> Any:
        raise OSError("not cached")


def _of_name(name: str, source: str) -> ModuleType:
    try:
        with _found_beside(Path.cwd()):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"{source}: {error.name} is not installed, and {name} imports it") from error
        raise InputError(
            f"{source}: there is no module {error.name}: install it, put its folder on PYTHONPATH, or call "
            f"recbole_mm.register_model({source.rpartition(':')[2]}) first"
        ) from error
    except Exception as error:
        raise InputError(f"{source}: cannot be imported: {type(error).__name__}: {error}") from error


@contextmanager
def _found_beside(folder: Path) -> Iterator[None]:
    """Let imports find what lies in a folder, after everything that is installed."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _errors_named(source: str, file: Path | None = None) -> Iterator[None]:
    """Whatever an import of somebody's code raises, as one line with its place."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else None)
        where = f", line {line}" if line else ""
        raise InputError(f"{source}{where}: cannot be imported: {type(error).__name__}: {error}") from error


def entries() -> dict[str, EntryPoint]:
    """Return the models that installed packages bring, by name, without importing them."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


class ModelFinder:
    """Lets Python import a model's file in any process, and RecBole's `get_model` find those of installed packages."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package, _, last = name.rpartition(".")
        if name.startswith(FROM_FILE):  # the rest is where the file is
            file = bytes.fromhex(name.removeprefix(FROM_FILE)).decode()
            return importlib.util.spec_from_file_location(name, file, loader=Uncached(name, file))
        if not package.startswith("recbole.model."):
            return None
        entry = next((entry for entry in entries().values() if entry.name.lower() == last), None)
        if entry is None:
            return None
        with _errors_named(f"entry point {entry.name} of {GROUP}"):
            model = entry.load()
        if getattr(model, "__name__", None) != entry.name:
            raise InputError(f"entry point {entry.name} of {GROUP}: must have the name of the class, {entry.value}")
        register_model(model)
        place = sys.modules.get(name)
        return place.__spec__ if place is not None else None


def find_models() -> None:
    """Add `ModelFinder` after what finds all other modules; a second call changes nothing."""
    if ModelFinder not in sys.meta_path:
        sys.meta_path.append(ModelFinder)


def found_by_class(choose: Any) -> Any:
    """Wrap `Config._get_model_and_dataset`: a model is a name, a class, `FILE:Class` or `module:Class`.

    The setting `model_source` then tells other processes, and those who load a checkpoint, where the model is.
    """

    @functools.wraps(choose)
    def wrapped(self: Any, model: Any, dataset: Any) -> Any:
        given = self.external_config_dict
        model = given.get("model") if model is None else model
        source = given.pop("model_source", None)
        if isinstance(model, str):
            model = named(model, source)
        elif model is not None and not is_own(model):
            register_model(model)
        name, model_class, dataset = choose(self, model, dataset)
        if source := source_of(model_class):
            given["model_source"] = source
        return name, model_class, dataset

    return wrapped
