"""Sparse matrices out of pickles: the genuine ones of any age, and nothing else."""

from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_mm.base.errors import InputError
from recbole_mm.conversion.sparse import read_matrix

DENSE = np.array([[0, 1.5, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]])
PLACES = {(0, 1), (0, 3), (2, 0), (2, 3)}
FORMS = ("csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array", "coo_array")


def places(file: Path) -> set[tuple[int, int]]:
    rows, columns, shape = read_matrix(file)
    assert shape == (3, 4)
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


def save(tmp_path: Path, content: bytes | Any) -> Path:
    file = tmp_path / "trnMat.pkl"
    file.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return file


@pytest.mark.parametrize("form", FORMS)
def test_matrices_of_every_protocol_and_type(tmp_path: Path, form: str) -> None:
    for dtype in ("f8", "f4", ">i4", "i1", "?"):
        matrix = getattr(scipy.sparse, form)(DENSE)
        matrix.data = matrix.data.astype(dtype)
        for protocol in range(6):
            assert places(save(tmp_path, pickle.dumps(matrix, protocol))) == PLACES, (dtype, protocol)


@pytest.mark.parametrize("protocol", range(5))
def test_paths_of_older_scipy_and_numpy(tmp_path: Path, protocol: int) -> None:
    matrix = scipy.sparse.coo_matrix(DENSE)
    rows, columns = matrix.coords
    matrix.__dict__ = {"_shape": (np.int64(3), np.int64(4)), "maxprint": 50, "row": rows, "col": columns} | {
        "data": matrix.data, "has_canonical_format": False
    }  # fmt: skip
    content = pickle.dumps(matrix, protocol)
    if protocol < 4:  # a protocol 4 name goes with its length
        content = content.replace(b"scipy.sparse._coo\n", b"scipy.sparse.coo\n")
        content = content.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
        assert b"_core" not in content
    assert places(save(tmp_path, content)) == PLACES


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    """Protocol 2 there keeps raw bytes as str: SHORT_BINSTRING."""

    def array(values: np.ndarray, kind: str) -> bytes:
        raw = values.astype(f"<{kind}").tobytes()
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        shape = b"K" + bytes([len(values)]) + b"\x85"
        dtype = b"cnumpy\ndtype\n(U\x02" + kind.encode() + b"K\x00K\x01tR"
        dtype += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        return made + b"(K\x01" + shape + dtype + b"\x89U" + bytes([len(raw)]) + raw + b"tb"

    matrix = scipy.sparse.coo_matrix(DENSE)
    rows, columns = matrix.coords
    content = b"\x80\x02cscipy.sparse.coo\ncoo_matrix\n)\x81}(U\x06_shapeK\x03K\x04\x86U\x03row" + array(rows, "i4")
    content += b"U\x03col" + array(columns, "i4") + b"U\x04data" + array(matrix.data, "f8") + b"ub."
    pickletools.dis(content, io.StringIO())
    assert places(save(tmp_path, content)) == PLACES


def test_zeros_that_are_written_down_are_no_interactions(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_matrix(DENSE)
    matrix.data[1] = 0
    assert places(save(tmp_path, matrix)) == PLACES - {(0, 3)}


class Runs:
    """What a malicious pickle is made of: a function and its arguments."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


MALICIOUS = {
    "os.system": b"cos\nsystem\n(S'touch harmed'\ntR.",
    f"{os.system.__module__}.system": Runs(os.system, "touch harmed"),
    "builtins.eval": Runs(eval, "open('harmed', 'w')"),
    "builtins.exec": Runs(exec, "open('harmed', 'w')"),
    "builtins.getattr": b"cbuiltins\ngetattr\n(cbuiltins\nobject\nS'x'\ntR.",
    "__builtin__.open": b"c__builtin__\nopen\n(S'harmed'\nS'w'\ntR.",
    "collections.OrderedDict": collections.OrderedDict(a=1),
    "scipy.sparse._lil.lil_matrix": scipy.sparse.lil_matrix(DENSE),
    "numpy.load": Runs(np.load, "harmed", None, True),
    "scipy.sparse.os.system": b"\x80\x04\x8c\x0cscipy.sparse\x8c\x09os.system\x93\x8c\x0ctouch harmed\x85R.",
    "numpy._core.multiarray.fromfile": b"cnumpy._core.multiarray\nfromfile\n(S'harmed'\ntR.",
    "subprocess.Popen": b"(S'touch harmed'\nisubprocess\nPopen\n.",
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_anything_else_is_refused_by_name(tmp_path: Path, name: str) -> None:
    file = save(tmp_path, MALICIOUS[name])
    with pytest.raises(InputError) as error:
        read_matrix(file)
    message = f"{file}: asks for {name}, which has no part in a csr, csc or coo matrix; nothing in it was run"
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert not Path("harmed").exists()


def state(**parts: Any) -> scipy.sparse.csr_matrix:
    matrix = scipy.sparse.csr_matrix(DENSE)
    matrix.__dict__.update(parts)
    return matrix


def coo(rows: Any, columns: Any, shape: Any = (3, 4), values: Any = None) -> Any:
    matrix = scipy.sparse.coo_matrix(DENSE)
    data = np.ones(len(rows)) if values is None else values
    matrix.__dict__.update(coords=(np.array(rows), np.array(columns)), data=data, _shape=shape)
    return matrix


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (state(indices=np.array([1, 9, 0, 3])), "index 9 or below zero in a dimension of 4"),
        (state(indices=np.array([1, -1, 0, 3])), "or below zero in a dimension of 4"),
        (state(indices=np.array([1.0, 3.0, 0.0, 3.0])), "indices of type float64"),
        (state(indptr=np.array([0, 2, 2, 9])), "4 indices where its indptr has 9"),
        (state(indptr=np.array([0, 3, 2, 4])), "an indptr that does not fit"),
        (state(indptr=np.array([0, 2, 4])), "an indptr that does not fit"),
        (state(indptr=np.array([], dtype=int), _shape=(3, 4)), "an indptr that does not fit"),
        (state(_shape=(2**40, 4)), "a matrix of 1099511627776 x 4"),
        (state(_shape=(3, 4, 1)), "no matrix of two dimensions"),
        (state(_shape=(3.0, 4)), "a shape that is not of integers"),
        (state(data=np.array([1, np.nan, 1, 1])), "values that are not finite"),
        (state(data=np.ones(3)), "4 rows, 4 columns and 3 values"),
        (state(data=np.array([None, 1, 1, 1])), "list instead of bytes"),
        (state(data=np.array(["a"] * 4)), "not of plain numbers"),
        (state(data=np.ones((2, 2))), "not of one dimension"),
        (state(data=[1.0] * 4), "list instead of an array"),
        (coo([0, 3], [0, 0]), "index 3 or below zero in a dimension of 3"),
        (coo([0, 1], [0]), "2 rows, 1 columns and 2 values"),
        (coo([0], [0], shape=(0, 4)), "a matrix of 0 x 4"),
        ({"a": 1}, "holds no sparse matrix but dict"),
        (np.ones(3), "holds no sparse matrix but"),
        (pickle.dumps([1] * 2000), "too involved for a matrix"),
        (pickle.dumps([[1] * 500, os.system, [1] * 2000]), f"asks for {os.system.__module__}.system"),
        (b"", "is damaged or no pickle (ValueError"),
        (b"\x80\x04X\xff\xff\xff\x7f", "is damaged or no pickle"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "too involved for a matrix"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"x.", "is damaged or no pickle"),
        (b"\x80\x02\x82\x01.", "an object kept elsewhere (EXT1)"),
        (b"Pabc\n.", "an object kept elsewhere (PERSID)"),
        (b"user\titem\n", "nothing in it was run"),
    ],
)  # fmt: skip
def test_what_is_no_matrix_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    file = save(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_matrix(file)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(FORMS),
    protocol=st.integers(0, 5),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_pickles_are_refused_or_read_within_their_shape(
    tmp_path: Path, form: str, protocol: int, flips: list[tuple[float, int]], kept: float
) -> None:
    content = bytearray(pickle.dumps(getattr(scipy.sparse, form)(DENSE), protocol))
    for place, value in flips:
        content[int(place * len(content))] = value
    read_or_refuse(save(tmp_path, bytes(content[: round(kept * len(content))])))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(save(tmp_path, b"\x80\x04" + content))


def read_or_refuse(file: Path) -> None:
    try:
        rows, columns, (height, width) = read_matrix(file)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 (both outcomes are good)
        return
    assert len(rows) == len(columns)
    assert ((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)).all()
