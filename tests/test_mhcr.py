"""MHCR against the released code's numbers, against a dense restatement, and its own promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from model_contract import (
    ModelContract,
    StandInConfig,
    StandInDataset,
    all_scores,
    assert_same,
    batch_of,
    fixture_maker,
    golden,
)
from torch import Tensor
from torch.nn import functional as F

from recbole_mm.base.errors import InputError
from recbole_mm.model.general_recommender.mhcr import MHCR, RELEASED_FORM
from recbole_mm.model.parts import hypergraph, losses

pytestmark = pytest.mark.slow  # left out by `make quick`


SMALL = Path(__file__).parent / "fixtures" / "mhcr_small.npz"
# A bias before a BatchNorm, at once or through another linear layer, is subtracted again with the mean.
BEFORE_BATCH_NORM = frozenset(
    {"gate.0.bias", "gate.3.bias", "query.0.bias", *(f"projections.{m}.bias" for m in range(3))}
)


def without_noise(monkeypatch: pytest.MonkeyPatch, permutation: Any) -> None:
    """Hyperedges by plain softmax, and a known permutation in the rank contrast; `keep_rate` is the caller's."""
    monkeypatch.setattr(hypergraph, "gumbel", lambda shape, like: torch.zeros(shape, dtype=like.dtype))
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: torch.as_tensor(permutation(n)))


class TestReleasedCode:
    """Golden numbers of the authors' code, where they lie beside the checkout."""

    MODALITIES = ("image", "text", "video")
    THROUGH_DEGREE_EPSILON = 1e-5  # the released code adds 1e-7 to a degree on the way to the hypergraph

    @pytest.fixture
    def case(self) -> Any:
        return golden("mhcr")

    @pytest.fixture
    def model(self, case: Any, float64: None, monkeypatch: pytest.MonkeyPatch) -> MHCR:
        without_noise(monkeypatch, lambda n: (np.arange(n) + 1) % n)
        names = (
            *("hyper_num", "knn_k", "n_ui_layers", "n_layers", "n_hyper_layer", "tau", "alpha", "keep_rate"),
            *("cl_loss", "hc_loss_weight", "ghc_weight", "embloss_weight", "reg_weight", "train_batch_size"),
        )
        config = StandInConfig(
            embedding_size=case["cfg/emb"].item(),
            reading="released",
            cold_items="own",
            hyper_norm=False,
            hc_reduction="sum",
            hc_reference="text",
            contrast_negatives="all",
            **dict(RELEASED_FORM) | {name: case[f"cfg/{name}"].item() for name in names},
        )
        dataset = StandInDataset(
            case["cfg/U"].item(),
            case["cfg/I"].item(),
            case["in/train_pairs"],
            {name: case[f"in/{name}_feat"] for name in self.MODALITIES},
        )
        model = MHCR(config, dataset)
        model.load_state_dict({name: torch.tensor(case[f"state/{self.theirs(name)}"]) for name in model.state_dict()})
        return model

    def theirs(self, name: str) -> str:
        """Return the released code's name of a tensor of ours."""
        kind, _, rest = name.partition(".")
        number, _, leaf = rest.partition(".")
        if kind in ("features", "projections", "hyperedges"):
            suffix = {"features": "embedding.weight", "projections": f"trs.{leaf}", "hyperedges": "hyper"}[kind]
            return f"{self.MODALITIES[int(number)]}_{suffix}"
        prefix = {
            "gate": "gate_module.gate",
            "query": "gate_module.common",
            "item_embedding": "item_id_embedding",
            "user_embedding": "user_embedding",
        }[kind]
        return f"{prefix}.{rest}"

    @pytest.fixture
    def batch(self, case: Any) -> dict[str, Tensor]:
        return batch_of(*case["in/batch"])

    def test_every_tensor_of_the_state_has_a_counterpart(self, case: Any, model: MHCR) -> None:
        expected = {name.removeprefix("state/") for name in case.files if name.startswith("state/")}
        assert {self.theirs(name) for name in model.state_dict()} == expected

    def test_graphs(self, case: Any, model: MHCR) -> None:
        n_users, n_items = case["graph/adj"].shape
        assert_same(model.adjacency(torch.eye(n_users + n_items)), case["graph/norm_adj"])
        assert_same(model.hypergraph.interactions(torch.eye(n_items)), case["graph/adj"])
        assert_same(model.user_mean(torch.eye(n_items)), case["graph/R"])
        for graph, name in zip(model.item_graphs, self.MODALITIES, strict=True):
            assert_same(graph(torch.eye(n_items)), case[f"graph/{name}_original_adj"])

    def test_intermediates(self, case: Any, model: MHCR) -> None:
        out = model.forward()
        assert_same(out.content, case["mid/content_embeds"])
        assert_same(model.side(out.fusing), case["mid/side_embeds"])
        assert_same(
            out.final[: len(model.user_embedding.weight)],
            case["mid/final_users"],
            self.THROUGH_DEGREE_EPSILON,
        )
        assert_same(
            out.final[len(model.user_embedding.weight) :],
            case["mid/final_items"],
            self.THROUGH_DEGREE_EPSILON,
        )
        assert_same(sum(out.hyper), case["mid/ghe_embs"], self.THROUGH_DEGREE_EPSILON)
        queries = [model.query(modal) for modal in out.fusing.modal]
        assert_same(torch.cat(queries, dim=1).softmax(1), case["mid/weight_common"])
        assert_same(model.gate(out.content), case["mid/gate_content_1"])
        for m, name in enumerate(self.MODALITIES):
            assert_same(out.fusing.modal[m], case[f"mid/{name}_embeds"])
            assert_same(queries[m], case[f"mid/att_common_{name}"])
            assert_same(out.hyper[m], case[f"mid/a{name[0]}_hyper_embs"], self.THROUGH_DEGREE_EPSILON)
            projected = model.projections[m](model.features[m])
            assert_same(projected, case[f"mid/{name}_feats"])
            assert_same(model.gate(projected), case[f"mid/gate_item_{name}"])
            logits = model.features[m] @ model.hyperedges[m]
            assert_same(model.hypergraph.memberships(logits), case[f"mid/{name}_item_hyper"])
            assert_same(
                model.hypergraph.memberships(model.hypergraph.interactions(logits)), case[f"mid/{name}_user_hyper"]
            )

    def test_each_contrast_on_the_batch_with_its_duplicates(self, case: Any, model: MHCR) -> None:
        out = model.forward()
        n_users = model.n_real_users
        users, items = torch.tensor(case["in/batch"][0]), torch.tensor(case["in/batch"][1]) + n_users
        for name, nodes, side in (
            ("users", users, slice(0, n_users)),
            ("items", items, slice(n_users, None)),
        ):
            assert_same(
                losses.info_nce(model.side(out.fusing.of(nodes)), out.content[nodes], 0.2), case[f"loss/cl_{name}"]
            )
            anchors = [hyper[nodes] for hyper in out.hyper]
            total = len(nodes) * losses.cross_modal_contrast(anchors, out.hyper[1][side], 0.2)
            assert_same(total, case[f"loss/hc_{name}"], self.THROUGH_DEGREE_EPSILON)
        permutation = torch.randperm(len(out.final))
        for m, name in enumerate(self.MODALITIES):
            rank = losses.rank_contrast(out.hyper[m], out.fusing.modal[m], permutation, 0.1)
            assert_same(rank, case[f"loss/ghc_{name}"], self.THROUGH_DEGREE_EPSILON)

    def test_loss_terms_gradients_and_running_statistics(
        self, case: Any, model: MHCR, batch: dict[str, Tensor]
    ) -> None:
        terms = model.losses(batch)
        p, loss = (
            model.p,
            {name.removeprefix("loss/"): case[name] for name in case.files if name.startswith("loss/")},
        )
        expected = {
            "bpr": loss["bpr_mf"],
            "reg": loss["bpr_reg"],
            "emb": p.embloss_weight * loss["emb_reg_raw"],
            "cl": p.cl_loss * (loss["cl_items"] + loss["cl_users"]),
            "hc": p.hc_loss_weight * (loss["hc_items"] + loss["hc_users"]),
            "ghc": p.ghc_weight * sum(loss[f"ghc_{name}"] for name in self.MODALITIES),
        }
        assert set(terms) == set(expected)
        for name, value in expected.items():
            assert_same(terms[name], value, self.THROUGH_DEGREE_EPSILON if name in ("hc", "ghc") else 1e-6)
        total = torch.stack(list(terms.values())).sum()
        assert_same(total, loss["total"])

        total.backward()
        gradients = {self.theirs(name): weight.grad for name, weight in model.named_parameters()}
        assert set(gradients) == {name.removeprefix("grad/") for name in case.files if name.startswith("grad/")}
        for name, gradient in gradients.items():
            assert_same(gradient, case[f"grad/{name}"], self.THROUGH_DEGREE_EPSILON)

        after = {self.theirs(name): value for name, value in model.state_dict().items() if ".running_" in name}
        assert len(after) == 6
        for name, value in after.items():
            assert_same(value, case[f"state_after/{name}"])
        assert model.gate[1].num_batches_tracked == case["state_after/gate_module.gate.1.num_batches_tracked"]
        assert model.query[1].num_batches_tracked == case["state_after/gate_module.common.1.num_batches_tracked"]

    def test_scores_and_five_steps_of_adam(self, case: Any, model: MHCR, batch: dict[str, Tensor]) -> None:
        assert_same(all_scores(model), case["out/scores_eval_init"], self.THROUGH_DEGREE_EPSILON)
        model.train()
        model.forward()
        expected = case["out/scores_eval_after_one_train_forward"]
        assert_same(all_scores(model), expected, self.THROUGH_DEGREE_EPSILON)

        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=case["cfg/lr"].item())
        trajectory = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = model.calculate_loss(batch)
            loss.backward()
            optimizer.step()
            trajectory.append(loss.detach())
        assert_same(torch.stack(trajectory), case["out/adam5_loss_trajectory"])
        assert_same(all_scores(model), case["out/scores_eval_after_adam5"], self.THROUGH_DEGREE_EPSILON)


maker = fixture_maker("make_mhcr_small")


def ours(name: str) -> str:
    """Return our name of a tensor of the dense restatement."""
    block, _, leaf = name.partition(".")
    if block in ("user", "item"):
        return f"{block}_embedding.weight"
    if block in ("projection", "projection_bias"):
        return f"projections.{leaf}.{'bias' if block.endswith('bias') else 'weight'}"
    if block == "query_out":
        return "query.3.weight"
    if block not in ("gate_in", "gate_out", "query_in"):
        return name
    module, linear = block.split("_")[0], 3 if block.endswith("_out") else 0
    return f"{module}.{linear + leaf.startswith('norm_')}.{leaf.removeprefix('norm_')}"


class TestDenseRestatement:
    """Numbers of `fixtures/make_mhcr_small.py`, for both readings, with and without normalised hyperedges."""

    @pytest.fixture
    def stored(self) -> dict[str, np.ndarray]:
        return dict(np.load(SMALL, allow_pickle=False))

    def test_the_fixture_is_what_its_script_computes(self, stored: dict[str, np.ndarray]) -> None:
        computed = maker.compute(["paper_normed"])
        assert {name for name in stored if name.startswith(("in/", "paper_normed/"))} == set(computed)
        for name, array in computed.items():
            np.testing.assert_allclose(stored[name], array, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("case", maker.CASES)
    def test_losses_gradients_statistics_and_scores(
        self, case: str, stored: dict[str, np.ndarray], float64: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = {name.removeprefix("in/"): array for name, array in stored.items() if name.startswith("in/")}
        expected = {name.removeprefix(f"{case}/"): array for name, array in stored.items() if name.startswith(case)}
        without_noise(monkeypatch, lambda n: problem["permutation"])
        reading, hyper_norm, reduction, negatives = maker.CASES[case]
        config = StandInConfig(
            **RELEASED_FORM | maker.SETTINGS,
            keep_rate=1.0,
            reading=reading,
            cold_items="own",
            hyper_norm=hyper_norm,
            hc_reduction=reduction,
            hc_reference="sound",
            contrast_negatives=negatives,
        )
        features = {"picture": problem["features.0"], "sound": problem["features.1"]}
        dataset = StandInDataset(maker.U, maker.I, problem["pairs"], features, {"sound": problem["mask.1"]})
        model = MHCR(config, dataset)
        weights = {ours(name): torch.tensor(problem[name]) for name in problem if maker.is_parameter(name)}
        assert set(weights) == {name for name, _ in model.named_parameters()}
        model.load_state_dict(weights, strict=False)

        terms = model.losses(batch_of(*problem["batch"]))
        assert [f"loss/{name}" for name in terms] == [name for name in expected if name.startswith("loss/")]
        for name, term in terms.items():
            assert_same(term, expected[f"loss/{name}"])
        torch.stack(list(terms.values())).sum().backward()
        gradients = {name: weight.grad for name, weight in model.named_parameters()}
        for name in filter(maker.is_parameter, problem):
            assert_same(gradients[ours(name)], expected[f"grad/{name}"])
        state = model.state_dict()
        for name in ("gate_in", "gate_out", "query_in"):
            norm = ours(f"{name}.norm_weight").removesuffix(".weight")
            assert_same(state[f"{norm}.running_mean"], expected[f"mean/{name}"])
            assert_same(state[f"{norm}.running_var"], expected[f"variance/{name}"])
        assert_same(all_scores(model), expected["scores"])


N_USERS, N_ITEMS = 9, 8
PAIRS = np.array([(u, i) for u in range(N_USERS - 1) for i in range(N_ITEMS - 1) if (u * 3 + i * 5) % 4 == 0])
BATCH = batch_of([0, 4, 0, 7, 4, 0], [0, 4, 4, 3, 0, 4], [7, 2, 5, 6, 1, 1])


def small(n_modalities: int = 2, dataset: StandInDataset | None = None, **settings: Any) -> MHCR:
    """Return a model in the released form, of a problem whose last user and item are cold."""
    torch.manual_seed(5)
    if dataset is None:
        features = {f"m{m}": torch.randn(N_ITEMS, 4 + m) for m in range(n_modalities)}
        dataset = StandInDataset(N_USERS, N_ITEMS, PAIRS, features)
    defaults = RELEASED_FORM | {"embedding_size": 6, "n_ui_layers": 2, "hyper_num": 3, "n_hyper_layer": 2, "knn_k": 3}
    return MHCR(StandInConfig(**{**defaults, **settings}), dataset)


@pytest.mark.parametrize("reading", ["paper", "released"])
@pytest.mark.parametrize("n_modalities", [1, 2, 5])
def test_any_number_of_modalities(n_modalities: int, reading: str) -> None:
    model = small(n_modalities, reading=reading, hc_loss_weight=1.0)
    terms = model.losses(BATCH)
    assert all(term.isfinite() for term in terms.values())
    assert (terms["hc"] == 0) == (n_modalities == 1)
    model.calculate_loss(BATCH).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    assert all_scores(model).isfinite().all()


def test_the_readings_differ_in_the_middle_term_only() -> None:
    paper, released = (small(reading=reading).eval() for reading in ("paper", "released"))
    a, b = paper.forward(), released.forward()
    table = torch.cat([paper.user_embedding.weight, paper.item_embedding.weight])
    (last,) = paper.adjacency.propagate(table, [0, 0, 1])
    side = paper.side(a.fusing)
    assert torch.equal(side, released.side(b.fusing))
    torch.testing.assert_close(a.final - side, b.final - last)
    assert not torch.allclose(a.final, b.final)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("negatives", ["all", "batch"])
def test_contrasts_on_distinct_nodes_equal_those_with_the_duplicates(
    reduction: str, negatives: str, float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain form repeats a node's row as often as the batch does; in-batch negatives count once."""
    without_noise(monkeypatch, np.arange)
    model = small(
        3,
        hc_reduction=reduction,
        contrast_negatives=negatives,
        keep_rate=1.0,
        cl_loss=1.0,
        hc_loss_weight=1.0,
    )
    terms = model.losses(BATCH)
    model.zero_grad()
    (terms["cl"] + terms["hc"]).backward()
    gradients = [weight.grad.clone() for weight in model.parameters()]

    out = model.forward()
    cl = hc = torch.zeros(())
    for nodes, side in (
        (BATCH["user_id"] - 1, torch.arange(N_USERS)),
        (BATCH["item_id"] - 1 + N_USERS, torch.arange(N_USERS, N_USERS + N_ITEMS)),
    ):
        n = len(nodes)
        assert len(nodes.unique()) < n
        sides = model.side(out.fusing)[nodes, None]
        cosine = F.cosine_similarity(sides, out.content[None, nodes], dim=2)  # (n, n)
        cl = cl + F.cross_entropy(cosine / 0.2, torch.arange(n))
        against = out.hyper[0][nodes.unique() if negatives == "batch" else side]
        g = [G[nodes] for G in out.hyper]
        pairs = sum((F.cosine_similarity(g[a], g[b]) / 0.2).exp() for a, b in ((0, 1), (0, 2), (1, 2)))
        far = sum((F.cosine_similarity(anchor[:, None], against[None], dim=2) / 0.2).exp().sum(1) for anchor in g)
        each = -(pairs / far).log()
        hc = hc + (each.sum() if reduction == "sum" else each.mean())
    torch.testing.assert_close(terms["cl"], cl)
    torch.testing.assert_close(terms["hc"], hc)
    model.zero_grad()
    (cl + hc).backward()
    for ours_, plain in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(ours_, torch.zeros_like(ours_) if plain.grad is None else plain.grad)


def test_so_many_negatives_are_drawn_of_each_side() -> None:
    def contrast(negatives: int | str) -> Tensor:
        torch.manual_seed(0)
        model = small(3, contrast_negatives=negatives, hc_loss_weight=1.0, keep_rate=1.0, cl_loss=0.0, ghc_weight=0.0)
        model.eval()  # no noise
        return model.losses(BATCH)["hc"]

    torch.testing.assert_close(contrast(max(N_USERS, N_ITEMS)), contrast("all"))
    assert contrast(2) < contrast("all")


def test_a_term_of_weight_0_is_left_out() -> None:
    model = small(cl_loss=0.0, hc_loss_weight=0.0, ghc_weight=0.0)
    assert list(model.losses(BATCH)) == ["bpr", "reg", "emb"]


def test_evaluation_draws_nothing_and_training_does(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    assert model.calculate_loss(BATCH) != model.calculate_loss(BATCH)
    first = all_scores(model)
    monkeypatch.setattr(hypergraph, "gumbel", None)
    monkeypatch.setattr(F, "dropout", None)
    model.train()  # forgets the scores
    assert torch.equal(all_scores(model), first)


def test_dropped_hyperedges_leave_numbers() -> None:
    model = small(keep_rate=1e-6)
    assert model.calculate_loss(BATCH).isfinite()


@pytest.mark.parametrize("frozen", [True, False])
def test_freeze_features(frozen: bool) -> None:
    model = small(freeze_features=frozen)
    before = [X.clone() for X in model.features]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model.calculate_loss(BATCH).backward()
    optimizer.step()
    for old, new in zip(before, model.features, strict=True):
        assert torch.equal(old, new) == frozen


def test_hyperedges_normalised_by_degree_keep_rows_within_the_items_range() -> None:
    normed, raw = (small(hyper_norm=norm, n_hyper_layer=4).eval().forward() for norm in (True, False))
    limit = normed.content[N_USERS:].abs().max()
    assert all(G.abs().max() <= limit for G in normed.hyper)
    assert all(G.abs().max() > limit for G in raw.hyper)


REPAIRED = {"logit_scale": 3.0, "hyper_users": "mean", "hyper_centre": True, "n_hyper_layer": 1}


def resultant_length(table: Tensor) -> float:
    return float(F.normalize(table.detach(), dim=1).mean(0).norm())


def test_the_repaired_hypergraph_tells_nodes_apart() -> None:
    """On features of length 1 the rows of G are one vector as released, and are not once logits are standardised."""
    released, repaired = (small(**given).eval().forward() for given in ({}, REPAIRED))
    assert min(resultant_length(G[N_USERS:]) for G in released.hyper) > 0.9
    assert max(resultant_length(G[N_USERS:]) for G in repaired.hyper) < 0.7


def test_users_are_the_mean_of_their_items_and_sides_are_centred() -> None:
    plain, centred = (small(**(REPAIRED | {"hyper_centre": centre})).eval() for centre in (False, True))
    centred.load_state_dict(plain.state_dict())
    R = plain.hypergraph.interactions(torch.eye(N_ITEMS))
    for G, C in zip(plain.forward().hyper, centred.forward().hyper, strict=True):
        users, items = G[:N_USERS], G[N_USERS:]
        torch.testing.assert_close(users, R @ items / R.sum(1, keepdim=True).clamp_min(1))
        torch.testing.assert_close(C, torch.cat([users - users.mean(0), items - items.mean(0)]))


@pytest.mark.parametrize("value", [0.0, 0.1, 3e4])
def test_a_constant_column_is_standardised_to_0_and_has_no_gradient(value: float) -> None:
    table = torch.full((7, 2), value)
    table[:, 1] = torch.arange(7)
    table.requires_grad_()
    result = hypergraph.standardised(table)
    assert not result[:, 0].any()
    result.square().sum().backward()
    assert table.grad is not None
    assert not table.grad[:, 0].any()
    assert table.grad.isfinite().all()


def test_logits_are_standardised_and_their_scale_is_learned() -> None:
    table = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    torch.testing.assert_close(hypergraph.standardised(table), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    model = small(**REPAIRED)
    assert [scale.tolist() for scale in model.hypergraph.scales] == [[3.0] * model.p.hyper_num] * 2
    model.calculate_loss(BATCH).backward()
    assert all(scale.grad.abs().sum() > 0 for scale in model.hypergraph.scales)


def test_without_noise_training_draws_memberships_by_dropout_alone() -> None:
    model = small(hyper_noise=0.0, keep_rate=1.0)
    logits = torch.randn(5, model.p.hyper_num)
    assert torch.equal(model.hypergraph.memberships(logits), model.eval().hypergraph.memberships(logits))


def test_the_side_is_added_with_length_1() -> None:
    plain, added = small().eval(), small(side_weight=0.5).eval()
    added.load_state_dict(plain.state_dict())
    out = plain.forward()
    torch.testing.assert_close(added.forward().final, out.final + 0.5 * F.normalize(plain.side(out.fusing), dim=1))


@pytest.mark.parametrize(
    ("off", "made"),
    [
        ({"alpha": 0.0, "hc_loss_weight": 0.0, "ghc_weight": 0.0}, {"features", "projections", "gate", "query"}),
        ({"cl_loss": 0.0, "ghc_weight": 0.0}, {"features", "hyperedges"}),
        ({"alpha": 0.0, "hc_loss_weight": 0.0, "ghc_weight": 0.0, "cl_loss": 0.0}, set()),
    ],
)
def test_a_part_of_weight_0_is_neither_made_nor_computed(off: dict[str, float], made: set[str]) -> None:
    model = small(**off)
    model.calculate_loss(BATCH).backward()
    assert {name.partition(".")[0] for name in model.state_dict()} == made | {"user_embedding", "item_embedding"}
    assert all(weight.grad is not None for weight in model.parameters())
    assert all_scores(model).isfinite().all()


def test_an_unknown_reference_modality_is_an_error() -> None:
    with pytest.raises(InputError, match=r"hc_reference is 'text'.* m0, m1"):
        small(hc_reference="text")


def test_a_parameter_out_of_range_is_an_error() -> None:
    with pytest.raises(InputError, match="n_hyper_layer must be at least 1"):
        small(n_hyper_layer=0)


def test_a_data_set_without_modalities_is_an_error() -> None:
    class Plain:
        def num(self, field: str) -> int:
            return 3

    with pytest.raises(InputError, match="MHCR needs a multimodal dataset"):
        MHCR(StandInConfig(), Plain())


def test_padding_is_in_no_graph_and_scores_0() -> None:
    model = small().eval()
    assert model.adjacency.shape == (N_USERS + N_ITEMS, N_USERS + N_ITEMS)
    assert model.hypergraph.interactions.shape == model.user_mean.shape == (N_USERS, N_ITEMS)
    assert [graph.shape for graph in model.item_graphs] == [(N_ITEMS, N_ITEMS)] * 2
    assert len(model.user_embedding.weight) == N_USERS
    assert len(model.item_embedding.weight) == N_ITEMS
    R = model.hypergraph.interactions(torch.eye(N_ITEMS))
    assert [tuple(pair) for pair in R.nonzero().tolist()] == sorted(map(tuple, PAIRS.tolist()))
    scores = model.full_sort_predict({"user_id": torch.arange(N_USERS + 1)}).view(N_USERS + 1, -1)
    assert not scores[0].any()
    assert not scores[:, 0].any()


@pytest.mark.parametrize("reading", ["paper", "released"])
def test_renumbered_users_and_items_get_the_same_scores(reading: str, float64: None) -> None:
    model = small(reading=reading)
    users, items = (
        np.random.default_rng(1).permutation(N_USERS),
        np.random.default_rng(2).permutation(N_ITEMS),
    )
    pairs = np.stack([np.argsort(users)[PAIRS[:, 0]], np.argsort(items)[PAIRS[:, 1]]], axis=1)
    features = {f"m{m}": X.detach()[items] for m, X in enumerate(model.features)}
    renumbered = small(dataset=StandInDataset(N_USERS, N_ITEMS, pairs, features), reading=reading)
    state = model.state_dict()
    for name in state:
        order = users if name.startswith("user_") else items if name.startswith(("item_", "features")) else slice(None)
        state[name] = state[name][order] if state[name].dim() else state[name]
    renumbered.load_state_dict(state)
    torch.testing.assert_close(all_scores(renumbered), all_scores(model)[users][:, items])


class TestMHCR(ModelContract):
    model = "MHCR"
    settings: ClassVar[dict[str, Any]] = {"reading": "paper", "embedding_size": 32, "cold_items": "features"}
    zero_gradient = BEFORE_BATCH_NORM


class TestMHCRReleased(ModelContract):
    model = "MHCR"
    settings: ClassVar[dict[str, Any]] = {
        **RELEASED_FORM, "reading": "released", "embedding_size": 32, "cold_items": "neighbours",
    }  # fmt: skip
    zero_gradient = BEFORE_BATCH_NORM
