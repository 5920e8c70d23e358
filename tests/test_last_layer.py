"""The last layer of RecBole's transformer: the position that is read, and all of them where more is read."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.data import create_dataset, data_preparation
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.layers import TransformerEncoder, TransformerLayer
from recbole.utils import get_model, init_seed
from training import configured, write_toy

from recbole_mm.recbole_bridge.last_layer import LaterOutput

B, L, D = 5, 4, 8
SIZES = {"hidden_size": D, "inner_size": 8, "n_heads": 2, "n_layers": 2}
DROPOUTS = ("hidden_dropout_prob", "attn_dropout_prob", "dropout_prob", "sess_dropout", "item_dropout")
# RecBole's models on its encoder, and whether they read one position of it in training.
MODELS = {"SASRec": True, "SASRecF": True, "FDSA": True, "GCSAN": True, "BERT4Rec": False, "CORE": False}


@pytest.fixture
def all_positions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what puts RecBole's own encoder and `gather_indexes` back."""

    def undo() -> None:
        for kind, name in ((TransformerEncoder, "forward"), (SequentialRecommender, "gather_indexes")):
            monkeypatch.setattr(kind, name, inspect.unwrap(getattr(kind, name)))

    return undo


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("last"))


def encoded(**sizes: Any) -> tuple[TransformerEncoder, Any, Any]:
    """Return an encoder, its input (B, L, D), and a causal mask (B, 1, L, L)."""
    torch.manual_seed(3)
    encoder = TransformerEncoder(n_layers=2, n_heads=2, hidden_size=D, inner_size=8, **sizes).eval()
    causal = torch.ones(L, L).tril().expand(B, 1, L, L)
    return encoder, torch.randn(B, L, D), (1 - causal) * -10000.0


def computed_rows(encoder: TransformerEncoder) -> list[int]:
    """Return a list that gets the positions, of each history, that the last layer's feed-forward part computes."""
    rows: list[int] = []
    encoder.layer[-1].feed_forward.register_forward_hook(lambda _, inputs, __: rows.append(inputs[0].shape[1]))
    return rows


class Reader(SequentialRecommender):
    """What reads one position; `gather_indexes` needs nothing of a model."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)


def test_the_position_that_is_read_and_no_other() -> None:
    encoder, hidden, mask = encoded()
    position = torch.tensor([0, 3, 1, 2, 3])
    rows = computed_rows(encoder)
    one = Reader().gather_indexes(encoder(hidden, mask)[-1], position)
    every = encoder(hidden, mask)[-1] * 1
    assert type(one) is type(every) is torch.Tensor
    torch.testing.assert_close(one, every[torch.arange(B), position])
    assert rows == [1, L]


@pytest.mark.parametrize("all_layers", [True, False])
def test_the_mask_of_both_directions_and_the_layers_before(all_layers: bool, all_positions: Any) -> None:
    encoder, hidden, _ = encoded()
    mask = torch.zeros(B, 1, 1, L)
    mask[1, ..., 3:] = -10000.0
    *before, last = encoder(hidden, mask, output_all_encoded_layers=all_layers)
    one = Reader().gather_indexes(last, torch.full((B,), 2))
    all_positions()
    *plain_before, plain_last = encoder(hidden, mask, output_all_encoded_layers=all_layers)
    assert len(before) == len(plain_before) == int(all_layers)
    for ours, plain in zip(before, plain_before, strict=True):
        assert torch.equal(ours, plain)
    torch.testing.assert_close(one, plain_last[:, 2])


def test_any_other_use_computes_all_positions_once() -> None:
    """What was drawn for one use is what the next one sees."""
    encoder, hidden, mask = encoded(hidden_dropout_prob=0.5)
    encoder.train()
    rows = computed_rows(encoder)
    later = encoder(hidden, mask)[-1]
    assert isinstance(later, LaterOutput)
    assert rows == []
    assert tuple(later.shape) == (B, L, D)
    assert later.requires_grad
    first, stacked = later[:, 1], torch.stack([later, later])
    assert torch.equal(first, stacked[0, :, 1])
    assert torch.equal(stacked[0], stacked[1])
    assert torch.equal(Reader().gather_indexes(later, torch.ones(B, dtype=torch.long)), first)
    assert rows == [L]


def test_dropout_of_the_one_position() -> None:
    """Its share and its scale are those of the layer: the mean over many draws is near that of RecBole's own."""
    encoder, hidden, mask = encoded(attn_dropout_prob=0.3, hidden_dropout_prob=0.0)
    encoder.layer[0].eval()
    encoder.layer[1].train()
    many, wide = hidden[:1].repeat(20_000, 1, 1), mask[:1].expand(20_000, -1, -1, -1)
    with torch.no_grad():
        one = Reader().gather_indexes(encoder(many, wide)[-1], torch.full((20_000,), 3))
        every = (encoder(many, wide)[-1] * 1)[:, 3]
        encoder.eval()
        undropped = (encoder(hidden[:1], mask[:1])[-1] * 1)[0, 3]
    error = (one.std(0) / len(one) ** 0.5).max()
    assert one.std(0).min() > 0.01
    torch.testing.assert_close(one.mean(0), every.mean(0), rtol=0, atol=float(8 * error))
    torch.testing.assert_close(one.std(0), every.std(0), rtol=0.05, atol=0)
    assert not torch.allclose(one[0], undropped)


def test_layers_that_are_not_recboles_own_are_left_alone() -> None:
    class Twice(TransformerLayer):
        def forward(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return hidden_states * 2

    encoder, hidden, mask = encoded()
    encoder.layer[1] = Twice(2, D, 8, 0.0, 0.0, "gelu", 1e-12)
    first, last = encoder(hidden, mask)
    assert type(last) is torch.Tensor
    assert torch.equal(last, first * 2)
    encoder.layer = torch.nn.ModuleList()
    assert encoder(hidden, mask, output_all_encoded_layers=False)[-1] is hidden


@pytest.mark.parametrize("model", MODELS)
def test_the_same_loss_gradients_and_scores(model: str, toy: Path, all_positions: Any) -> None:
    settings = {**SIZES, "train_neg_sample_args": None, "selected_features": ["class"], **dict.fromkeys(DROPOUTS, 0.0)}
    config = configured(model, "toy", data_path=str(toy), **settings)
    init_seed(config["seed"], config["reproducibility"])
    train = data_preparation(config, create_dataset(config))[0]
    built = get_model(model)(config, train.dataset)
    encoders = [part for part in built.modules() if isinstance(part, TransformerEncoder)]
    assert encoders
    rows = computed_rows(encoders[-1])
    batch = next(iter(train))

    def outcome() -> tuple[Any, ...]:
        loss = built.calculate_loss(batch)
        gradients = torch.autograd.grad(loss, list(built.parameters()), allow_unused=True)
        built.eval()
        scores = built.full_sort_predict(batch), built.predict(batch)
        built.train()
        return loss, *scores, *gradients

    ours = outcome()
    assert (rows[0] == 1) == MODELS[model]
    all_positions()
    for mine, plain in zip(ours, outcome(), strict=True):
        assert (mine is None) == (plain is None)
        if mine is not None:
            torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-6)
    assert rows[-1] > 1
