"""What models of RecBole lack to train, to be loaded again, or to say in a line what they need.

Each function is a patch of the table, under the symptom that it cures.
"""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Mapping
from logging import getLogger
from typing import Any

import torch

from recbole_mm.base.errors import InputError


# Any version: `other_parameter` of SASRecF, GRU4RecF, FDSA, DIN and DIEN is a module, which holds the whole dataset,
# and of RippleNet a defaultdict. The weights-only reader refuses both: the training was lost at its test.
def loadable(state: Any) -> Any:
    """Return a checkpoint's state with an `other_parameter` that torch's weights-only reader takes.

    Modules whose weights are in the state dict are left out: the model that is loaded into has made its own.
    """
    other = state.get("other_parameter") if isinstance(state, dict) else None
    if not isinstance(other, dict):
        return state
    kept = {key: _plain(value) for key, value in other.items() if not _is_part(key, value, state["state_dict"])}
    return {**state, "other_parameter": kept}


def _is_part(name: str, value: Any, weights: Mapping[str, Any]) -> bool:
    return isinstance(value, torch.nn.Module) and all(f"{name}.{key}" in weights for key in value.state_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, defaultdict):
        return {key: _plain(each) for key, each in value.items()}
    return value


# Any version: an item that a batch has several times is counted once, so that an item's count is the number of batches
# that have it, and a negative sample is counted like an interaction.
def pop_counts(module: Any) -> None:
    init = module.Pop.__init__

    @functools.wraps(init)
    def labelled(self: Any, config: Any, dataset: Any) -> None:
        init(self, config, dataset)
        self.LABEL = config["LABEL_FIELD"]

    def counted(self: Any, interaction: Any) -> Any:
        items = interaction[self.ITEM_ID]
        if self.LABEL in interaction.columns:
            items = items[interaction[self.LABEL] > 0]
        self.item_cnt += torch.bincount(items, minlength=self.n_items)[:, None]
        self.max_cnt = torch.max(self.item_cnt, dim=0)[0]
        return torch.nn.Parameter(torch.zeros(1)).to(self.device)

    module.Pop.__init__, module.Pop.calculate_loss = labelled, counted


# Any version: k-means raises RuntimeError, after the data are loaded, where it has fewer points than clusters.
def ncl_clusters(module: Any) -> None:
    init = module.NCL.__init__

    @functools.wraps(init)
    def checked(self: Any, config: Any, dataset: Any) -> None:
        clusters, most = config["num_clusters"], min(dataset.user_num, dataset.item_num)
        if clusters > most:
            raise InputError(
                f"NCL: num_clusters is {clusters}, but '{config['dataset']}' has {dataset.user_num - 1} users and "
                f"{dataset.item_num - 1} items after filtering: set --num_clusters={most - 1} or less"
            )
        init(self, config, dataset)

    module.NCL.__init__ = checked


# Any version: S3Rec and RaCT pretrain by default, for `pretrain_epochs` and whatever `epochs` says. Their weights are
# saved every `save_step` epochs: those after the last step are lost, with none there is nothing to test, and what is
# saved cannot be resumed.
def pretraining(module: Any) -> None:
    trainer = module.PretrainTrainer
    init, pretrain = trainer.__init__, trainer.pretrain

    @functools.wraps(init)
    def told(self: Any, config: Any, model: Any) -> None:
        init(self, config, model)
        if model.train_stage != "finetune":
            getLogger().warning(
                f"{config['model']}: train_stage is '{model.train_stage}', which takes "
                f"pretrain_epochs={self.pretrain_epochs} epochs and no validation; epochs={self.epochs} is for "
                "train_stage 'finetune'"
            )

    def save(self: Any, epoch: int, saved_model_file: str) -> None:
        self._save_checkpoint(epoch, verbose=False, saved_model_file=saved_model_file)
        self.saved_model_file = saved_model_file

    @functools.wraps(pretrain)
    def whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        found, n_epochs = pretrain(self, *args, **kwargs), self.pretrain_epochs
        name = f"{self.config['model']}-{self.config['dataset']}-{n_epochs}.pth"  # as RecBole names it
        last = os.path.join(self.checkpoint_dir, name)
        if self.saved_model_file != last:
            self.save_pretrained_model(n_epochs - 1, last)
        return found

    trainer.__init__, trainer.save_pretrained_model, trainer.pretrain = told, save, whole


# Any version: LightGBM is fitted anew in every epoch, to the same trees, and equal scores never stop it early: the
# default of 300 epochs takes an hour. (XGBoost goes on from the trees of the epoch before.)
def lightgbm_epochs(module: Any) -> None:
    init = module.LightGBMTrainer.__init__

    @functools.wraps(init)
    def once(self: Any, config: Any, model: Any) -> None:
        init(self, config, model)
        if self.epochs > 1:
            getLogger().warning(
                f"LightGBM: fitted once, to lgb_num_boost_round={self.num_boost_round} trees: each of "
                f"epochs={self.epochs} would fit the same trees again"
            )
        self.epochs = self.eval_step = 1

    module.LightGBMTrainer.__init__ = once


# Any version: eval_step is held down to the epochs asked for, not to the one epoch of Pop, ItemKNN and EASE: with
# eval_step=2 they are never validated, and the test finds no checkpoint.
def traditional_validation(module: Any) -> None:
    init = module.TraditionalTrainer.__init__

    @functools.wraps(init)
    def validated(self: Any, config: Any, model: Any) -> None:
        init(self, config, model)
        self.eval_step = min(self.eval_step, self.epochs)

    module.TraditionalTrainer.__init__ = validated


# Any version: RecBole reads preloaded vectors as 64-bit floats, and KSR multiplies those of relations with 32-bit
# numbers of its own: RuntimeError, expected m1 and m2 to have the same dtype.
def ksr_relations(module: Any) -> None:
    init = module.KSR.__init__

    @functools.wraps(init)
    def wrapped(self: Any, config: Any, dataset: Any) -> None:
        init(self, config, dataset)
        self.relation_Matrix = self.relation_Matrix.to(self.entity_embedding.weight.dtype)

    module.KSR.__init__ = wrapped


# dgl >= 1.0: edge_subgraph() takes no preserve_nodes, adjacency_matrix() no scipy_fmt. KGAT: TypeError.
def kgat_graph(module: Any) -> None:
    def init_graph(self: Any) -> torch.Tensor:
        """Return the sum over relations of each one's adjacency matrix, whose rows sum to 1, without dgl."""
        _, group, count = torch.unique(
            torch.stack([self.all_hs, self.all_rs]), dim=1, return_inverse=True, return_counts=True
        )
        edges = torch.stack([self.all_hs, self.all_ts])
        weights = 1 / count[group].float()
        return torch.sparse_coo_tensor(edges, weights, self.matrix_size, check_invariants=False).coalesce()

    module.KGAT.init_graph = init_graph
