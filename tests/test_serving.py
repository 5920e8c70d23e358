"""`recbole-mm recommend`, `export` and `serve`: the lists are the model's own, with and without its data."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_contract import DATASETS
from new_process import command
from recbole.quick_start import load_data_and_model

import recbole_mm
from recbole_mm.base.errors import InputError
from recbole_mm.commands import cli
from recbole_mm.configuration.request import Request
from recbole_mm.serving import export as exporting
from recbole_mm.serving.export import export
from recbole_mm.serving.export_card import ExportCard
from recbole_mm.serving.exported_folder import ExportedFolder, exported_folder
from recbole_mm.serving.reasons import reasons_of
from recbole_mm.serving.recommend import recommend
from recbole_mm.serving.scorer import Scorer
from recbole_mm.serving.trained_model import checkpoint_file, trained_model
from recbole_mm.serving.user_items import UserItems
from recbole_mm.serving.user_lists import top_scores
from recbole_mm.serving.vectors import _fitting, history_encoder, vectors_of

NAME = "microvideo"
DOT = ("BPR", "LightGCN", "SEA", "MHCR", "SASRec", "GRU4Rec", "CCL4Rec")
OTHER = ("NeuMF", "Pop", "EASE")  # NeuMF is asked pair by pair


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train a model when it is asked for, once."""
    folder, runs = tmp_path_factory.mktemp("runs"), dict[str, Path]()

    def of(model: str) -> Path:
        if model not in runs:
            settings = {
                "data_path": str(DATASETS), "epochs": 1, "checkpoint_dir": str(folder), "show_progress": False,
                "state": "ERROR", "MAX_ITEM_LIST_LENGTH": 8,
            }  # fmt: skip
            settings |= {"n_layers": 1} if model == "SASRec" else {}  # ONNX takes as long as there are layers
            runs[model] = Path(recbole_mm.run(Request(model, NAME, settings=settings))["folder"])
        return runs[model]

    return of


@pytest.fixture(scope="module")
def exported(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Export a model with its encoder of histories when it is asked for, once; return the folder and its card."""
    found = dict[str, tuple[Path, ExportCard]]()

    def of(model: str) -> tuple[Path, ExportCard]:
        if model not in found:
            folder = tmp_path_factory.mktemp("exported")
            found[model] = folder, export(trained_model(trained(model), "cpu"), folder, onnx=True)
        return found[model]

    return of


def by_user(lists: pd.DataFrame) -> dict[str, list[str]]:
    return {user: rows["item_id"].tolist() for user, rows in lists.groupby("user_id", sort=False)}


def known_items() -> dict[str, set[str]]:
    table = pd.read_csv(DATASETS / NAME / f"{NAME}.inter", sep="\t", dtype=str)
    table.columns = [name.partition(":")[0] for name in table.columns]
    return {user: set(rows["item_id"]) for user, rows in table.groupby("user_id")}


@pytest.mark.parametrize("model", [*DOT, *OTHER])
def test_lists_are_those_of_the_models_own_scores(model: str, trained: Any) -> None:
    folder = trained(model)
    lists = recommend(folder, k=5, device="cpu")
    source = trained_model(folder, "cpu")
    seen = known_items()
    some = list(by_user(lists))[:7]
    rows = np.array([source.user_ids.tolist().index(user) for user in some])
    scores = source.scores(rows)
    if not source.sequential:
        from recbole.utils.case_study import full_sort_scores

        _, own, *_, test = load_data_and_model(str(checkpoint_file(folder)))
        theirs = full_sort_scores(rows + 1, own, test)[:, 1:]
        unmasked = ~theirs.isinf()
        torch.testing.assert_close(scores[unmasked], theirs[unmasked].float(), rtol=1e-4, atol=1e-5)
    for place, user in enumerate(some):
        ranked = [source.item_ids[row] for row in scores[place].argsort(descending=True, stable=True)]
        allowed = [item for item in ranked if item not in seen[user]]
        found = by_user(lists)[user]
        places = {item: row for row, item in enumerate(source.item_ids)}
        expected = [float(scores[place, places[item]]) for item in allowed[:5]]
        assert [float(scores[place, places[item]]) for item in found] == pytest.approx(expected)
        assert not set(found) & seen[user]
        assert len(found) == len(set(found)) == 5


@pytest.mark.parametrize("model", DOT)
def test_an_export_gives_the_same_lists(model: str, trained: Any, workplace: Path) -> None:
    source = trained_model(trained(model), "cpu")
    card = export(source, workplace / "out")
    assert card.checked < 1e-4
    assert (card.users, card.items) == (len(source.user_ids), len(source.item_ids))
    ours, theirs = (recommend(place, k=10, device="cpu") for place in (workplace / "out", trained(model)))
    assert ours["user_id"].tolist() == theirs["user_id"].tolist()
    np.testing.assert_allclose(
        ours["score"] - ours.groupby("user_id")["score"].transform("max"),
        theirs["score"] - theirs.groupby("user_id")["score"].transform("max"), atol=1e-3,
    )  # fmt: skip
    same = (ours["item_id"] == theirs["item_id"]).mean()
    assert same > 0.98  # but for equal scores


def test_a_model_without_vectors_says_so(trained: Any, workplace: Path) -> None:
    for model in ("NeuMF", "EASE"):
        with pytest.raises(InputError, match=f"the scores of {model} are no dot products"):
            export(trained_model(trained(model), "cpu"), workplace / "out")
        assert not (workplace / "out").exists()


def test_a_bias_of_the_items_is_found() -> None:
    random = np.random.default_rng(0)
    users, items, bias = random.normal(size=(20, 4)), random.normal(size=(30, 4)), random.normal(size=30)
    fake: Any = SimpleNamespace(seen=UserItems.of_lists([[row] for row in range(20)]))
    tables = torch.from_numpy(users), torch.from_numpy(items)
    scores = torch.from_numpy(users @ items.T + bias + random.normal(size=(20, 1)))
    scores[range(20), range(20)] = 99.0  # what is seen may have another score
    found = _fitting(fake, scores, np.arange(20), *tables)
    assert found is not None
    assert found[0] is not None
    np.testing.assert_allclose(found[0] - found[0].mean(), bias - bias.mean(), atol=1e-9)
    plain = _fitting(fake, torch.from_numpy(users @ items.T), np.arange(20), *tables)
    assert plain is not None
    assert plain[0] is None
    assert _fitting(fake, torch.from_numpy((users @ items.T) ** 2), np.arange(20), *tables) is None


def test_an_export_needs_neither_the_data_nor_the_checkpoint(trained: Any, workplace: Path) -> None:
    shutil.copytree(DATASETS / NAME, workplace / "data" / NAME)
    run = recbole_mm.run(Request("BPR", NAME, settings={"data_path": "data", "epochs": 1, "show_progress": False}))
    assert cli.main(["export", run["folder"], "--out=out", "--parquet", "--index", "--device=cpu"]) == 0
    expected = by_user(recommend(run["folder"], k=3, device="cpu"))
    shutil.rmtree("data")
    shutil.rmtree(run["folder"])
    done = command("recommend", "out", "--k=3", "--out=lists.csv")
    assert done.returncode == 0, done.stderr
    assert by_user(pd.read_csv("lists.csv", dtype={"user_id": str, "item_id": str})) == expected
    card = json.loads(Path("out/export.json").read_text(encoding="utf-8"))
    assert card["metrics"]["test"].keys() == run["test"].keys()
    assert card["index"]["recall@20"] > 0.9
    assert card["settings"]["learning_rate"] == run["config"]["learning_rate"]
    table = pd.read_parquet("out/items.parquet")
    np.testing.assert_array_equal(np.stack(table["vector"]), np.load("out/items.npy"))
    assert table["item_id"].tolist() == Path("out/items.ids").read_text(encoding="utf-8").split()


def test_what_is_asked_for(trained: Any, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, seen = trained("BPR"), known_items()
    users = list(seen)[:3]
    with_seen = by_user(recommend(folder, users, k=1000, include_seen=True, device="cpu"))
    assert list(with_seen) == users
    assert all(set(items) >= seen[user] for user, items in with_seen.items())
    some = sorted(set.union(*seen.values()))[:6]
    among = by_user(recommend(folder, users, k=1000, items=some, device="cpu"))
    assert all(set(items) == set(some) - seen[user] for user, items in among.items())
    Path("users.txt").write_text("\n".join([*users, "nobody", users[0]]), encoding="utf-8")
    Path("items.txt").write_text("\n".join([*some, "nothing"]), encoding="utf-8")
    words = ["recommend", str(folder), "--users=users.txt", "--items=items.txt", "--k=2", "--device=cpu"]
    assert cli.main([*words, "--unknown=popular", "--out=lists.jsonl"]) == 0
    told = capsys.readouterr().err
    assert "4 lists, " in told
    assert "1 unknown user, such as 'nobody', got popular items" in told
    assert "1 unknown item in --items, such as 'nothing'" in told
    rows = [json.loads(line) for line in Path("lists.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["user_id"] for row in rows] == [*users, "nobody"]
    counts = pd.Series([item for items in seen.values() for item in items]).value_counts()
    assert rows[-1]["scores"][0] >= rows[-1]["scores"][1]
    assert rows[-1]["scores"][0] == max(counts.get(item, 0) for item in some)
    assert cli.main([*words]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "user_id\trank\titem_id\tscore"
    assert "got no list; --unknown=popular" in printed.err


def test_formats_hold_the_same(trained: Any, workplace: Path) -> None:
    folder, users = trained("BPR"), list(known_items())[:4]
    frame = recommend(folder, users, k=3, device="cpu")
    for name in ("lists.csv", "lists.parquet"):
        assert recommend(folder, users, k=3, out=name, device="cpu").rows == 12
        read = pd.read_csv if name.endswith("csv") else pd.read_parquet
        found = read(name).astype({"user_id": str, "item_id": str})
        pd.testing.assert_frame_equal(found, frame.astype({"user_id": str, "item_id": str}), check_dtype=False)
    told = recommend(folder, ["nobody"], out="none.parquet", device="cpu")
    assert (told.lists, told.unknown_users) == (0, ["nobody"])
    assert list(pd.read_parquet("none.parquet").columns) == ["user_id", "rank", "item_id", "score"]


def test_histories_of_new_users(trained: Any, exported: Any, workplace: Path) -> None:
    """A new user with the history of a known one gets the same list, whatever the order of the rows."""
    pytest.importorskip("onnxscript")
    table = pd.read_csv(DATASETS / NAME / f"{NAME}.inter", sep="\t", dtype=str)
    table.columns = [name.partition(":")[0] for name in table.columns]
    user = str(table["user_id"].iloc[0])
    rows = table[table["user_id"] == user].assign(user_id="new").sample(frac=1, random_state=1)
    rows = pd.concat([rows, rows.iloc[:1].assign(item_id="nothing"), rows.iloc[:1].assign(user_id="b", item_id="?")])
    rows.to_csv("histories.csv", index=False)
    for model in ("SASRec", "CCL4Rec"):
        folder, card = exported(model)
        assert card.onnx["difference"] < 1e-4
        expected = by_user(recommend(trained(model), [user], k=5, device="cpu"))[user]
        for place in (trained(model), folder):
            assert by_user(recommend(place, k=5, histories="histories.csv", device="cpu")) == {"new": expected}
    with pytest.raises(InputError, match="knows its users by their ids"):
        recommend(trained("BPR"), histories="histories.csv", device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_an_export_leaves_nothing_of_the_one_before(trained: Any, exported: Any, workplace: Path) -> None:
    """A folder that was opened before keeps its own encoder, and one without an encoder uses none that lies there."""
    pytest.importorskip("onnxscript")
    out = workplace / "out"
    shutil.copytree(exported("SASRec")[0], out)
    for name in ("items.faiss", "users.parquet", "items.parquet"):
        (out / name).write_bytes(b"of the model before")
    before, history = exported_folder(out), UserItems.of_lists([[0, 1, 2]])
    expected = before.history_scores(history, np.array([0]))
    encoder = (out / "encoder.onnx").read_bytes()
    export(trained_model(trained("GRU4Rec"), "cpu"), out)
    arrays = {f"{name}.npy" for name in ("users", "items", "seen_starts", "seen_items")}
    assert contents(out).keys() == arrays | {"users.ids", "items.ids", "export.json"}
    assert torch.equal(before.history_scores(history, np.array([0])), expected)
    (out / "encoder.onnx").write_bytes(encoder)
    with pytest.raises(InputError, match="out: has no encoder of histories; export again with --onnx"):
        exported_folder(out).history_scores(history, np.array([0]))


def failing(*_: object) -> None:
    raise InputError("cannot be written as ONNX")


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [("BPR", "index", "faiss is not installed"), ("SASRec", "onnx", "cannot be written as ONNX")],
)
def test_an_export_that_fails_leaves_the_one_before(
    model: str, asked: str, message: str, trained: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = trained_model(trained(model), "cpu"), workplace / "out"
    export(source, out, parquet=True)
    before = contents(out)
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(exporting, "write_onnx", failing)
    monkeypatch.setattr(exporting, "check_onnx_libraries", lambda: None)
    with pytest.raises(InputError, match=message):
        export(source, out, **{asked: True})
    assert contents(out) == before


def test_a_missing_library_is_named_before_the_folder_is_made(
    trained: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library, model, asked in (("faiss", "BPR", "index"), ("onnxscript", "SASRec", "onnx")):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(InputError, match=f"{library} "):
            export(trained_model(trained(model), "cpu"), workplace / "out", **{asked: True})
        assert not (workplace / "out").exists()


@pytest.mark.parametrize("left", ["items.npy", ".partial/items.npy"])
def test_an_export_that_was_interrupted_is_called_incomplete(
    left: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out", left).parent.mkdir(parents=True)
    Path("out", left).write_bytes(b"")
    for name in ("recommend", "serve"):
        assert cli.main([name, "out"]) == 2
        assert "out: an incomplete export, without export.json: wait for" in capsys.readouterr().err


def test_a_folder_that_is_replaced_while_it_is_read_is_refused(
    exported: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = workplace / "out"
    shutil.copytree(exported("SASRec")[0], out)
    load = np.load

    def late(file: Path, **settings: Any) -> Any:
        card = json.loads((out / "export.json").read_text(encoding="utf-8"))
        (out / "export.json").write_text(json.dumps(card | {"made": "later"}), encoding="utf-8")
        return load(file, **settings)

    monkeypatch.setattr(np, "load", late)
    with pytest.raises(InputError, match="out: was exported again while it was read: try again"):
        exported_folder(out)


def test_histories_are_in_the_order_of_the_datasets_own_time(workplace: Path) -> None:
    pytest.importorskip("onnxscript")
    folder = workplace / "data" / NAME
    shutil.copytree(DATASETS / NAME, folder)
    for name in (f"{NAME}.inter", f"{NAME}.yaml"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("timestamp", "time", 1), encoding="utf-8")
    settings = {"data_path": "data", "epochs": 1, "show_progress": False, "TIME_FIELD": "time",
                "MAX_ITEM_LIST_LENGTH": 8}  # fmt: skip
    run = recbole_mm.run(Request("GRU4Rec", NAME, settings=settings))["folder"]
    assert export(trained_model(Path(run), "cpu"), workplace / "out", onnx=True).time_field == "time"
    events = pd.DataFrame({"user_id": "new", "item_id": [f"v{row}" for row in range(1, 7)], "time": range(6)})
    events.to_csv("sorted.csv", index=False)
    events.iloc[::-1].to_csv("shuffled.csv", index=False)
    events.iloc[::-1].drop(columns="time").to_csv("without.csv", index=False)
    for source in (run, "out"):
        expected, shuffled, without = (
            recommend(source, k=20, histories=f"{name}.csv", device="cpu") for name in ("sorted", "shuffled", "without")
        )
        pd.testing.assert_frame_equal(shuffled, expected)
        assert not np.allclose(without["score"], expected["score"])  # the order is read at all


def test_an_export_that_tells_no_time_has_recboles(exported: Any, workplace: Path) -> None:
    shutil.copytree(exported("SASRec")[0], workplace / "out")
    card = json.loads(Path("out/export.json").read_text(encoding="utf-8"))
    del card["time_field"]
    Path("out/export.json").write_text(json.dumps(card), encoding="utf-8")
    assert exported_folder(workplace / "out").time_field == "timestamp"


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=8), st.data())
def test_items_of_users_are_those_of_their_lists(lists: list[list[int]], data: st.DataObject) -> None:
    events = [(user, item) for user, items in enumerate(lists) for item in items]
    order = data.draw(st.permutations(range(len(events))))
    taken = {user: [events[place][1] for place in order if events[place][0] == user] for user in range(len(lists))}
    made = UserItems.of(
        np.array([events[place][0] for place in order], dtype=np.int64),
        np.array([events[place][1] for place in order], dtype=np.int64), len(lists),
    )  # fmt: skip
    asked = np.array(data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=5)), dtype=np.int64)
    place, items = made.pairs(asked)
    for row, user in enumerate(asked):
        assert items[place == row].tolist() == taken[user]
    padded, held = made.last(asked, 3)
    for row, user in enumerate(asked):
        last = taken[user][-3:]
        assert padded[row].tolist() == last + [-1] * (3 - len(last))
        assert held[row] == len(last)
    same = UserItems.of_lists([taken[user] for user in range(len(lists))])
    assert same.items.tolist() == made.items.tolist()
    assert made.counts(10).tolist() == [sum(items.count(item) for items in lists) for item in range(10)]


@pytest.fixture(scope="module")
def address(exported: Any) -> Iterator[str]:
    """Serve SASRec on a free port of this machine."""
    uvicorn = pytest.importorskip("uvicorn")
    from recbole_mm.serving.service import service_of

    out, _ = exported("SASRec")
    server = uvicorn.Server(uvicorn.Config(service_of(exported_folder(out), 50), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def asked(url: str, body: bytes | None = None) -> tuple[int, Any]:
    try:
        with urlopen(HttpRequest(url, body, {"content-type": "application/json"})) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith("{") else text
    except HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_service_answers(address: str, trained: Any) -> None:
    user, expected = next(iter(by_user(recommend(trained("SASRec"), k=5, device="cpu")).items()))
    status, answer = asked(f"{address}/recommend?user={user}&k=5")
    assert status == 200
    assert [row["item"] for row in answer["items"]] == expected
    status, answer = asked(f"{address}/recommend", json.dumps({"history": [*expected, "nothing"], "k": 4}).encode())
    assert (status, answer["unknown_items"], len(answer["items"])) == (200, ["nothing"], 4)
    assert not {row["item"] for row in answer["items"]} & set(expected)
    status, answer = asked(f"{address}/similar?item={expected[0]}&k=3")
    scores = [row["score"] for row in answer["items"]]
    assert (status, len(scores), scores) == (200, 3, sorted(scores, reverse=True))
    assert expected[0] not in [row["item"] for row in answer["items"]]
    assert asked(f"{address}/health")[1]["status"] == "ok"
    assert 'recbole_mm_requests_total{path="/recommend",status="200"}' in asked(f"{address}/metrics")[1]


@pytest.mark.parametrize(
    ("path", "body", "status", "line"),
    [
        ("/recommend?user=nobody", None, 404, "unknown user 'nobody'"),
        ("/recommend?user=nobody&k=x", None, 422, "k: "),
        ("/recommend", None, 422, "user: Field required"),
        ("/similar?item=nothing", None, 404, "unknown item 'nothing'"),
        ("/recommend", b'{"history": []}', 422, "history: "),
        ("/recommend", b"{", 422, "the body is no valid JSON, from byte 1 on: Expecting property name"),
        (
            "/recommend",
            '{"history": ["\u00e4", v1'.encode(),
            422,
            "the body is no valid JSON, from byte 19 on: Expecting",
        ),
        ("/recommend", b'{"history": ["\xed\xa0\x80"', 422, "the body is no valid JSON, from byte 18 on: Expecting"),
        ("/recommend", b'{"history": ["\\ud800"], "k": 2}', 422, "history.0: an id that is no text in utf-8"),
        ("/recommend", b'{"history": ["v1", "\\ud800"]}', 422, "history.1: an id that is no text in utf-8"),
        ("/recommend", b'{"history": ["?"]}', 404, "no item of the history is known, such as '?'"),
        ("/recommend", b" " * (1 << 17), 413, "the body is larger than"),
    ],
)
def test_the_service_refuses_in_one_line(address: str, path: str, body: bytes | None, status: int, line: str) -> None:
    found, answer = asked(address + path, body)
    assert found == status
    assert answer["error"].startswith(line)
    assert "\n" not in answer["error"]


def test_an_error_of_the_service_is_json(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ExportedFolder, "history_scores", broken)
    body = b'{"history": ["v1"]}'
    assert asked(f"{address}/recommend", body) == (500, {"error": "an error of the service: its log has more"})
    assert 'recbole_mm_requests_total{path="/recommend",status="500"}' in asked(f"{address}/metrics")[1]


def test_a_body_whose_length_is_not_told_is_limited_too(address: str) -> None:
    connection = HTTPConnection(address.removeprefix("http://"))
    half = b'{"history": [' + b" " * (1 << 15)
    connection.request(
        "POST", "/recommend", iter([half] * 3), {"content-type": "application/json"}, encode_chunked=True
    )
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (413, {"error": "the body is larger than 65536 bytes"})
    assert 'recbole_mm_requests_total{path="/recommend",status="413"}' in asked(f"{address}/metrics")[1]


def test_other_paths_are_refused_alike(address: str) -> None:
    assert asked(f"{address}/nowhere") == (404, {"error": "Not Found"})
    assert asked(f"{address}/similar", b"{}") == (405, {"error": "Method Not Allowed"})
    assert 'recbole_mm_requests_total{path="other",status="404"}' in asked(f"{address}/metrics")[1]


def test_the_service_limits_lists(address: str, trained: Any) -> None:
    user = trained_model(trained("SASRec"), "cpu").user_ids[0]
    for k in (0, -1, 51):
        assert asked(f"{address}/recommend?user={user}&k={k}") == (422, {"error": f"k is {k}: between 1 and 50"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recommend", "nowhere"], "nowhere: no such checkpoint or folder"),
        (["recommend", "."], "no checkpoint (.pth)"),
        (["recommend", "FOLDER", "--out=lists.txt"], "--out=lists.txt: ends in none of .parquet, .csv, .jsonl"),
        (["recommend", "FOLDER", "--out=no/lists.csv"], "--out=no/lists.csv: the folder no does not exist"),
        (["recommend", "FOLDER", "--users=no.txt"], "--users=no.txt: cannot be read (No such file or directory)"),
        (["recommend", "FOLDER", "--items=odd.txt"], "none of them is an item of BPR on microvideo, such as '?'"),
        (["recommend", "FOLDER", "--k=0"], "k is 0: at least 1"),
        (["export", "FOLDER", "--out=out", "--onnx"], "--onnx: BPR has no encoder of histories"),
        (["serve", "nowhere"], "nowhere: no folder that recbole-mm export wrote"),
        (["serve", "nowhere", "--port=0"], "--port=0: between 1 and 65535"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, trained: Any, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("odd.txt").write_text("?\n", encoding="utf-8")
    assert cli.main([str(trained("BPR")) if word == "FOLDER" else word for word in words]) == 2
    told = capsys.readouterr().err.splitlines()
    assert message in told[-1]
    assert not any(line.startswith("Traceback") for line in told)


@pytest.mark.parametrize("words", [["recommend", "FOLDER"], ["export", "FOLDER", "--out=out"]])
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "unknown device 'gpu': it must be cpu, cuda or, for the second GPU, cuda:1"),
        ("cuda", "device is cuda, but torch finds no such GPU: set device to cpu, or install a torch for your GPU"),
        ("cuda:99", "device is cuda:99, but torch finds no such GPU: set device to cpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    words: list[str], device: str, message: str, trained: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    asked_for = [str(trained("BPR")) if word == "FOLDER" else word for word in words]
    capsys.readouterr()
    assert cli.main([*asked_for, f"--device={device}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("out").exists()


def test_a_damaged_folder_is_refused(trained: Any, workplace: Path) -> None:
    out = workplace / "out"
    export(trained_model(trained("BPR"), "cpu"), out)
    exported: Scorer = exported_folder(out)
    assert len(exported.user_ids) == len(exported.seen)
    whole = (out / "items.npy").read_bytes()
    (out / "items.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="or damaged"):
        exported_folder(out)
    np.save(out / "items.npy", np.zeros((3, 3), dtype=np.float32))
    with pytest.raises(InputError, match="its files do not fit each other"):
        exported_folder(out)
    np.save(out / "items.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="or damaged"):
        exported_folder(out)


def test_vectors_of_a_model_that_changes_its_scores_are_refused(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = trained_model(trained("BPR"), "cpu")
    own = source.model.full_sort_predict
    monkeypatch.setattr(source.model, "full_sort_predict", lambda users: own(users) ** 3 + 0.01)
    with pytest.raises(InputError, match="no dot products"):
        vectors_of(source)


def test_what_modalities_add_sums_to_the_scores_distance_from_the_users_mean(trained: Any) -> None:
    lists = recommend(trained("SEA"), k=4, why=True, device="cpu")
    source = trained_model(trained("SEA"), "cpu")
    why = [f"why_{name}" for name in source.dataset.modality_names]
    mean = dict(zip(source.user_ids, source.scores(np.arange(len(source.user_ids))).mean(dim=1).tolist(), strict=True))
    above = lists["score"] - lists["user_id"].map(mean)
    np.testing.assert_allclose(lists[why].sum(axis=1), above, atol=1e-4)  # SEA has nothing but modalities
    np.testing.assert_allclose(lists["why_own"], 0, atol=1e-4)
    assert (lists[why].std() > 0).all()


def test_what_a_modality_adds_is_what_the_score_loses_without_it(trained: Any) -> None:
    lists = recommend(trained("CCL4Rec"), k=4, why=True, device="cpu")
    source = trained_model(trained("CCL4Rec"), "cpu")
    rows = np.arange(len(source.user_ids))
    users = history_encoder(source)(source.seen, rows)  # type: ignore[misc]
    places = {item: row for row, item in enumerate(source.item_ids)}
    of_user, of_item = (lists[name].map(ids).to_numpy(copy=True) for name, ids in (
        ("user_id", dict(zip(source.user_ids, rows, strict=True))), ("item_id", places)
    ))  # fmt: skip
    with torch.no_grad():
        whole = users @ source.model.embeddings()[0].T
        for m, name in enumerate(source.dataset.modality_names):
            source.model.features[m].zero_()
            lost = whole - users @ source.model.embeddings()[0].T
            lost = (lost - lost.mean(dim=1, keepdim=True))[of_user, of_item]
            np.testing.assert_allclose(lists[f"why_{name}"], lost, atol=1e-4)
            whole = users @ source.model.embeddings()[0].T


def test_the_likest_items_are_the_users_own(trained: Any) -> None:
    lists = recommend(trained("MHCR"), k=4, why=True, device="cpu")
    source, seen = trained_model(trained("MHCR"), "cpu"), known_items()
    places = {item: row for row, item in enumerate(source.item_ids)}
    for name in source.dataset.modality_names:
        features = torch.nn.functional.normalize(source.dataset.modality(name)[1:], dim=1).numpy()
        there = source.dataset.modality_mask(name)[1:].numpy()
        for row in lists.head(40).to_dict("records"):
            own = [item for item in seen[row["user_id"]] if there[places[item]]]
            cosine = {item: features[places[item]] @ features[places[row["item_id"]]] for item in own}
            best = sorted((item for item in own if cosine[item] > 0), key=lambda item: -cosine[item])[:3]
            best = best if there[places[row["item_id"]]] else []
            found = [row[f"like_{name}_{place}"] for place in (1, 2, 3)]
            assert [item for item in found if isinstance(item, str)] == best


def test_reasons_after_a_history_are_items_of_it(trained: Any, workplace: Path) -> None:
    item = sorted(next(iter(known_items().values())))[:3]
    Path("new.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"n,{i},{t}\n" for t, i in enumerate(item)))
    cli.main(["recommend", str(trained("CCL4Rec")), "--histories=new.csv", "--why", "--k=2", "--out=lists.jsonl"])
    (line,) = map(json.loads, Path("lists.jsonl").read_text(encoding="utf-8").splitlines())
    like = {one for name, column in line.items() if name.startswith("like_") for one in column if one}
    assert like
    assert like <= set(item)
    assert len(line["why_own"]) == 2


def test_models_that_cannot_divide_scores_name_items_alone_and_others_refuse(trained: Any, workplace: Path) -> None:
    columns = recommend(trained("FREEDOM"), k=1, why=True, device="cpu").columns
    assert not [name for name in columns if name.startswith("why_")]
    assert [name for name in columns if name.startswith("like_")]
    with pytest.raises(InputError, match="BPR on microvideo was trained without modalities"):
        recommend(trained("BPR"), why=True, device="cpu")
    export(trained_model(trained("SEA"), "cpu"), workplace / "out")
    with pytest.raises(InputError, match="--why reads the model and its features: recommend from the checkpoint"):
        recommend(workplace / "out", why=True)


def test_a_modality_with_the_name_of_the_rest_is_refused(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = trained_model(trained("SEA"), "cpu")
    monkeypatch.setattr(type(source.dataset), "modality_names", ["image", "own"])
    with pytest.raises(InputError, match="a modality is named own"):
        reasons_of(source)


def test_popular_items_have_no_reasons(trained: Any, workplace: Path) -> None:
    lists = recommend(trained("SEA"), ["nobody"], k=3, why=True, unknown="popular", device="cpu")
    assert len(lists) == 3
    assert lists.filter(regex="^(why|like)_").isna().all().all()


@given(
    st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 1200), st.integers(1, 9),
    st.sampled_from([0.0, 0.2, 0.99]), st.sampled_from([torch.nan, -torch.inf, torch.inf]),
)  # fmt: skip
def test_the_largest_scores_are_found_by_blocks(
    seed: int, n: int, n_items: int, k: int, share: float, odd: float
) -> None:
    made = torch.Generator().manual_seed(seed)
    scores = torch.randn(n, n_items, generator=made)
    scores[torch.rand(n, n_items, generator=made) < share] = odd
    k = min(k, n_items)
    values, items = top_scores(scores, k)
    clean = scores.nan_to_num(-torch.inf, torch.inf, -torch.inf)
    assert torch.equal(values, clean.topk(k, dim=1).values)
    assert torch.equal(clean.gather(1, items), values)
    assert all(len(set(row)) == k for row in items.tolist())
