"""`recbole-mm features extract`: the features of a modality out of raw items."""

from __future__ import annotations

import shlex
from pathlib import Path

from recbole_mm.base.errors import InputError
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.extraction.card import Card, card_file
from recbole_mm.extraction.encoders import encoder_of
from recbole_mm.extraction.extract import extract
from recbole_mm.extraction.outputs import Outputs
from recbole_mm.extraction.settings import add_modality, check_free, find_dataset, modality_spec
from recbole_mm.extraction.sources import Sources, find_sources
from recbole_mm.recbole_bridge.device import device_of
from recbole_mm.settings.names import DATA_PATH, dataset_yaml


def main(arguments: Arguments, say: Say) -> int:
    """Extract one modality and say what was made; return 0, or 130 after Ctrl-C."""
    known = arguments.options
    device, folder = device_of(known.device), find_dataset(known.data_path, known.dataset)
    settings = dataset_yaml(known.dataset, known.data_path)
    features = settings.with_name(f"{known.modality}.npy")  # beside the dataset's files, unless RecBole carries them
    _check(features, known.batch_size)
    check_free(settings, known.modality, features, folder.path)
    if not known.overwrite:
        Outputs(features).check_absent()
    encoder = encoder_of(known.encoder, device, known.download, known.fit or "")
    sources = find_sources(folder, known.source, encoder.endings)
    features.parent.mkdir(parents=True, exist_ok=True)
    try:
        card = extract(encoder, sources, known.source, features, known.batch_size, encoding=folder.encoding)
    except KeyboardInterrupt:
        say("\ninterrupted; what was encoded is kept, and the same command goes on from there")
        return 130
    _report(card, sources, features, say)
    elsewhere = folder.path.resolve() != features.parent.resolve()
    if not add_modality(settings, known.modality, features, elsewhere):
        spec = ", ".join(f"{key}: {value}" for key, value in modality_spec(features, elsewhere).items())
        say(f"  write into {settings}, under modalities: {known.modality}: {{{spec}}}")
    elif elsewhere:
        say(f"  {known.dataset} lies inside RecBole; {settings} now says which modalities it has here")
    where = "" if known.data_path == DATA_PATH else f" --data_path={shlex.quote(known.data_path)}"
    say(f"next: recbole-mm inspect {known.dataset}{where}")
    return 0


def _check(features: Path, batch_size: int) -> None:
    if not features.stem.isidentifier():
        raise InputError(f"--modality={features.stem}: letters, digits and _, such as image")
    if batch_size < 1:
        raise InputError(f"--batch-size={batch_size}: at least 1")


def _report(card: Card, sources: Sources, features: Path, say: Say) -> None:
    say(f"{features}: {card.rows:,} of {card.items:,} items, {card.dim:,} numbers each")
    for reason, count in list(card.missing.items())[:5]:
        say(f"  {count:,} without a row: {reason}")
    if card.missing:
        say(f"  each is in {Outputs(features).missing}")
    if sources.foreign:
        say(f"  {sources.foreign:,} {sources.kind} belong to no item")
    say(f"  how it was made is in {card_file(features)}")
