"""Texts of RecBole's data frames as numbers: internal ids, and filters by the number of interactions."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

BLOCK_ROWS = 1 << 20  # looked at together

Coded = tuple[np.ndarray, np.ndarray]  # numbers (n,), -1 where there is no text, and the text of each number


class TokenIds(MutableMapping[str, int]):
    """The internal id of each token; a dictionary that is made when it is first asked.

    Parameters
    ----------
    tokens : array of str
        By internal id.
    """

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens.tolist())}

    def __getitem__(self, token: str) -> int:
        return self._ids[token]

    def __setitem__(self, token: str, number: int) -> None:
        self._ids[token] = number

    def __delitem__(self, token: str) -> None:
        del self._ids[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def remap(self: Any, remap_list: Sequence[tuple[Any, str, Any]]) -> None:
    """Give the tokens of fields that share a space internal ids from 1, in the order in which they come.

    In the place of RecBole's `Dataset._remap`, with the same ids. Those of interactions are numbers of 4 bytes.
    """
    if not remap_list:
        return
    coded = [_coded(feat[field], kind.value.endswith("seq")) for feat, field, kind in remap_list]
    columns, texts = [codes for codes, _ in coded], coded[0][1]
    if len(coded) > 1:
        shared, texts = in_one_space([own for _, own in coded])
        columns = [to[codes] for to, codes in zip(shared, columns, strict=True)]
    order = in_order_of_appearance(columns, len(texts))
    tokens = np.array(["[PAD]", *texts[order]])
    ids = np.zeros(len(texts) + 1, dtype=np.int32)  # the last one is of what is missing
    ids[order] = np.arange(1, len(order) + 1)
    known = TokenIds(tokens)
    for (feat, field, kind), codes in zip(remap_list, columns, strict=True):
        if field not in self.field2id_token:
            self.field2id_token[field], self.field2token_id[field] = tokens, known
        found: Any = ids[codes]
        if feat is not self.inter_feat or kind.value.endswith("seq"):
            found = found.astype(np.int64)
        if kind.value.endswith("seq"):
            found = np.split(found, np.cumsum(feat[field].map(len))[:-1])
        feat[field] = found


def is_encoded(column: pd.Series) -> bool:
    """Tell whether a column's texts are numbers beside a list of the texts."""
    return isinstance(column.dtype, pd.CategoricalDtype)


def in_one_space(texts: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return for the texts of each column their places in one array of all texts, behind them -1, and that array."""
    places, together = pd.factorize(np.concatenate(texts))
    of_column = np.split(places.astype(np.int32), np.cumsum(list(map(len, texts)))[:-1])
    return [np.append(some, np.int32(-1)) for some in of_column], np.asarray(together)


def _coded(column: pd.Series, is_list: bool) -> Coded:
    if is_encoded(column):
        return column.cat.codes.to_numpy(), column.cat.categories.to_numpy()
    codes, texts = pd.factorize(np.concatenate(column.to_list()) if is_list else column.to_numpy())
    return codes, np.asarray(texts, dtype=object)


def in_order_of_appearance(columns: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Return those of the numbers from 0 to n - 1 that are in the columns, in the order of their first places.

    Parameters
    ----------
    columns : sequence of int arrays
        One is read after the other; -1 is passed over.
    n : int
    """
    end = sum(map(len, columns))
    first = np.full(n + 1, end)
    nowhere = end
    for column in reversed(columns):
        for stop in range(len(column), 0, -BLOCK_ROWS):
            block = column[max(0, stop - BLOCK_ROWS) : stop]
            first[block[::-1]] = np.arange(end - 1, end - 1 - len(block), -1)
            end -= len(block)
    order = np.argsort(first[:n], kind="stable")
    return order[: int((first[:n] < nowhere).sum())]


def filter_by_inter_num(self: Any) -> None:
    """Keep the users and items whose numbers of interactions are in the intervals of the settings, until all are.

    In the place of RecBole's `Dataset._filter_by_inter_num`, with the same rows.
    """
    if self.uid_field is None or self.iid_field is None:
        return
    settings = (f"{kind}_inter_num_interval" for kind in ("user", "item"))
    intervals = [self._parse_intervals_str(self.config[setting]) for setting in settings]
    if intervals == [None, None]:
        return
    fields, feats = (self.uid_field, self.iid_field), (self.user_feat, self.item_feat)
    sides = [
        _Side(self.inter_feat[field], None if feat is None else feat[field], interval or None, self._within_intervals)
        for field, feat, interval in zip(fields, feats, intervals, strict=True)
    ]
    kept = np.ones(len(self.inter_feat), dtype=bool)
    while True:
        refused = [side.refused(kept) for side in sides]
        if not any(map(np.any, refused)):
            break
        for side, those in zip(sides, refused, strict=True):
            kept &= ~those[side.codes]
    if not kept.all():
        self.inter_feat = self.inter_feat[kept]
    for name, feat, side in zip(("user_feat", "item_feat"), feats, sides, strict=True):
        if feat is not None:
            setattr(self, name, feat[side.kept_rows()])


class _Side:
    """Users, or items: which of them have how many interactions, and which are refused.

    Parameters
    ----------
    column : Series
        Of the interactions.
    listed : Series or None
        The ids in the file of the users, or of the items, one row each.
    interval : list or None
        What RecBole makes of the setting.
    within : callable
        RecBole's test of numbers.
    """

    def __init__(self, column: pd.Series, listed: pd.Series | None, interval: Any, within: Any) -> None:
        codes, texts = _coded(column, is_list=False)
        self.interval, self.within = interval, within
        self.rows = None if listed is None else pd.Index(texts).get_indexer(pd.Index(listed))
        self.n_texts, self.codes = len(texts), codes
        self.listed = np.zeros(len(texts), dtype=bool)
        if self.rows is not None:
            self.listed[self.rows[self.rows >= 0]] = True
        self.gone = np.zeros(len(texts), dtype=bool)

    @property
    def least(self) -> float:
        """Below this number what is listed in a file is refused, with interactions or without any."""
        return float(self.interval[0][1]) if self.interval else -1.0

    def refused(self, kept: np.ndarray) -> np.ndarray:
        """Return which (n_texts,) are refused now, of the interactions that are kept, and were not before."""
        if self.interval is None:
            return np.zeros(self.n_texts, dtype=bool)
        counts = np.bincount(self.codes[kept], minlength=self.n_texts)
        outside = ~np.asarray(self.within(counts, self.interval), dtype=bool)
        found: np.ndarray = ((counts > 0) & outside) | (self.listed & (counts < self.least))
        found &= ~self.gone
        self.gone |= found
        return found

    def kept_rows(self) -> np.ndarray:
        """Return which rows of the file are left."""
        assert self.rows is not None
        without_any = self.least <= 0  # whether they are kept
        return np.append(~self.gone, without_any)[self.rows]
