"""What every model of the pack promises: inherit `ModelContract`, name the model, and its tests run."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from new_process import python
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.quick_start import quick_start
from recbole.utils import get_model, get_trainer, init_seed
from torch import Tensor

import recbole_mm  # noqa: F401  (plugs the models in)
from recbole_mm.model.parts.losses import CLUB

DATASETS = Path(__file__).resolve().parents[1] / "dataset"


class StandInConfig(dict[str, Any]):
    """The settings that a model reads; one that is not given is None, as in RecBole."""

    def __init__(self, **settings: Any) -> None:
        fields = {"USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "NEG_PREFIX": "neg_"}
        super().__init__({**fields, "device": "cpu", "train_batch_size": 16, **settings})

    def __missing__(self, key: str) -> None:
        return None


class StandInDataset:
    """The dataset that a model sees, for problems small enough to compute densely.

    Parameters
    ----------
    n_users, n_items : int
        Without `[PAD]`, which is added here: user 0 has the internal id 1.
    pairs : int array, shape (n, 2)
        User and item of each train interaction, counted from 0.
    features : mapping of str to float array, each (n_items, dim)
        By modality.
    masks : mapping of str to bool array, each (n_items,)
        Real rows of a modality; all rows where it is not named.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        pairs: np.ndarray,
        features: Mapping[str, Any],
        masks: Mapping[str, Any] | None = None,
    ) -> None:
        self.sizes = {"user_id": n_users + 1, "item_id": n_items + 1}
        self.pairs = np.asarray(pairs) + 1
        self.features = {name: torch.as_tensor(np.asarray(X)) for name, X in features.items()}
        self.masks = {name: torch.as_tensor(np.asarray(mask)) for name, mask in (masks or {}).items()}
        self.modality_names = tuple(features)

    def num(self, field: str) -> int:
        return self.sizes[field]

    def inter_matrix(self, form: str = "coo") -> Any:
        values = np.ones(len(self.pairs), dtype=np.float32)
        matrix = sp.coo_matrix((values, tuple(self.pairs.T)), shape=tuple(self.sizes.values()))
        return matrix.asformat(form)

    def modality(self, name: str) -> Tensor:
        return torch.nn.functional.pad(self.features[name], (0, 0, 1, 0))

    def modality_mask(self, name: str) -> Tensor:
        mask = self.masks.get(name, torch.ones(len(self.features[name]), dtype=torch.bool))
        return torch.cat([torch.tensor([False]), mask])


def batch_of(user: Any, positive: Any, negative: Any) -> dict[str, Tensor]:
    """Return a pairwise batch in internal ids from ids counted from 0."""
    ids = (torch.as_tensor(np.asarray(column)) + 1 for column in (user, positive, negative))
    return dict(zip(("user_id", "item_id", "neg_item_id"), ids, strict=True))


def queries(model: Any, n: int | None = None) -> dict[str, Tensor]:
    """Return what a model scores items for: users (all without `[PAD]`), or histories of 1 to all positions."""
    device = next(model.parameters()).device
    if isinstance(model, SequentialRecommender):
        row, position = torch.arange(n or 200)[:, None], torch.arange(model.max_seq_length)
        length = row % model.max_seq_length + 1
        history = torch.where(position < length, (7 * row + 3 * position) % (model.n_items - 1) + 1, 0)
        return {model.ITEM_SEQ: history.to(device), model.ITEM_SEQ_LEN: length.squeeze(1).to(device)}
    return {model.USER_ID: torch.arange(1, (n or model.n_users - 1) + 1, device=device)}


def all_scores(model: Any) -> Tensor:
    """Return the scores of `queries` for all items without `[PAD]`, in evaluation mode."""
    if model.training:
        model.eval()
    scores: Tensor = model.full_sort_predict(queries(model)).view(-1, model.n_items)
    return scores[:, 1:].clone()


def golden(model: str) -> Any:
    """Return the numbers of a model's released code, which an independent restatement of its equations gave as well."""
    return np.load(Path(__file__).parent / "fixtures" / f"{model}_released.npz", allow_pickle=False)


def fixture_maker(name: str) -> Any:
    """Return the script `fixtures/NAME.py` as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "fixtures" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded_likelihoods(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Return the list to which every later call of `CLUB.log_likelihood` adds its value."""
    likelihoods: list[Tensor] = []
    own = CLUB.log_likelihood

    def recorded(self: CLUB, x: Tensor, y: Tensor) -> Tensor:
        likelihoods.append(own(self, x, y))
        return likelihoods[-1]

    monkeypatch.setattr(CLUB, "log_likelihood", recorded)
    return likelihoods


def assert_same(ours: Tensor, theirs: np.ndarray, rtol: float = 1e-6) -> None:
    """Compare relative to each value and, where a value is nearly 0, to the largest of the array."""
    scale = np.abs(theirs).max(initial=0.0)
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=rtol, atol=1e-3 * rtol * scale + 1e-12)


class ModelContract:
    """Tests that a model's own test class inherits.

    Attributes
    ----------
    model : str
        The name by which RecBole finds it.
    settings : dict
        What differs from the defaults.
    dataset : str
        A folder of `dataset/`.
    epochs : int
        Enough for a better validation metric than the untrained model's.
    zero_gradient : frozenset of str
        Parameters whose gradient is 0 by construction, such as a bias before a BatchNorm.
    gradient_settings : dict
        What else differs where gradients are looked at, such as a loss that is not clamped at 0.
    cold_within : int
        An item without interactions is among this many best of at least one user.
    divided : bool
        Whether it tells what each modality adds to the vectors of items.
    """

    model: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {}
    dataset: ClassVar[str] = "microvideo"
    epochs: ClassVar[int] = 4
    zero_gradient: ClassVar[frozenset[str]] = frozenset()
    gradient_settings: ClassVar[dict[str, Any]] = {}
    cold_within: ClassVar[int] = 20
    divided: ClassVar[bool] = True

    @classmethod
    def built(cls, **changes: Any) -> SimpleNamespace:
        """Return config, data, an untrained model and its trainer."""
        keys = {
            "data_path": str(DATASETS),
            "eval_memory": 1,  # several batches of 300 users
            "use_gpu": False,
            "show_progress": False,
            "learning_rate": 0.01,
            "train_batch_size": 1024,
            "eval_batch_size": 20_000,
            "epochs": cls.epochs,
            **cls.settings,
            **changes,
        }
        config = Config(model=cls.model, dataset=cls.dataset, config_dict=keys)
        init_seed(config["seed"], config["reproducibility"])
        data = create_dataset(config)
        train, valid, test = data_preparation(config, data)
        init_seed(config["seed"], config["reproducibility"])
        model = get_model(cls.model)(config, train.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], cls.model)(config, model)
        return SimpleNamespace(
            config=config, data=data, train=train, valid=valid, test=test, model=model, trainer=trainer
        )

    @classmethod
    def fitted(cls, **changes: Any) -> SimpleNamespace:
        run = cls.built(**changes)
        run.trainer.fit(run.train, None, verbose=False, saved=False)
        return run

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
        """Return a run at its best epoch, as its checkpoint holds it; tests leave its weights alone."""
        folder = tmp_path_factory.mktemp(cls.model)
        with pytest.MonkeyPatch.context() as patch:  # before the fixture of each test does the same
            patch.setattr("sys.argv", ["test"])
            patch.chdir(folder)
            run = cls.built(checkpoint_dir=str(folder))
            run.before = run.trainer.evaluate(run.valid, load_best_model=False)
            run.trainer.fit(run.train, run.valid, verbose=False)
            run.after = run.trainer.evaluate(run.valid, load_best_model=True)
        return run

    def test_training_lowers_the_loss_and_raises_the_validation_metric(self, trained: SimpleNamespace) -> None:
        losses = [trained.trainer.train_loss_dict[epoch] for epoch in range(self.epochs)]
        assert np.isfinite(losses).all()
        assert losses[-1] < losses[0]
        assert trained.after["ndcg@10"] > trained.before["ndcg@10"]

    def test_scores_are_finite_and_of_the_right_shape(self, trained: SimpleNamespace) -> None:
        model = trained.model.eval()
        scores = model.full_sort_predict(queries(model, 3))
        assert scores.numel() == 3 * model.n_items
        assert scores.isfinite().all()
        assert not scores.requires_grad
        assert len(all_scores(model).unique(dim=0)) > 1, "every user gets the same scores"

    def test_its_parts_are_tables_of_vectors(self, trained: SimpleNamespace) -> None:
        parts = trained.model.eval().parts()
        rows = {trained.model.n_items - 1, getattr(trained.model, "n_users", 0) - 1}
        assert len(parts) >= 1
        assert all(table.dim() == 2 and len(table) in rows and table.isfinite().all() for table in parts.values())

    def test_what_modalities_add_to_items_is_all_that_features_add(self, trained: SimpleNamespace) -> None:
        model = copy.deepcopy(trained.model).eval()
        parts = model.scored_item_parts()
        assert bool(parts) == self.divided
        if not parts:
            return
        assert set(model.modality_names) <= set(parts) <= {*model.modality_names, "features"}
        features = [X.requires_grad_() for X in model.features]
        items = model.embeddings()[0 if isinstance(model, SequentialRecommender) else 1]
        assert all(part.shape == items.shape and part.abs().max() > 0 for part in parts.values())
        parts = model.item_parts()
        rest = (items - sum(parts.values())).square().sum()
        of_rest = torch.autograd.grad(rest, features, allow_unused=True, retain_graph=True)
        scale = max(float(part.detach().square().sum()) for part in parts.values())
        for name, X, grad in zip(model.modality_names, features, of_rest, strict=True):
            (own,) = torch.autograd.grad(parts[name].square().sum(), X, allow_unused=True, retain_graph=True)
            assert own is None or own.abs().max() > 0
            assert grad is None or grad.abs().max() <= 1e-4 * scale

    def test_predict_agrees_with_full_sort_predict(self, trained: SimpleNamespace) -> None:
        model = trained.model.eval()
        scores = all_scores(model)
        row = torch.arange(len(scores))
        items = row % (model.n_items - 1) + 1
        pairs = model.predict({**queries(model), model.ITEM_ID: items})
        torch.testing.assert_close(pairs, scores[row, items - 1])

    def test_a_checkpoint_gives_the_same_scores(self, trained: SimpleNamespace) -> None:
        _, loaded, *_, test = quick_start.load_data_and_model(trained.trainer.saved_model_file)
        assert loaded is not trained.model
        assert torch.equal(all_scores(loaded), all_scores(trained.model))
        assert len(test.dataset) == len(trained.test.dataset)

    def test_recboles_own_functions_need_one_import(self, tmp_path: Path) -> None:
        settings = {"data_path": str(DATASETS), "show_progress": False, "state": "ERROR", "gpu_id": ""}
        given = {**settings, **self.settings, "dataset": self.dataset, "epochs": 1}
        program = Path(__file__).with_name("own_functions.py")
        process = python(str(program), self.model, json.dumps(given), cwd=tmp_path, plugged_in=True)
        assert process.returncode == 0, process.stderr[-2000:]
        found = json.loads(process.stdout.splitlines()[-1])
        assert found["test"].keys() >= {"recall@10", "ndcg@10"}
        assert found["shape"][0] >= 3
        assert 0 < found["ranked"] < found["shape"][0] * found["shape"][1]
        assert found["scores agree"]
        assert found["best agree"]

    def test_training_leaves_the_features_of_the_data_set_alone(self, trained: SimpleNamespace) -> None:
        fresh = create_dataset(trained.config)
        assert all(torch.equal(trained.data.modality(name), fresh.modality(name)) for name in fresh.modality_names)

    def test_a_seed_gives_the_same_run_and_another_seed_another(self) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(2)  # one thread adds in the same order whatever the operation
        try:
            one, same, other = (self.fitted(epochs=1, seed=seed).model.state_dict() for seed in (1, 1, 2))
        finally:
            torch.set_num_threads(threads)
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert not all(torch.equal(one[name], other[name]) for name in one)

    def test_cold_items_can_be_recommended(self, trained: SimpleNamespace) -> None:
        model = trained.model
        seen = trained.train.dataset.inter_feat[model.ITEM_ID].unique()
        cold = torch.tensor(np.setdiff1d(np.arange(1, model.n_items), seen.numpy())) - 1
        assert len(cold) >= 20
        scores = all_scores(model)
        assert scores[:, cold].isfinite().all()
        assert len(scores[:, cold].argmax(1).unique()) > 1, "every user gets the same cold item first"
        top = scores.topk(self.cold_within, dim=1).indices
        assert torch.isin(top, cold).any()

    def test_items_without_a_feature_get_scores(self, trained: SimpleNamespace) -> None:
        missing = ~trained.data.modality_mask("audio")[1:]
        assert 0 < missing.sum() < len(missing)
        scores = all_scores(trained.model)[:, missing]
        assert scores.isfinite().all()
        assert len(scores.T.unique(dim=0)) == missing.sum()

    def test_every_parameter_gets_a_gradient(self) -> None:
        run = self.built(**self.gradient_settings)
        run.model.train()
        for batch in run.train:
            run.model.calculate_loss(batch).backward()
        learned = {name: weight.grad for name, weight in run.model.named_parameters() if weight.requires_grad}
        assert self.zero_gradient <= set(learned)
        assert [name for name, grad in learned.items() if grad is None] == []
        without = {name for name, grad in learned.items() if not grad.abs().max() > 1e-8}
        assert without <= self.zero_gradient

    def test_an_evaluation_computes_the_embeddings_once(
        self, trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model, calls = trained.model, []
        compute = model.embeddings

        def counted() -> tuple[Tensor, Tensor]:
            calls.append(1)
            return compute()

        monkeypatch.setattr(model, "embeddings", counted)
        assert len(trained.valid) > 1
        first = trained.trainer.evaluate(trained.valid, load_best_model=False)
        assert len(calls) == 1
        all_scores(model)
        model.predict({**queries(model, 1), model.ITEM_ID: torch.tensor([2])})
        assert len(calls) == 1
        assert trained.trainer.evaluate(trained.valid, load_best_model=False) == first

    def test_new_weights_give_new_scores(self, trained: SimpleNamespace) -> None:
        model = copy.deepcopy(trained.model)
        weight = next(weight for weight in model.parameters() if weight.requires_grad)
        scores = [all_scores(model)]
        with torch.no_grad():
            weight.mul_(1.5)
        scores.append(all_scores(model))
        weight.data = weight.data * 1.5
        scores.append(all_scores(model))
        weight.data.mul_(1.5)  # of which torch keeps no record: the next evaluation notices
        model.eval()
        scores.append(all_scores(model))
        assert not any(torch.equal(one, next_) for one, next_ in pairwise(scores))
        model.load_state_dict(trained.model.state_dict())
        assert torch.equal(all_scores(model), scores[0])

    def test_a_change_of_type_changes_the_scores_type(self, trained: SimpleNamespace) -> None:
        model = copy.deepcopy(trained.model)
        before = all_scores(model)
        after = all_scores(model.double())
        assert after.dtype == torch.float64
        torch.testing.assert_close(after.float(), before, rtol=1e-3, atol=1e-4)

    def test_a_training_step_gives_new_scores(self, trained: SimpleNamespace) -> None:
        model = copy.deepcopy(trained.model)
        before = all_scores(model)
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        model.calculate_loss(next(iter(trained.train))).backward()
        optimizer.step()
        assert not torch.equal(all_scores(model), before)

    def test_a_copy_scores_alike_and_is_independent(self, trained: SimpleNamespace) -> None:
        before = all_scores(trained.model)
        other = copy.deepcopy(trained.model)
        assert torch.equal(all_scores(other), before)
        with torch.no_grad():
            for weight in other.parameters():
                weight.mul_(0.5)
        assert torch.equal(all_scores(trained.model), before)
        assert not torch.equal(all_scores(other), before)

    def test_mixed_precision_trains(self) -> None:
        run = self.fitted(enable_amp=True, epochs=2)
        losses = run.trainer.train_loss_dict
        assert losses[1] < losses[0]
        assert all(weight.dtype == torch.float32 for weight in run.model.parameters())
        assert all_scores(run.model).isfinite().all()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_a_gpu_gives_the_scores_of_the_cpu(self, trained: SimpleNamespace) -> None:
        model = copy.deepcopy(trained.model).to("cuda")
        torch.testing.assert_close(all_scores(model).cpu(), all_scores(trained.model), rtol=1e-3, atol=1e-4)
        model.train()
        model.calculate_loss(next(iter(trained.train)).to("cuda")).backward()
