"""Trust in behaviours: agreement within a history, and noise that is planted to teach it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.model.parts.planted import plant, plant_items, plant_slices, positions
from recbole_mm.model.parts.trust import (
    SCALE,
    WIDEST,
    Trust,
    agreement,
    constant_space,
    far,
    largest,
    others,
    planted_loss,
)

QUICK = settings(deadline=None, max_examples=25)


def at(*degrees: float) -> Tensor:
    """Return vectors of one history, (1, L, 2), of different lengths."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return (torch.stack([angles.cos(), angles.sin()], dim=1) * (1 + torch.arange(len(degrees))).unsqueeze(1))[None]


def histories(n: int, size: int, seed: int) -> Tensor:
    """Return histories of every length from 0 to `size`, whose items no two share."""
    generator = torch.Generator().manual_seed(seed)
    length = torch.randint(0, size + 1, (n, 1), generator=generator)
    items = 1 + torch.arange(n * size).view(n, size)
    return torch.where(torch.arange(size) < length, items, 0)


def everyone(n: int) -> Tensor:
    return torch.ones(1, n, dtype=torch.bool)


def cosines(vectors: Tensor) -> Tensor:
    unit = F.normalize(vectors, dim=2)
    return unit @ unit.mT


class TestAgreement:
    def test_by_hand(self) -> None:
        """Two behaviours of one taste, two of another, and one that agrees with nothing."""
        found = agreement(cosines(at(0, 30, 90, 120, 240)), others(everyone(5)), k=1)[0]
        expected = [math.cos(math.radians(angle)) for angle in (30, 30, 30, 30, 120)]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))

    def test_the_mean_of_the_nearest(self) -> None:
        found = agreement(cosines(at(0, 30, 90)), others(everyone(3)), k=2)[0]
        cosine = {angle: math.cos(math.radians(angle)) for angle in (30, 60, 90)}
        expected = [(cosine[30] + cosine[90]) / 2, (cosine[30] + cosine[60]) / 2, (cosine[60] + cosine[90]) / 2]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))

    def test_a_burst_agrees_with_itself_and_with_nothing_far_away(self) -> None:
        history, real = cosines(at(0, 5, 10, 90, 95, 100, 2, 7, 12)), everyone(9)  # the middle third is another's
        assert (agreement(history, others(real), k=2) > 0.98).all()
        distant = agreement(history, far(real), k=2)[0]
        assert (distant[[3, 4, 5]] < 0.3).all()
        assert (distant[[0, 1, 2, 6, 7, 8]] > 0.98).all()

    def test_far_ones_by_hand(self) -> None:
        real = torch.tensor([[True] * 7 + [False], [True, True] + [False] * 6])
        assert far(real)[0].sum(1).tolist() == [4, 3, 2, 2, 2, 3, 4, 0]  # at least 3 away of 7
        assert torch.equal(far(real)[1], others(real)[1])
        assert others(real)[1].sum().item() == 2

    @QUICK
    @given(seed=st.integers(0, 999), length=st.integers(0, 5), k=st.integers(1, 9), more=st.integers(0, 3))
    def test_padding_never_matters(self, seed: int, length: int, k: int, more: int) -> None:
        vectors = torch.randn(1, 5 + more, 4, generator=torch.Generator().manual_seed(seed))
        real = (torch.arange(5 + more) < length)[None]
        for among in (others, far):
            found = agreement(cosines(vectors), among(real), k)
            assert found.isfinite().all()
            assert not found[~real].any()
            if length:
                alone = agreement(cosines(vectors[:, :length]), among(real[:, :length]), k)
                torch.testing.assert_close(found[:, :length], alone)

    @QUICK
    @given(seed=st.integers(0, 999), size=st.integers(1, 9), data=st.data())
    def test_the_largest_are_topks(self, seed: int, size: int, data: st.DataObject) -> None:
        table = torch.randint(
            -3, 3, (4, size, size), generator=torch.Generator().manual_seed(seed)
        ).float()  # with ties
        table = torch.where(table == 0, -torch.inf, table + table.mT)
        k = data.draw(st.integers(1, size))
        assert torch.equal(largest(table, k), table.topk(k, dim=1).values)
        assert torch.equal(largest(table.requires_grad_(), k), table.topk(k, dim=1).values)

    def test_a_history_of_one_has_0(self) -> None:
        assert agreement(cosines(at(10)), others(everyone(1)), k=1).item() == 0


def all_of(n: int) -> torch.Tensor:
    return torch.ones(n, dtype=torch.bool)


class TestTrust:
    def test_a_constant_space_is_centred_and_narrow(self) -> None:
        torch.manual_seed(0)
        narrow = torch.randn(30, 5) + 3
        torch.testing.assert_close(constant_space(narrow, all_of(30)), F.normalize(narrow - narrow.mean(0), dim=1))
        few = torch.randn(300, 10) @ torch.randn(10, 2 * WIDEST)  # ten directions, which wide rows keep
        plain, found = F.normalize(few - few.mean(0), dim=1), constant_space(few, all_of(300))
        assert found.shape == (300, WIDEST)
        assert constant_space(few[:9], all_of(9)).shape == (9, 9)
        torch.testing.assert_close(found @ found.T, plain @ plain.T, atol=1e-4, rtol=0)

    @pytest.mark.parametrize("width", [5, 2 * WIDEST])
    def test_rows_that_are_filled_in_are_not_read_and_are_0(self, width: int) -> None:
        torch.manual_seed(0)
        X, real = torch.randn(30, width), torch.arange(30) % 3 != 1
        X[~real] = 7.0
        found = constant_space(X, real)
        assert not found[~real].any()
        own = constant_space(X[real], all_of(20))
        torch.testing.assert_close(found[real] @ found[real].T, own @ own.T, atol=1e-4, rtol=0)
        assert constant_space(X, ~all_of(30)).shape[0] == 30

    def test_a_behaviour_that_lacks_a_modality_is_not_compared_in_it(self) -> None:
        """Those who have it are compared as if the others were not there, and these as if there were no modality."""
        torch.manual_seed(0)
        trust, real = Trust(3, n_constant=1, k=2), everyone(6)
        constant = torch.randn(1, 6, 4)
        constant[0, [1, 4]] = 0
        has = [0, 2, 3, 5]
        inputs = []
        trust.learned.register_forward_pre_hook(lambda _, given: inputs.append(given[0][0]))
        trust(torch.randn(1, 6, 3), [constant], real)
        among = [others(everyone(4)), far(real)[:, has][:, :, has]]
        s = torch.stack([SCALE * agreement(cosines(constant[:, has]), which, 2)[0] for which in among], dim=1)
        columns = inputs[0].unflatten(1, (2, 2, 2))[:, :, 1]  # relative and not, of the modality
        torch.testing.assert_close(columns[has], torch.stack([s - s.mean(0), s], dim=1))
        assert not columns[[1, 4]].any()

    def test_the_logit_by_hand(self) -> None:
        torch.manual_seed(0)
        trust, real = Trust(3, n_constant=1, k=2), torch.tensor([[True, True, True, True, False]])
        items, constant = torch.randn(1, 5, 3), torch.randn(1, 5, 6)
        found = trust(items, [constant], real)[0, :4]
        relative, absolute = [], []
        for x in (items @ trust.space.weight.T, constant):
            for among in (others, far):
                s = SCALE * agreement(cosines(x), among(real), 2)[0, :4]
                relative.append(s - s.mean())
                absolute.append(s)
        network = trust.learned(torch.stack(relative + absolute, dim=1)).squeeze(1)
        assert network.abs().min() > 0
        torch.testing.assert_close(found, torch.stack(relative).mean(0) + network)

    def test_at_the_start_what_agrees_more_is_trusted_more(self) -> None:
        torch.manual_seed(0)
        trust = Trust(2, n_constant=0, k=1).double()
        with torch.no_grad():
            trust.space.weight.copy_(torch.eye(2))
        logits = trust(at(0, 30, 90, 120, 240), [], everyone(5))[0]
        assert logits.argmin() == 4
        torch.testing.assert_close(logits.mean().item(), 0.0, atol=0.2, rtol=0)

    def test_it_learns_to_tell_a_burst_by_what_is_far_away(self) -> None:
        """Histories of one taste whose middle is a slice of another's: nearest behaviours alone cannot tell."""
        torch.manual_seed(0)
        planted = torch.tensor([False] * 5 + [True] * 4 + [False] * 3).expand(300, -1)
        own, other = (F.normalize(torch.randn(300, 1, 8), dim=2) for _ in range(2))
        vectors = torch.where(planted.unsqueeze(2), other, own) + 0.1 * torch.randn(300, 12, 8)
        trust, real = Trust(8, n_constant=0, k=3), torch.ones(300, 12, dtype=torch.bool)
        step = torch.optim.Adam(trust.parameters(), 0.01)
        for _ in range(60):
            step.zero_grad()
            planted_loss(trust(vectors[:200], [], real[:200]), planted[:200], real[:200]).backward()
            step.step()
        logits = trust(vectors[200:], [], real[200:])
        right = (logits > 0) == ~planted[200:]
        assert right.float().mean() > 0.95


class TestPlanted:
    @QUICK
    @given(seed=st.integers(0, 99), share=st.floats(0, 1))
    def test_what_is_planted_and_what_stays(self, seed: int, share: float) -> None:
        torch.manual_seed(seed)
        history = histories(7, 6, seed)
        length = (history > 0).sum(1)
        counts = (share * length + 0.5).long()
        for kind in (plant_slices, plant_items):
            noisy, planted = kind(history, counts)
            assert torch.equal(noisy == 0, history == 0)
            assert torch.equal(noisy[~planted], history[~planted])
            assert torch.isin(noisy[planted], history[history > 0]).all()
            assert (planted.sum(1) <= counts).all()
        assert torch.equal(plant_items(history, counts)[1].sum(1), counts)

    def test_a_slice_is_consecutive_and_another_users(self) -> None:
        torch.manual_seed(3)
        history = 1 + torch.arange(40).view(4, 10)
        for _ in range(20):
            noisy, planted = plant_slices(history, torch.tensor([4, 4, 4, 4]))
            for row in range(4):
                places = planted[row].nonzero().squeeze(1)
                assert torch.equal(places, places[0] + torch.arange(4))
                items = noisy[row, places]
                assert torch.equal(items, items[0] + torch.arange(4))
                users = (items - 1) // 10
                assert (users == users[0]).all()
                assert users[0] != row

    def test_a_history_alone_gets_no_slice(self) -> None:
        history = torch.tensor([[1, 2, 3]])
        noisy, planted = plant_slices(history, torch.tensor([2]))
        assert torch.equal(noisy, history)
        assert not planted.any()

    def test_popular_items_are_planted_more_often(self) -> None:
        torch.manual_seed(0)
        history = torch.tensor([[1, 1, 1, 2]]).repeat(2000, 1)
        noisy, planted = plant_items(history, torch.full((2000,), 2))
        assert (noisy[planted] == 1).float().mean().item() == pytest.approx(0.75, abs=0.03)

    def test_half_by_half_and_what_changed_alone_is_known(self) -> None:
        torch.manual_seed(1)
        history = 1 + torch.arange(200).view(20, 10)
        noisy, planted = plant(history)
        assert torch.equal(planted, noisy != history)
        assert (planted.sum(1) <= 5).all()
        spread = planted[::2].int().diff(dim=1).abs().sum(1)
        assert (spread <= 2).all()  # a slice begins once and ends once

    def test_places_by_keys(self) -> None:
        keys, real = torch.tensor([[3.0, 9.0, 1.0, 7.0]]), torch.tensor([[True, True, True, False]])
        assert positions(keys, torch.tensor([2]), real).tolist() == [[True, True, False, False]]

    def test_the_loss_by_hand(self) -> None:
        logits = torch.tensor([[0.0, 2.0, -1.0, 5.0]])
        planted = torch.tensor([[False, True, False, False]])
        counted = torch.tensor([[True, True, True, False]])
        expected = (math.log(2) + math.log(1 + math.exp(2)) + math.log(1 + math.exp(1))) / 3
        assert planted_loss(logits, planted, counted).item() == pytest.approx(expected)
        assert planted_loss(logits, planted, torch.zeros_like(counted)) == 0

    def test_it_can_be_learned(self) -> None:
        """Histories of one taste each: a few steps find what another user's slice is."""
        torch.manual_seed(0)
        taste = F.normalize(torch.randn(50, 8), dim=1)
        table = torch.cat([torch.zeros(1, 8), taste.repeat_interleave(10, 0) + 0.3 * torch.randn(500, 8)])
        history = 1 + torch.arange(500).view(50, 10)
        trust = Trust(8, n_constant=0, k=5)
        optimiser = torch.optim.Adam(trust.parameters(), lr=0.05)
        for _ in range(40):
            noisy, planted = plant(history)
            loss = planted_loss(trust(table[noisy], [], noisy > 0), planted, noisy > 0)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            logits = trust(table[noisy], [], noisy > 0)
        assert logits[planted].mean() < logits[~planted].mean() - 2
