"""Peak memory and seconds of a feature file, from the file to the tensor that a model takes, in every format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.measuring import MIB, arguments, machine, new_process, seconds, told, workplace, write_results
from recbole_mm.base.memory import peak_memory
from recbole_mm.data.align import align
from recbole_mm.data.features import read_features
from recbole_mm.data.folder import DatasetFolder

FORMS = ("npy", "npz", "safetensors", "parquet")


def write(folder: Path, form: str, rows: np.ndarray) -> None:
    """Write the features, and the ids of their rows in `ids`."""
    ids = np.random.default_rng(1).permutation(len(rows)).astype(str)
    (folder / "ids").write_text("".join(f"{item}\n" for item in ids))
    file = folder / f"x.{form}"
    if form == "npy":
        np.save(file, rows)
    elif form == "npz":
        np.savez(file, rows)
    elif form == "safetensors":
        save_file({"x": rows}, file)
    else:
        lists = pa.FixedSizeListArray.from_arrays(rows.reshape(-1), rows.shape[1])
        pq.write_table(pa.table({"item_id": ids, "x": lists}), file)


def load(folder: str, form: str, n_items: int, width: int | None) -> dict[str, float]:
    """Return seconds, the MiB of the tensor, and those by which the peak of this process, which must be new, grows."""
    spec = {"file": f"x.{form}"} | ({} if form == "parquet" else {"ids": "ids"})
    tokens = np.array(["[PAD]", *map(str, range(n_items))], dtype=object)
    known = set(tokens)
    made: list[Any] = []

    def work() -> None:
        table = read_features("x", spec, DatasetFolder(Path(folder), "x"))
        made.extend(align(table, tokens, known, missing="mean", normalize="l2", name="x", width=width))

    before = peak_memory()["ram"]
    took = seconds(work)
    return {"seconds": took, "mib": made[0].nbytes / MIB, "peak_mib": peak_memory()["ram"] - before}


def bench(n_items: int, dim: int, width: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by format seconds and memory; `.npy` also reduced to `width`."""
    found = []
    with workplace(threads) as folder:
        about = machine()
        rows = np.random.default_rng(0).normal(size=(n_items, dim)).astype(np.float16)
        cases = [*((form, None) for form in FORMS), ("npy", width)]
        for form, reduced in tqdm(cases, unit="file"):
            write(folder, form, rows)
            with new_process() as pool:
                case = pool.submit(load, str(folder), form, n_items, reduced).result()
            found.append({"form": form, "width": reduced or dim, **case})
            (folder / f"x.{form}").unlink()
    return {"machine": about, "n_items": n_items, "dim": dim, "files": found}


def markdown(result: dict[str, Any]) -> str:
    rows = [
        (
            f".{one['form']}" + (f", pca: {one['width']}" if one["width"] != result["dim"] else ""),
            f"{one['mib']:,.0f}",
            f"{one['peak_mib']:,.0f}",
            f"{one['peak_mib'] / one['mib']:.2f}",
            f"{one['seconds']:.1f}",
        )
        for one in result["files"]
    ]
    about = f"{result['n_items']:,} items, {result['dim']:,} float16 numbers each; {told(result['machine'])}."
    headers = ("file", "tensor, MiB", "peak, MiB", "times the tensor", "seconds")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.features", __doc__)
    parser.add_argument("--items", default=70_000, type=int)
    parser.add_argument("--dim", default=4096, type=int)
    parser.add_argument("--width", default=64, type=int, help="of the principal components")
    args = parser.parse_args(argv)
    result = bench(args.items, args.dim, args.width, args.threads)
    write_results(args.out, "features", result, markdown(result))


if __name__ == "__main__":
    main()
