"""Top-k lists by the ids in the files, from a checkpoint or an exported folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from recbole_mm.base.errors import InputError
from recbole_mm.serving.asked import read_histories, read_ids
from recbole_mm.serving.list_files import MoreColumns, list_file, list_table
from recbole_mm.serving.open_source import open_source
from recbole_mm.serving.scorer import RowsById, Scorer
from recbole_mm.serving.user_items import UserItems
from recbole_mm.serving.user_lists import UserLists, lists_after, lists_of

if TYPE_CHECKING:
    from recbole_mm.serving.reasons import Reasons

UNKNOWN = ("skip", "popular")
NO_LISTS = UserLists(np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0), dtype=np.float32))


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What lists are asked for.

    Attributes
    ----------
    users : "all", path of a file of ids, or ids
    k : int
        Length of a list.
    include_seen : bool
        Whether items of the user's own interactions are recommended, too.
    items : path of a file of ids, ids, or None
        What is recommended at all.
    histories : path or None
        A table of interactions; lists come after them, of a sequential model.
    unknown : {"skip", "popular"}
        What users get that the model does not know: nothing, or the items with the most interactions.
    why : bool
        Whether rows also have the columns of `recbole_mm.serving.reasons`; of a model of the pack from a checkpoint.
    """

    users: str | Path | Iterable[str] = "all"
    k: int = 20
    include_seen: bool = False
    items: str | Path | Iterable[str] | None = None
    histories: str | Path | None = None
    unknown: str = "skip"
    why: bool = False


@dataclass(slots=True)
class Recommended:
    """What was recommended, in numbers, and to whom nothing was."""

    lists: int = 0
    rows: int = 0
    unknown_users: list[str] = field(default_factory=list)
    unknown_items: list[str] = field(default_factory=list)
    unknown_interactions: int = 0
    without: list[str] = field(default_factory=list)  # known users for whom no item is left


def recommend(
    source: str | Path,
    users: str | Path | Iterable[str] = "all",
    k: int = 20,
    *,
    include_seen: bool = False,
    items: str | Path | Iterable[str] | None = None,
    histories: str | Path | None = None,
    unknown: str = "skip",
    why: bool = False,
    new_items: Mapping[str, str | Path] | None = None,
    new_item_ids: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "",
) -> Any:
    """Recommend items to users.

    Parameters
    ----------
    source : path
        A checkpoint, the folder of a run, or a folder that `recbole-mm export` wrote.
    users, k, include_seen, items, histories, unknown, why
        See `ListRequest`.
    new_items, new_item_ids : mapping of str to path, and path, optional
        Features by modality of items that the model was not trained with, and their ids; see
        `recbole_mm.serving.new_items`.
    out : path, optional
        A .parquet, .csv or .jsonl file that the lists are written to, batch by batch.
    device : str
        Of a checkpoint's model; by default its own, or the CPU where there is no GPU.

    Returns
    -------
    pandas.DataFrame or Recommended
        A row for each user and rank; with `out`, the numbers of what was written.

    Raises
    ------
    InputError
        The source, an id file or a setting cannot be used.
    """
    request = ListRequest(users, k, include_seen, items, histories, unknown, why)
    scorer = open_source(Path(source), device, new_items, new_item_ids)
    told = Recommended()
    if out is None:
        return pa.concat_tables(list(tables(scorer, request, told))).to_pandas()
    write_lists(scorer, request, told, Path(out))
    return told


def write_lists(scorer: Scorer, request: ListRequest, told: Recommended, out: Path) -> None:
    """Write all lists into a file."""
    with list_file(out) as writer:
        for table in tables(scorer, request, told):
            writer.write(table)


def tables(scorer: Scorer, request: ListRequest, told: Recommended) -> Iterator[pa.Table]:
    """Yield lists as tables, some users at a time, the first one without rows, and count in `told`."""
    if request.k < 1:
        raise InputError(f"k is {request.k}: at least 1")
    if request.unknown not in UNKNOWN:
        raise InputError(f"unknown is '{request.unknown}': choose from {', '.join(UNKNOWN)}")
    reasons = _reasons(scorer) if request.why else None
    among = _among(scorer, request, told)
    asked = (_of_users if request.histories is None else _after_histories)(scorer, request, told, among)
    without = reasons.no_columns if reasons else None
    yield _table(scorer, np.zeros(0, dtype=str), NO_LISTS, told, without)
    with tqdm(total=asked.n_users, unit="user", desc=scorer.name) as bar:
        for lists in asked.lists:
            more = reasons.columns(lists, asked.histories) if reasons else None
            yield _table(scorer, asked.names[lists.users], lists, told, more)
            bar.update(len(lists.users))
    if request.unknown == "popular" and told.unknown_users:
        same = popular(scorer, len(told.unknown_users), request.k, among)
        yield _table(scorer, np.array(told.unknown_users), same, told, without)


def _reasons(scorer: Scorer) -> Reasons:
    from recbole_mm.serving.reasons import reasons_of  # noqa: PLC0415 - RecBole, which an exported folder does not need

    return reasons_of(scorer)


class Asked(NamedTuple):
    """Lists to be made, the names and histories that their users are rows of, and for how many they are."""

    names: np.ndarray
    histories: UserItems
    n_users: int
    lists: Iterator[UserLists]


def _of_users(scorer: Scorer, request: ListRequest, told: Recommended, among: np.ndarray | None) -> Asked:
    rows = np.arange(len(scorer.user_ids))
    if not (isinstance(request.users, str) and request.users == "all"):
        rows, told.unknown_users = RowsById(scorer.user_ids).rows(_ids("--users", request.users))
    hide = None if request.include_seen else scorer.seen
    lists = lists_of(scorer, rows, request.k, hide=hide, among=among)
    return Asked(scorer.user_ids, scorer.seen, len(rows), lists)


def _after_histories(scorer: Scorer, request: ListRequest, told: Recommended, among: np.ndarray | None) -> Asked:
    if not scorer.sequential:
        raise InputError(
            f"{scorer.name} knows its users by their ids: leave histories out, or train a sequential model"
        )
    fields = scorer.user_field, scorer.item_field, scorer.time_field
    names, histories, told.unknown_interactions = read_histories(
        Path(request.histories or ""), fields, RowsById(scorer.item_ids)
    )
    wanted = np.ones(len(names), dtype=bool)
    if not (isinstance(request.users, str) and request.users == "all"):
        asked = _ids("--users", request.users)
        wanted = np.isin(names, asked)
        told.unknown_users = [name for name in asked if name not in set(names.tolist())]
    without = np.diff(histories.among_first(scorer.trained_items).starts) == 0
    told.unknown_users += names[wanted & without].tolist()
    rows = np.flatnonzero(wanted & ~without)
    names, histories = names[rows], histories.of_users(rows)
    hide = None if request.include_seen else histories
    lists = lists_after(scorer, histories, request.k, hide=hide, among=among)
    return Asked(names, histories, len(names), lists)


def popular(scorer: Scorer, n_users: int, k: int, among: np.ndarray | None) -> UserLists:
    """Return the same list for users who are not known: the items with the most interactions, the count as score."""
    counts = scorer.seen.counts(len(scorer.item_ids)).astype(np.float32)
    allowed = counts if among is None else np.where(among, counts, -np.inf)
    best = np.argsort(-allowed, kind="stable")[:k]
    best = best[allowed[best] > -np.inf]
    n = len(best)
    return UserLists(
        np.arange(n_users), np.broadcast_to(best, (n_users, n)), np.broadcast_to(counts[best], (n_users, n))
    )


def _table(
    scorer: Scorer, names: np.ndarray, lists: UserLists, told: Recommended, more: MoreColumns | None
) -> pa.Table:
    there = lists.items >= 0
    items = np.asarray(np.where(there, scorer.item_ids[lists.items].astype(object), None))
    told.lists += int(there.any(axis=1).sum())
    told.rows += int(there.sum())
    told.without += names[~there.any(axis=1)].tolist()
    return list_table((scorer.user_field, scorer.item_field), names, items, lists.scores, more)


def _among(scorer: Scorer, request: ListRequest, told: Recommended) -> np.ndarray | None:
    if request.items is None:
        return None
    rows, told.unknown_items = RowsById(scorer.item_ids).rows(_ids("--items", request.items))
    if not len(rows):
        raise InputError(f"--items: none of them is an item of {scorer.name}, such as '{told.unknown_items[0]}'")
    among = np.zeros(len(scorer.item_ids), dtype=bool)
    among[rows] = True
    return among


def _ids(option: str, given: str | Path | Iterable[str]) -> list[str]:
    return read_ids(option, Path(given)) if isinstance(given, str | Path) else [str(one) for one in given]
