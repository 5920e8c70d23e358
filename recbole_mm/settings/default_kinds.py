"""What a parameter of one of RecBole's models may be, which declare nothing: its name and its default tell."""

from __future__ import annotations

import re
from typing import Any

from recbole_mm.settings.compound_kinds import ListOf, MappingLike
from recbole_mm.settings.value_kinds import Decimal, Flag, ValueKind, Whole, Word, Words

# Parameters that may be fractions although their default is a whole number.
FRACTIONS = frozenset(
    ("dropout_prob", "hidden_dropout_prob", "reg_weight", "negative_weight", "w_max", "global_ratio", "spatial_ratio")
)
SHARE = re.compile(r".*dropout.*|.*_prob|drop_ratio|mask_ratio|corruption_ratio")
SIZE = re.compile(r".*(_size|_dim|dimension)|n_heads|num_heads|num_clusters|rank|k")
ACTIVATIONS = ("gelu", "relu", "swish", "tanh", "sigmoid")  # of RecBole's TransformerEncoder


def kind_of_default(name: str, default: Any) -> ValueKind | None:
    """Return the kind of a parameter.

    Parameters
    ----------
    name : str
        Of the parameter.
    default : object
        What RecBole's files have for it.

    Returns
    -------
    ValueKind or None
        None where neither tells: the default is None, or an empty text or list.
    """
    if isinstance(default, bool):
        return Flag()
    if isinstance(default, int | float):
        return _number(name, default)
    if isinstance(default, list) and default:
        each = kind_of_default("" if isinstance(default[0], int) else name, default[0])
        return ListOf(each) if each is not None else None
    if isinstance(default, dict):
        return MappingLike(repr(default))
    if isinstance(default, str) and default:
        return Word(ACTIVATIONS) if name == "hidden_act" else Words()
    return None


def _number(name: str, default: float) -> ValueKind:
    if SHARE.fullmatch(name):
        return Decimal(0, high=1)
    if isinstance(default, float) or name in FRACTIONS:
        return Decimal()
    return Whole(1) if SIZE.fullmatch(name) else Whole()
