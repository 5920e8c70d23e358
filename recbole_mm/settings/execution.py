"""Settings that every model has: how a run is computed, what an evaluation ranks, its groups of users and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recbole_mm.base.errors import InputError
from recbole_mm.settings.parameters import parameter, read_config


@dataclass(frozen=True, slots=True)
class Engine:
    """Settings that every model has and that leave its results alone, up to rounding and `neighbour_search`."""

    threads: int = parameter(0, "threads of torch on a CPU; 0 is torch's own number", low=0, high=1024)
    eval_memory: int = parameter(256, "MiB that the scores of one batch of an evaluation may take", low=1)
    join_features: bool = parameter(True, "put the columns of .user and .item files into the batches")
    neighbour_search: str = parameter("exact", "how neighbours in the features are found", choices=("exact", "faiss"))
    last_state_every: float = parameter(
        60.0, "seconds between two writes of a training's last state, from which --resume goes on; 0: every epoch",
        low=0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ranked:
    """Which items an evaluation ranks."""

    exclude_seen: bool = parameter(
        False, "leave a user's seen items out of what sequential models rank, as other models always do"
    )
    ask_users_once: bool = parameter(
        False, "let sequential models rank once per user for all test items, from the history before the first of them"
    )


@dataclass(frozen=True, slots=True)
class Histories:
    """How sequential models are trained."""

    train_histories: str = parameter(
        "prefixes", "a training sample for every prefix of a history, or whole histories, in which a causal model "
        "predicts every next item at once", choices=("prefixes", "whole"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Steps:
    """What a step of the optimizer is made from."""

    batches_per_step: int = parameter(
        1, "batches whose mean gradient makes a step of the optimizer; what a model computes of all users and items, "
        "such as propagation over its graph, is computed once for them", low=1,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Where the groups of an evaluation begin."""

    user_group_edges: list[int] = parameter([1, 10], "training interactions at which a group of users begins", low=1)
    item_group_edges: list[int] = parameter([1, 10], "training interactions at which a group of items begins", low=1)


@dataclass(frozen=True, slots=True)
class Logging:
    """Where else a run tells what its result.json holds."""

    log: str = parameter(
        "", "where a run also tells of every epoch, besides its result.json: tensorboard, mlflow, wandb, with commas "
        "between",
    )  # fmt: skip


OF_EVERY_MODEL = (Engine, Ranked, Histories, Steps, GroupSettings, Logging)  # declarations


def read_groups(config: Any) -> dict[str, list[int]]:
    """Return the edges of the groups of `users` and of `items`.

    Raises
    ------
    InputError
        Edges that do not rise.
    """
    settings = read_config(GroupSettings, config)
    for name in ("user_group_edges", "item_group_edges"):
        edges = getattr(settings, name)
        if list(edges) != sorted(set(edges)):
            raise InputError(f"{name} is {edges}: each edge must be above the one before it, such as [1, 10]")
    return {"users": settings.user_group_edges, "items": settings.item_group_edges}
