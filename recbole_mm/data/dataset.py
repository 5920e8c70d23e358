"""RecBole's datasets with the features of any number of modalities beside the interactions.

The features never enter `item_feat`, so RecBole does not join them into batches: models take each modality
once, as a tensor that is aligned with the internal item ids.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from recbole.data.dataset import Dataset, SequentialDataset

from recbole_mm.base.errors import InputError, nearest
from recbole_mm.data.align import MISSING_MODALITY, align
from recbole_mm.data.features import NORMALIZE, check_choice, feature_files, read_features
from recbole_mm.data.folder import DatasetFolder, folder_of
from recbole_mm.data.identity import identity_of, keep_features
from recbole_mm.data.left_out import items_left_out
from recbole_mm.data.shuffling import shuffled_origins


@dataclass(frozen=True, slots=True)
class _Modality:
    features: torch.Tensor  # (item_num, dim)
    mask: torch.Tensor  # (item_num,)
    source: str
    normalize: str
    shuffled: int = 0  # the seed, 0 where the features are those of their items

    def __str__(self) -> str:
        real, items = int(self.mask.sum()), len(self.mask) - 1
        control = f", shuffled between items with seed {self.shuffled}" if self.shuffled else ""
        return (
            f"{self.source}, dim {self.features.shape[1]}, {real} of {items} items ({real / items:.1%}), "
            f"normalize {self.normalize}{control}"
        )


class MultimodalDataset(Dataset):
    """RecBole's `Dataset` with the modalities that the configuration key ``modalities`` describes.

    The splits that RecBole makes of it share the tensors. A model whose attribute `modalities_required` is false gets
    a dataset without any as well.

    Raises
    ------
    InputError
        From the constructor, on every mistake in the configuration and in the feature files.
    """

    modalities_required: ClassVar[bool] = True

    def _data_processing(self) -> None:
        specs = self._modality_specs()
        folder = self._folder_before_filters()
        known = self._item_ids_before_filters(folder)
        super()._data_processing()
        known.update(self.field2id_token[self.iid_field][1:])  # ids that stand in other fields only
        loaded = {name: self._load_modality(name, spec, known, folder) for name, spec in specs.items()}
        self._modalities = self._shuffled(loaded)
        for name, modality in self._modalities.items():
            keep_features(self, name, modality.features)
            self.logger.info(f"Modality {name}: {modality}")

    @property
    def modality_names(self) -> tuple[str, ...]:
        """The modalities in the order of the configuration."""
        return tuple(self._modalities)

    def modality(self, name: str) -> torch.Tensor:
        """Return the features as float32 (item_num, dim), row = internal item id, padding row zero.

        Raises
        ------
        InputError
            On an unknown name.
        """
        return self._named(name).features

    def modality_mask(self, name: str) -> torch.Tensor:
        """Return bool (item_num,): True where the item has features of its own, False for the padding.

        Raises
        ------
        InputError
            On an unknown name.
        """
        return self._named(name).mask

    @property
    def modality_sources(self) -> tuple[Path, ...]:
        """Every file that the modalities are read or computed from."""
        folder = folder_of(self.config)
        specs = self._modality_specs()
        return tuple(dict.fromkeys(file for name in specs for file in feature_files(name, specs[name], folder)))

    @property
    def modality_lines(self) -> tuple[str, ...]:
        """One line a modality: its source, width, coverage and normalisation."""
        return tuple(f"Modality {name}: {modality}" for name, modality in self._modalities.items())

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *self.modality_lines])

    def modality_spec(self, name: str) -> Mapping[str, Any]:
        """Return how the yaml describes a modality."""
        self._named(name)
        return self._modality_specs()[name]

    def _named(self, name: str) -> _Modality:
        if name not in self._modalities:
            raise InputError(
                f"dataset {self.dataset_name} has no modality '{name}', it has {', '.join(self._modalities)}."
                f"{nearest(name, self._modalities)}"
            )
        return self._modalities[name]

    def _setting(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.config[key]
        if key not in self.config:
            value = default
        check_choice(key, value, choices)
        return value

    def _modality_specs(self) -> dict[str, Mapping[str, Any]]:
        specs = self.config["modalities"]
        model = getattr(self.config, "model_class", None)
        if specs is None and not getattr(model, "modalities_required", self.modalities_required):
            return {}
        if not isinstance(specs, dict) or not specs:
            raise InputError(
                f"dataset {self.dataset_name}: `modalities:` must name at least one modality and its "
                f"features, not {specs!r}. Add to the yaml of the dataset, for example:\n"
                "modalities:\n  image: {file: image.npy}\n  text: {file: text.npy, ids: text.ids}"
            )
        self._setting("normalize", "l2", NORMALIZE)
        self._setting("missing_modality", "mean", MISSING_MODALITY)
        return specs

    def _folder_before_filters(self) -> DatasetFolder:
        """Return the folder, with the ids of its items where RecBole has loaded them all."""
        feat = self.item_feat
        if feat is None or self.iid_field not in feat or feat[self.iid_field].isna().any():
            return folder_of(self.config)
        ids = feat[self.iid_field].tolist()
        return replace(folder_of(self.config), items=ids if all(map(str.strip, ids)) else None)

    def _item_ids_before_filters(self, folder: DatasetFolder) -> set[str]:
        known: set[str] = set()
        for feat in (self.inter_feat, self.item_feat):
            if feat is not None and self.iid_field in feat:
                known.update(feat[self.iid_field].dropna().unique())
        if folder.item_file.is_file():  # `load_col` may leave it out
            known.update(folder.item_ids())
        return known

    def _load_modality(self, name: str, spec: Mapping[str, Any], known: set[str], folder: DatasetFolder) -> _Modality:
        table = read_features(name, spec, folder)
        known.update(items_left_out(self.config, set(table.ids) - known))
        normalize = spec.get("normalize", self._setting("normalize", "l2", NORMALIZE))
        missing = self._setting("missing_modality", "mean", MISSING_MODALITY)
        tokens = self.field2id_token[self.iid_field]
        features, mask = align(
            table, tokens, known, missing=missing, normalize=normalize, name=name, width=spec.get("pca")
        )
        return _Modality(features, mask, table.source, normalize)

    def _shuffled(self, modalities: dict[str, _Modality]) -> dict[str, _Modality]:
        """Return the modalities with their features exchanged between items where `shuffle_features` asks for it."""
        seed = self.config["shuffle_features"]
        if not seed or not modalities:
            return modalities
        identity_of(self).change = f"shuffle_features {seed}"
        masks = torch.stack([modality.mask for modality in modalities.values()])
        origins = shuffled_origins(self.field2id_token[self.iid_field], masks, seed)
        return {
            name: replace(modality, features=modality.features[origins], shuffled=seed)
            for name, modality in modalities.items()
        }


class MultimodalSequentialDataset(MultimodalDataset, SequentialDataset):
    """RecBole's `SequentialDataset` with modalities, as in `MultimodalDataset`, or without any."""

    modalities_required = False


@functools.cache
def multimodal(kind: type) -> type:
    """Return the version with modalities of one of RecBole's datasets."""
    known = {Dataset: MultimodalDataset, SequentialDataset: MultimodalSequentialDataset}
    return known.get(kind) or type(f"Multimodal{kind.__name__}", (MultimodalDataset, kind), {"__module__": __name__})
