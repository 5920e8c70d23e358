"""What a training on images leaves beside its encoder: losses as a table and as a plot, and unreadable images."""

from __future__ import annotations

from hashlib import sha256

import plotly.graph_objects as go

from recbole_mm.base.files import replace_text
from recbole_mm.html.plots import layout, plot_html, plotlyjs
from recbole_mm.html.render import render
from recbole_mm.refinement.image_folder import ImageFolder
from recbole_mm.refinement.vit_training import VitTraining

ENCODER = "encoder.safetensors"
LOSSES, PAGE, UNREADABLE = "losses.tsv", "losses.html", "unreadable.txt"


def images_digest(folder: ImageFolder) -> str:
    """Return a digest of the names and lengths of the images."""
    rows = (f"{file.relative_to(folder.folder).as_posix()}\t{file.stat().st_size}" for file in folder.files)
    return sha256("\n".join(rows).encode()).hexdigest()


def report(training: VitTraining) -> None:
    """Write the loss of each epoch, a page with its curve, and the images that could not be read."""
    steps = len(training.images) // training.batch_size * training.batch_size
    lines = ["stage\tepoch\tloss\tseconds\timages_per_second"]
    lines += [
        f"{one.stage}\t{one.epoch}\t{one.loss:.5f}\t{one.seconds:.1f}\t{steps / one.seconds:.1f}"
        for one in training.history
    ]
    replace_text(training.out / LOSSES, "\n".join(lines) + "\n")
    images = training.images
    names = [images.files[number].relative_to(images.folder).as_posix() for number in sorted(training.unreadable)]
    replace_text(training.out / UNREADABLE, "".join(f"{name}\n" for name in names))
    figure = go.Figure(layout=layout(400) | {"xaxis_title": "epoch", "yaxis_title": "loss"})
    for stage in dict.fromkeys(one.stage for one in training.history):
        rows = [one for one in training.history if one.stage == stage]
        epochs, losses = [one.epoch for one in rows], [one.loss for one in rows]
        figure.add_scatter(x=epochs, y=losses, name=stage, mode="lines+markers")
    curve = plot_html(figure, "losses")
    page = render("training.html", heading=f"Losses of {training.out.name}", plotlyjs=plotlyjs(), curve=curve)
    replace_text(training.out / PAGE, page)
