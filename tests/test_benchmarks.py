"""The benchmarks run, and measure what they say."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from comparisons import in_this_process
from model_contract import DATASETS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import __main__ as everything
from benchmarks import (
    beds,
    beside_rectools,
    content_knn,
    convert,
    data,
    every_model,
    features,
    floor,
    loading,
    measuring,
    neighbours,
    noise,
    problem,
    propagation,
    scale,
    sequences,
    startup,
    steps,
)
from benchmarks.content_knn import neighbour_weights
from recbole_mm.commands.cli import main
from recbole_mm.comparison import compare as comparing
from recbole_mm.configuration.request import Request
from recbole_mm.graphs.products import SparseGraph
from recbole_mm.inspection.walk import inspect

pytestmark = pytest.mark.slow  # left out by `make quick`


def test_a_size_has_what_it_says(tmp_path: Path) -> None:
    size = problem.SIZES["small"]
    folder = problem.write("small", tmp_path)
    pairs = np.loadtxt(folder / "small.train.inter", skiprows=1, dtype=int)
    assert pairs.shape == (size.interactions, 2)
    assert len(np.unique(pairs, axis=0)) == size.interactions
    assert set(pairs[:, 0]) == set(range(size.users))
    assert set(pairs[:, 1]) == set(range(size.items))
    for name, dim in size.modalities.items():
        assert np.load(folder / f"{name}.npy").shape == (size.items, dim)
    again = problem.write("small", tmp_path / "again")
    assert (again / "small.train.inter").read_bytes() == (folder / "small.train.inter").read_bytes()


def test_steps_are_measured_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps.main(["--size=small", "--models=SEA,LightGCN-7", "--repeats=2", "--threads=1", f"--out={tmp_path}"])
    result = json.loads((tmp_path / "steps-small.json").read_text())
    assert set(result["models"]) == {"SEA", "LightGCN", "LightGCN-7"}
    assert result["models"]["LightGCN"]["ratio"] == [1, 1, 1]
    assert result["models"]["LightGCN-7"]["to_7_layers"] == [1, 1, 1]
    sea = result["models"]["SEA"]
    assert len(sea["rounds"]) == 2
    assert sea["to_floor"][1] > 1
    assert sea["memory_mib"] > 4 * 500 * 2 * 64 * 4 / 2**20  # users' two tables, their gradients and Adam's two
    assert sea["seconds"][1] == pytest.approx(np.median(sea["rounds"]))
    assert 0 < sea["club_share"] < 1
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "steps-small.md").read_text()
    assert f"{sea['seconds'][1]:.2f}" in printed


def test_the_floor_is_the_products_of_the_step() -> None:
    x, weight = torch.randn(30, 20), torch.randn(20, 10, requires_grad=True)
    values = np.random.default_rng(0).random((25, 30))
    matrix = SparseGraph(sp.coo_array(np.where(values < 0.2, values, 0)))

    def step() -> None:
        (matrix(x) @ weight).relu().sum().backward()

    with floor._Products({}) as products:
        step()
    noted = [str(function) for function, _, _ in products.found]
    assert noted.count("aten.mm.default") == 2  # forward, and the gradient of the weight
    assert noted.count("aten._embedding_bag_forward_only.default") == 1
    before = weight.grad.clone()  # type: ignore[union-attr]
    floor.floor_of(step, {})()
    assert torch.equal(weight.grad, 2 * before), "once to note the products, and alone they change nothing"


def test_those_asked_for_run_in_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ("propagation --size=small --layers=2 --repeats=1", "neighbours --items=200 --dim=8")
    monkeypatch.setattr(everything, "COMMANDS", commands)
    everything.main(["--only=neighbours", "--threads=1", f"--out={tmp_path}"])
    assert {file.name for file in tmp_path.iterdir()} == {f"neighbours-200x8-exact.{kind}" for kind in ("json", "md")}


def test_propagation_is_measured_beside_recboles_own(tmp_path: Path) -> None:
    propagation.main(["--size=small", "--layers=2", "--repeats=2", "--threads=1", f"--out={tmp_path}"])
    models = json.loads((tmp_path / "propagation-small.json").read_text())["layers"]["2"]
    ours, theirs = models["SparseGraph.propagate"], models[propagation.BASELINE]
    assert 500 * 64 * 4 / 2**20 < ours["peak_mib"] < theirs["peak_mib"]
    assert len(ours["rounds"]) == len(theirs["rounds"]) == 2


def test_the_data_path_is_measured_beside_recboles_own(tmp_path: Path) -> None:
    data.main(["--size=small", "--repeats=1", "--threads=1", f"--out={tmp_path}"])
    pieces = json.loads((tmp_path / "data-small.json").read_text())["pieces"]
    assert len(pieces) == 4
    assert all(set(ways) == {"RecBole", "recbole-mm"} for ways in pieces.values())


def test_held_out_interactions_are_in_no_other_part(tmp_path: Path) -> None:
    folder = problem.write("small", tmp_path, held_out=0.1)
    parts = [np.loadtxt(folder / f"small.{name}.inter", skiprows=1, dtype=int) for name in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [4000, 500, 500]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 5000


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        steps.main(["--models=SEE", "--size=small"])
    assert "no such model: SEE" in capsys.readouterr().err


class TestEveryModel:
    @pytest.mark.filterwarnings("ignore")
    def test_each_runs_in_a_process_of_its_own_or_says_why_not(self, tmp_path: Path) -> None:
        models = "--models=CCL4Rec,KGIN"
        assert every_model.main([models, "--threads=1", f"--out={tmp_path}"]) == 0
        found = {one["model"]: one for one in json.loads((tmp_path / "every-model.json").read_text())["models"]}
        assert {name: one["result"] for name, one in found.items()} == {
            "CCL4Rec": "runs",
            "KGIN": "runs" if find_spec("torch_scatter") else "one line",
        }
        assert found["CCL4Rec"]["line"].startswith("recall@10 0.")
        assert "KGIN" in (tmp_path / "every-model.md").read_text()

    def test_a_model_that_does_not_end_is_stopped(self, tmp_path: Path) -> None:
        assert every_model.main(["--models=BPR", "--limit=0.001", f"--out={tmp_path}"]) == 1
        assert "1 too long" in (tmp_path / "every-model.md").read_text()

    @pytest.mark.parametrize(
        ("code", "text", "expected"),
        [
            (0, "a warning\nmetric  valid  test\n------  -----\nauc   0.5 0.6\n", ("runs", "auc 0.5 0.6")),
            (2, "epochs: 0%\rerror: no such thing\n", ("one line", "no such thing")),
            (1, "Traceback (most recent call last):\n  x\nKeyError: 1\n", ("traceback", "exit code 1: KeyError: 1")),
            (-9, "", ("traceback", "exit code -9: ")),
            (2, "usage: this\n", ("traceback", "exit code 2: usage: this")),
            (0, "Traceback (most recent call last):\nbye\n", ("traceback", "exit code 0: bye")),
            (None, "epochs: 0%\repochs: 1%\n", ("too long", "epochs: 1%")),
        ],
    )
    def test_what_a_process_leaves_is_told(self, code: int | None, text: str, expected: tuple[str, str]) -> None:
        assert every_model.read(code, text) == expected


class TestBeds:
    def test_noise_is_planted_in_histories_alone(self) -> None:
        clean = beds.clean(users=60)
        lengths = clean.groupby("user").size()
        assert lengths.between(beds.SHORTEST, beds.LONGEST).all()
        assert not clean.duplicated(["user", "item"]).any()
        topics = (clean["item"] // (beds.ITEMS // beds.TOPICS)).groupby(clean["user"]).nunique()
        assert topics.max() == beds.INTERESTS
        for kind in beds.KINDS:
            noisy = beds.plant(clean, kind, 0.4)
            assert noisy[["user", "time"]].equals(clean[["user", "time"]])
            planted = noisy["planted"] == 1
            assert (noisy["item"] == clean["item"])[~planted].all()
            assert not planted[clean["time"] >= clean["user"].map(lengths) - beds.HELD_OUT].any()
            share = planted.groupby(clean["user"]).sum() / (lengths - beds.HELD_OUT)
            assert share.between(0.35, 0.45).all()
            assert noisy.equals(beds.plant(clean, kind, 0.4))

    def test_a_burst_is_consecutive_and_of_one_other_user(self) -> None:
        clean = beds.clean(users=40)
        noisy = beds.plant(clean, "burst", 0.4)
        sequences = clean.groupby("user")["item"].agg(lambda items: " ".join(map(str, items)))
        for user, rows in noisy[noisy["planted"] == 1].groupby("user"):
            assert (rows["time"].diff().dropna() == 1).all()
            burst = f" {' '.join(map(str, rows['item']))} "
            holders = [other for other, items in sequences.items() if burst in f" {items} "]
            assert holders
            assert holders != [user]

    def test_popular_noise_is_popular(self) -> None:
        clean = beds.clean(users=300)
        counts = clean["item"].value_counts()
        mean = {}
        for kind in ("popular", "uniform"):
            noisy = beds.plant(clean, kind, 0.4)
            mean[kind] = noisy.loc[noisy["planted"] == 1, "item"].map(counts).mean()
        assert mean["popular"] > 1.5 * mean["uniform"]

    def test_the_oracle_bed_lacks_what_was_planted(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        beds.main([f"--out={tmp_path}", "--kinds=burst", "--shares=20", "--users=30"])
        assert "beds are in" in capsys.readouterr().out
        names = {folder.name for folder in tmp_path.iterdir()}
        assert names == {"clean", "burst-20", "burst-20-oracle"}
        (noisy, *asked), (oracle, *the_same) = (
            [pd.read_csv(tmp_path / name / f"{name}.{part}.inter", sep="\t") for part in beds.PARTS]
            for name in ("burst-20", "burst-20-oracle")
        )
        assert oracle.equals(noisy[noisy["planted:float"] == 0].reset_index(drop=True))
        assert len(oracle) < len(noisy)
        for part, (rows, same) in enumerate(zip(asked, the_same, strict=True)):
            assert rows.equals(same)
            assert sorted(rows["user_id:token"]) == list(range(part, 30, 2))
            assert (
                rows["timestamp:float"] == noisy.groupby("user_id:token").size()[rows["user_id:token"]].values
            ).all()
        assert len(np.load(tmp_path / "burst-20" / "image.npy")) == beds.ITEMS
        assert inspect(Request("CCL4Rec", "burst-20", settings={"data_path": str(tmp_path)})).problems.errors == []


class TestNoise:
    def test_the_table_by_hand(self, tmp_path: Path) -> None:
        """The room of four users is what the oracle is above the plain model; half of it is won back."""
        rows = {
            ("burst-20", "plain-00000000"): [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.6]],
            ("burst-20", "of_mine-00000000"): [[0.15, 0.25, 0.35, 0.45], [0.15, 0.25, 0.35, 0.65]],
            ("burst-20-oracle", "plain-00000000"): [[0.2, 0.3, 0.4, 0.6]],
        }
        for (bed, row), seeds in rows.items():
            for seed, users in enumerate(seeds):
                run = tmp_path / "out" / "runs" / bed / row / f"seed-{seed}" / "run"
                run.mkdir(parents=True)
                np.savez(run / "test_users.npz", **{"user": np.array(list("dcba")), "ndcg@10": np.array(users)})
                mean = float(np.mean(users))
                (run / "result.json").write_text(json.dumps({"valid": {"ndcg@10": 0.5}, "test": {"ndcg@10": mean}}))
        (tmp_path / "burst-20").mkdir()
        (tmp_path / "burst-20" / "burst-20.train.inter").write_text("user_id:token\tplanted:float\na\t0\nb\t0\n")
        found = noise.bed_table("burst-20", noise.runs_of([tmp_path / "out"]), "ndcg@10", tmp_path)
        assert found["plain"]["test"] == pytest.approx(0.275)
        assert found["of mine"]["std"] == pytest.approx(0.05 / 2**0.5)
        assert found["of mine"]["gain"] == pytest.approx(0.05)
        assert found["oracle: plain"]["gain"] == pytest.approx(0.1)
        assert found["of mine"]["won_back"] == pytest.approx(0.5)
        assert found["of mine"]["p_wilcoxon"] == pytest.approx(2 * 0.125)  # the least p of four users, for two rows
        table = noise.markdown({"burst-20": found}, "ndcg@10")
        assert "| +18.2 %" in table
        assert "| 50% " in table

    def test_how_often_planted_behaviours_are_trusted_less(self) -> None:
        assert noise.auc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
        assert noise.auc(np.array([1.0, 3.0]), np.array([2.0, 3.0])) == pytest.approx((0 + 0 + 1 + 0.5) / 4)

    def test_where_trust_and_attention_are(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a bed as it is made, through `compare`: equal attention is 1 of itself, and trust finds bursts."""
        monkeypatch.setattr(comparing, "in_processes", in_this_process)
        beds.main([f"--out={tmp_path}", "--kinds=burst", "--shares=40", "--users=150"])
        (tmp_path / "plain.yaml").write_text("model: CCL4Rec\ntrust_beta: 0\ntrust_weight: 0\nlearning_rate: 1.0e-9\n")
        (tmp_path / "trust.yaml").write_text("model: CCL4Rec\ntrust_weight: 10\n")
        command = ["compare", *(f"--settings={name}={tmp_path}/{name}.yaml" for name in ("plain", "trust"))]
        command += ["--datasets=burst-40,burst-40-oracle", "--num-seeds=1", "--epochs=6", f"--data_path={tmp_path}"]
        command += ["--train_histories=whole", "--train_neg_sample_args=None", "--MAX_ITEM_LIST_LENGTH=30"]
        command += ["--topk=[10]", "--metrics=['NDCG']", "--valid_metric=NDCG@10", "--threads=1"]
        assert main([*command, f"--out={tmp_path}/compared"]) == 0
        noise.main([f"{tmp_path}/compared", f"--data={tmp_path}", f"--out={tmp_path}"])
        found = json.loads((tmp_path / "noise.json").read_text())["burst-40"]
        assert 0.9 < found["plain"]["attention"] < 1.1
        assert found["trust"]["trust"] > 0.6
        assert found["trust"]["attention"] < 0.95 * found["plain"]["attention"]
        assert "attention" not in found["oracle: plain"]  # nothing is planted there
        assert capsys.readouterr().out.endswith((tmp_path / "noise.md").read_text())


def test_sequence_models_are_measured_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--data=microvideo", f"--data_path={DATASETS}", "--repeats=1", "--history=5", "--threads=1"]
    sequences.main([*command, f"--out={tmp_path}"])
    models = json.loads((tmp_path / "sequences-microvideo.json").read_text())["models"]
    assert set(models) == set(sequences.MODELS)
    d, dims = 64, 32 + 16 + 24
    ids_only = d * d + 5 + 2 + d * d + 4 * 32 + 32 + 33  # T, recency, repeats and beta; P and the network of trust
    assert models["CCL4Rec on ids only, whole"]["parameters"] == ids_only
    assert models["CCL4Rec, whole"]["parameters"] == ids_only + dims * d + 3 * 4 * 32
    assert models["SASRec, prefixes"]["scoring"]["ratio"] == [1, 1, 1]
    # 0.5 s of a step are 5 s of an epoch of 10 batches, of which 2 fit into one of SASRec's
    timed = {"parameters": 1, "batches": 10, "step": {"seconds": [0.5] * 3, "ratio": [0.5, 0.5, 1]}}
    timed |= {"scoring": models["SASRec, prefixes"]["scoring"]}
    base = timed | {"step": {"seconds": [1] * 3, "ratio": [1] * 3}}
    written = {"data": "x", "history": 5, "batch_size": 2048, "repeats": 1, "machine": measuring.machine()}
    table = sequences.markdown(written | {"models": {"fast": timed, "SASRec, prefixes": base}})
    assert "| 5.0 " in table
    assert "| 2.0 (1.0 to 2.0) " in table
    assert capsys.readouterr().out == (tmp_path / "sequences-microvideo.md").read_text()


def test_growth_is_fitted_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "BASE", problem.Size(300, 200, 2_000, {"image": 16, "text": 8}))
    monkeypatch.setattr(scale, "FACTORS", (1, 4))
    scale.main(["--knobs=users,dims", "--steps=1", "--threads=1", f"--out={tmp_path}"])
    knobs = json.loads((tmp_path / "scale.json").read_text())["knobs"]
    assert set(knobs) == {"users", "dims"}
    small, large = (one["memory_mib"] for one in knobs["users"]["LightGCN"])
    assert large > small
    assert (tmp_path / "scale.png").stat().st_size > 10_000


def test_the_exponent_by_hand() -> None:
    assert scale.exponent([3 * factor**1.5 for factor in scale.FACTORS]) == pytest.approx(1.5)


def test_loading_is_measured_by_interactions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loading.main(["--interactions=10000,200000", "--models=BPR", "--threads=1", f"--out={tmp_path}"])
    counts = json.loads((tmp_path / "loading.json").read_text())["models"]["BPR"]
    small, large = (one["memory_mib"] for one in counts)
    assert large > small + 190_000 * 2 * 4 / 2**20  # two columns of ids, at the least
    each = (large - small) * 2**20 / 190_000
    assert loading.slope(counts, "memory_mib") * 2**20 == pytest.approx(each)
    assert f"us of the CPU and {each:,.0f} bytes" in capsys.readouterr().out


def test_feature_files_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "FORMS", ())  # the one that is reduced alone: a process each takes a while
    features.main(["--items=2000", "--dim=256", "--width=8", "--threads=1", f"--out={tmp_path}"])
    found = json.loads((tmp_path / "features.json").read_text())["files"]
    assert [(one["form"], one["width"]) for one in found] == [("npy", 8)]
    assert all(one["mib"] == pytest.approx(2001 * one["width"] * 4 / 2**20) for one in found)


def test_converting_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "FORMS", (".parquet",))
    convert.main(["--interactions=20000", "--threads=1", f"--out={tmp_path}"])
    found = json.loads((tmp_path / "convert.json").read_text())["files"]
    assert [(one["form"], one["made"]) for one in found] == [(".parquet", "text"), (".parquet", "parquet")]
    assert all(one["seconds"] > 0 and one["cpu_seconds"] > 0 and 50 < one["peak_mib"] < 2000 for one in found)
    assert found[1]["made_mib"] < found[0]["made_mib"]


def test_sasrec_beside_that_of_another_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stand-in for the environment answers a line for every epoch, and is told sizes and file."""
    file = DATASETS / "microvideo" / "microvideo.inter"
    table = pd.read_csv(file, sep="\t", dtype=str).sort_values("timestamp:float", key=lambda time: time.astype(float))
    before_the_last = table.groupby("user_id:token").nth(-2)
    lines = sorted(f"{user} {item}" for user, item in before_the_last[["user_id:token", "item_id:token"]].to_numpy())
    answer = {"seconds": 1e6, "ndcg": 0.25, "parameters": 1234, "predictions": 5}
    answer = json.dumps(answer | {"targets": crc32("\n".join(lines).encode())})
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/told\nwhile read line; do echo '{answer}'; done\n")
    stand_in.chmod(0o755)
    command = [f"--python={stand_in}", "--data=microvideo", f"--data_path={DATASETS}", "--epochs=2", "--history=5"]
    beside_rectools.main([*command, f"--out={tmp_path}"])
    isolated, side, given, sizes = (tmp_path / "told").read_text().split(maxsplit=3)
    assert isolated == "-I"
    assert Path(side).name == "rectools_side.py"
    assert Path(given) == file
    assert json.loads(sizes)["history"] == 5
    assert json.loads(sizes)["fields"] == ["user_id", "item_id", "timestamp"]
    curves = json.loads((tmp_path / "rectools-microvideo.json").read_text())["curves"]
    assert [epoch["ndcg"] for epoch in curves["RecTools"]] == [0.25, 0.25]
    ours = curves["RecBole, whole histories"]
    interactions = table.groupby("user_id:token").size()
    assert ours[0]["predictions"] == (interactions - 3).clip(lower=0).sum()  # not the first one and those held out
    assert 0 < ours[0]["seconds"] < 1e6
    table = capsys.readouterr().out
    assert "| 1,234 " in table
    assert "| 0.2500 " in table
    stand_in.write_text(stand_in.read_text().replace('"targets": ', '"targets": 1'))
    with pytest.raises(RuntimeError, match="are not those of RecBole"):
        beside_rectools.main([*command, f"--out={tmp_path}"])
    stand_in.write_text("#!/bin/sh\nread line\n")
    with pytest.raises(RuntimeError, match="RecTools ended before epoch 0"):
        beside_rectools.main([*command, f"--out={tmp_path}"])


def test_the_search_for_neighbours_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CENTRES", 20)
    neighbours.main(["--items=2000", "--dim=16", "--threads=1", f"--out={tmp_path}"])
    found = json.loads((tmp_path / "neighbours-2000x16-exact.json").read_text())
    assert found["recall"] == 1
    assert found["peak_mib"] > 50


def test_starting_is_measured_beside_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.measuring.WARM_UP", 0)
    monkeypatch.setattr(startup, "CASES", {name: startup.CASES[name] for name in (startup.BASELINE, "recbole-mm rnu")})
    startup.main(["--repeats=1", "--threads=1", f"--out={tmp_path}"])
    cases = json.loads((tmp_path / "startup.json").read_text())["cases"]
    assert cases["import torch"]["ratio"] == [1, 1, 1]
    assert 0 < cases["recbole-mm rnu"]["seconds"][1] < cases["import torch"]["seconds"][1]


def test_content_neighbours_are_the_nearest_trained_items() -> None:
    X = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0], [-0.6, -0.8], [5.0, 5.0]])  # centred without the last
    real, trained = np.array([True] * 4 + [False]), np.array([True, True, False, True, True])
    weights = neighbour_weights(X + torch.tensor([3.0, 1.0]), real, trained, 2).toarray()
    np.testing.assert_allclose(weights[0], [0, 0.6, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(weights[2], [0, 0, 0, 0.6, 0], atol=1e-6)
    assert not weights[4].any()
    assert not weights[:, [2, 4]].any()  # cold, and without features


def test_a_content_kNN_recommends_what_is_like_a_user_s_items(tmp_path: Path) -> None:
    shutil.copytree(DATASETS / "microvideo", tmp_path / "microvideo")
    assert main(["split", "microvideo", "--cold-items=0.1", f"--data_path={tmp_path}"]) == 0
    split = f"--config_files={tmp_path / 'microvideo/cold_items_0_1.yaml'}"
    file = Path(content_knn.__file__)
    command = ["run", f"--model={file}:ContentKNN", "--dataset=microvideo", f"--data_path={tmp_path}", split]
    keys = ["--metrics=['Recall']", "--topk=[20]", "--valid_metric=Recall@20", f"--checkpoint_dir={tmp_path}"]
    assert main([*command, *keys]) == 0
    (found,) = tmp_path.rglob("result.json")
    cold = json.loads(found.read_text())["test_groups"]["items"][0]
    assert cold["group"] == "cold"
    assert cold["metrics"]["recall@20"] > 2 * 20 / 240
