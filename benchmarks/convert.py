"""Seconds, peak memory and size of what `recbole-mm convert table` makes of generated interactions, by format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from tabulate import tabulate

from benchmarks.measuring import MIB, arguments, machine, new_process, seconds, told, workplace, write_results
from recbole_mm.base.memory import peak_memory
from recbole_mm.commands.cli import main as command
from recbole_mm.conversion.layouts import INTERACTION_FORMS

FORMS = (".csv", ".parquet")
ROWS_AT_A_TIME = 1_000_000
PER_USER, PER_ITEM = 10, 100  # interactions


def write(file: Path, n: int) -> None:
    """Write `n` interactions at random, of a user for ten and an item for a hundred, with times."""
    random = np.random.default_rng(0)
    names = ("user_id", "item_id", "timestamp")
    schema = pa.schema([(name, pa.int64()) for name in names])
    kind = pa.csv.CSVWriter if file.suffix == ".csv" else pa.parquet.ParquetWriter
    with kind(file, schema) as writer:
        for start in range(0, n, ROWS_AT_A_TIME):
            count = min(ROWS_AT_A_TIME, n - start)
            limits = n // PER_USER, n // PER_ITEM, 10**9
            columns = [random.integers(0, limit, count) for limit in limits]
            writer.write_batch(pa.RecordBatch.from_arrays(list(map(pa.array, columns)), schema=schema))


def convert(file: str, out: str, made: str) -> tuple[float, float, float]:
    """Return the seconds, those of the CPU, and the peak of this process, which must be new, in MiB."""
    before = process_time()
    took = seconds(lambda: command(["convert", "table", file, f"--out={out}", f"--format={made}"]))
    return took, process_time() - before, peak_memory()["ram"]


def bench(n: int, threads: int) -> dict[str, Any]:
    """Return the machine, and by format of the source and of what is made the sizes, the seconds and the memory."""
    found = []
    with workplace(threads) as folder:
        about = machine()
        for suffix in FORMS:
            file = Path(folder) / f"interactions{suffix}"
            write(file, n)
            for made in INTERACTION_FORMS:
                out = folder / f"{made}_of_{suffix[1:]}"
                with new_process() as pool:
                    took, cpu, peak = pool.submit(convert, str(file), str(out), made).result()
                size = sum(one.stat().st_size for one in out.glob("*.inter*"))
                found.append(
                    {"form": suffix, "mib": file.stat().st_size / MIB, "made": made, "made_mib": size / MIB}
                    | {"seconds": took, "cpu_seconds": cpu, "peak_mib": peak}
                )
            file.unlink()
    return {"machine": about, "interactions": n, "files": found}


def markdown(result: dict[str, Any]) -> str:
    rows = [
        (one["form"], f"{one['mib']:,.0f}", one["made"], f"{one['made_mib']:,.0f}", f"{one['seconds']:.1f}",
         f"{one['cpu_seconds']:.1f}", f"{one['peak_mib']:,.0f}")
        for one in result["files"]
    ]  # fmt: skip
    about = f"{result['interactions']:,} interactions; {told(result['machine'])}."
    headers = ("file", "its MiB", "made", "its MiB", "seconds", "CPU seconds", "peak of the process, MiB")
    return f"{about}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.convert", __doc__)
    parser.add_argument("--interactions", default=10_000_000, type=int)
    args = parser.parse_args(argv)
    result = bench(args.interactions, args.threads)
    write_results(args.out, "convert", result, markdown(result))


if __name__ == "__main__":
    main()
