"""MIM-Refiner's loss, its queue, its heads and its masked autoencoder, against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from recbole_mm.extraction.vit import VitCard, tokens_of, vit_of
from recbole_mm.refinement.masked_autoencoder import MaskedAutoencoder
from recbole_mm.refinement.neighbour_queue import NeighbourQueue
from recbole_mm.refinement.refine import RefineSettings, _stages
from recbole_mm.refinement.refiner import HEAD_SIZES, HeadSize, Refiner, head_size, neighbour_loss

SMALL = HeadSize(projector=16, predictor=12, out=8, queue=64)


def encoder(blocks: int = 3, side: int = 16, patch: int = 4) -> Any:
    torch.manual_seed(0)
    return vit_of(VitCard(side, width=24, blocks=blocks, heads=2, patch=patch))


def by_loops(z: Tensor, neighbours: Tensor, p: Tensor, temperature: float) -> float:
    """Return the loss as the paper writes it, one term at a time."""
    z, neighbours, p = (rows / rows.norm(dim=-1, keepdim=True) for rows in (z, neighbours, p))
    terms = []
    for i in range(len(z)):
        for j in range(len(p)):
            if i == j:
                continue
            rows = []
            for a in range(z.shape[1]):
                scores = [float((neighbours[i, a] if a == b else z[i, a]) @ p[j, b]) for b in range(z.shape[1])]
                scores = [score / temperature for score in scores]
                rows.append(math.log(sum(map(math.exp, scores))) - scores[a])
            terms.append(sum(rows) / len(rows))
    return sum(terms) / len(terms)


def test_three_samples_with_a_known_neighbour() -> None:
    """Views agree; the neighbours of a and b are themselves, that of c is orthogonal: 5, 5 and 0 against 0, 0."""
    axes = torch.eye(4)
    z = axes[:3].expand(2, 3, 4)
    neighbours = axes[[0, 1, 3]].expand(2, 3, 4)
    right = math.log(1 + 2 * math.exp(-5))
    assert float(neighbour_loss(z, neighbours, z, 0.2)) == pytest.approx((2 * right + math.log(3)) / 3, rel=1e-6)


@pytest.mark.parametrize("n_views", [2, 3, 12])
def test_the_loss_is_the_papers(n_views: int) -> None:
    random = torch.Generator().manual_seed(n_views)
    p = torch.randn(n_views, 5, 6, generator=random)
    z, neighbours = (torch.randn(2, 5, 6, generator=random) for _ in range(2))
    assert float(neighbour_loss(z, neighbours, p, 0.2)) == pytest.approx(by_loops(z, neighbours, p, 0.2), rel=1e-5)


def test_only_the_positive_is_swapped() -> None:
    """Row a's target has its neighbour, and no other score of the row has any neighbour."""
    random = torch.Generator().manual_seed(1)
    z, neighbours, other = (torch.randn(2, 4, 3, generator=random) for _ in range(3))
    p = torch.randn(2, 4, 3, generator=random)

    def rows(swapped: Tensor) -> Tensor:  # the loss by row of z, each from a batch where p has no gradient elsewhere
        given = neighbours.clone()
        given[:, 0] = swapped[:, 0]
        leaf = given.requires_grad_()
        return torch.autograd.grad(neighbour_loss(z, leaf, p, 0.2), leaf)[0]

    before, after = rows(neighbours), rows(other)
    assert not torch.allclose(before[:, 0], after[:, 0])
    torch.testing.assert_close(before[:, 1:], after[:, 1:])  # the other rows do not know the first one's neighbour
    leaf = z.clone().requires_grad_()
    alone = neighbour_loss(leaf[:, :1], neighbours[:, :1], p[:, :1], 0.2)  # one row: a positive, no negatives
    assert float(torch.autograd.grad(alone, leaf)[0].abs().sum()) == 0


def test_the_queue_wraps_around() -> None:
    queue = NeighbourQueue(5, 2)
    first = queue.rows.clone()
    queue.add(torch.tensor([[1.0, 1], [2, 2], [3, 3]]), torch.tensor([1, 2, 3]))
    assert queue.images.tolist() == [1, 2, 3, -1, -1]
    torch.testing.assert_close(queue.rows[3:], first[3:])
    queue.add(torch.tensor([[4.0, 4], [5, 5], [6, 6]]), torch.tensor([4, 5, 6]))
    assert queue.images.tolist() == [6, 2, 3, 4, 5]
    assert queue.rows[0].tolist() == [6, 6]  # as they were given, not of unit length
    assert int(queue.place) == 1
    queue.add(torch.arange(14.0).view(7, 2), torch.arange(10, 17))
    assert sorted(queue.images.tolist()) == [12, 13, 14, 15, 16]


def test_the_nearest_row_of_another_image() -> None:
    queue = NeighbourQueue(4, 2)
    queue.add(torch.tensor([[9.0, 0], [5, 1], [0, 3], [-1, 0]]), torch.tensor([7, 1, 2, 3]))
    z, images = torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([7, 8])
    assert queue.neighbours(z, images, 1).tolist() == [[5, 1], [9, 0]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 4))
def test_an_image_is_never_its_own_neighbour(seed: int, k: int) -> None:
    torch.manual_seed(seed)
    queue = NeighbourQueue(16, 3)
    images = torch.arange(4).repeat(4)
    queue.add(images[:, None].float() + torch.tensor([[1.0, 10, 100]]), images)
    z, asked = torch.randn(8, 3), torch.arange(8) % 4
    drawn = queue.neighbours(z, asked, k)[:, 0] - 1
    assert (drawn != asked).all()


def test_stage_two_draws_from_the_nearest() -> None:
    torch.manual_seed(0)
    queue = NeighbourQueue(6, 2)
    angles = torch.tensor([0.0, 0.1, 0.2, 1.5, 2, 3])
    queue.add(torch.stack([angles.cos(), angles.sin()], dim=1), torch.arange(6))
    drawn = queue.neighbours(torch.tensor([[1.0, 0]]).expand(300, 2), torch.full((300,), 9), 3)
    counts = np.unique(np.round(drawn[:, 1].numpy(), 3), return_counts=True)
    assert counts[0].tolist() == pytest.approx([0, 0.1, 0.199])
    assert counts[1].min() > 70  # of 300, each a third


def test_heads_see_the_class_tokens_of_their_blocks() -> None:
    network, images = encoder(), torch.randn(2, 3, 16, 16)
    seen: list[Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _module, _given, made: seen.append(made[:, 0].detach()))
    first, second, third = Refiner(network, 3, SMALL).class_tokens(images)
    torch.testing.assert_close(first, seen[0])
    torch.testing.assert_close(second, seen[1])
    torch.testing.assert_close(third, network.norm(seen[2]))
    assert not torch.allclose(first, second)


def test_the_vector_of_an_image_has_no_final_norm() -> None:
    network, images = encoder(), torch.randn(2, 3, 16, 16)
    normed, ((patches, token),) = tokens_of(network, images)
    torch.testing.assert_close(network.norm(torch.cat([token, patches], dim=1)), normed)


def test_batch_norm_sees_all_views_together() -> None:
    module, counted = Refiner(encoder(), 2, SMALL).train(), list[int]()
    for layer in module.heads.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.register_forward_pre_hook(lambda _module, given: counted.append(len(given[0])))
    views = [torch.randn(6, 3, 16, 16) for _ in range(2)] + [torch.randn(6, 3, 8, 8) for _ in range(3)]
    module(views, torch.arange(6))
    assert set(counted) == {30}  # 5 views of 6 images
    assert len(counted) == 2 * 4  # three in a projector, one in a predictor


def test_the_queue_gets_the_first_global_view_after_it_was_asked() -> None:
    module = Refiner(encoder(), 1, SMALL).train()
    head: Any = module.heads[0]
    before = head.queue.rows.clone()
    views = [torch.randn(5, 3, 16, 16) for _ in range(3)]
    asked: list[Tensor] = []
    neighbours = head.queue.neighbours
    head.queue.neighbours = lambda z, images, k: (asked.append(head.queue.rows.clone()), neighbours(z, images, k))[1]
    module(views, torch.arange(5))
    assert len(asked) == 2
    for rows in asked:
        torch.testing.assert_close(rows, before)
    assert head.queue.images[:6].tolist() == [0, 1, 2, 3, 4, -1]
    head.projector.eval()
    with torch.no_grad():
        tokens = torch.cat([module.class_tokens(view)[0] for view in views])
        head.projector.train()
        torch.testing.assert_close(head.queue.rows[:5], head.projector(tokens)[:5], rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter_in_stage_two_and_the_heads_alone_in_stage_one() -> None:
    module = Refiner(encoder(), 3, SMALL).train()
    views = [torch.randn(6, 3, 16, 16) for _ in range(2)] + [torch.randn(6, 3, 8, 8)]
    for frozen in (True, False):
        module.stage(k=1, frozen=frozen)
        module.zero_grad()
        module(views, torch.arange(6)).backward()
        reached = {name for name, one in module.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
        expected = {name for name, _ in module.named_parameters() if not frozen or name.startswith("heads")}
        assert reached == expected


def test_rates_fall_from_block_to_block() -> None:
    blocks = 3
    module = Refiner(encoder(blocks), 2, SMALL)
    groups = _stages(module, 10, RefineSettings())[1].groups
    scale = {id(one): (group["lr_scale"], group["weight_decay"]) for group in groups for one in group["params"]}
    named = dict(module.encoder.named_parameters())
    for name, expected in {
        "cls_token": 0.65**4, "pos_embed": 0.65**4, "patch_embed.proj.weight": 0.65**4,
        "blocks.0.attn.qkv.weight": 0.65**3, "blocks.2.mlp.fc1.weight": 0.65, "norm.weight": 1.0,
    }.items():  # fmt: skip
        assert scale[id(named[name])][0] == pytest.approx(expected), name
    without = [name for name, one in named.items() if scale[id(one)][1] == 0]
    assert {"cls_token", "pos_embed", "norm.bias", "blocks.1.attn.qkv.bias"} <= set(without)
    assert "blocks.1.attn.qkv.weight" not in without
    assert all(scale[id(one)] == (1.0, 1e-5 if one.ndim > 1 else 0.0) for one in module.heads.parameters())


def test_heads_have_the_papers_sizes() -> None:
    assert head_size(1024) == head_size(384) == HeadSize(2048, 4096, 256, 65_536)
    assert head_size(192) == HeadSize(256, 512, 128, 16_384)
    assert head_size(24) == HEAD_SIZES[0] == HeadSize(16, 32, 4, 2_048)


def autoencoder() -> MaskedAutoencoder:
    card = VitCard(16, width=24, blocks=2, heads=2, patch=4)
    torch.manual_seed(0)
    return MaskedAutoencoder(vit_of(card), card)


def test_what_is_filled_in_does_not_depend_on_hidden_patches() -> None:
    module, images = autoencoder().eval(), torch.randn(2, 3, 16, 16)
    seen = torch.tensor([[0, 5, 6, 15], [1, 2, 3, 4]])
    other = images.clone()
    other[0, :, 8:12, 0:4] += 3  # patch 8 of the first image, which is hidden
    torch.testing.assert_close(module.filled_in(images, seen), module.filled_in(other, seen), rtol=0, atol=0)
    other[0, :, 4:8, 4:8] += 3  # patch 5, which is seen
    assert not torch.allclose(module.filled_in(images, seen)[0], module.filled_in(other, seen)[0])


def test_patches_are_standardised_and_in_order() -> None:
    images = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16)
    patches = autoencoder().patches(images)
    assert patches.shape == (2, 16, 48)
    one = images[1, :, 4:8, 8:12].flatten()  # the sixth patch
    torch.testing.assert_close(patches[1, 6], (one - one.mean()) / one.std(), rtol=1e-4, atol=1e-4)


def test_the_error_is_of_hidden_patches_alone() -> None:
    """A decoder that fills in zeros has the error (n - 1) / n of a standardised patch of n numbers, whichever hide."""
    module, images = autoencoder(), torch.randn(4, 3, 16, 16)
    nn.init.zeros_(module.pixels.weight)
    nn.init.zeros_(module.pixels.bias)
    assert module([images], torch.arange(4)).item() == pytest.approx(47 / 48, rel=1e-4)
    right = module.patches(images)
    module.filled_in = lambda pixels, seen: right.scatter(1, seen[..., None].expand(-1, -1, 48), 9.0)  # type: ignore
    assert module([images], torch.arange(4)).item() == 0


def test_gradients_reach_every_parameter_of_the_autoencoder_but_its_fixed_positions() -> None:
    module = autoencoder()
    module([torch.randn(4, 3, 16, 16)], torch.arange(4)).backward()
    without = {name for name, one in module.named_parameters() if one.grad is None or one.grad.abs().sum() == 0}
    assert without == {"encoder.pos_embed"}
