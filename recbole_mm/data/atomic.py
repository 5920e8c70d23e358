"""RecBole's atomic files: which ones it loads, and their lines read as RecBole reads them.

Interactions may also be in Parquet: `NAME.inter.parquet` in the place of `NAME.inter`.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.cache import Digests

TYPES = ("token", "token_seq", "float", "float_seq")

# What pandas reads as a missing value by default.
MISSING = frozenset(
    {"", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NULL", "null", "None"}
    | {"nan", "NaN", "-nan", "-NaN", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)

PARQUET = ".parquet"
ID_FIELDS = tuple(f"{name}_ID_FIELD" for name in ("USER", "ITEM", "HEAD_ENTITY", "TAIL_ENTITY", "RELATION", "ENTITY"))
ATOMIC_SUFFIXES = ("inter", "user", "item", "kg", "link")
UNPACK = {".gz": "gunzip -k", ".bz2": "bunzip2 -k", ".xz": "unxz -k", ".zst": "unzstd", ".zip": "unzip"}

Columns = dict[str, str]  # field -> type, in the order of the file
Row = tuple[int, list[str]]  # line number (from 1) and cells


def read_rows(
    file: Path, separator: str = "\t", encoding: str = "utf-8", digests: Digests | None = None
) -> Iterator[Row]:
    """Yield the header, then every line that is not blank, split as RecBole splits the one and pandas the others.

    Whoever reads to the end, knows the digest of the file.

    Raises
    ------
    InputError
        On quotes that pandas cannot read.
    OSError, UnicodeError
        The file cannot be read.
    """
    digests = Digests() if digests is None else digests
    with digests.reading(file) as stream, io.TextIOWrapper(stream, encoding=encoding) as lines:
        for number, line in enumerate(lines, start=1):
            text = line.removesuffix("\n")
            if '"' in text and number > 1 and len(separator) == 1:
                cells = _unquote(file, number, text, separator)
            else:
                cells = text.split(separator)
            if len(cells) > 1 or number == 1 or text.strip():
                yield number, cells


def _unquote(file: Path, number: int, text: str, separator: str) -> list[str]:
    """Split a line as pandas does: a field that starts with a quote goes on to the closing one."""
    reader = csv.reader([text, '"'], delimiter=separator, strict=True)
    try:
        cells = next(reader)
    except csv.Error as error:
        raise InputError(f'{file}, line {number}: {error}: remove the quotes (")') from None
    if reader.line_num > 1:
        raise InputError(f'{file}, line {number}: a quote (") at the start of a field is never closed: remove it')
    return cells


def parse_header(cells: Sequence[str]) -> tuple[Columns, str | None]:
    """Return the columns up to the first cell that is not NAME:TYPE or a duplicate, and that cell.

    A byte-order mark is passed over.
    """
    columns: Columns = {}
    for cell in cells:
        field, _, kind = cell.removeprefix("\ufeff").partition(":")
        if kind not in TYPES or field in columns:
            return columns, cell
        columns[field] = kind
    return columns, None


def as_list(value: Any) -> list[Any]:
    """Return a setting that may be absent, one value or many as a new list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def atomic_files(config: Any) -> Iterator[Path]:
    """Yield every atomic file that RecBole will load.

    Raises
    ------
    InputError
        The folder, an `.inter` file, or a file that the settings ask for does not exist.
    """
    for path in files_and_gaps(config):
        if isinstance(path, InputError):
            raise path
        yield path


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == PARQUET


def head_of(path: Path) -> str:
    """Return where a file has the names of its columns, for messages."""
    return str(path) if is_parquet(path) else f"{path}, line 1"


def atomic_suffix(path: Path) -> str:
    """Return which of the atomic files it is, such as `inter`, be it text or Parquet."""
    return path.name.removesuffix(PARQUET).rpartition(".")[2]


def interaction_files(config: Any) -> list[Path]:
    """Return where the interactions are: a file, or one for each part where they come split.

    It is the Parquet file where it is there and the text is not.
    """
    name, parts = config["dataset"], config["benchmark_filename"]
    stems = [name] if parts is None else [f"{name}.{part}" for part in as_list(parts)]
    return [written_form(Path(config["data_path"]) / f"{stem}.inter") for stem in stems]


def written_form(text: Path) -> Path:
    """Return the file of interactions, given as text, in the form in which it is there."""
    return _parquet(text) if _parquet(text).is_file() and not text.is_file() else text


def in_both_forms(path: Path) -> InputError | None:
    """Return the mistake that interactions are there both as text and as Parquet; None where they are not."""
    if is_parquet(path) or not (path.is_file() and _parquet(path).is_file()):
        return None
    return InputError(
        f"{path.parent} has both {path.name} and {_parquet(path).name}, and which of the two is meant is unknown: "
        "remove or rename one"
    )


def _parquet(text: Path) -> Path:
    return text.with_name(f"{text.name}{PARQUET}")


def files_and_gaps(config: Any) -> Iterator[Path | InputError]:
    """Yield every file that RecBole will load, and in the place of one that does not exist the mistake."""
    folder, name = Path(config["data_path"]), config["dataset"]
    if not folder.is_dir():
        yield InputError(f"{folder}: the folder of dataset '{name}' does not exist: make it or set data_path")
        return
    for path in interaction_files(config):
        if path.is_file():
            yield in_both_forms(path) or path
        else:
            files = (*folder.glob("*.inter"), *folder.glob(f"*.inter{PARQUET}"))
            there = ", ".join(sorted(file.name for file in files)) or "no .inter file"
            yield _packed(path) or InputError(f"{path} does not exist; the folder has {there}")
    needed = as_list(config["additional_feat_suffix"])
    if getattr(config["MODEL_TYPE"], "name", None) == "KNOWLEDGE":
        needed += ["kg", "link"]
    named = [suffix for suffix in config["load_col"] or () if suffix != "inter" and is_given(config, "load_col")]
    for suffix in dict.fromkeys(("user", "item", *needed, *named)):
        path = folder / f"{name}.{suffix}"
        if path.is_file():
            if is_loaded(suffix, config) and suffix in ("user", "item", *needed):
                yield path
        elif packed := _packed(path):
            yield packed
        elif is_loaded(suffix, config) and suffix in (*needed, *named):
            hint = "" if suffix in ATOMIC_SUFFIXES else nearest(suffix, ATOMIC_SUFFIXES)
            yield InputError(f"{path} does not exist, but the settings ask for its features{hint and '.' + hint}")


def _packed(path: Path) -> InputError | None:
    """Return the mistake that a file is there, but compressed; None where it is not."""
    for ending, command in UNPACK.items():
        packed = path.with_name(path.name + ending)
        if packed.is_file():
            unpack = f"{command} {shlex.quote(str(packed))}"
            unpack += f" -d {shlex.quote(str(path.parent))}" if ending == ".zip" else ""
            return InputError(f"{path} does not exist, and {packed.name} is not read as it is: unpack it with {unpack}")
    return None


def is_loaded(suffix: str, config: Any) -> bool:
    """Tell whether `load_col` has columns of the files with a suffix."""
    return config["load_col"] is None or bool(config["load_col"].get(suffix))


def is_given(config: Any, name: str) -> bool:
    """Tell whether a setting has its value from the user or from the dataset's yaml, not from RecBole's defaults."""
    of_user = getattr(config, "external_config_dict", {name: config[name]})
    given = {**getattr(config, "dataset_config_dict", {}), **of_user}
    return name in given and bool(given[name] == config[name])
