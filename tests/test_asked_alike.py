"""The same questions for all: what is held out, what is ranked, and which models may stand in one table."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_contract import DATASETS
from recbole.utils import init_seed

from recbole_mm.base.errors import InputError
from recbole_mm.comparison import together
from recbole_mm.comparison.configured import configured_rows
from recbole_mm.comparison.planned_runs import configure_row, planned_run
from recbole_mm.comparison.rows import PlannedRow, planned_rows
from recbole_mm.comparison.together import MIXED, check_alike, is_mixed, load_alike, refuse_other
from recbole_mm.configuration import request
from recbole_mm.configuration.request import Request, configure
from recbole_mm.data.cache import digests_of
from recbole_mm.training.build import load_dataset, split_dataset
from recbole_mm.training.protocol import held_out

SMALL = {"data_path": str(DATASETS), "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 5}
SAMPLED = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "uni20"}
BY_TIME = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user", "mode": "full"}


def config(model: str, dataset: str = "microvideo", **changes: Any) -> Any:
    return configure(Request(model, dataset, settings=SMALL | changes))


def loaders(model: str, dataset: str = "microvideo", **changes: Any) -> tuple[Any, Any, Any]:
    made = config(model, dataset, **changes)
    init_seed(made["seed"], made["reproducibility"])
    return split_dataset(made, load_dataset(made))


def not_ranked(loader: Any) -> set[tuple[str, str]]:
    """Return user and item, by their own ids, of every score that the evaluation sets to -inf."""
    dataset, found = loader._dataset, set()
    for batch, seen, _, _ in loader:
        if seen is not None:
            users = dataset.id2token("user_id", batch["user_id"].numpy()[seen[0].numpy()])
            found |= set(zip(users, dataset.id2token("item_id", seen[1].numpy()), strict=True))
    return found


@pytest.mark.parametrize("dataset", ["microvideo", "ml-100k"])
def test_sequential_and_other_models_are_asked_the_same(dataset: str) -> None:
    general, sequential = (loaders(model, dataset, **MIXED) for model in ("BPR", "SASRec"))
    assert held_out(*general[1:]) == held_out(*sequential[1:])
    ours, theirs = ([not_ranked(loader) for loader in parts[1:]] for parts in (general, sequential))
    assert ours == theirs
    assert all(len(pairs) > 1000 for pairs in ours)
    assert ours[0] < ours[1]


@pytest.mark.parametrize(("model", "questions"), [("BPR", "users"), ("SASRec", "interactions")])
@pytest.mark.parametrize("at_once", [3, 1 << 16])
def test_the_hash_is_of_all_questions_as_text(
    model: str, questions: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recbole_mm.training.protocol.HASHED_PAIRS", at_once)
    parts = loaders(model, "microvideo", eval_args=BY_TIME)
    for name, loader in zip(("valid", "test"), parts[1:], strict=True):
        dataset = loader._dataset
        fields = ("user_id", "item_id")
        ids = [dataset.id2token(field, dataset.inter_feat[field].numpy()).tolist() for field in fields]
        pairs = sorted(zip(*ids, strict=True))
        items: dict[str, list[str]] = {}
        for user, item in pairs:
            items.setdefault(user, []).append(item)
        by_user = [(user, *dict.fromkeys(of_user)) for user, of_user in items.items()]
        asked: list[Any] = by_user if questions == "users" else pairs
        found = held_out(*parts[1:])[name]
        assert found["hash"] == sha256("\n".join("\t".join(one) for one in asked).encode()).hexdigest()
        assert (found["questions"], found["users"], found["interactions"]) == (len(asked), len(by_user), len(pairs))


def test_by_default_sequential_models_rank_all_items_as_recboles_do() -> None:
    _, valid, test = loaders("SASRec", eval_args=MIXED["eval_args"])
    assert not_ranked(valid) == not_ranked(test) == set()


def test_an_item_that_comes_again_is_ranked_where_it_is_held_out(tmp_path: Any) -> None:
    folder = tmp_path / "again"
    folder.mkdir()
    rows = [(user, item, time) for user in "uv" for time, item in enumerate("abcda", start=1)]
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    (folder / "again.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _, valid, test = loaders(
        "SASRec", "again", data_path=str(tmp_path), load_col=None, topk=[2], valid_metric="MRR@2", **MIXED
    )
    assert not_ranked(valid) == {(user, item) for user in "uv" for item in "abc"}  # d is held out
    assert not_ranked(test) == {(user, item) for user in "uv" for item in "bcd"}  # a is


def questions(loader: Any) -> dict[str, tuple[list[str], set[str]]]:
    """Return by user the history that a loader gives (none for general models) and the items that it asks for."""
    dataset, found = loader._dataset, {}
    name = dataset.field2id_token["item_id"]
    for batch, _, row, answer in loader:
        for place, user in enumerate(dataset.id2token("user_id", batch["user_id"].numpy())):
            assert user not in found, "asked twice"
            lists = "item_id_list" in batch
            history = name[batch["item_id_list"][place][: batch["item_length"][place]]].tolist() if lists else []
            found[str(user)] = history, set(name[answer[row == place]].tolist())
    return found


def test_several_held_out_interactions_of_a_user_are_one_question(tmp_path: Any) -> None:
    """Items come again, and a part of a user's interactions of the same part lies between others."""
    folder = tmp_path / "several"
    folder.mkdir()
    rows = {
        "train": [(f"u{user}", f"i{(user + place) % 9}", place) for user in range(8) for place in range(4)],
        "valid": [(f"u{user}", f"i{(user * 2 + place) % 9}", 9 - place) for user in range(8) for place in range(3)],
        "test": [(f"u{user}", f"i{(user + 5 * place) % 9}", 20 + place) for user in range(6) for place in range(2)],
    }
    for part, lines in rows.items():
        text = "\n".join(
            ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in lines)]
        )
        (folder / f"several.{part}.inter").write_text(text + "\n")
    own = {"data_path": str(tmp_path), "benchmark_filename": list(rows), "topk": [2], "valid_metric": "MRR@2",
           "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "MAX_ITEM_LIST_LENGTH": 50}  # fmt: skip
    keys = {**own, "exclude_seen": True, "ask_users_once": True}
    general, sequential = (loaders(model, "several", **keys) for model in ("BPR", "SASRec"))
    assert held_out(*general[1:]) == held_out(*sequential[1:])
    assert held_out(*general[1:])["test"] | {"hash": ""} == {"interactions": 12, "users": 6, "questions": 6, "hash": ""}
    for part, ours, theirs in zip(("valid", "test"), general[1:], sequential[1:], strict=True):
        assert not_ranked(ours) == not_ranked(theirs)
        asked, alike = questions(theirs), questions(ours)
        assert {user: items for user, (_, items) in asked.items()} == {
            user: items for user, (_, items) in alike.items()
        }
        for user, (history, items) in asked.items():
            own_rows = {name: sorted((time, item) for who, item, time in rows[name] if who == user) for name in rows}
            before = own_rows["train"] + (own_rows["valid"] if part == "test" else [])
            assert history == [item for _, item in before]
            assert items == {item for _, item in own_rows[part]}
    with pytest.raises(InputError, match="SASRec: 24 rankings for 24 interactions in validation"):
        load_alike({model: config(model, "several", **keys | {"ask_users_once": False}) for model in ("BPR", "SASRec")})


def test_sampled_items_cannot_leave_out_what_was_seen() -> None:
    with pytest.raises(InputError, match="exclude_seen is true and eval_args samples"):
        loaders("SASRec", eval_args=SAMPLED, exclude_seen=True)


def test_what_is_held_out_goes_by_the_seed_of_a_random_split_and_by_nothing_else() -> None:
    one, same, other = (held_out(*loaders("BPR", seed=seed, embedding_size=size)[1:]) for seed, size in
                        ((1, 8), (1, 16), (2, 8)))  # fmt: skip
    assert one == same
    assert one["test"]["hash"] != other["test"]["hash"]
    assert one["items"] == 240
    _, valid, test = loaders("BPR", seed=1)
    for part, loader in (("valid", valid), ("test", test)):
        assert one[part]["interactions"] == len(loader._dataset)
        assert one[part]["users"] == len(np.unique(loader._dataset.inter_feat["user_id"]))


def refused(changes: dict[str, Any], *models: str) -> str:
    with pytest.raises(InputError) as error:
        check_alike({model: config(model, **changes) for model in models})
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_compared_is_refused_with_the_reason() -> None:
    assert "eval_args of BPR has mode" in refused({"eval_args": SAMPLED}, "BPR", "LightGCN")
    assert "compare with mode full" in refused({"eval_args": SAMPLED}, "BPR", "LightGCN")
    assert "SASRec is sequential and BPR is not" in refused({}, "BPR", "SASRec")
    assert "SASRec is sequential and BPR is not" in refused({"eval_args": BY_TIME}, "BPR", "SASRec")
    assert "exclude_seen is false" in refused({"eval_args": MIXED["eval_args"]}, "BPR", "SASRec")
    check_alike({model: config(model, **MIXED) for model in ("BPR", "SASRec")})
    check_alike({model: config(model) for model in ("BPR", "LightGCN")})
    configs = {"BPR": config("BPR"), "MHCR": config("MHCR", topk=[5, 10])}
    with pytest.raises(InputError, match=r"BPR and MHCR cannot be compared: topk is \[10\] for one and \[5, 10\]"):
        check_alike(configs)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("SASRec", f"dataset: tiktok\neval_args: {MIXED['eval_args']}\n"),  # does not count here
        ("SASRec", f"dataset: microvideo\neval_args: {MIXED['eval_args']}\n"),
        ("BPR", "exclude_seen: true\n"),
        ("SASRec", "ask_users_once: true\n"),
    ],
)
def test_a_file_of_one_row_leaves_the_shared_protocol_to_the_others(label: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    rows = planned_rows(["BPR", "SASRec"], [f"{label}={tmp_path}/own.yaml"], [], None)
    planned = configured_rows(rows, "microvideo", Request(settings=SMALL), (), print)
    for _, made in planned.asked.values():
        assert (made["eval_args"]["split"], made["eval_args"]["order"]) == ({"LS": "valid_and_test"}, "TO")
        assert made["exclude_seen"] is made["ask_users_once"] is True


def test_a_file_of_one_row_that_asks_otherwise_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("exclude_seen: false\n")
    rows = planned_rows(["BPR", "SASRec"], [f"SASRec={tmp_path}/own.yaml"], [], None)
    with pytest.raises(InputError, match="exclude_seen is false: SASRec would rank seen items"):
        configured_rows(rows, "microvideo", Request(settings=SMALL), (), print)


def test_a_split_that_comes_with_the_data_serves_both_kinds(tmp_path: Any) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for part, items in (("train", "abc"), ("valid", "d"), ("test", "e")):
        lines = [f"{user}\t{item}" for user in "uvw" for item in items] + ["x\tf"]
        (folder / f"given.{part}.inter").write_text("user_id:token\titem_id:token\n" + "\n".join(lines) + "\n")
    keys = {"data_path": str(tmp_path), "benchmark_filename": ["train", "valid", "test"], "exclude_seen": True,
            "topk": [2], "valid_metric": "MRR@2", "load_col": {"inter": ["user_id", "item_id"]}}  # fmt: skip
    configs = {model: config(model, "given", **keys) for model in ("BPR", "SASRec")}
    check_alike(configs)
    assert is_mixed(made["MODEL_TYPE"] for made in configs.values())
    hashes, found = load_alike(configs)
    assert hashes.keys() == configs.keys()
    assert found["test"]["interactions"] == 4


def test_users_of_whom_a_sequential_model_holds_out_nothing_are_a_reason(tmp_path: Any) -> None:
    folder = tmp_path / "short"
    folder.mkdir()
    rows = [("u", item, time) for time, item in enumerate("abcd")] + [("v", "a", 1), ("v", "e", 2)]
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    (folder / "short.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    keys = {"data_path": str(tmp_path), "topk": [2], "valid_metric": "MRR@2", "load_col": None, **MIXED}
    configs = {model: config(model, "short", **keys) for model in ("BPR", "SASRec")}
    with pytest.raises(
        InputError,
        match=r"different test interactions .*BPR: 1 rankings for 1 interactions in validation, 2 .*SASRec: 1",
    ):
        load_alike(configs)


def test_other_questions_are_refused_by_their_hash() -> None:
    part = {"interactions": 1, "questions": 1, "hash": "a"}
    found = {"items": 3, "valid": part, "test": part}
    refuse_other("A", found, "B", dict(found))
    with pytest.raises(InputError, match="A and B cannot be compared"):
        refuse_other("A", found, "B", found | {"test": part | {"hash": "b"}})


def test_the_hash_of_a_row_is_of_what_it_reads_whatever_stands_beside_it() -> None:
    configs = {model: config(model, **MIXED) for model in ("BPR", "SASRec", "MHCR", "SEA")}
    together, _ = load_alike(configs)
    assert {model: load_alike({model: made})[0][model] for model, made in configs.items()} == together
    assert together["BPR"] != together["MHCR"] == together["SEA"]  # with and without the features


def test_files_are_checked_once_a_way_of_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(together, "check_files", lambda config: checked.append(config["model"]))
    load_alike({model: config(model, **MIXED) for model in ("BPR", "LightGCN", "SASRec", "SEA", "MHCR")})
    assert checked == ["BPR", "SASRec", "SEA"]


def test_a_run_does_not_check_again_what_the_comparison_has_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "microvideo"
    shutil.copytree(DATASETS / "microvideo", folder)
    row = PlannedRow("SEA", "SEA")
    asked = configure_row(row, "microvideo", Request(settings=SMALL | {"data_path": str(folder.parent)}))
    hashes, _ = load_alike({"SEA": asked[1]})
    planned = planned_run(row, asked, data_hash=hashes["SEA"], seed=1, out=tmp_path, threads=1)
    checked: list[str] = []
    monkeypatch.setattr(request, "check_files", lambda config: checked.append(config["model"]))
    known = digests_of(configure(planned.request)).known
    assert not checked
    data = {file.name for file in folder.iterdir() if file.suffix != ".json"}  # cards say nothing to a training
    assert {Path(path).name for path, *_ in known} == data - {"microvideo.yaml"}
    (folder / "microvideo.inter").touch()
    configure(planned.request)
    assert checked == ["SEA"]


def test_rows_that_load_other_data_are_found_before_training() -> None:
    configs = {"BPR": config("BPR"), "fewer": config("BPR", val_interval={"timestamp": "[0, 1000]"})}
    with pytest.raises(InputError, match=r"BPR and fewer cannot be compared: they have different test interactions"):
        load_alike(configs)
