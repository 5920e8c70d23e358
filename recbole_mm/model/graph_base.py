"""What recommenders on the user-item graph share: parameters, the graph, id embeddings, and the ranking loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_mm.graphs.building import bipartite_adjacency, interaction_matrix, knn_graph, symmetric_normalise
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.model.base import MultimodalRecommender
from recbole_mm.model.parts import losses
from recbole_mm.model.parts.cold_items import ColdItemParameters, FeatureItems
from recbole_mm.settings.parameters import parameter


@dataclass(frozen=True, slots=True)
class GraphParameters(ColdItemParameters):
    """Parameters of every graph recommender; a model's own dataclass is derived from it."""

    cold_items: str = parameter(
        "own", "final embedding of an item without training interactions: its own [own], the mean of the trained items "
        "that are most similar to it (neighbours), or what a network learns to make of its features (features)",
        choices=("neighbours", "own", "features"),
    )  # fmt: skip
    cold_scale: float = parameter(
        1.5, "with cold_items=features: length of what features say, in mean lengths of the final embeddings of items "
        "with training interactions", low=0.0,
    )  # fmt: skip
    cold_prior: float = parameter(
        0.0, "with cold_items=features: an item with n training interactions is what its features say by the share "
        "cold_prior / (cold_prior + n)", low=0.0,
    )  # fmt: skip
    embedding_size: int = parameter(64, "width d of the id embeddings", low=1)


class BipartiteRecommender(MultimodalRecommender):
    """A recommender on the user-item graph; N = U + I nodes, users first.

    Attributes
    ----------
    adjacency : SparseGraph
        A_hat (N, N), of the training interactions.
    """

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        adjacency = bipartite_adjacency(interaction_matrix(dataset))
        self.adjacency = SparseGraph(adjacency, symmetric=True)

    def user_graph(self, dataset: Any) -> SparseGraph:
        """Return R_hat (U, I), the rows of users and columns of items of A_hat."""
        adjacency = bipartite_adjacency(interaction_matrix(dataset))
        return SparseGraph(adjacency[: self.n_real_users, self.n_real_users :])

    def item_graphs_of(self, k: int) -> nn.ModuleList:
        """Return S^m (I, I) of each modality: the items' `k` nearest neighbours, symmetrically normalised."""
        method = self.engine.neighbour_search
        return nn.ModuleList(
            SparseGraph(symmetric_normalise(knn_graph(X.detach(), k, mask, method=method)))
            for X, mask in zip(self.features, self.masks, strict=True)
        )

    def sides(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the users (U, d) and the items (I, d) of nodes (N, d)."""
        users, items = nodes.split([self.n_real_users, self.n_real_items])
        return users, items

    def ranking(
        self, interaction: Any, users: Tensor, items: Tensor
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """Return the terms of the loss that rank a batch, and its rows of users, items and negative items.

        By `F.embedding`: the backward of indexing adds repeated rows in any order when threads share it.

        Returns
        -------
        dict of str to Tensor
            `bpr`, and with `cold_items=features` that of `content_term`.
        tuple of Tensor, each (batch, d)
        """
        user, item, other = self.rows(interaction)
        u = F.embedding(user, users)
        i, j = F.embedding(torch.stack([item, other]), items)  # at once: each look-up has a gradient as large as items
        return self.ranked(item, u, i, j), (u, i, j)

    def ranked(self, item: Tensor, u: Tensor, i: Tensor, j: Tensor) -> dict[str, Tensor]:
        """Return the terms of `ranking` for items (batch,), from final embeddings that were looked up, (batch, d)."""
        return {"bpr": losses.bpr((u * i).sum(1), (u * j).sum(1))} | self.content_term(item, u)

    def content_term(self, item: Tensor, u: Tensor) -> dict[str, Tensor]:
        """Return the loss by which the features of items (batch,) tell their users, final embeddings (batch, d).

        Empty without `cold_items=features`. No gradient reaches the users.
        """
        return {"content": self.cold.loss(item, u)} if isinstance(self.cold, FeatureItems) else {}

    def embeddings(self) -> tuple[Tensor, Tensor]:
        users, items = self.forward()
        return users, items


class GraphRecommender(BipartiteRecommender):
    """A recommender with id embeddings that are propagated over the user-item graph.

    A model adds its own weights and graphs, ends its constructor with `self.initialise(...)`, and defines `forward`,
    `losses` and, where scores are not made from what `forward` returns, `embeddings`.

    Attributes
    ----------
    user_embedding, item_embedding : Embedding
        (U, d) and (I, d), without `[PAD]`.
    """

    parameter_class: ClassVar[type[Any]] = GraphParameters

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.user_embedding = nn.Embedding(self.n_real_users, self.p.embedding_size)
        self.item_embedding = nn.Embedding(self.n_real_items, self.p.embedding_size)
        if self.p.cold_items == "features":
            p, degree = self.p, interaction_matrix(dataset).sum(axis=0)
            features = [X.detach() for X in self.features]
            options = {"scale": p.cold_scale, "prior": p.cold_prior}
            self.cold = FeatureItems(features, self.masks, degree, p.embedding_size, **options)

    def initialise(self, *others: Any) -> None:
        """Draw the id embeddings, and the weights of other modules or parameters, by Xavier's uniform rule."""
        for one in (self.user_embedding, self.item_embedding, *others):
            nn.init.xavier_uniform_(one if isinstance(one, Tensor) else one.weight)

    def propagated(self, n_layers: int, adjacency: SparseGraph | None = None) -> Tensor:
        """Return the mean of the id embeddings over the layers 0 to `n_layers` of LightGCN, (N, d)."""
        (mean,) = self.layers([1 / (n_layers + 1)] * (n_layers + 1), adjacency=adjacency)
        return mean

    def layers(self, *weights: Sequence[float], adjacency: SparseGraph | None = None) -> tuple[Tensor, ...]:
        """Return a weighted sum of the layers of LightGCN, (N, d), for each list of weights."""
        table = torch.cat([self.user_embedding.weight, self.item_embedding.weight])
        return tuple((self.adjacency if adjacency is None else adjacency).propagate(table, *weights))
