"""Views of histories: influence, worth, damage, and what is replaced by what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.model.parts import views as parts
from recbole_mm.model.parts.views import (
    ViewSource,
    cleaned,
    damage,
    hard_negative,
    influence,
    noised,
    relatedness,
    stacked,
    worth,
)

QUICK = settings(deadline=None, max_examples=25)
N_ITEMS, SIZE = 40, 8


def source(seed: int = 0, n: int = 6) -> ViewSource:
    generator = torch.Generator().manual_seed(seed)
    length = torch.randint(1, SIZE + 1, (n, 1), generator=generator)
    real = torch.arange(SIZE) < length
    items = torch.randint(1, N_ITEMS, (n, SIZE), generator=generator) * real
    importance, trust = (torch.rand(n, SIZE, generator=generator) * real for _ in range(2))
    space = F.normalize(torch.randn(N_ITEMS, 5, generator=generator), dim=1)
    space[0] = 0
    return ViewSource(items, importance, trust, worth(importance, trust), space)


class TestInfluence:
    def test_by_its_definition(self) -> None:
        torch.manual_seed(0)
        attention, vectors = torch.rand(2, 4).softmax(1), torch.randn(2, 4, 3)
        found = influence(attention, vectors)
        for row in range(2):
            u = (attention[row, :, None] * vectors[row]).sum(0)
            for j in range(4):
                without = (u - attention[row, j] * vectors[row, j]) / (1 - attention[row, j])
                assert found[row, j].item() == pytest.approx(
                    1 - F.cosine_similarity(u, without, dim=0).item(), abs=1e-6
                )

    def test_the_only_behaviour_has_1_and_padding_0(self) -> None:
        found = influence(torch.tensor([[1.0, 0.0]]), torch.randn(1, 2, 3))
        assert found.tolist() == [[1.0, 0.0]]


class TestDamage:
    def test_by_hand(self) -> None:
        worths = worth(torch.tensor([[0.5, 0.2, 0.1]]), torch.tensor([[1.0, 0.5, 0.0]]))
        torch.testing.assert_close(worths, torch.tensor([[0.5, 0.1, 0.0]]) / 0.6)
        assert damage(worths, torch.tensor([[1.0, 0.4, 0.0]])).item() == pytest.approx(0.1 * 0.6 / 0.6)

    def test_replacing_what_is_not_trusted_costs_nothing(self) -> None:
        worths = worth(torch.tensor([[0.5, 0.9]]), torch.tensor([[1.0, 0.0]]))
        assert damage(worths, torch.tensor([[1.0, 0.0]])) == 0

    @QUICK
    @given(seed=st.integers(0, 999), position=st.integers(0, 4), by=st.floats(0, 1))
    def test_monotone_and_bounded(self, seed: int, position: int, by: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        worths, related = torch.rand(5, generator=generator).softmax(0), torch.rand(5, generator=generator)
        before = damage(worths, related)
        assert 0 <= before <= 1
        less = related.clone()
        less[position] *= by
        assert damage(worths, less) >= before

    def test_relatedness(self) -> None:
        space = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
        old, new = torch.tensor([1, 1, 1, 0]), torch.tensor([1, 2, 3, 0])
        torch.testing.assert_close(relatedness(space, old, new), torch.tensor([1.0, 0.6, 0.0, 1.0]))


def made(kind: str, given: ViewSource, share: float) -> tuple[Tensor, Tensor]:
    makers = {"cleaned": cleaned, "noised": noised, "hard": lambda *args: hard_negative(*args, 0.5)}
    items, damages = makers[kind](given, share)
    return items, damages


@pytest.mark.parametrize("kind", ["cleaned", "noised", "hard"])
@QUICK
@given(seed=st.integers(0, 99), share=st.floats(0, 1))
def test_every_view(kind: str, seed: int, share: float) -> None:
    """Padding stays, at most the share is replaced, and the damage is that of what was replaced."""
    torch.manual_seed(seed)
    given_ = source(seed)
    items, damages = made(kind, given_, share)
    assert torch.equal(items == 0, given_.items == 0)
    assert ((items != given_.items).sum(1) <= given_.counts(share)).all()
    expected = damage(given_.worths, relatedness(given_.space, given_.items, items))
    torch.testing.assert_close(damages, expected)
    assert ((damages >= 0) & (damages <= 1)).all()


def test_cleaning_replaces_the_most_suspect_by_what_is_trusted() -> None:
    items = torch.tensor([[1, 2, 3, 4, 5]])
    importance, trust = torch.full((1, 5), 0.2), torch.tensor([[1.0, 0.1, 1.0, 0.2, 0.0]])
    given_ = ViewSource(items, importance, trust, worth(importance, trust), torch.eye(6))
    view, _ = cleaned(given_, 0.4)
    assert torch.equal(view[0, [0, 2, 3]], items[0, [0, 2, 3]])
    drawn = torch.cat([cleaned(given_, 0.4)[0][0, [1, 4]] for _ in range(200)])
    assert set(drawn.tolist()) == {1, 3, 4}
    assert (drawn == 4).float().mean().item() == pytest.approx(0.2 / 2.2, abs=0.06)


def test_cleaning_a_history_without_trust_stays_within_it() -> None:
    items, nothing = torch.tensor([[1, 2, 0], [0, 0, 0]]), torch.zeros(2, 3)
    view, damages = cleaned(ViewSource(items, nothing, nothing, nothing, torch.eye(4)), 1.0)
    assert set(view[0, :2].tolist()) <= {1, 2}
    assert not view[1].any()
    assert not damages.any()


def test_hard_negatives_take_the_place_of_what_is_worth_most() -> None:
    torch.manual_seed(0)
    items = torch.tensor([[1, 2, 3, 4]]).repeat(2000, 1)
    worths = torch.tensor([[0.6, 0.3, 0.1, 0.0]]).repeat(2000, 1)
    space = F.normalize(torch.randn(500, 8), dim=1)
    view, _ = hard_negative(ViewSource(items, worths, worths, worths, space), 0.25, 0.5)
    often = (view != items).float().mean(0)
    torch.testing.assert_close(often, torch.tensor([0.6, 0.3, 0.1, 0.0]), atol=0.04, rtol=0)


def test_hardness_is_similarity_to_the_history() -> None:
    torch.manual_seed(0)
    given_ = source(3, n=200)
    centre = F.normalize((given_.space[given_.items] * (given_.items > 0).unsqueeze(2)).sum(1), dim=1)
    found = []
    for hardness in (0.0, 0.5, 1.0):
        items, _ = hard_negative(given_, 1.0, hardness)
        similar = (given_.space[items] * centre.unsqueeze(1)).sum(2)
        found.append(similar[given_.items > 0].mean().item())
    assert found[0] < found[1] - 0.3 < found[2] - 0.6


def test_noise_is_a_slice_or_popular_items(monkeypatch: pytest.MonkeyPatch) -> None:
    given_ = source(1)
    marked = [torch.where(given_.items > 0, number, 0) for number in (38, 39)]
    monkeypatch.setattr(parts, "plant_slices", lambda *_: (marked[0], None))
    monkeypatch.setattr(parts, "plant_items", lambda *_: (marked[1], None))
    torch.manual_seed(0)
    kinds = {tuple(row[row > 0].unique().tolist()) for _ in range(10) for row in noised(given_, 0.5)[0]}
    assert kinds == {(38,), (39,)}


def test_a_seed_gives_the_same_views_and_gradients_reach_trust_alone() -> None:
    given_ = source(2)
    trust = given_.trust.clone().requires_grad_()
    given_ = given_._replace(worths=worth(given_.importance, trust))
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(stacked([made(kind, given_, 0.5) for kind in ("cleaned", "noised", "hard")]))
    assert torch.equal(drawn[0].items, drawn[1].items)
    assert not torch.equal(drawn[0].items, drawn[2].items)
    assert drawn[0].items.shape == (6, 3, SIZE)
    drawn[0].damage.sum().backward()
    assert trust.grad is not None
    assert trust.grad.abs().max() > 0
