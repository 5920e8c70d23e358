"""`recbole-mm export`: a trained model as vectors that serve without its data."""

from __future__ import annotations

import shlex
from pathlib import Path

from recbole_mm.base.errors import number_of
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.serving.export import CARD, export
from recbole_mm.serving.trained_model import trained_model


def main(arguments: Arguments, say: Say) -> int:
    """Export and say what is there; return 0."""
    known = arguments.options
    out = Path(known.out)
    trained = trained_model(Path(known.source), known.device)
    card = export(trained, out, parquet=known.parquet, index=known.index, onnx=known.onnx)
    say(
        f"{trained.name}: {number_of(card.users, 'user')} and {number_of(card.items, 'item')}, "
        f"{number_of(card.dim, 'number')} each, in {out}"
    )
    say(f"  dot products differ from the model's scores by at most {card.checked:.2g}; the card is {out / CARD}")
    if card.index:
        recall = next((name, value) for name, value in card.index.items() if name.startswith("recall"))
        say(f"  {card.index['file']}: {card.index['kind']}; {recall[0]} of exact lists {recall[1]:.3f}")
    if card.onnx:
        say(f"  {card.onnx['file']}: differs from the model by {card.onnx['difference']:.2g} of the largest number")
    say(f"next: recbole-mm recommend {shlex.quote(known.out)} --k=20")
    return 0
