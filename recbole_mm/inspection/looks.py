"""Looks at one part of a dataset each: what is counted and what is suspicious goes into the inspection."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from recbole_mm.data.atomic import interaction_files
from recbole_mm.data.features import read_features
from recbole_mm.data.folder import folder_of
from recbole_mm.extraction.card import read_card
from recbole_mm.inspection import suspicions
from recbole_mm.inspection.coconsumption import co_consumption
from recbole_mm.inspection.feature_numbers import features, number_type
from recbole_mm.inspection.found import Inspection, Modality
from recbole_mm.inspection.loading import described_modalities, place_of_interaction, rows_in_file
from recbole_mm.inspection.statistics import Pairs, UserTimes, interactions, known_future, split_sizes
from recbole_mm.recbole_bridge.models import is_multimodal

SPLIT_NEEDS = {
    "valid_and_test": 3,
    "valid_only": 2,
    "test_only": 2,
}  # interactions of a user, by eval_args.split.LS


def look_at_features(config: Any, found: Inspection) -> list[str]:
    """Describe every feature file; return the names of the modalities that can be read."""
    folder, names = folder_of(config), []
    for name, spec in described_modalities(config).items():
        modality = found.modalities[str(name)] = Modality()
        with found.problems.collected(f"reading the modality '{name}'", is_error=is_multimodal(config)):
            table = read_features(name, spec, folder)
            modality.source = table.source
            if "file" in spec:
                modality.card = read_card(Path(table.source))
                found.problems.warn(suspicions.about_provenance(name, table.source, modality.card))
            parts = tqdm(table.blocks(), desc=f"{name}: rows", unit="block", leave=False, delay=1)
            modality.features = features(parts, number_type(table))
            names.append(name)
            if modality.features is not None:
                found.problems.warn(suspicions.about_features(name, table.source, table.ids, modality.features))
    return names


def look_at_interactions(
    config: Any, dataset: Any, whole: Pairs, splits: Mapping[str, Pairs], found: Inspection
) -> None:
    """Count the interactions as a whole and by split, the training split first, and warn of suspicious ones."""
    counts = found.interactions = interactions(whole, dataset.user_num - 1, dataset.item_num - 1)
    tokens = dataset.field2id_token
    names = suspicions.Names(
        tokens[dataset.uid_field], tokens[dataset.iid_field], partial(place_of_interaction, config)
    )
    files = [str(path) for path in interaction_files(config)]
    own_splits = config["benchmark_filename"] is not None
    for file, pairs in zip(files, splits.values() if own_splits else [whole], strict=False):
        found.problems.warn(suspicions.about_repeats(file, own_splits, pairs, names))
    if dataset.time_field in dataset.inter_feat:
        times = np.asarray(dataset.inter_feat[dataset.time_field])
        found.problems.warn(suspicions.about_times(files[0], own_splits, dataset.time_field, times))
    if not own_splits:
        rows = rows_in_file(config, Path(files[0]))
        found.problems.warn(suspicions.about_filtered(files[0], rows, counts.n))
        needed = SPLIT_NEEDS.get(str(((config["eval_args"] or {}).get("split") or {}).get("LS")), 0)
        found.problems.warn(suspicions.about_short_histories(files[0], counts, needed, names))
    found.splits = split_sizes(splits) if splits else ()
    for place, split in list(enumerate(found.splits))[1:]:
        file = files[place] if own_splits else files[0]
        found.problems.warn(suspicions.about_leaks(file, split.name, splits["train"], splits[split.name], names))
        found.problems.warn(suspicions.about_cold(file, own_splits, config["dataset"], split))


def look_at_order(dataset: str, times: Mapping[str, UserTimes], found: Inspection) -> None:
    """Warn of splits whose training knows what came after the interactions that are held out."""
    held_out = list(times.items())[1:]
    found.problems.warn(
        suspicions.about_future(
            dataset, [(name, len(part.users), *known_future(times["train"], part)) for name, part in held_out]
        )
    )


def look_at_modalities(dataset: Any, train: Pairs | None, seed: int, found: Inspection) -> None:
    """Count the items that have features, and compare neighbours in them with random items."""
    for name in dataset.modality_names:
        modality, real = found.modalities[name], dataset.modality_mask(name)
        modality.covered = int(real.sum())
        n_items = dataset.item_num - 1
        found.problems.warn(suspicions.about_coverage(name, modality.source, modality.covered, n_items))
        if train is not None and len(train):
            modality.co_consumption = co_consumption(dataset.modality(name), real, train, seed)
        if modality.co_consumption is not None:
            found.problems.warn(suspicions.about_co_consumption(name, modality.source, modality.co_consumption))
