"""Features brought into the order of RecBole's internal item ids, normalised, and filled in where missing."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from recbole_mm.data.features import NORMALIZE, check_choice, chunks, some
from recbole_mm.data.folder import FeatureTable
from recbole_mm.errors import InputError

MISSING = ("mean", "zero", "error")


def align(
    table: FeatureTable,
    tokens: np.ndarray,
    known: Collection[str],
    *,
    missing: str,
    normalize: str,
    name: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring features into the order of the internal item ids.

    Parameters
    ----------
    table : FeatureTable
        Features by external id; rows of items that RecBole filtered away are not used.
    tokens : array of str (n_items,)
        External id of each internal id; the first is RecBole's padding.
    known : collection of str
        All item ids of the dataset before any filter.
    missing : str
        What an item without features gets: ``mean`` of the real rows after normalisation, ``zero``, or
        ``error``.
    normalize : str
        As in `normalize_rows`, over the rows of the items that are left.
    name : str
        Name of the modality, for messages.

    Returns
    -------
    features : float32 tensor (n_items, dim)
        Row 0, the padding, is zero.
    mask : bool tensor (n_items,)
        True where the row is real; False for the padding.

    Raises
    ------
    InputError
        On ids that are not in `known`, when no item is left with features, or on missing rows if asked for.
    """
    check_choice("missing_modality", missing, MISSING)
    where = f"modality '{name}', {table.source}"
    unknown = [item for item in table.ids if item not in known]
    if unknown:
        raise InputError(
            f"{where}: {len(unknown)} of {len(table.ids)} item ids are not in the dataset: {some(unknown)}. "
            "Ids are compared as text ('007' is not '7'), and RecBole takes NA, null, None, nan for no id: "
            "correct the ids, or remove their rows."
        )
    row_of = {item: row for row, item in enumerate(table.ids)}
    rows = np.array([-1] + [row_of.get(str(token), -1) for token in tokens[1:]])  # (n_items,), -1 without
    mask = rows >= 0
    real, absent = np.flatnonzero(mask), np.flatnonzero(~mask)[1:]
    if not len(real):
        raise InputError(f"{where}: no item that RecBole's filters leave has a row; loosen the filters, or add rows.")
    if len(absent) and missing == "error":
        raise InputError(
            f"{where}: {len(absent)} of {len(tokens) - 1} items have no row: {some(list(tokens[absent]))}; "
            "add their rows, or set missing_modality to mean or zero."
        )
    features = np.zeros((len(tokens), table.rows.shape[1]), dtype=np.float32)
    for ids in chunks(real, features.shape[1]):
        features[ids] = table.rows[rows[ids]]
    normalize_rows(features, real, normalize)
    if missing == "mean":
        features[absent] = _column_means(features, real)
    return torch.from_numpy(features), torch.from_numpy(mask)


def normalize_rows(features: np.ndarray, real: np.ndarray, method: str) -> None:
    """Normalise the rows `real` of `features` in place.

    Parameters
    ----------
    features : float32 array (n, dim)
        Rows outside `real` are neither read nor changed.
    real : int array
        Row numbers, at least one.
    method : str
        ``none``; ``l2``: rows of length 1, zero rows stay zero; ``standard``: columns of mean 0 and
        standard deviation 1 over `real`, constant columns become 0.

    Raises
    ------
    InputError
        On another method.
    """
    check_choice("normalize", method, NORMALIZE)
    dim = features.shape[1]
    if method == "l2":
        for ids in chunks(real, dim):
            chunk = features[ids].astype(np.float64)
            length = np.linalg.norm(chunk, axis=1, keepdims=True)
            features[ids] = chunk / np.where(length > 0, length, 1)
    elif method == "standard":
        mean = _column_means(features, real)
        squares = np.zeros(dim)
        for ids in chunks(real, dim):
            squares += ((features[ids] - mean) ** 2).sum(axis=0)
        deviation = np.sqrt(squares / len(real))
        deviation[deviation == 0] = 1  # constant column: the float64 mean of equal float32 values is exact
        for ids in chunks(real, dim):
            features[ids] = (features[ids] - mean) / deviation


def _column_means(features: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the float64 means (dim,) over the rows `real`."""
    dim = features.shape[1]
    total = np.zeros(dim)
    for ids in chunks(real, dim):
        total += features[ids].sum(axis=0, dtype=np.float64)
    return total / len(real)
