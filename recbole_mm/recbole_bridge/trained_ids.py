"""Weights know whose they are: a model refuses those of other ids, and to score the data of other ids.

The digest of all ids goes with the state dict, in the metadata that torch keeps there for versions.
"""

from __future__ import annotations

import functools
from types import FunctionType
from typing import Any

from recbole.utils import case_study
from torch import nn

from recbole_mm.base.errors import InputError
from recbole_mm.data.identity import identity_of

KEY = "ids"


def _digest(dataset: Any) -> str:
    """Return the digest of a dataset's ids, empty where they were not noted."""
    identity = identity_of(dataset)
    return identity.digest if identity.ids else ""


def knowing_ids(init: Any) -> Any:
    @functools.wraps(init)
    def wrapped(self: Any, config: Any, dataset: Any) -> None:
        init(self, config, dataset)
        self.ids_digest = _digest(dataset)

    return wrapped


def save_to_state_dict(self: Any, destination: Any, prefix: str, keep_vars: bool) -> None:
    nn.Module._save_to_state_dict(self, destination, prefix, keep_vars)
    if getattr(self, "ids_digest", "") and hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]][KEY] = self.ids_digest


def load_from_state_dict(self: Any, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
    saved, own = local_metadata.get(KEY, ""), getattr(self, "ids_digest", "")
    if saved and own and saved != own:
        raise InputError(
            f"{type(self).__name__}: these weights are of other users, items or tokens than the dataset, or of the "
            "same in another order. RecBole's load_data_and_model and `recbole-mm run --resume` load the data with the "
            "ids of the checkpoint"
        )
    nn.Module._load_from_state_dict(self, state_dict, prefix, local_metadata, *rest)


def same_ids(full_sort_scores: Any) -> Any:
    """Let RecBole's function check ids first, also where its name was imported before."""

    def checked(uid_series: Any, model: Any, test_data: Any, device: Any = None) -> Any:
        from recbole.utils.case_study import recbole_full_sort_scores  # noqa: PLC0415

        from recbole_mm.recbole_bridge.trained_ids import check_same_ids  # noqa: PLC0415 (runs under RecBole's globals)

        check_same_ids(model, test_data)
        return recbole_full_sort_scores(uid_series, model, test_data, device)

    function = full_sort_scores.__wrapped__  # under torch.no_grad
    case_study.recbole_full_sort_scores = FunctionType(function.__code__, function.__globals__)
    function.__code__ = checked.__code__
    return full_sort_scores


def check_same_ids(model: Any, test_data: Any) -> None:
    """Refuse a model and a loader whose internal ids are not the same."""
    own, other = getattr(model, "ids_digest", ""), _digest(test_data._dataset)
    if own and other and own != other:
        raise InputError(
            f"{type(model).__name__} has the ids of another dataset than the test data, or the same in another "
            "order: take the test data that load_data_and_model returns with the model"
        )
