"""Which items of a history have a bias, by hand."""

from __future__ import annotations

import torch

from recbole_mm.model.parts.repeats import add_bias, of_prefixes, once, score

HISTORY = torch.tensor([[5, 2, 5, 5, 0], [3, 0, 0, 0, 0]])


def test_an_item_counts_once() -> None:
    assert once(HISTORY).tolist() == [[5, 2, 0, 0, 0], [3, 0, 0, 0, 0]]


def test_those_of_prefixes_are_those_of_each_prefix() -> None:
    every = of_prefixes(HISTORY)
    for end in range(1, 6):
        assert torch.equal(every[:, end - 1, :end], once(HISTORY[:, :end]))
        assert not every[:, end - 1, end:].any()


def test_the_bias_of_scores_and_of_one_score() -> None:
    users, items = torch.tensor([[1.0], [2.0]]), torch.arange(6.0).unsqueeze(1)
    bias = torch.tensor(-7.0)
    scores = add_bias(users @ items.T, once(HISTORY), bias)
    assert scores[:, 1:].tolist() == [[1, 2 - 7, 3, 4, 5 - 7], [2, 4, 6 - 7, 8, 10]]
    for item in range(1, 6):
        alone = score(users, items, HISTORY, bias, torch.full((2,), item))
        assert torch.equal(alone, scores[:, item])


def test_scores_of_half_precision_keep_it() -> None:
    """As mixed precision makes them, where parameters have 32 bits."""
    scores = add_bias(torch.zeros(1, 4, dtype=torch.bfloat16), torch.tensor([[2]]), torch.tensor(-1.5))
    assert scores.dtype == torch.bfloat16
    assert scores.tolist() == [[0, 0, -1.5, 0]]
