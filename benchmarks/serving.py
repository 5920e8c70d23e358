"""How long a list takes over HTTP, at 1, 8 and 64 clients, beside the same list by brute force in the process.

The exported folder is generated: random vectors, 100 items seen by each user. The service runs in a process of its own;
each client keeps its connection and asks for one random user after the other.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import arguments, machine, told, whole_numbers, workplace, write_results
from recbole_mm.serving.export_card import CARD, FORMAT, ExportCard
from recbole_mm.serving.exported_folder import exported_folder
from recbole_mm.serving.user_lists import lists_of

SEEN = 100  # items of a user
WIDTH = 64
QUANTILES = (0.5, 0.95, 0.99)


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments("benchmarks.serving", __doc__, threads=1)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=63_000)
    parser.add_argument("--clients", type=whole_numbers, default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=640, help="of all clients together")
    parser.add_argument("--port", type=int, default=8123)
    known = parser.parse_args(argv)
    with workplace(known.threads) as folder:
        generate(folder / "exported", known.users, known.items)
        before = machine()
        rows = {"brute force, no HTTP": brute_force(folder / "exported", known.requests)}
        words = [sys.executable, "-m", "recbole_mm", "serve", str(folder / "exported"), f"--port={known.port}"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:  # noqa: S603 - its own command
            try:
                wait(known.port)
                for clients in known.clients:
                    name = f"{clients} client{'s'[: clients > 1]}"
                    rows[name] = over_http(known.port, clients, known.requests, known.users)
            finally:
                server.terminate()
    result = {"machine": before, "of": {"users": known.users, "items": known.items}, "rows": rows}
    write_results(known.out, "serving", result, table(result))


def generate(out: Path, n_users: int, n_items: int) -> None:
    """Write an exported folder of random numbers."""
    out.mkdir()
    random = np.random.default_rng(0)
    for name, n in (("users", n_users), ("items", n_items)):
        np.save(out / f"{name}.npy", random.normal(size=(n, WIDTH)).astype(np.float32))
        (out / f"{name}.ids").write_text("".join(f"{name[0]}{row}\n" for row in range(n)), encoding="utf-8")
    np.save(out / "seen_starts.npy", np.arange(n_users + 1, dtype=np.int64) * SEEN)
    np.save(out / "seen_items.npy", random.integers(0, n_items, n_users * SEEN).astype(np.int32))
    card = ExportCard(
        FORMAT, "random", "generated", "user_id", "item_id", n_users, n_items, WIDTH, n_users * SEEN,
        sequential=False, length=0, checked=0.0, checkpoint_sha256="", data_hash="", made="",
    )  # fmt: skip
    (out / CARD).write_text(json.dumps(asdict(card)), encoding="utf-8")


def brute_force(folder: Path, n: int) -> dict[str, Any]:
    """Return the seconds of lists in this process, one user after the other."""
    opened = exported_folder(folder)
    users = np.random.default_rng(1).integers(0, len(opened.user_ids), n)
    seconds = []
    for user in users:
        began = time.perf_counter()
        next(lists_of(opened, np.array([user]), 20, hide=opened.seen))
        seconds.append(time.perf_counter() - began)
    return summary(seconds, sum(seconds))


def over_http(port: int, clients: int, n: int, n_users: int) -> dict[str, Any]:
    """Return the seconds of requests of so many clients at once."""

    def client(seed: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        seconds = []
        for user in np.random.default_rng(seed).integers(0, n_users, n // clients):
            began = time.perf_counter()
            connection.request("GET", f"/recommend?user=u{user}&k=20")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the service answered {answer.status}")
            seconds.append(time.perf_counter() - began)
        return seconds

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = [one for seconds in pool.map(client, range(clients)) for one in seconds]
    return summary(found, time.perf_counter() - began)


def summary(seconds: Sequence[float], total: float) -> dict[str, Any]:
    quantiles = {f"{100 * q:g} %": float(np.quantile(seconds, q)) for q in QUANTILES}
    return {"seconds": quantiles, "a second": len(seconds) / total}


def wait(port: int) -> None:
    """Wait until the service answers, half a minute at most."""
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the service does not answer on port {port}")


def table(result: dict[str, Any]) -> str:
    of = result["of"]
    names = [f"{100 * q:g} %" for q in QUANTILES]
    lines = [
        f"{of['users']:,} users, {of['items']:,} items, {WIDTH} numbers each, lists of 20; {told(result['machine'])}",
        "",
        f"| | {' | '.join(f'{name}, ms' for name in names)} | lists a second |",
        f"|---{'|--:' * (len(names) + 1)}|",
    ]
    for name, row in result["rows"].items():
        cells = " | ".join(f"{1000 * row['seconds'][quantile]:.1f}" for quantile in names)
        lines.append(f"| {name} | {cells} | {row['a second']:,.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
