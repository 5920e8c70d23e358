"""Networks that `torch.export.save` has written, read without `torch.export.load`, which unpickles what it finds.

A ``.pt2`` file is a zip archive: the graph as JSON, the weights as plain bytes. Here the graph is followed node by
node, and a node may be nothing but an operator of ATen on tensors, or arithmetic on sizes.
"""

from __future__ import annotations

import json
import operator
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recbole_mm.base.errors import InputError

SCHEMA = 8  # major version of the graph's JSON
SIZE_OPERATORS: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "truediv", "mod")},
    **{f"_operator.{name}": getattr(operator, name) for name in ("neg", "eq", "ne", "lt", "le", "gt", "ge")},
    "math.trunc": int, "torch.sym_int": int, "torch.sym_float": float, "torch.sym_not": operator.not_,
    "torch.sym_max": max, "torch.sym_min": min,
}  # fmt: skip
CHECKS = re.compile(r"torch\.ops\.aten\.(_assert\w*|sym_constrain_range\w*)\.\w+")  # of shapes; left out
ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
RESULTS = re.compile(r"Tensor|List\[Tensor\]|int|float|bool|number")  # types of what an operator may return
DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 9: torch.complex32, 10: torch.complex64, 11: torch.complex128, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
CODES: dict[str, Mapping[int, Any]] = {
    "as_scalar_type": DTYPES,
    "as_layout": {7: torch.strided},
    "as_memory_format": {
        1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format
    },
}  # fmt: skip
_NAMES = ("tensor", "optional_tensor", "sym_int", "sym_float", "sym_bool")
NAMED = {f"as_{kind}{plural}" for kind in _NAMES for plural in ("", "s")}
PLAIN = {"as_int", "as_ints", "as_bool", "as_bools", "as_string", "as_float", "as_floats", "as_none", "as_device"}
SYMBOL = re.compile(r"Symbol\('(\w+)'[^()]*\)|(\w+)")  # a size that may be any


class ExportedNetwork:
    """A network of one input (1, length) and one output.

    Attributes
    ----------
    least, most : int or None
        How long the input may be; None: as long as one likes.

    Raises
    ------
    InputError
        The file is not of this form, or has nodes that are not followed here.
    """

    def __init__(self, file: Path, device: torch.device) -> None:
        self.file, self.device = file, device
        try:
            with zipfile.ZipFile(file) as archive:
                place = self._place(archive)
                program = json.loads(archive.read(f"{place}models/model.json"))
                tensors = self._tensors(archive, f"{place}data/weights/", "model_weights_config.json")
                tensors |= self._tensors(archive, f"{place}data/constants/", "model_constants_config.json")
            self._read(program, tensors)
        except InputError:
            raise
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{file}: no .pt2 file can be read ({error}); write it by torch.export.save") from error
        except Exception as error:  # broken content fails in many ways
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            raise InputError(f"{file}: not a network of torch.export that is understood here ({reason})") from error

    def _place(self, archive: zipfile.ZipFile) -> str:
        """Return the folder of the archive's files, which ends in ``/``."""
        names = archive.namelist()
        ends = [name for name in names if name.endswith("models/model.json")]
        place = ends[0].removesuffix("models/model.json") if len(ends) == 1 else ""
        if len(ends) != 1 or f"{place}data/weights/model_weights_config.json" not in names:
            raise InputError(f"{self.file}: not of torch.export.save, or of an old one; write it by that of torch 2.13")
        if f"{place}byteorder" in names and archive.read(f"{place}byteorder") != b"little":
            raise InputError(f"{self.file}: its numbers are big-endian; write it on another machine")
        return place

    def _tensors(self, archive: zipfile.ZipFile, place: str, config: str) -> dict[str, Tensor]:
        """Return the tensors of a folder of the archive by name."""
        found, storages = dict[str, Tensor](), dict[str, Tensor]()
        for name, told in json.loads(archive.read(place + config))["config"].items():
            if told["use_pickle"] or not told["tensor_meta"]:
                raise InputError(f"{self.file}: {name} is pickled, which is not read; make it a plain tensor")
            meta, file = told["tensor_meta"], told["path_name"]
            if file not in storages:
                content = bytearray(archive.read(place + file))
                storages[file] = torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0)
            size, stride = ([one["as_int"] for one in meta[key]] for key in ("sizes", "strides"))
            flat = storages[file].view(DTYPES[meta["dtype"]]) if storages[file].numel() else storages[file]
            found[name] = flat.as_strided(size, stride, meta["storage_offset"]["as_int"]).to(self.device)
        return found

    def _read(self, program: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        if program["schema_version"]["major"] != SCHEMA:
            raise InputError(f"{self.file}: its form is {program['schema_version']['major']}, {SCHEMA} is understood")
        graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
        self.weights, inputs = dict[str, Any](), list[str]()
        for spec in signature["input_specs"]:
            ((kind, told),) = spec.items()
            if kind == "user_input":
                inputs.append(told["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer", "tensor_constant"):
                self.weights[told["arg"]["name"]] = tensors[told[f"{kind}_name"]]
            else:
                raise InputError(f"{self.file}: has an input of the kind {kind}; only tensors are understood")
        outputs = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
        if len(inputs) != 1 or len(outputs) != 1 or "as_tensor" not in outputs[0]:
            raise InputError(f"{self.file}: {len(inputs)} inputs and {len(outputs)} outputs; one tensor each is needed")
        self.input, self.output = inputs[0], outputs[0]["as_tensor"]["name"]
        self.least, self.most = self._lengths(graph["tensor_values"][self.input]["sizes"], program["range_constraints"])
        self.nodes = [self._node(node) for node in graph["nodes"] if not CHECKS.fullmatch(node["target"])]
        self.last = dict[str, int]()  # name -> the last node that needs it
        for number, (_, arguments, _) in enumerate(self.nodes):
            self.last |= dict.fromkeys(_names(arguments), number)

    def _lengths(self, sizes: list[dict[str, Any]], ranges: Mapping[str, Any]) -> tuple[int, int | None]:
        if len(sizes) != 2:
            raise InputError(f"{self.file}: its input has {len(sizes)} dimensions; it must be (1, samples)")
        if (batch := sizes[0].get("as_int", 1)) != 1:
            raise InputError(f"{self.file}: its input is ({batch}, ...); it must be (1, samples)")
        symbol = SYMBOL.fullmatch(sizes[1].get("as_expr", {}).get("expr_str", "()"))
        if symbol is None:
            raise InputError(f"{self.file}: takes one length alone; export it with dynamic_shapes (see --help)")
        told = ranges.get(symbol[1] or symbol[2]) or {}
        return told.get("min_val") or 1, told.get("max_val")

    def _node(self, node: Mapping[str, Any]) -> tuple[Callable[..., Any], list[Any], list[Any]]:
        """Return what a node does, its arguments and its results."""
        if any(one["name"] in ("train", "training") and one["arg"].get("as_bool") for one in node["inputs"]):
            raise InputError(f"{self.file}: exported for training; call .eval() on the module first")
        unknown = {kind for one in node["inputs"] for kind in one["arg"]} - NAMED - PLAIN - CODES.keys()
        if unknown:
            raise InputError(f"{self.file}: {node['target']} has an argument {unknown.pop()}, which is not understood")
        return self._operator(node["target"]), node["inputs"], node["outputs"]

    def _operator(self, target: str) -> Callable[..., Any]:
        if target in SIZE_OPERATORS:
            return SIZE_OPERATORS[target]
        match = ATEN.fullmatch(target)
        found = getattr(getattr(torch.ops.aten, match[1], None), match[2], None) if match else None
        if isinstance(found, torch._ops.OpOverload):
            schema = found._schema
            returned = all(RESULTS.fullmatch(str(one.type)) for one in schema.returns) and schema.returns
            if returned and not any(argument.name == "filename" for argument in schema.arguments):
                return found
        raise InputError(
            f"{self.file}: has the operation {target}, which is not followed; export it within torch.no_grad() and "
            "without operators of others"
        )

    @torch.inference_mode()
    def __call__(self, samples: Tensor) -> Tensor:
        """Return the output of an input, (1, length)."""
        known: dict[str, Any] = self.weights | {self.input: samples.to(self.device)}
        for number, (run, arguments, results) in enumerate(self.nodes):
            values = [(one, self._value(one["arg"], known)) for one in arguments]
            made = run(
                *(value for one, value in values if one.get("kind") != 2),
                **{one["name"]: value for one, value in values if one.get("kind") == 2},
            )
            for result, value in zip(results, made if len(results) > 1 else [made], strict=True):
                _keep(known, result, value)
            for name in _names(arguments):
                if self.last[name] == number and name not in (self.output, *self.weights):
                    known.pop(name, None)
        output: Tensor = known[self.output]
        return output

    def _value(self, argument: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
        ((kind, value),) = argument.items()
        if kind in NAMED:
            return [_one(each, known) for each in value] if isinstance(value, list) else _one(value, known)
        if kind in ("as_float", "as_floats"):  # infinity is a text
            return [float(each) for each in value] if isinstance(value, list) else float(value)
        if kind in ("as_none", "as_device"):
            return None if kind == "as_none" else self.device
        return CODES[kind][value] if kind in CODES else value


def _one(told: Any, known: Mapping[str, Any]) -> Any:
    """Return a tensor or a number: the named one, or the one that is told."""
    if "name" in told or "as_name" in told:
        return known[told.get("name") or told["as_name"]]
    if "as_tensor" in told:
        return known[told["as_tensor"]["name"]]
    return None if "as_none" in told else next(iter(told.values()))


def _keep(known: dict[str, Any], result: Mapping[str, Any], value: Any) -> None:
    ((kind, told),) = result.items()
    if kind == "as_tensors":
        known.update((one["name"], each) for one, each in zip(told, value, strict=True))
    elif kind != "as_none":
        known[told.get("name") or told["as_name"]] = value


def _names(told: Any) -> set[str]:
    """Return the names of tensors and sizes anywhere in some arguments."""
    if isinstance(told, list):
        return set().union(*map(_names, told))
    if not isinstance(told, dict):
        return set()
    if "arg" in told:
        return _names(told["arg"])
    own = {told[key] for key in ("name", "as_name") if isinstance(told.get(key), str)}
    return own.union(*map(_names, told.values()))
