"""Python programs in new processes, which start with the libraries imported, but neither RecBole nor the pack.

A process of Python that has imported them forks for each program: what is imported takes ten times as long as what most
programs do.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PATIENCE = 300  # seconds, on a busy machine
ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "ray.tune", "sklearn.metrics", "scipy.sparse.linalg", "torch._dynamo", "torch.utils.tensorboard", "pandas",
    "plotly", "tqdm", "thop", "texttable", "colorlog", "tabulate", "safetensors.torch", "pyarrow.parquet",
)  # fmt: skip


def python(
    *words: str, cwd: str | Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python WORDS`` (a file, ``-m NAME`` or ``-c CODE``, and its arguments), in `env` or this environment.

    What takes longer than `PATIENCE` fails.
    """
    environment = dict(os.environ if env is None else env)
    environment["PYTHONPATH"] = os.pathsep.join([environment.get("PYTHONPATH", ""), str(ROOT)]).strip(os.pathsep)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("out", "err")]
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps([words, str(cwd or Path.cwd()), environment, files]) + "\n")
        server.stdin.flush()
        timer = threading.Timer(PATIENCE, server.kill)
        timer.start()
        code = int(server.stdout.readline())
        timer.cancel()
        out, err = (Path(file).read_text(encoding="utf-8", errors="replace") for file in files)
    return subprocess.CompletedProcess(list(words), code, out, err)


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    return server


def serve() -> None:
    """Fork for each line of stdin, and answer with the exit code."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # what is shared stays shared
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os._exit(code_of(*json.loads(line)))
        _, status = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def code_of(*asked: Any) -> int:
    """Run a program and what it has left to its end, but not the end of the interpreter, which takes long."""
    code: object = 0
    try:
        run(*asked)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        sys.stderr.write(code + "\n")
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def run(words: Sequence[str], cwd: str, environment: Mapping[str, str], files: Sequence[str]) -> None:
    """Be the process that was asked for."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate((os.devnull, *files)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
    warnings.simplefilter("ignore")
    kind, *rest = words
    sys.path[:] = [*environment["PYTHONPATH"].split(os.pathsep), *sys.path[1:]]
    if kind == "-c":
        code, *arguments = rest
        sys.argv = ["-c", *arguments]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif kind == "-m":
        sys.path.insert(0, cwd)
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        file = Path(kind).resolve()
        sys.path.insert(0, str(file.parent))
        sys.argv = list(words)
        runpy.run_path(str(file), run_name="__main__")


if __name__ == "__main__":
    serve()
