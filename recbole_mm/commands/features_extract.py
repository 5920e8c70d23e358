"""`recbole-mm features extract`: the features of a modality out of raw items."""

from __future__ import annotations

import shlex
from pathlib import Path

import torch

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.data.folder import DatasetFolder
from recbole_mm.extraction.card import card_file
from recbole_mm.extraction.encoder import Encoder
from recbole_mm.extraction.encoders import encoder_of
from recbole_mm.extraction.extract import extract
from recbole_mm.extraction.settings import add_modality
from recbole_mm.extraction.sources import Sources, files, texts
from recbole_mm.settings.names import DATA_PATH


def main(arguments: Arguments, say: Say) -> int:
    """Extract one modality and say what was made; return 0, or 130 after Ctrl-C."""
    known = arguments.options
    folder = DatasetFolder(Path(known.data_path) / known.dataset, known.dataset)
    features = folder.path / f"{known.modality}.npy"
    _check(folder, features, known.batch_size, known.overwrite)
    device = known.device or ("cuda" if torch.cuda.is_available() else "cpu")
    encoder = encoder_of(known.encoder, device, known.download)
    sources = _sources(folder, known.source, encoder)
    try:
        card = extract(encoder, sources, known.source, features, known.batch_size)
    except KeyboardInterrupt:
        say("\ninterrupted; what was encoded is kept, and the same command goes on from there")
        return 130
    say(f"{features}: {card.rows:,} of {card.items:,} items, {card.dim:,} numbers each")
    for reason, count in list(card.missing.items())[:5]:
        say(f"  {count:,} without a row: {reason}")
    if card.missing:
        say(f"  each is in {features.with_suffix('.missing.txt')}")
    if sources.foreign:
        say(f"  {sources.foreign:,} files belong to no item")
    say(f"  how it was made is in {card_file(features)}")
    settings = folder.path / f"{known.dataset}.yaml"
    if not add_modality(settings, known.modality, features):
        ids = features.with_suffix(".ids").name
        say(f"  write into {settings}, under modalities: {known.modality}: {{file: {features.name}, ids: {ids}}}")
    where = "" if known.data_path == DATA_PATH else f" --data_path={shlex.quote(known.data_path)}"
    say(f"next: recbole-mm inspect {known.dataset}{where}")
    return 0


def _check(folder: DatasetFolder, features: Path, batch_size: int, overwrite: bool) -> None:
    if not features.stem.isidentifier():
        raise InputError(f"--modality={features.stem}: letters, digits and _, such as image")
    if not folder.path.is_dir():
        raise InputError(f"{folder.path} does not exist: give the name of a dataset in --data_path")
    if batch_size < 1:
        raise InputError(f"--batch-size={batch_size}: at least 1")
    if features.exists() and not overwrite:
        raise InputError(f"{features} exists: choose another --modality, or replace it with --overwrite")


def _sources(folder: DatasetFolder, source: str, encoder: Encoder) -> Sources:
    if encoder.endings:
        if not Path(source).is_dir():
            raise InputError(f"--source={source}: no such folder; files ITEM_ID{encoder.endings[0]} are to lie in it")
        return files(folder, Path(source), encoder.endings)
    return texts(folder, [column.strip() for column in source.split(",")])
