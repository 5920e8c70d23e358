"""Features exchanged between items: real rows among real rows, the same every time, and other data than the real."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from recbole.data import create_dataset
from training import configured

from recbole_mm.base.errors import InputError
from recbole_mm.configuration.request import Request, configure
from recbole_mm.data.identity import data_hash, identity_of
from recbole_mm.data.shuffling import shuffled_origins

TOKENS = np.array(["[PAD]", *(f"i{number}" for number in range(20))])
MASKS = torch.zeros(2, 21, dtype=torch.bool)
MASKS[0, 1:16] = True  # 1 to 9 have the first alone, 10 to 15 both, 16 the second alone, the rest none
MASKS[1, 10:17] = True


def loaded(model: str = "VBPR", **changes: Any) -> Any:
    return create_dataset(configured(model, **changes))


def test_items_exchange_features_among_those_with_the_same_modalities() -> None:
    origins = shuffled_origins(TOKENS, MASKS, 1)
    assert sorted(origins.tolist()) == list(range(21))
    assert torch.equal(MASKS[:, origins], MASKS)
    changed = origins != torch.arange(21)
    assert changed.tolist() == [False, *[True] * 15, *[False] * 5]  # 16 is alone, the padding and the rest have nothing


def test_the_seed_and_the_ids_decide_and_not_their_order() -> None:
    first = shuffled_origins(TOKENS, MASKS, 1)
    assert torch.equal(first, shuffled_origins(TOKENS, MASKS, 1))
    assert not torch.equal(first, shuffled_origins(TOKENS, MASKS, 2))
    order = np.array([0, *range(20, 0, -1)])
    again = shuffled_origins(TOKENS[order], MASKS[:, order], 1)
    by_id = dict(zip(TOKENS, TOKENS[first], strict=True))
    assert dict(zip(TOKENS[order], TOKENS[order][again], strict=True)) == by_id


def test_a_dataset_has_the_same_rows_at_other_items() -> None:
    real, shuffled = loaded(), loaded(shuffle_features=7)
    origins = shuffled_origins(
        real.field2id_token["item_id"], torch.stack([real.modality_mask(name) for name in real.modality_names]), 7
    )
    for name in real.modality_names:
        mask = real.modality_mask(name)
        assert torch.equal(shuffled.modality_mask(name), mask)
        assert torch.equal(shuffled.modality(name), real.modality(name)[origins])  # the same origins in all modalities
        assert not (shuffled.modality(name) == real.modality(name))[mask].all(dim=1).any()
        assert torch.equal(shuffled.modality(name)[~mask], real.modality(name)[~mask])
    assert (real.field2id_token["item_id"] == shuffled.field2id_token["item_id"]).all()
    assert all("shuffled between items with seed 7" in line for line in shuffled.modality_lines)
    assert not any("shuffled" in line for line in real.modality_lines)


def test_a_shuffle_is_part_of_what_the_data_are() -> None:
    hashes = [data_hash(loaded(shuffle_features=seed)) for seed in (0, 7, 8, None)]
    assert hashes[0] == hashes[3] == data_hash(loaded())
    assert len(set(hashes)) == 3
    for trained, now in ((7, 0), (0, 7), (7, 8)):
        config = configured("VBPR", shuffle_features=now)
        config.expected = identity_of(loaded(shuffle_features=trained)).state()
        with pytest.raises(InputError, match="are not those that the checkpoint was trained on"):
            create_dataset(config)


def test_a_dataset_without_modalities_has_nothing_to_shuffle() -> None:
    changes = {"modalities": None, "MAX_ITEM_LIST_LENGTH": 5}
    assert data_hash(loaded("CCL4Rec", shuffle_features=7, **changes)) == data_hash(loaded("CCL4Rec", **changes))


@pytest.mark.parametrize("value", ["yes", -1, 1.5, True])
def test_a_seed_of_a_shuffle_is_a_whole_number(value: object) -> None:
    settings = {"data_path": str(configured("BPR")["data_path"]), "shuffle_features": value}
    with pytest.raises(InputError, match=r"shuffle_features is .*: it must be a whole number between 0 and"):
        configure(Request("VBPR", "microvideo", settings=settings))
