"""Views of histories: importance, relatedness, damage, and what is never chosen."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recbole_mm.model.parts.views import RelatedItems, damage, make_views

QUICK = settings(deadline=None, max_examples=25)
# Real items 1 to 5, in rows 0 to 4; item 5 is related to nothing.
GRAPH = sp.csr_array(
    np.array(
        [
            [0.0, 0.9, 0.4, 0.0, 0.0],
            [0.9, 0.0, 0.0, 0.0, 0.0],
            [0.4, 0.0, 0.0, 0.7, 0.0],
            [0.0, 0.0, 0.7, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ]
    )
)
HISTORY = torch.tensor([[1, 3, 2, 0], [4, 0, 0, 0], [5, 5, 0, 0], [2, 1, 4, 3]])
ATTENTION = torch.tensor([[0.5, 0.3, 0.2, 0.0], [1.0, 0, 0, 0], [0.4, 0.6, 0, 0], [0.1, 0.2, 0.3, 0.4]])


@pytest.fixture
def related() -> RelatedItems:
    return RelatedItems(GRAPH)


class TestRelatedItems:
    def test_neighbours_are_drawn_by_similarity(self, related: RelatedItems) -> None:
        torch.manual_seed(0)
        drawn, similarity = related.related(torch.ones(20_000, dtype=torch.long))
        assert set(drawn.tolist()) == {2, 3}
        assert (drawn == 2).float().mean().item() == pytest.approx(0.9 / 1.3, abs=0.02)
        assert torch.equal(similarity, torch.where(drawn == 2, 0.9, 0.4))

    def test_unrelated_items_are_drawn_uniformly_among_the_others(self, related: RelatedItems) -> None:
        torch.manual_seed(0)
        for item, others in {1: {4, 5}, 2: {3, 4, 5}, 3: {2, 5}, 4: {1, 2, 5}, 5: {1, 2, 3, 4}}.items():
            drawn, similarity = related.unrelated(torch.full((6_000,), item))
            assert set(drawn.tolist()) == others
            shares = torch.bincount(drawn, minlength=6)[list(others)] / 6_000
            assert ((shares - 1 / len(others)).abs() < 0.03).all()
            assert not similarity.any()

    @QUICK
    @given(n=st.integers(2, 12), density=st.floats(0, 1), seed=st.integers(0, 99))
    def test_no_draw_is_the_item_a_neighbour_or_padding(self, n: int, density: float, seed: int) -> None:
        matrix = np.random.default_rng(seed).random((n, n))
        matrix[np.random.default_rng(seed + 1).random((n, n)) > density] = 0
        np.fill_diagonal(matrix, 0)
        related = RelatedItems(sp.csr_array(matrix))
        items = torch.arange(1, n + 1).repeat(50)
        for draw, count, wanted in (
            (related.related, related.n_related, matrix > 0),
            (related.unrelated, related.n_unrelated, (matrix == 0) & ~np.eye(n, dtype=bool)),
        ):
            assert count[1:].tolist() == wanted.sum(1).tolist()
            drawable = items[count[items] > 0]
            drawn, similarity = draw(drawable)
            assert wanted[drawable - 1, drawn - 1].all()
            np.testing.assert_allclose(similarity, matrix[drawable - 1, drawn - 1], rtol=1e-6)


class TestDamage:
    def test_by_hand(self) -> None:
        relatedness = torch.tensor([[1.0, 0.5, 0.0, 1.0]])
        assert damage(ATTENTION[:1], relatedness).item() == pytest.approx(0.3 * 0.5 + 0.2)

    def test_nothing_for_itself_or_without_weight(self) -> None:
        assert damage(ATTENTION, torch.ones(4, 4)).tolist() == [0, 0, 0, 0]
        assert damage(torch.tensor([0.0, 1.0]), torch.tensor([0.2, 1.0])).item() == 0

    @QUICK
    @given(seed=st.integers(0, 999), position=st.integers(0, 4), by=st.floats(0, 1))
    def test_monotone_and_bounded(self, seed: int, position: int, by: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        importance = torch.rand(5, generator=generator).softmax(0)
        relatedness = torch.rand(5, generator=generator)
        before = damage(importance, relatedness)
        assert 0 <= before <= 1
        less = relatedness.clone()
        less[position] *= by
        assert damage(importance, less) >= before
        more = importance.clone()
        more[position] += by * (1 - importance.sum()).clamp_min(0)
        assert damage(more, relatedness) >= before


class TestMakeViews:
    SHARES = torch.tensor([0.25, 0.5, 1.0])

    def views(
        self, related: RelatedItems, positive: bool, shares: Tensor = SHARES, seed: int = 1
    ) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        views = make_views(HISTORY, ATTENTION, related, shares, positive)
        assert views.items.shape == (4, len(shares), 4)
        assert views.damage.shape == (4, len(shares))
        return views.items, views.damage

    @pytest.mark.parametrize("positive", [True, False])
    def test_padding_stays_and_is_never_substituted_in(self, related: RelatedItems, positive: bool) -> None:
        for seed in range(20):
            items, damages = self.views(related, positive, seed=seed)
            padded = (HISTORY == 0).unsqueeze(1).expand_as(items)
            assert torch.equal(items == 0, padded)
            assert ((damages >= 0) & (damages <= 1)).all()

    def test_shares_are_rounded_up_to_behaviours(self, related: RelatedItems) -> None:
        items, _ = self.views(related, positive=False)
        changed = (items != HISTORY.unsqueeze(1)).sum(2)
        assert changed.tolist() == [[1, 2, 3], [1, 1, 1], [1, 1, 2], [1, 2, 4]]
        items, damages = self.views(related, positive=False, shares=torch.zeros(2))
        assert torch.equal(items, HISTORY.unsqueeze(1).expand_as(items))
        assert not damages.any()

    def test_the_whole_history_by_unrelated_items_is_the_whole_damage(self, related: RelatedItems) -> None:
        _, damages = self.views(related, positive=False, shares=torch.ones(1))
        torch.testing.assert_close(damages, torch.ones(4, 1))

    def test_a_history_without_related_items_stays_as_it_is(self, related: RelatedItems) -> None:
        items, damages = self.views(related, positive=True)
        assert torch.equal(items[2], HISTORY[2].expand(3, 4))
        assert not damages[2].any()

    def test_positives_take_related_items_and_negatives_unrelated_ones(self, related: RelatedItems) -> None:
        dense = torch.from_numpy(GRAPH.toarray()).float()
        for positive in (True, False):
            items, damages = self.views(related, positive)
            old, new = HISTORY.unsqueeze(1).expand_as(items), items
            real = old > 0
            relatedness = torch.where(new == old, 1.0, dense[old - 1, new - 1])
            replaced = real & (new != old)
            assert ((relatedness[replaced] > 0) == positive).all()
            expected = torch.where(real, ATTENTION.unsqueeze(1) * (1 - relatedness), 0.0).sum(2)
            torch.testing.assert_close(damages, expected)

    def test_positives_replace_the_unimportant_and_negatives_the_important(self, related: RelatedItems) -> None:
        history = torch.tensor([[1, 2, 3, 4]]).repeat(3000, 1)
        attention = torch.tensor([[0.7, 0.2, 0.07, 0.03]]).repeat(3000, 1)
        torch.manual_seed(0)
        often = {}
        for positive in (True, False):
            views = make_views(history, attention, related, torch.tensor([0.25]), positive)
            often[positive] = (views.items[:, 0] != history).float().mean(0)
        torch.testing.assert_close(often[False], attention[0], atol=0.03, rtol=0)
        assert (often[True].diff() > 0).all()

    def test_a_seed_gives_the_same_views(self, related: RelatedItems) -> None:
        one, same, other = (self.views(related, False, seed=seed)[0] for seed in (3, 3, 4))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_importance_gets_no_gradient(self, related: RelatedItems) -> None:
        attention = ATTENTION.clone().requires_grad_()
        assert not make_views(HISTORY, attention, related, self.SHARES, positive=False).damage.requires_grad
