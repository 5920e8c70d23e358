"""Features brought into the order of RecBole's internal item ids, reduced, normalised, filled in where missing."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import scipy.linalg
import torch

from recbole_mm.base.errors import InputError
from recbole_mm.data.feature_table import FeatureTable, chunks
from recbole_mm.data.features import NORMALIZE, check_choice, some

MISSING_MODALITY = ("mean", "zero", "error")


def align(
    table: FeatureTable,
    tokens: np.ndarray,
    known: Collection[str],
    *,
    missing: str,
    normalize: str,
    name: str,
    width: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring features into the order of the internal item ids.

    Beside the result, a block of the table is in memory at a time, and with `width` a matrix (dim, dim).

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
    width : int, optional
        Reduce the rows to their first principal components, so many, before they are normalised; see `principal`.

    Returns
    -------
    features : float32 tensor (n_items, dim) or (n_items, width)
        Row 0, the padding, is zero.
    mask : bool tensor (n_items,)
        True where the row is real; False for the padding.

    Raises
    ------
    InputError
        On ids that are not in `known`, values that are not finite, when no item is left with features, on missing
        rows if asked for, or where there are not `width` components.
    """
    check_choice("missing_modality", missing, MISSING_MODALITY)
    where = f"modality '{name}', {table.source}"
    unknown = [item for item in table.ids if item not in known]
    if unknown:
        raise InputError(
            f"{where}: {len(unknown)} of {len(table.ids)} item ids are not in the dataset: {some(unknown)}. "
            "Ids are compared as text ('007' is not '7'), and RecBole takes NA, null, None, nan for no id: "
            "correct the ids, or remove their rows."
        )
    internal = {str(token): number for number, token in enumerate(tokens[1:], start=1)}
    item_of_row = np.array([internal.get(item, 0) for item in table.ids])  # 0: filtered away
    project = None if width is None else principal(table, item_of_row > 0, width, where)
    features = np.zeros((len(tokens), table.dim if width is None else width), dtype=np.float32)
    mask = np.zeros(len(tokens), dtype=bool)
    for rows, values in table.blocks():
        left = item_of_row[rows] > 0
        items = item_of_row[rows[left]]
        features[items] = values[left] if project is None else project(values[left])
        mask[items] = True
    real, absent = np.flatnonzero(mask), np.flatnonzero(~mask)[1:]
    if not len(real):
        raise InputError(f"{where}: no item that RecBole's filters leave has a row; loosen the filters, or add rows.")
    if len(absent) and missing == "error":
        raise InputError(
            f"{where}: {len(absent)} of {len(tokens) - 1} items have no row: {some(list(tokens[absent]))}; "
            "add their rows, or set missing_modality to mean or zero."
        )
    normalize_rows(features, real, normalize)
    if missing == "mean":
        features[absent] = _column_means(features, real)
    return torch.from_numpy(features), torch.from_numpy(mask)


def principal(table: FeatureTable, left: np.ndarray, width: int, where: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the projection of rows (n, dim) on their first principal components (n, width).

    The components are the eigenvectors of the covariance of the rows that are `left`, those of the largest eigenvalues
    first, each with its largest entry positive; the rows are centred before.

    Parameters
    ----------
    table : FeatureTable
        Is read through once.
    left : bool array (n_rows,)
        Which rows count.
    width : int
        At most `dim` and one less than the rows that count.
    where : str
        For messages.

    Raises
    ------
    InputError
        `width` is too large.
    """
    count, shift = 0, np.zeros(table.dim)
    total, products = np.zeros(table.dim), np.zeros((table.dim, table.dim))
    for rows, values in table.blocks():
        block = values[left[rows]].astype(np.float64)
        if not count and len(block):
            shift = block.mean(axis=0)  # keeps the products small where the mean is far from zero
        block -= shift
        count += len(block)
        total += block.sum(axis=0)
        products += block.T @ block
    if width > min(table.dim, count - 1):
        raise InputError(
            f"{where}: pca is {width}, but {count} rows of width {table.dim} have at most "
            f"{max(0, min(table.dim, count - 1))} components: lower it."
        )
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    _, vectors = scipy.linalg.eigh(covariance, subset_by_index=(table.dim - width, table.dim - 1))
    components = vectors[:, ::-1]  # (dim, width), ascending eigenvalues before
    components = components * np.sign(components[np.abs(components).argmax(axis=0), np.arange(width)])
    return lambda rows: (rows.astype(np.float64) - shift - mean) @ components


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
