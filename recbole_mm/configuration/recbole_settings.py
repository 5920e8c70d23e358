"""Every setting that RecBole, or the pack for every model, reads: what it may be, and what it means.

A model's own parameters are declared beside the model; those that every model has besides, in
`recbole_mm.settings.execution`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recbole_mm.data.align import MISSING_MODALITY
from recbole_mm.data.features import NORMALIZE
from recbole_mm.settings.compound_kinds import Either, ListOf, MappingLike, Parts, Shares
from recbole_mm.settings.value_kinds import (
    Codec,
    Decimal,
    Flag,
    Free,
    Intervals,
    Patterned,
    ValueKind,
    Whole,
    Word,
    Words,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes
    ----------
    kind : ValueKind
        What its value must be.
    meaning : str
        What it does, in a line.
    unset : bool
        Whether None is a value of it, too.
    """

    kind: ValueKind
    meaning: str
    unset: bool = False


SEED = Whole(0, 2**32 - 1)
DECIMAL_PLACES = Whole(1, 15)
FOLDER_NAME = Words("and a name of digits alone is written as ./5")
NAME, NAMES = Words(), ListOf(Words())
MODE = Patterned("full|labeled|(uni|pop)[1-9][0-9]*", "full, labeled, or uni or pop with a number, such as uni100")
LOADED = MappingLike("{'inter': ['user_id', 'item_id']}", NAMES)
UNUSED = Parts(dict.fromkeys(("inter", "user", "item", "kg", "link"), NAMES), example="{'inter': ['timestamp']}")
VALUE_METRICS = ("AUC", "LogLoss", "MAE", "RMSE")  # of scores alone
RANKING_METRICS = (
    "Recall", "NDCG", "MRR", "Hit", "Precision", "MAP", "GAUC", "ItemCoverage", "AveragePopularity", "GiniIndex",
    "ShannonEntropy", "TailPercentage", "IntraListDistance", "ContentNovelty",
)  # fmt: skip
METRICS = Word((*RANKING_METRICS, *VALUE_METRICS), any_case=True)
METRICS_WITHOUT_K = tuple(name.lower() for name in ("GAUC", *VALUE_METRICS))
NO_DRAW = Word(("none",))  # what RecBole writes for training without negatives

SPLIT = Parts(
    {"RS": Shares(), "TS": Shares(), "LS": Word(("valid_and_test", "valid_only", "test_only"))},
    most=1,
    example="{'RS': [0.8, 0.1, 0.1]} or {'LS': 'valid_and_test'}",
)
EVALUATION = Parts(
    {
        "split": SPLIT,
        "group_by": Word(("user", "none")),
        "order": Word(("RO", "TO")),
        "mode": Either((MODE, Parts({"valid": MODE, "test": MODE}, example="{'valid': 'full', 'test': 'full'}"))),
    },
    unset=("group_by",),
    example="{'split': {'RS': [0.8, 0.1, 0.1]}, 'order': 'RO', 'group_by': 'user', 'mode': 'full'}",
)
NEGATIVES = Parts(
    {
        "distribution": Word(("uniform", "popularity", "none")),
        "sample_num": Either((Whole(1), NO_DRAW)),
        "alpha": Either((Decimal(), NO_DRAW)),
        "dynamic": Flag(),
        "candidate_num": Whole(0),
    },
    unset=("distribution",),
    example="{'distribution': 'uniform', 'sample_num': 1}",
)
CLIPPING = Parts(
    {"max_norm": Decimal(0, above=True), "norm_type": Decimal(0), "error_if_nonfinite": Flag(), "foreach": Flag()},
    needed=("max_norm",),
    example="{'max_norm': 5}",
)
BUCKETS = Parts({"method": Word(("ED", "LD")), "bucket": Whole(1)}, needed=("method",), example="{'method': 'LD'}")

OF_RUNS = {
    "seed": Setting(SEED, "seed of all random numbers"),
    "reproducibility": Setting(Flag(), "use algorithms that give the same result every time"),
    "device": Setting(Free("cpu, cuda, or cuda:1 for the second GPU"), "device to train on", unset=True),
    "gpu_id": Setting(Free("numbers between commas, or empty for the CPU"), "GPUs that RecBole may see", unset=True),
    "use_gpu": Setting(Flag(), "train on a GPU where there is one"),
    "worker": Setting(Whole(0, 256), "processes that load batches"),
    "state": Setting(Word(("debug", "info", "warning", "error", "critical"), any_case=True), "level of the log", True),
    "show_progress": Setting(Flag(), "RecBole's progress bars"),
    "data_path": Setting(FOLDER_NAME, "folder of the datasets"),
    "checkpoint_dir": Setting(FOLDER_NAME, "folder in which the folders of runs are made"),
    "save_dataset": Setting(Flag(), "ignored: nothing reads RecBole's pickles here"),
    "dataset_save_path": Setting(FOLDER_NAME, "ignored", unset=True),
    "save_dataloaders": Setting(Flag(), "ignored: nothing reads RecBole's pickles here"),
    "dataloaders_save_path": Setting(FOLDER_NAME, "ignored", unset=True),
    "log_wandb": Setting(Flag(), "log to Weights & Biases, which must be installed"),
    "wandb_project": Setting(NAME, "project in Weights & Biases", unset=True),
}
OF_TRAINING = {
    "epochs": Setting(Whole(1), "most epochs"),
    "train_batch_size": Setting(Whole(1), "training samples in a batch"),
    "learner": Setting(Word(("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam"), any_case=True), "optimizer"),
    "learning_rate": Setting(Decimal(0, above=True), "learning rate"),
    "weight_decay": Setting(Decimal(0), "weight of the optimizer's L2 penalty"),
    "clip_grad_norm": Setting(CLIPPING, "arguments of torch's clip_grad_norm_", unset=True),
    "train_neg_sample_args": Setting(NEGATIVES, "how negative items are drawn", unset=True),
    "shuffle": Setting(Flag(), "shuffle the training samples before each epoch"),
    "eval_step": Setting(Whole(1), "epochs from one validation to the next"),
    "stopping_step": Setting(Whole(0), "validations without a better one after which training stops"),
    "loss_decimal_place": Setting(DECIMAL_PLACES, "decimal places of a loss in the log"),
    "require_pow": Setting(Flag(), "square the norms in RecBole's EmbLoss"),
    "enable_amp": Setting(Flag(), "train in mixed precision"),
    "enable_scaler": Setting(Flag(), "scale the gradients in mixed precision"),
    "transform": Setting(
        Word(("mask_itemseq", "inverse_itemseq", "crop_itemseq", "reorder_itemseq")),
        "what is done to the histories of a batch", unset=True,
    ),
}  # fmt: skip
OF_EVALUATION = {
    "eval_args": Setting(EVALUATION, "how interactions are split and ordered, and which items are ranked"),
    "metrics": Setting(ListOf(METRICS, least=1, alone=True), "metrics"),
    "topk": Setting(ListOf(Whole(1), least=1, alone=True), "lengths of the rankings"),
    "valid_metric": Setting(NAME, "metric that chooses the best epoch"),
    "valid_metric_bigger": Setting(Flag(), "set by RecBole from valid_metric: leave it out"),
    "eval_batch_size": Setting(Whole(1), "users, or interactions, in a batch of an evaluation"),
    "metric_decimal_place": Setting(DECIMAL_PLACES, "decimal places of a metric"),
    "repeatable": Setting(Flag(), "rank items that the user has seen, too"),
}
OF_FILES = {
    "field_separator": Setting(NAME, "between the columns of an atomic file"),
    "seq_separator": Setting(NAME, "between the values of a sequence"),
    "encoding": Setting(Codec(), "encoding of the atomic files", unset=True),
    "USER_ID_FIELD": Setting(NAME, "column of the users"),
    "ITEM_ID_FIELD": Setting(NAME, "column of the items"),
    "RATING_FIELD": Setting(NAME, "column of the ratings"),
    "TIME_FIELD": Setting(NAME, "column of the times"),
    "LABEL_FIELD": Setting(NAME, "column of labels that RecBole makes"),
    "NEG_PREFIX": Setting(NAME, "before the names of columns of negative items"),
    "ITEM_LIST_LENGTH_FIELD": Setting(NAME, "column of the lengths of histories"),
    "LIST_SUFFIX": Setting(NAME, "after the names of columns of histories"),
    "POSITION_FIELD": Setting(NAME, "column of the positions in a history"),
    "HEAD_ENTITY_ID_FIELD": Setting(NAME, "column of the heads of a knowledge graph"),
    "TAIL_ENTITY_ID_FIELD": Setting(NAME, "column of its tails"),
    "RELATION_ID_FIELD": Setting(NAME, "column of its relations"),
    "ENTITY_ID_FIELD": Setting(NAME, "column of its entities"),
    "benchmark_filename": Setting(NAMES, "names of the parts where the interactions come split", unset=True),
    "additional_feat_suffix": Setting(ListOf(NAME, alone=True), "suffixes of further atomic files", unset=True),
    "load_col": Setting(LOADED, "columns that are loaded, by file", unset=True),
    "unload_col": Setting(
        MappingLike("{'inter': ['rating']}", NAMES), "columns that are not loaded, by file", unset=True
    ),
    "unused_col": Setting(UNUSED, "columns loaded, but not given to models", True),
}
OF_DATA = {
    "MAX_ITEM_LIST_LENGTH": Setting(Whole(1), "most items of a history"),
    "rm_dup_inter": Setting(Word(("first", "last")), "which of repeated interactions is kept", unset=True),
    "val_interval": Setting(MappingLike("{'rating': '[3,inf)'}"), "values that interactions are kept for", unset=True),
    "filter_inter_by_user_or_item": Setting(Flag(), "leave out interactions of users or items without features"),
    "user_inter_num_interval": Setting(Intervals(), "interactions that a user must have", unset=True),
    "item_inter_num_interval": Setting(Intervals(), "interactions that an item must have", unset=True),
    "entity_kg_num_interval": Setting(Intervals(), "triples that an entity must have", unset=True),
    "relation_kg_num_interval": Setting(Intervals(), "triples that a relation must have", unset=True),
    "kg_reverse_r": Setting(Flag(), "add every relation in the other direction"),
    "seq_len": Setting(MappingLike("{'genre': 5}", Whole(1)), "most values of a sequence, by column", unset=True),
    "threshold": Setting(
        MappingLike("{'rating': 3}", Decimal()), "value from which on a label is 1, by column", unset=True
    ),
    "numerical_features": Setting(NAMES, "columns of numbers that models embed", unset=True),
    "normalize_field": Setting(NAMES, "columns of numbers that are put between 0 and 1", unset=True),
    "normalize_all": Setting(Flag(), "do so with all of them", unset=True),
    "discretization": Setting(
        MappingLike("{'rating': {'method': 'LD'}}", BUCKETS), "how numbers are put into buckets, by column", unset=True
    ),
    "preload_weight": Setting(
        MappingLike("{'ent_id': 'ent_emb'}", NAME), "columns of vectors, by column of ids", unset=True
    ),
    **{
        f"alias_of_{name}_id": Setting(NAMES, f"columns that share the ids of {name}s", unset=True)
        for name in ("user", "item", "entity", "relation")
    },
}
OF_PACK = {
    "modalities": Setting(MappingLike("{'image': {'file': 'image.npy'}}"), "the features of the items", unset=True),
    "normalize": Setting(Word(NORMALIZE), "how the rows of features are scaled"),
    "missing_modality": Setting(Word(MISSING_MODALITY), "what an item without a row gets"),
    "shuffle_features": Setting(SEED, "seed with which rows of features change items, as a control", unset=True),
    "multimodal_dataset": Setting(Flag(), "load the features for a model that does not say that it reads them"),
    "model_source": Setting(NAME, "where a model from outside is: FILE:Class or module:Class", unset=True),
}
SETTING_TABLE: Mapping[str, Setting] = {**OF_RUNS, **OF_TRAINING, **OF_EVALUATION, **OF_FILES, **OF_DATA, **OF_PACK}


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse the first value that its setting cannot have; names that are not in the table are passed over.

    Raises
    ------
    InputError
        With the name, the value and what it must be.
    """
    for name, value in values.items():
        setting = SETTING_TABLE.get(name)
        if setting is not None and not (value is None and setting.unset):
            setting.kind.check(name, value)
