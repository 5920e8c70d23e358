"""What the multimodal recommenders share: features, parameters, and scores from cached embeddings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, ClassVar

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.graphs.building import interaction_matrix
from recbole_mm.model.parts.cold_items import COLD_NEIGHBOURS, ColdItems, FeatureItems
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config


class BufferList(nn.Module):
    """A list of tensors that move with the model and, being made from the dataset, stay out of its checkpoint.

    Others may register buffers of their own here, as RecBole's count of FLOPs does in every module.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self.n_tensors = len(tensors)
        for index, tensor in enumerate(tensors):
            self.register_buffer(str(index), tensor, persistent=False)

    def __getitem__(self, index: int) -> Tensor:
        return self.get_buffer(str(index))

    def __len__(self) -> int:
        return self.n_tensors

    def __iter__(self) -> Iterator[Tensor]:
        return iter([self[index] for index in range(len(self))])


@contextmanager
def repeated_batch_norm(module: nn.Module, times: int) -> Iterator[None]:
    """Let the running statistics of the module's BatchNorms take a pass within the block for several equal ones."""
    norms = [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm1d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1 - (1 - (norm.momentum or 0.0)) ** times
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            if norm.training and norm.num_batches_tracked is not None:
                norm.num_batches_tracked += times - 1


def padded(table: Tensor) -> Tensor:
    """Return a table of real users or items with a first row of 0, so that internal ids are its rows."""
    return F.pad(table, (0, 0) * (table.dim() - 1) + (1, 0))


class Multimodal(nn.Module):
    """What stands in front of RecBole's recommender classes: parameters, features, and scores from cached tables.

    Attributes
    ----------
    parameter_class : dataclass
        The model's parameters, declared with `recbole_mm.settings.parameters.parameter`; `self.p` holds the values.
    features : BufferList or ParameterList
        Per modality the raw features X^m, (I, d_m), in the order of `modality_names`, item `i` in row `i - 1`;
        trained by a model whose parameter `freeze_features` is false, and constant in every other.
    ablations : mapping
        Settings without a part of the model, by what is left out or else is special about them.
    sweep_space : mapping
        What `tune` searches without `--space`, and `compare --tune-trials`, as in its yaml:
        `{"reg_weight": {"loguniform": [1e-6, 1e-2]}}`.
    multimodal : bool
        Whether RecBole makes the dataset with modalities for the model.
    proposed : bool
        Whether a comparison is about the model, or has it as a baseline; a subclass does not inherit it, and without
        it a model from outside the pack is proposed.
    masks : tuple of bool Tensor, each (I,)
        Which rows of X^m are real and which were filled in.
    """

    parameter_class: ClassVar[type[Any]]
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    sweep_space: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    multimodal: ClassVar[bool] = True
    proposed: ClassVar[bool]

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.p: Any = read_config(self.parameter_class, config)
        self.engine = read_config(Engine, config)
        if not hasattr(dataset, "modality_names"):
            raise InputError(
                f"{type(self).__name__} needs a multimodal dataset; make it with recbole.data.create_dataset(config) "
                "after `import recbole_mm`"
            )
        self.n_real_items: int = dataset.num(config["ITEM_ID_FIELD"]) - 1
        self.batch_size: int = config["train_batch_size"]
        self.modality_names: tuple[str, ...] = dataset.modality_names
        dtype = torch.get_default_dtype()
        features = [dataset.modality(name)[1:].to(dtype) for name in self.modality_names]
        frozen = getattr(self.p, "freeze_features", True)
        # Those that are trained are copies: the dataset keeps its own.
        self.features: Any = BufferList(features) if frozen else nn.ParameterList(X.clone() for X in features)
        self.masks = tuple(dataset.modality_mask(name)[1:] for name in self.modality_names)
        self._cached: tuple[tuple[tuple[int, int], ...], tuple[Tensor, ...]] | None = None

    def by_modality(self, key: str) -> dict[str, Any]:
        """Return the parameter that holds values by modality.

        Raises
        ------
        InputError
            It names a modality that the dataset does not have.
        """
        given: dict[str, Any] = getattr(self.p, key)
        for name in given:
            if name not in self.modality_names:
                hint = nearest(name, self.modality_names)
                raise InputError(f"{key}: unknown modality '{name}'; there are {', '.join(self.modality_names)}.{hint}")
        return dict(given)

    def graph_weights(self) -> list[float]:
        """Return the parameter `graph_weights` in the order of the modalities; equal where it is empty.

        Raises
        ------
        InputError
            It does not name every modality, or does not sum to 1.
        """
        names = self.modality_names
        weights = self.by_modality("graph_weights") or dict.fromkeys(names, 1 / len(names))
        if set(weights) != set(names) or not math.isclose(sum(weights.values()), 1, rel_tol=1e-6):
            raise InputError(f"graph_weights {weights}: must name {', '.join(names)} and sum to 1")
        return [weights[name] for name in names]

    def embeddings(self) -> tuple[Tensor, ...]:
        """Return the tables that scores are made from, a row for each real user or item, under the current weights."""
        raise NotImplementedError

    def parts(self) -> dict[str, Tensor]:
        """Return tables of vectors under the current weights, each (rows, d), by name: what scores are made from.

        A model adds the parts that it exists for, so that one that has become useless is seen.
        """
        raise NotImplementedError

    def item_parts(self) -> dict[str, Tensor]:
        """Return what each modality adds to the item vectors of `embeddings()` in evaluation, (I, d), by its name.

        The rest of an item's vector is its own, such as an id embedding. Empty where vectors cannot be divided so, or
        are made without reading features.
        """
        return {}

    def scored_item_parts(self) -> dict[str, Tensor]:
        """Return `item_parts()` with what evaluation alone does to items."""
        return self.item_parts()

    def train(self, mode: bool = True) -> Any:
        self._cached = None
        return super().train(mode)

    def scored(self) -> tuple[Tensor, ...]:
        """Return `embeddings()` with what evaluation alone does to them."""
        return self.embeddings()

    def losses(self, interaction: Any) -> dict[str, Tensor]:
        """Return the weighted terms of the loss of a batch by name; what `calculate_loss` sums."""
        raise NotImplementedError

    def calculate_loss(self, interaction: Any) -> Tensor:
        total: Tensor = sum(self.losses(interaction).values())  # type: ignore[assignment]
        return total

    def scoring_embeddings(self) -> tuple[Tensor, ...]:
        """Return `scored()` without gradient and with a row of 0 for `[PAD]`; an evaluation computes them once."""
        tensors = chain(self.parameters(), self.buffers())
        weights = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)  # replaced, or changed in place
        if self._cached is None or self._cached[0] != weights:
            with torch.no_grad():
                tables = tuple(padded(table) for table in self.scored())
            if self.training:
                return tables
            self._cached = weights, tables
        return self._cached[1]


class MultimodalRecommender(Multimodal, GeneralRecommender):
    """A general recommender that scores by the dot product of final user and item embeddings.

    RecBole's `[PAD]` user and item are in no table of a model, and are added once, to what scores are made from: `rows`
    returns where the users and items of a batch are. `embeddings` returns those of all users (U, d) and items (I, d).
    With `cold_items` among the parameters, as in `ColdItemParameters`, the user chooses how cold items are scored.

    Attributes
    ----------
    modalities_required : bool
        Whether a dataset without modalities is refused.
    """

    input_type = InputType.PAIRWISE
    modalities_required: ClassVar[bool] = True
    n_users: int
    USER_ID: str
    ITEM_ID: str
    NEG_ITEM_ID: str

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        if self.modalities_required and not self.modality_names:
            raise InputError(
                f"{type(self).__name__} needs modalities and the dataset has none: add some under `modalities`, "
                "or train LightGCN"
            )
        self.n_real_users: int = self.n_users - 1
        self.cold: nn.Module = nn.Identity()
        rule = getattr(self.p, "cold_items", "own")
        if rule != "own" and not self.modality_names:
            raise InputError(f"cold_items is {rule} and the dataset has no modalities: use own")
        if rule == "neighbours":
            trained = interaction_matrix(dataset).sum(axis=0) > 0
            k = getattr(self.p, "knn_k", COLD_NEIGHBOURS)
            self.cold = ColdItems([X.detach() for X in self.features], self.masks, trained, k)

    def rows(self, interaction: Any, *fields: str) -> tuple[Tensor, ...]:
        """Return the rows of a batch's users and items in tables without `[PAD]`, a tensor (batch,) a field.

        Without fields these are the user, the item and the sampled negative item.
        """
        return tuple(interaction[field] - 1 for field in fields or (self.USER_ID, self.ITEM_ID, self.NEG_ITEM_ID))

    def scored(self) -> tuple[Tensor, Tensor]:
        """Return users (U, d) and items (I, d), cold ones as `cold_items` says."""
        users, items = self.embeddings()
        return users, self.cold(items)

    def scored_item_parts(self) -> dict[str, Tensor]:
        """Return `item_parts()` as `cold_items` says; `features` is what features say of cold items together."""
        parts = self.item_parts()
        if not parts or not isinstance(self.cold, FeatureItems):
            return {name: self.cold(part) for name, part in parts.items()}
        own = 1 - self.cold.share
        return {name: own * part for name, part in parts.items()} | {
            "features": self.scored()[1] - own * self.embeddings()[1]
        }

    def parts(self) -> dict[str, Tensor]:
        return dict(zip(("users", "items"), self.scored(), strict=True))

    def predict(self, interaction: Any) -> Tensor:  # (batch,)
        users, items = self.scoring_embeddings()
        return (users[interaction[self.USER_ID]] * items[interaction[self.ITEM_ID]]).sum(1)

    def full_sort_predict(self, interaction: Any) -> Tensor:  # (batch * n_items,)
        users, items = self.scoring_embeddings()
        return (users[interaction[self.USER_ID]] @ items.T).view(-1)
