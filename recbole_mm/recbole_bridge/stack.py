"""RecBole 1.2.1 on today's numpy, scipy, pandas, torch and ray.

Every shim changes names inside RecBole's own modules and classes: RecBole sees an overlaid `np`, `sp`, `pd`,
`torch` or `tune`, and nobody else does. `recbole_mm.recbole_bridge.table` says where each is applied, and when.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from recbole_mm.recbole_bridge.applying import Overlay


# numpy 2: `Config()` raises AttributeError for np.float_; np.float, np.bool, np.str, ... are gone.
# RecBole writes these names into numpy itself (Config.compatibility_settings); here only RecBole sees them.
def numpy_aliases(module: Any) -> None:
    module.np = Overlay(np, float=np.float64, int=np.int64, long=np.int64, bool=np.bool_, str=np.str_)


def no_global_aliases(module: Any) -> None:
    module.Config.compatibility_settings = lambda self: None


# numpy 2: metrics print as np.float64(0.1), in logs and in what run_recbole returns.
def plain_metrics(module: Any) -> None:
    evaluate = module.Evaluator.evaluate

    @functools.wraps(evaluate)
    def plain(self: Any, dataobject: Any) -> OrderedDict[str, float]:
        return OrderedDict((name, float(value)) for name, value in evaluate(self, dataobject).items())

    module.Evaluator.evaluate = plain


# Any version: metrics of coverage and popularity need numbers and counts of the data, and the collector takes them
# for tensors: AttributeError: 'int' object has no attribute 'cpu'.
def plain_counts(module: Any) -> None:
    get_data_struct = module.Collector.get_data_struct

    @functools.wraps(get_data_struct)
    def tensors_only(self: Any) -> Any:
        kept = self.data_struct._data_dict
        plain = {key: kept.pop(key) for key in list(kept) if not isinstance(kept[key], torch.Tensor)}
        struct = get_data_struct(self)
        struct._data_dict.update(plain)
        kept.update(plain)
        return struct

    module.Collector.get_data_struct = tensors_only


# scipy >= 1.13: AttributeError for dok_matrix._update in LightGCN, NGCF, NCL, GCMC, SpectralCF, KGIN, MCCLK.
class _DokMatrix(sp.dok_matrix):
    def _update(self, data: dict[tuple[int, int], float]) -> None:
        self._dict.update(data)


def dok_update(module: Any) -> None:
    module.sp = Overlay(sp, dok_matrix=_DokMatrix)


# pandas 3: dtype=str gives Arrow strings instead of objects, and df[c].fillna("", inplace=True) leaves the NaN of
# a *_seq column, which then has no .split(). Columns still carry their atomic-file header `name:type` here.
def _read_csv(*args: Any, dtype: dict[str, Any], **kwargs: Any) -> pd.DataFrame:
    dtype = {column: object if kind is str else kind for column, kind in dtype.items()}
    frame: pd.DataFrame = pd.read_csv(*args, dtype=dtype, **kwargs)
    for column in frame:
        if str(column).endswith("_seq"):
            frame[column] = frame[column].fillna("")
    return frame


# pandas 3: Series.agg(len) is the length of the series, no longer one length a row. RecBole's data modules
# take the length of no series for any other purpose.
def _len_of_each(values: Any) -> Any:
    return values.map(builtins.len) if isinstance(values, pd.Series) else builtins.len(values)


def lengths(module: Any) -> None:
    module.len = _len_of_each


# pandas 3: Series.values is read-only, and RecBole makes tensors that share its memory.
def _writable(tensor: Callable[[Any], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    return lambda data: tensor(data.copy() if isinstance(data, np.ndarray) and not data.flags.writeable else data)


# pandas 3: feat[field].fillna(value, inplace=True) changes a copy. A missing token becomes -9223372036854775808 and
# one missing float makes a normalised column NaN, both silently.
def frames(module: Any) -> None:
    module.pd = Overlay(pd, read_csv=_read_csv)
    module.torch = Overlay(torch, LongTensor=_writable(torch.LongTensor), FloatTensor=_writable(torch.FloatTensor))
    fill_sequences = module.Dataset._fill_nan

    @functools.wraps(fill_sequences)
    def fill_nan(self: Any) -> None:
        for feat in (getattr(self, name) for name in self.feat_name_list):
            for field in feat:
                kind = self.field2type[field]
                if kind == module.FeatureType.TOKEN:
                    feat[field] = feat[field].fillna(0)
                elif kind == module.FeatureType.FLOAT:
                    feat[field] = feat[field].fillna(feat[field].mean())
        fill_sequences(self)

    module.Dataset._fill_nan = fill_nan


# torch >= 2.6: loading a checkpoint raises UnpicklingError, for it holds RecBole's Config and is written with pickle
# protocol 4, which torch's weights-only reader does not know. The check stays on: see `checkpoint`.
def checkpoints(module: Any) -> None:
    def ours() -> Any:  # imports RecBole, of which this module is a part
        return importlib.import_module("recbole_mm.recbole_bridge.checkpoint")

    module.torch = Overlay(
        torch,
        load=lambda *given, **named: ours().load_checkpoint(*given, **named),
        save=lambda *given, **named: ours().save(*given, **named),
    )


def run_of_checkpoint(module: Any) -> None:
    def load_data_and_model(model_file: Any) -> Any:
        from recbole_mm.training.build import load_run  # noqa: PLC0415 (imports RecBole's trainers)

        return load_run(model_file)

    module.load_data_and_model.__code__ = load_data_and_model.__code__  # also where the name was imported before


# ray >= 2.40: tune.report takes one dictionary; RecBole passes keywords such as recall@10 and gets a TypeError.
def tune_report(module: Any) -> None:
    tune = module.tune
    if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(tune.report).parameters.values()):
        module.tune = Overlay(tune, report=lambda **metrics: tune.report(metrics))


# Any version: RecBole reuses a pickled dataset or data loader after its files, path or split changed, and
# unpickles it to find out. Off: in this module os.path.exists is asked about these two caches only.
def no_stale_caches(module: Any) -> None:
    module.os = Overlay(os, path=Overlay(os.path, exists=lambda path: False))


# Any version: a loader makes a list of the places of all interactions, Python's numbers of 32 bytes each.
def _list(values: Any = ()) -> Any:
    return values if isinstance(values, range) else builtins.list(values)


def no_lists_of_ranges(module: Any) -> None:
    module.list = _list


# hyperopt >= 0.2.6: its exhaustive search draws with numpy's Generator, and RecBole gives it a RandomState.
class _Generator(np.random.Generator):
    def __init__(self, seed: Any) -> None:
        super().__init__(np.random.PCG64(seed))

    randint = np.random.Generator.integers  # as hyperopt calls it before


def search_generator(module: Any) -> None:
    module.np = Overlay(module.np, random=Overlay(np.random, RandomState=_Generator))


# Any version: values of the command line, of config_dict and of a sweep's file are run through eval(). A list of plain
# words, [Recall,NDCG], stayed text.
_WORDS = re.compile(r"\[\s*[\w@.-]+(\s*,\s*[\w@.-]+)*\s*\]")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if _WORDS.fullmatch(text):
            return [_word(one.strip()) for one in text[1:-1].split(",")]
        raise SyntaxError(str(error)) from None  # what RecBole expects of a value that is a plain word


def _word(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def no_eval(module: Any) -> None:
    module.eval = _literal


# Any version: KD_DAGFM runs its setting `teacher`, which a checkpoint carries, through eval(); LDiffRec unpickles.
def teacher_by_name(module: Any) -> None:
    module.eval = functools.partial(getattr, module)


def no_pickled_arrays(module: Any) -> None:
    module.np = Overlay(np, load=lambda file, allow_pickle: np.load(file))


# Any version: SINE's module turns autograd's anomaly mode on for the whole process, and RecBole loads it with every
# sequential model; every step then looks for NaN in every gradient. Where it was imported before the pack, the mode is
# turned off; where it is imported later, the mode stays as it was.
def no_anomaly_mode(module: Any) -> None:
    torch.autograd.set_detect_anomaly(False)


# Any version: torch.sparse.mm sorts a COO matrix anew for every product, and again, transposed, for every gradient;
# under autocast it raises RuntimeError for want of a sparse product in bfloat16.
def constant_graphs(module: Any) -> None:
    sparse = importlib.import_module("recbole_mm.graphs.products")

    def mm(matrix: torch.Tensor, x: torch.Tensor) -> Any:
        return sparse.constant_mm(matrix, x)  # looked up at each call, so that it can be replaced

    module.torch = Overlay(module.torch, sparse=Overlay(torch.sparse, mm=mm))
