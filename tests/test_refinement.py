"""`recbole-mm features pretrain` and `features refine`: from a folder of images to an encoder that `extract` uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.extraction.vit import VitCard, read_vit, vit_of, write_vit
from recbole_mm.refinement import refine as refining
from recbole_mm.refinement.image_folder import ImageFolder
from recbole_mm.refinement.image_views import RefinementViews
from recbole_mm.refinement.refine import RefineSettings, refine
from recbole_mm.refinement.refiner import HeadSize
from recbole_mm.refinement.start import start_of
from recbole_mm.refinement.vit_training import VitTraining

N_IMAGES = 80
TINY = VitCard(16, width=24, blocks=3, heads=2, patch=4, pool="mean", made="random weights")
SHORT = RefineSettings(2, (2, 2), batch_size=40, learning_rates=(1e-2, 1e-2), n_local=2, neighbours=3, queue=60)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make images of one colour with some noise, in two folders."""
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number in range(N_IMAGES):
        pixels = random.integers(0, 200, 3) + random.integers(0, 56, (20, 24, 3))
        (folder / f"part{number % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"part{number % 2}" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("start") / "encoder.safetensors"
    torch.manual_seed(3)
    write_vit(file, vit_of(TINY), TINY)
    return file


def refined(start: Path, images: Path, out: Path, settings: RefineSettings = SHORT) -> VitTraining:
    return refine(start_of(f"vit:{start}"), images, out, settings, device="cpu")


def weights(file: Path) -> dict[str, Any]:
    return load_file(file)


def test_from_images_to_features(images: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = workplace / "images"
    broken.mkdir()
    for file in images.rglob("*.png"):
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "7.png").write_bytes(b"no image")
    shared = [f"--images={broken}", "--batch-size=40", "--device=cpu"]
    assert cli.main(["features", "pretrain", "--out=mae", "--side=16", "--patch=4", "--epochs=2", *shared]) == 0
    told = capsys.readouterr().out
    assert "masked autoencoder, epoch 2, loss" in told
    assert "1 image cannot be read: mae/unreadable.txt" in told
    assert Path("mae/unreadable.txt").read_text(encoding="utf-8") == "7.png\n"
    assert "plotly" in Path("mae/losses.html").read_text(encoding="utf-8")
    asked = ["--encoder=vit:mae/encoder.safetensors", "--out=refined", "--epochs=1,1", "--local-views=2", "--queue=64"]
    assert cli.main(["features", "refine", *asked, *shared]) == 0
    rows = [line.split("\t")[:2] for line in Path("refined/losses.tsv").read_text(encoding="utf-8").splitlines()]
    assert rows == [["stage", "epoch"], ["stage one", "1"], ["stage two", "1"]]
    network, card = read_vit(Path("refined/encoder.safetensors"))
    assert (len(network.blocks), card.pool) == (3, "class")
    assert card.made.startswith("MIM-Refiner, 2 heads, 1 + 1 epochs over 80 images, seed 2020, of: masked autoencoder")
    items = Path("dataset/films")
    items.mkdir(parents=True)
    (items / "films.item").write_text("item_id:token\n" + "".join(f"{n}\n" for n in range(10)), encoding="utf-8")
    (items / "films.inter").write_text("user_id:token\titem_id:token\n1\t1\n", encoding="utf-8")
    of = [f"--source={broken}", "--encoder=vit:refined/encoder.safetensors", "--data_path=dataset/", "--device=cpu"]
    assert cli.main(["features", "extract", "films", "--modality=image", *of]) == 0
    assert np.load(items / "image.npy").shape == (9, 192)
    written = json.loads((items / "image.npy.card.json").read_text(encoding="utf-8"))
    assert written["encoder"].startswith("vit (MIM-Refiner, 2 heads")
    assert "class token without the last norm" in written["preprocessing"]
    assert written["missing"] == {next(iter(written["missing"])): 1}


def test_a_training_that_was_killed_goes_on_exactly(
    start: Path, images: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each of its four epochs, in both stages, it ends with the weights of one that was not."""
    refined(start, images, workplace / "whole")
    save, done = VitTraining._save, list[int]()

    def killed(self: VitTraining, *arguments: Any) -> None:
        save(self, *arguments)
        done.append(len(self.history))
        raise KeyboardInterrupt

    monkeypatch.setattr(VitTraining, "_save", killed)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            refined(start, images, workplace / "killed")
    monkeypatch.undo()
    training = refined(start, images, workplace / "killed")
    assert done == [1, 2, 3, 4] == [number + 1 for number in range(len(training.history))]
    whole, again = (weights(workplace / name / "encoder.safetensors") for name in ("whole", "killed"))
    for name, value in whole.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0)
    losses = [
        [line.split("\t")[2] for line in (workplace / name / "losses.tsv").read_text(encoding="utf-8").splitlines()]
        for name in ("whole", "killed")
    ]
    assert losses[0] == losses[1]


def test_the_encoder_is_frozen_in_stage_one(start: Path, images: Path, workplace: Path) -> None:
    training = refined(
        start, images, workplace / "out", RefineSettings(2, (2, 0), 40, n_local=1, neighbours=3, queue=60)
    )
    before, after = weights(start), weights(workplace / "out" / "encoder.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    module: Any = training.module
    assert int(module.heads[0].queue.images.max()) > -1


def test_the_average_is_written_and_the_loss_falls(start: Path, images: Path, workplace: Path) -> None:
    longer = RefineSettings(2, (3, 6), 40, (1e-2, 1e-2), n_local=1, neighbours=3, queue=60)
    training = refined(start, images, workplace / "out", longer)
    by_stage = {one.stage: one.loss for one in training.history}
    assert by_stage["stage two"] < training.history[0].loss - 0.5
    averaged = training.stages[1].averaged
    assert averaged is not None
    written = weights(workplace / "out" / "encoder.safetensors")
    for name, value in averaged.module.state_dict().items():
        torch.testing.assert_close(written[name], value, rtol=0, atol=0)
    assert not torch.equal(written["norm.weight"], training.encoder.state_dict()["norm.weight"])


def test_the_average_of_a_short_training_spans_a_tenth_of_its_steps(start: Path) -> None:
    found = start_of(f"vit:{start}")
    module = refining._refiner(found.encoder, 2, N_IMAGES, SHORT)
    for steps, decay in ((100, 1 - 10 / 200), (1_000_000, 0.9999), (1, 0.5)):
        averaged = refining._stages(module, steps, SHORT)[1].averaged
        assert averaged is not None
        averaged.update_parameters(module.encoder)
        before = averaged.module.norm.weight.detach().clone()  # type: ignore[union-attr]
        with torch.no_grad():
            module.encoder.norm.weight += 1
        averaged.update_parameters(module.encoder)
        torch.testing.assert_close(averaged.module.norm.weight, before + 1 - decay, rtol=1e-5, atol=1e-6)  # type: ignore


def test_views(images: Path) -> None:
    folder = ImageFolder(images, 32)
    batch, numbers, unreadable = next(iter(folder.loader(16, seed=1)))
    assert (batch.shape, batch.dtype, len(numbers), unreadable) == ((16, 3, 32, 32), torch.uint8, 16, [])
    views = RefinementViews(VitCard(32, patch=4), 4, n_local=3)
    torch.manual_seed(5)
    made = views(batch)
    assert [tuple(view.shape) for view in made] == [(16, 3, 32, 32)] * 2 + [(16, 3, 12, 12)] * 3  # 0.43 of 32 is 13.8
    assert all(view.abs().max() <= 1 for view in made)  # normalised by 0.5 and 0.5
    torch.manual_seed(5)
    for view, again in zip(made, views(batch), strict=True):
        torch.testing.assert_close(view, again, rtol=0, atol=0)
    assert not torch.allclose(made[0], made[1])
    assert {int(number) for number in numbers} <= set(range(N_IMAGES))


def test_a_loader_gives_each_image_once_in_an_order_of_its_seed(images: Path) -> None:
    folder = ImageFolder(images, 8)
    first, again, other = (
        [n for _, numbers, _ in folder.loader(40, seed) for n in numbers.tolist()] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert sorted(first) == sorted(other) == list(range(N_IMAGES))


def test_a_vision_transformer_of_timm(images: Path, workplace: Path) -> None:
    import timm

    torch.manual_seed(0)
    save_file(timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict(), workplace / "vit.safetensors")
    found = start_of("timm:vit_tiny_patch16_224=vit.safetensors")
    assert (found.card.side, found.card.model) == (224, "vit_tiny_patch16_224")
    write_vit(workplace / "again.safetensors", found.encoder, found.card)
    network, card = read_vit(workplace / "again.safetensors")
    assert card == found.card
    pixels = torch.randn(1, 3, 64, 64)  # of another side than it was trained on
    torch.testing.assert_close(network.eval()(pixels), found.encoder.eval()(pixels))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vit:none.safetensors", "none.safetensors: no encoder of recbole-mm features pretrain or refine"),
        ("vit:", "write vit:FILE, or timm:MODEL=FILE"),
        ("logmel", "write vit:FILE, or timm:MODEL=FILE"),
        ("timm:vit_tiny_patch16_224", "write vit:FILE, or timm:MODEL=FILE"),
        ("timm:none=file", "timm has no model 'none'"),
        ("timm:resnet18=file", "'resnet18' is no vision transformer with a class token"),
        ("timm:vit_base_patch16_siglip_224=file", "is no vision transformer with a class token"),
    ],
)
def test_encoders_that_cannot_be_refined(text: str, message: str, workplace: Path) -> None:
    with pytest.raises(InputError, match=message):
        start_of(text)


def test_a_file_of_other_weights_is_refused(start: Path, workplace: Path) -> None:
    save_file({"a": torch.zeros(1)}, workplace / "plain.safetensors")
    with pytest.raises(InputError, match=r"plain.safetensors: no encoder of recbole-mm"):
        read_vit(workplace / "plain.safetensors")
    card = json.dumps({"side": 16, "width": 24, "blocks": 3, "heads": 5, "patch": 4})  # 24 is no multiple of 5
    save_file(load_file(start), workplace / "wrong.safetensors", metadata={"recbole_mm": card})
    with pytest.raises(InputError, match=r"wrong.safetensors: no encoder of recbole-mm"):
        read_vit(workplace / "wrong.safetensors")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"heads": 4}, "--heads=4: the encoder has 3 blocks"),
        ({"heads": -1}, "--heads=-1"),
        ({"queue": 5}, "--queue=5: at least twice --neighbours=3"),
        ({"batch_size": 81}, "--batch-size=81: the folder has only 80 images"),
    ],
)
def test_settings_that_cannot_be_used(
    changed: dict[str, Any], message: str, start: Path, images: Path, workplace: Path
) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match=message):
        refined(start, images, workplace / "out", replace(SHORT, **changed))


def test_a_folder_of_another_training_is_refused(start: Path, images: Path, workplace: Path) -> None:
    one = RefineSettings(1, (1, 0), 40, n_local=0, neighbours=3, queue=60)
    refined(start, images, workplace / "out", one)
    with pytest.raises(InputError, match=r"checkpoint.pt is of other settings or images: choose another --out"):
        refined(start, images, workplace / "out")
    (workplace / "out" / "checkpoint.pt").write_bytes(b"cut off")
    with pytest.raises(InputError, match="no checkpoint can be read"):
        refined(start, images, workplace / "out", one)


def test_a_loss_that_is_not_finite_is_an_error(start: Path, images: Path, workplace: Path) -> None:
    wild = RefineSettings(1, (0, 3), 40, (1.0, 1e30), n_local=0, neighbours=3, queue=60)
    with pytest.raises(InputError, match="lower the learning rate"):
        refined(start, images, workplace / "out", wild)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pretrain", "--images=none", "--out=o"], "--images=none: no such folder"),
        (["pretrain", "--images=.", "--out=o"], "0 images, but a training needs at least 64"),
        (["pretrain", "--images=.", "--out=o", "--side=20"], "--side=20: a multiple of --patch=8"),
        (["pretrain", "--images=.", "--out=o", "--mask=1"], "--mask=1.0: between 0 and 1"),
        (["pretrain", "--images=.", "--out=o", "--size=huge"], "--size"),
        (
            ["refine", "--images=.", "--out=o", "--encoder=vit:x", "--epochs=3"],
            "'3': two numbers, a comma between them",
        ),
        (["refine", "--images=.", "--out=o", "--encoder=vit:x", "--epochs=0,0"], "--epochs=0,0: at least one epoch"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["features", *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_ctrl_c_says_that_the_command_goes_on(
    start: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(VitTraining, "_epoch", stopped)
    words = ["features", "refine", f"--encoder=vit:{start}", f"--images={images}", "--out=out", "--device=cpu"]
    assert cli.main([*words, "--batch-size=40", "--queue=60"]) == 130
    assert "the same command goes on after the last finished epoch" in capsys.readouterr().out


def test_heads_take_the_size_of_the_encoder(start: Path) -> None:
    module = refining._refiner(start_of(f"vit:{start}").encoder, 1, N_IMAGES, RefineSettings(neighbours=20))
    head: Any = module.heads[0]
    assert HeadSize(16, 32, 4, N_IMAGES) == HeadSize(
        head.projector[0].out_features, head.predictor[0].out_features, head.queue.rows.shape[1], len(head.queue.rows)
    )
