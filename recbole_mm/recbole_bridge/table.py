"""Everything that the pack changes in RecBole: what, by what, why, and since when RecBole needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recbole_mm.recbole_bridge import children, content_metrics, own_models, reading, recbole_graphs, side_files, stack
from recbole_mm.recbole_bridge.applying import Patch, patch_attributes, patch_modules

GENERAL, SEQUENTIAL = "recbole.model.general_recommender", "recbole.model.sequential_recommender"
CONTEXT, KNOWLEDGE = "recbole.model.context_aware_recommender", "recbole.model.knowledge_aware_recommender"
DATA, TRAINER = "recbole.data.dataset", "recbole.trainer.trainer"
DATASET, CONFIG = f"{DATA}.dataset:Dataset", "recbole.config.configurator:Config"
RECOMMENDERS = "recbole.model.abstract_recommender"
COLLECTOR = "recbole.evaluator.collector:Collector"

NUMPY_2 = not hasattr(np, "float_")
PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3
SCIPY_1_13 = not hasattr(sp.dok_matrix, "_update")


def _models(package: str, names: str) -> tuple[str, ...]:
    return tuple(f"{package}.{name}" for name in names.split())


def modules() -> tuple[Patch, ...]:
    """Return what is changed in modules of RecBole as they are imported: it does not run on today's libraries."""
    return (
        Patch(
            ("recbole.evaluator.metrics", "recbole.data.interaction", f"{DATA}.dataset", "recbole.model.layers",
             RECOMMENDERS, f"{CONTEXT}.ffm", "recbole.trainer.hyper_tuning"),
            stack.numpy_aliases, "np.float_ and other names are gone: AttributeError", "numpy 2", NUMPY_2,
        ),
        Patch(("recbole.config.configurator",), stack.no_global_aliases,
              "Config writes such names into numpy itself", "numpy 2", NUMPY_2),
        Patch(("recbole.evaluator.register",), content_metrics.with_content_metrics,
              "no metric knows what items are like"),
        Patch(("recbole.evaluator.evaluator",), stack.plain_metrics,
              "metrics print as np.float64(0.1)", "numpy 2", NUMPY_2),
        Patch(("recbole.evaluator.collector",), stack.plain_counts,
              "metrics of coverage and popularity: 'int' object has no attribute 'cpu'"),
        Patch(_models(GENERAL, "lightgcn ngcf ncl gcmc spectralcf") + _models(KNOWLEDGE, "kgin mcclk"),
              stack.dok_update, "dok_matrix._update is gone: AttributeError", "scipy 1.13", SCIPY_1_13),
        Patch(_models(GENERAL, "lightgcn ngcf ncl"), recbole_graphs.graph_by_columns,
              "a dictionary with an entry for each pair; the same graph, faster, in less memory"),
        Patch((f"{DATA}.dataset",), stack.frames,
              "missing values are not filled, silently; text is Arrow's; arrays are read-only", "pandas 3", PANDAS_3),
        Patch((f"{DATA}.dataset",), reading.files_by_columns, "files are read line by line; the same rows, faster"),
        Patch(("recbole.data.dataloader.abstract_dataloader",), stack.no_lists_of_ranges,
              "a Python number for each interaction"),
        Patch(_models(DATA, "dataset sequential_dataset kg_dataset"), stack.lengths,
              "Series.agg(len) is one number", "pandas 3", PANDAS_3),
        Patch((TRAINER, f"{SEQUENTIAL}.s3rec", f"{CONTEXT}.kd_dagfm", *_models(GENERAL, "convncf nais ract neumf")),
              stack.checkpoints, "checkpoints cannot be loaded: UnpicklingError", "torch 2.6"),
        Patch((children.QUICK_START,), stack.run_of_checkpoint,
              "load_data_and_model silently gives weights to other ids, and another split"),
        Patch((children.QUICK_START,), children.found_here, "child processes of nproc do not import the pack"),
        Patch((children.QUICK_START,), stack.tune_report,
              "tune.report takes no keywords: TypeError", "ray 2.40"),
        Patch(("recbole.data.utils",), stack.no_stale_caches,
              "pickled datasets and loaders are reused after files or split changed"),
        Patch(("recbole.config.configurator", "recbole.trainer.hyper_tuning"), stack.no_eval,
              "values of the command line and of files are executed"),
        Patch((f"{CONTEXT}.kd_dagfm",), stack.teacher_by_name, "a setting of the checkpoint is executed"),
        Patch((f"{GENERAL}.ldiffrec",), stack.no_pickled_arrays, "arrays are unpickled"),
        Patch(
            ("recbole.model.layers", *_models(GENERAL, "lightgcn ncl sgl spectralcf dgcf gcmc dmf"),
             *_models(KNOWLEDGE, "kgat kgin mcclk")),
            stack.constant_graphs, "torch.sparse.mm sorts a constant matrix for every product",
        ),
        Patch((f"{SEQUENTIAL}.sine",), stack.no_anomaly_mode,
              "importing it turns autograd's anomaly mode on for the process; it is left as it was"),
        Patch(("recbole.trainer.hyper_tuning",), stack.search_generator,
              "hyperopt's generator has no integers of the old kind", "hyperopt 0.2.7"),
        Patch((f"{GENERAL}.pop",), own_models.pop_counts, "Pop counts batches and negative samples, not interactions"),
        Patch((f"{GENERAL}.ncl",), own_models.ncl_clusters, "more clusters than points end in a RuntimeError"),
        Patch((TRAINER,), own_models.pretraining, "S3Rec and RaCT lose the end of their pretraining"),
        Patch((TRAINER,), own_models.traditional_validation,
              "models of one epoch are not validated where eval_step is above 1: no checkpoint to test"),
        Patch((TRAINER,), own_models.lightgbm_epochs, "LightGBM fits the same trees in each of 300 epochs"),
        Patch((f"{KNOWLEDGE}.kgat",), own_models.kgat_graph, "arguments of dgl are gone: TypeError", "dgl 1.0"),
        Patch((f"{SEQUENTIAL}.ksr",), own_models.ksr_relations, "64-bit vectors meet 32-bit weights: RuntimeError"),
        Patch(("recbole.utils.logger",), side_files.log_where_possible, "no run where ./log cannot be written"),
    )  # fmt: skip


def attributes() -> tuple[Patch, ...]:
    """Return what is put in the place of RecBole's own: exact, safe, or the same and faster."""
    from recbole_mm.recbole_bridge import (  # noqa: PLC0415 (they import RecBole, which needs `modules` first)
        augmentation,
        batches,
        counting,
        device,
        encoding,
        engine,
        full_sort,
        histories,
        history_matrix,
        item_softmax,
        known_identity,
        last_layer,
        model_sources,
        models,
        narrow,
        parquet_files,
        plugin,
        popularity,
        sampled_evaluation,
        several_batches,
        splitting,
        times,
        top_items,
        trained_ids,
        used_items,
        whole_histories,
    )

    def same(replacement: Any) -> Callable[[Any], Any]:
        return lambda original: replacement

    return (
        Patch((f"{CONFIG}._update_internal_config_dict",), plugin.with_pack_properties,
              "the pack's default settings, and those in the dataset's folder"),
        Patch((f"{CONFIG}._get_final_config_dict",), plugin.without_pickled_caches,
              "a warning where stale caches are asked for"),
        Patch((f"{CONFIG}._init_device",), device.as_asked, "device and use_gpu are ignored"),
        Patch((f"{CONFIG}._get_model_and_dataset",), model_sources.found_by_class, "a class is not found by its name"),
        Patch((f"{DATASET}.__new__",), models.datasets_on_request, "any model can ask for the multimodal dataset"),
        Patch((f"{DATASET}._load_inter_feat",), parquet_files.parquet_interactions,
              "interactions are read of text alone"),
        Patch((f"{DATASET}._load_feat",), parquet_files.parquet_features, "the other half of that"),
        Patch((f"{DATASET}._load_feat",), times.exact_loading, "times beyond 2**53 are rounded"),
        Patch((f"{DATASET}._remove_duplication",), times.stable_removal, "equal times change places"),
        Patch((f"{DATASET}._dataframe_to_interaction",), narrow.narrow_tensors,
              "times are 32-bit floats before they are sorted; ids fill 8 bytes each"),
        Patch(("recbole.data.interaction:Interaction._reindex",), same(narrow.reindexed), "the other half of that"),
        Patch((f"{DATASET}._filter_by_inter_num",), same(encoding.filter_by_inter_num),
              "interactions are counted one by one; the same rows, faster"),
        Patch((f"{DATASET}._grouped_index",), same(splitting.grouped_index),
              "a list of Python's numbers for each user; the same splits, faster, in less memory"),
        Patch((f"{DATASET}._split_index_by_leave_one_out",), same(splitting.split_index_by_leave_one_out),
              "the other half of that"),
        Patch((f"{DATASET}.split_by_ratio",), same(splitting.split_by_ratio), "the same"),
        Patch((f"{DATASET}.time_based_split",), same(splitting.time_based_split), "the same"),
        Patch((f"{DATASET}.time_based_split",), times.sorted_first, "unsorted rows are split as if they were sorted"),
        Patch((f"{DATASET}.counter",), counting.counted_at_once, "interactions are counted one by one"),
        Patch(tuple(f"{DATASET}.avg_actions_of_{side}" for side in ("users", "items")), counting.average_count,
              "the same"),
        Patch(("recbole.sampler.sampler:Sampler.get_used_ids",), same(used_items.used_items),
              "a set of Python's numbers for each user; the same items, faster, in less memory"),
        Patch(("recbole.sampler.sampler:RepeatableSampler.get_used_ids",), same(used_items.nothing_used), "the same"),
        Patch(("recbole.sampler.sampler:Sampler._get_candidates_list",), same(popularity.items_of_parts),
              "a list of Python's numbers for each interaction"),
        Patch(("recbole.sampler.sampler:RepeatableSampler._get_candidates_list",), same(popularity.items_of_dataset),
              "the same"),
        Patch(("recbole.sampler.sampler:AbstractSampler._build_alias_table",), same(popularity.build_alias_table),
              "interactions are counted one by one, and -1 can be drawn; else the same table, faster"),
        Patch(("recbole.sampler.sampler:AbstractSampler._pop_sampling",), same(popularity.pop_sampling),
              "items are drawn one by one; the same draws, faster"),
        Patch((f"{DATASET}.build",), times.small_numerical_features, "times that models multiply stay 32-bit floats"),
        Patch((f"{DATASET}._history_matrix",), same(history_matrix.history_matrix),
              "histories are filled one by one; the same, faster, in less memory"),
        Patch((f"{DATASET}._remap",), same(encoding.remap), "ids are found text by text; the same, faster"),
        Patch((f"{DATASET}._remap",), known_identity.known_ids, "ids depend on the order of the file"),
        Patch((f"{DATASET}._change_feat_format",), known_identity.known_columns, "other values are not noticed"),
        Patch((f"{DATASET}.build",), known_identity.known_split, "another split is not noticed"),
        Patch((f"{DATASET}.join",), batches.join_where_asked,
              "columns of users and items are copied into batches that nobody reads"),
        Patch((f"{DATA}.sequential_dataset:SequentialDataset.data_augmentation",), same(augmentation.data_augmentation),
              "histories are filled one by one; the same, faster"),
        Patch((f"{DATA}.customized_dataset:DIENDataset.data_augmentation",),
              same(augmentation.augmentation_of_dien), "the same"),
        Patch((f"{DATA}.sequential_dataset:SequentialDataset._change_feat_format",), histories.histories_where_missing,
              "given splits need files with histories"),
        Patch((f"{DATA}.sequential_dataset:SequentialDataset._benchmark_presets",), histories.presets_where_there,
              "given splits need files with histories"),
        Patch(("recbole.data.interaction:Interaction.__getitem__",), same(batches.rows_of),
              "rows are gathered number by number; the same rows, faster"),
        Patch(("recbole.sampler.sampler:AbstractSampler.sample_by_key_ids",), same(batches.sample_by_key_ids),
              "negatives are tested one by one; the same draws, faster"),
        Patch(("recbole.data.utils:TrainDataLoader",), same(batches.Batches), "the same batches, faster"),
        Patch(("recbole.data.utils:NegSampleEvalDataLoader",), same(sampled_evaluation.SampledBatches),
              "one user at a time; the same batches, faster"),
        Patch(("recbole.data.utils:FullSortEvalDataLoader",), same(full_sort.FullSortBatches),
              "one user at a time on a large catalogue; the same metrics, faster"),
        Patch((f"{COLLECTOR}.eval_batch_collect",), top_items.without_matrices,
              "what is held out is marked in a matrix of all scores; the same metrics, faster, in less memory"),
        Patch((f"{COLLECTOR}.eval_batch_collect",), content_metrics.with_users, "metrics do not know whose a list is"),
        Patch((f"{COLLECTOR}.get_data_struct",), content_metrics.without_users, "the other half of that"),
        Patch((f"{COLLECTOR}.data_collect",), content_metrics.with_content, "metrics do not know what items are like"),
        Patch(("recbole.evaluator.collector:DataStruct.update_tensor",), top_items.appended,
              "all that is collected is copied for every batch"),
        Patch((f"{TRAINER}:Trainer._full_sort_batch_eval",), full_sort.within_memory,
              "a model that makes a vector for each item fills the memory"),
        Patch((f"{TRAINER}:Trainer._train_epoch",), whole_histories.with_whole_histories,
              "a sample for every prefix of a history; whole histories where asked for"),
        Patch((f"{TRAINER}:Trainer._train_epoch",), item_softmax.with_item_softmax,
              "a softmax keeps the scores of a batch for all items; the same up to rounding, faster"),
        Patch(tuple(f"{TRAINER}:{one}._train_epoch" for one in ("Trainer", "NCLTrainer")),
              several_batches.with_several_batches,
              "a step for every batch; for several where asked for"),
        Patch((f"{TRAINER}:Trainer.fit",), engine.with_the_engine, "threads and denormal numbers"),
        Patch(tuple(f"{where}:FeedForward.gelu" for where in ("recbole.model.layers", f"{SEQUENTIAL}.fearec")),
              same(engine.fused_gelu), "gelu is written out; the same up to rounding, faster"),
        Patch(("recbole.model.layers:TransformerEncoder.forward",), last_layer.last_layer_later,
              "the last layer is computed where nobody reads it; the same up to rounding and dropout's draws, faster"),
        Patch((f"{RECOMMENDERS}:SequentialRecommender.gather_indexes",), last_layer.read_where_asked,
              "the other half of that"),
        Patch((f"{TRAINER}:get_tensorboard",), side_files.events_where_possible,
              "no run where ./log_tensorboard cannot be written"),
        Patch((f"{TRAINER}:optim",), engine.fused_adam, "the same Adam in one kernel"),
        Patch(
            tuple(f"{RECOMMENDERS}:{kind}Recommender.__init__"
                  for kind in ("General", "Sequential", "Knowledge", "Context")),
            trained_ids.knowing_ids, "a model does not know its ids",
        ),
        Patch((f"{RECOMMENDERS}:AbstractRecommender._save_to_state_dict",), same(trained_ids.save_to_state_dict),
              "weights do not know their ids"),
        Patch((f"{RECOMMENDERS}:AbstractRecommender._load_from_state_dict",), same(trained_ids.load_from_state_dict),
              "weights of other ids are taken"),
        Patch(("recbole.utils.case_study:full_sort_scores",), trained_ids.same_ids,
              "a model scores the data of other ids"),
    )  # fmt: skip


def apply() -> None:
    """Change RecBole as the table says; a second call changes nothing."""
    patch_modules(modules())
    patch_attributes(attributes())
