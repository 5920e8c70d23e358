"""What training would put up with and is probably wrong: each a sentence with the place, an example and the cure.

RecBole's filters and `eval_args` change nothing where the data come split: there the cure is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_mm.data.features import some
from recbole_mm.extraction.card import Card, card_file
from recbole_mm.inspection.coconsumption import CoConsumption
from recbole_mm.inspection.feature_numbers import Features
from recbole_mm.inspection.statistics import Counts, Pairs, SplitCounts, leaked, repeated

LOW_COVERAGE = 0.5  # share of the items
ENOUGH_ITEMS = 5  # times as many items as neighbours; else the neighbours are nearly all items
LOW_ODDS = 1.1  # of neighbours to share a user, for one of random pairs


@dataclass(frozen=True, slots=True)
class Names:
    """External ids in the order of the internal ones, and where a file has a user with an item."""

    users: Sequence[str]
    items: Sequence[str]
    place_of: Callable[[str, str, str], str]

    def pair(self, file: str, pairs: Pairs, place: int) -> str:
        user, item = self.users[pairs.users[place]], self.items[pairs.items[place]]
        return f"user '{user}' with item '{item}' in {self.place_of(file, user, item)}"


def about_repeats(where: str, come_split: bool, pairs: Pairs, names: Names) -> Iterator[str]:
    places = repeated(pairs)
    if len(places):
        cure = "remove these lines" if come_split else "set rm_dup_inter: first"
        yield (
            f"{where}: {len(places)} of {len(pairs)} interactions repeat an earlier one of the same user and item, "
            f"such as {names.pair(where, pairs, places[0])}: {cure}, unless they are to count again."
        )


def about_filtered(where: str, rows: int, left: int) -> Iterator[str]:
    if left < rows:
        yield (
            f"{where}: RecBole's filters leave {left} of {rows} interactions. If that is not meant, look for users and "
            "items that the .user and .item files lack (or set filter_inter_by_user_or_item: false), and at "
            "user_inter_num_interval, item_inter_num_interval, val_interval and rm_dup_inter."
        )


def about_leaks(where: str, split: str, train: Pairs, held_out: Pairs, names: Names) -> Iterator[str]:
    places = leaked(train, held_out)
    if len(places):
        yield (
            f"{where}: {len(places)} of {len(held_out)} interactions of the {split} split are in the training split, "
            f"too, such as {names.pair(where, held_out, places[0])}: they measure memory, and RecBole's full ranking "
            "leaves out items that were trained on. Remove them from one of the two (rm_dup_inter: first where the "
            "split is RecBole's)."
        )


def about_times(where: str, come_split: bool, field: str, times: np.ndarray) -> Iterator[str]:
    if len(times) > 1 and (times == times[0]).all():
        untimed = "use a split without them (eval_args.order: RO) and no sequential model"
        cure = f"leave {field} out of load_col" if come_split else untimed
        yield (
            f"{where}: all {len(times)} interactions have the {field} {times[0]:g}: nothing can be ordered by time. "
            f"Write real times, or {cure}."
        )


def about_future(dataset: str, splits: Sequence[tuple[str, int, int, int]]) -> Iterator[str]:
    """Warn of splits: the name, its interactions, those before the last training interaction, and before the user's."""
    early = [
        f"{of_anybody / n:.0%} of the {name} split ({of_user / n:.0%} even than one of the same user)"
        for name, n, of_anybody, of_user in splits
        if of_anybody
    ]
    if early:
        yield (
            f"{dataset}: interactions that are held out are earlier than the last training interaction: "
            f"{' and '.join(early)}. Training knows what came after them. Most tables of papers are made so; for what "
            f"a model is worth tomorrow, split by time: recbole-mm split {dataset} --time."
        )


def about_short_histories(where: str, counts: Counts, needed: int, names: Names) -> Iterator[str]:
    short = (np.flatnonzero(counts.per_user < needed) + 1).tolist()
    if len(short):
        yield (
            f"{where}: {len(short)} of {len(counts.per_user)} users have fewer than {needed} interactions, the least "
            f"that leaves one to train on when the last are held out: {some([names.users[i] for i in short])}. "
            f"Set user_inter_num_interval: '[{needed},inf)'."
        )


def about_cold(where: str, come_split: bool, dataset: str, split: SplitCounts) -> Iterator[str]:
    if split.cold_users:
        cure = "Split by user (eval_args.group_by: user), or set user_inter_num_interval"
        if come_split:
            cure = f"Remove them from this split, or split by user: recbole-mm split {dataset} --min-history=1"
        yield (
            f"{where}: {split.cold_users} of {split.users} users of the {split.name} split "
            f"({split.cold_user_share:.1%} of its interactions) have no training interaction: their scores "
            f"are those of untrained embeddings. {cure}."
        )
    if split.cold_items:
        cure = "remove them from this split" if come_split else "set item_inter_num_interval"
        yield (
            f"{where}: {split.cold_items} of {split.items} items of the {split.name} split "
            f"({split.cold_item_share:.1%} of its interactions) have no training interaction: only features "
            f"can rank them. Fine where that is the question; else {cure}."
        )


def about_features(name: str, source: str, ids: Sequence[str], found: Features) -> Iterator[str]:
    where = f"modality '{name}', {source}"
    if len(found.copies):
        row, first = found.copies[0]
        yield (
            f"{where}: {len(found.copies)} of {found.rows} rows are exact copies of an earlier row, such as item "
            f"'{ids[row]}' (row {row}) of '{ids[first]}' (row {first}). Coarse descriptions, such as genres, repeat by "
            "nature; else look for a placeholder, such as a default cover, and remove its rows: the items then count "
            "as missing."
        )
    if len(found.zeros):
        yield (
            f"{where}: {len(found.zeros)} of {found.rows} rows are all 0, such as item '{ids[found.zeros[0]]}' "
            f"(row {found.zeros[0]}): remove them, so that the items count as missing."
        )
    if len(found.constant_columns):
        columns = some([str(column) for column in found.constant_columns])
        yield (
            f"{where}: {len(found.constant_columns)} of {found.dim} columns (from 0) are the same in all rows: "
            f"{columns}: they say nothing; drop them."
        )


def about_provenance(name: str, source: str, card: Card | None) -> Iterator[str]:
    if card is None:
        yield (
            f"modality '{name}', {source}: no card says what made it: make it with recbole-mm features extract, which "
            f"writes {card_file(Path(source)).name}, so that it can be made again."
        )


def about_coverage(name: str, source: str, covered: int, n_items: int) -> Iterator[str]:
    if covered < LOW_COVERAGE * n_items:
        yield (
            f"modality '{name}', {source}: only {covered} of {n_items} items ({covered / n_items:.1%}) have a row; the "
            "others get what missing_modality says. Add rows, check that the ids are written alike, or leave the "
            "modality out."
        )


def about_co_consumption(name: str, source: str, found: CoConsumption) -> Iterator[str]:
    if found.odds_ratio < LOW_ODDS and found.items > ENOUGH_ITEMS * found.k:
        yield (
            f"modality '{name}', {source}: neighbours share a training user hardly more often than random items "
            f"({found.neighbours:.1%} against {found.random:.1%}): check that each row belongs to its item, and that "
            "training without the modality is not as good."
        )
