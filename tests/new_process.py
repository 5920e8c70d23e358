"""Python programs in new processes, which start with the libraries imported, and with the pack where it is asked for.

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
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

import psutil

PATIENCE = 300  # seconds, on a busy machine
ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "ray.tune", "sklearn.metrics", "scipy.sparse.linalg", "torch._dynamo", "torch.utils.tensorboard", "pandas",
    "plotly", "tqdm", "thop", "texttable", "colorlog", "tabulate", "safetensors.torch", "pyarrow.parquet",
)  # fmt: skip


PACK = (
    "recbole_mm", "recbole.quick_start", "recbole.utils.case_study", "recbole_mm.commands.compare",
    "recbole_mm.commands.recommend", "recbole_mm.commands.run", "recbole_mm.commands.tune",
)  # fmt: skip


def python(
    *words: str, cwd: str | Path | None = None, env: Mapping[str, str] | None = None, plugged_in: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``python WORDS`` (a file, ``-m NAME`` or ``-c CODE``, and its arguments), in `env` or this environment.

    With `plugged_in` it begins behind ``import recbole_mm``, else before RecBole is imported. What takes longer than
    `PATIENCE` fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("out", "err")]
        code = _asked(words, cwd, env, files, plugged_in=plugged_in, waits=True)
        out, err = (Path(file).read_text(encoding="utf-8", errors="replace") for file in files)
    return subprocess.CompletedProcess(list(words), code, out, err)


def command(
    *words: str, cwd: str | Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``recbole-mm WORDS`` in a process that has imported the pack; see `python`."""
    return python("-m", "recbole_mm", *words, cwd=cwd, env=env, plugged_in=True)


def begun(*words: str, cwd: str | Path, env: Mapping[str, str] | None, said: Path) -> psutil.Process:
    """Begin ``recbole-mm WORDS``, whose output and errors go to `said`, and return its process while it runs."""
    files = [str(said)] * 2
    return psutil.Process(_asked(("-m", "recbole_mm", *words), cwd, env, files, plugged_in=True, waits=False))


def _asked(
    words: Sequence[str], cwd: str | Path | None, env: Mapping[str, str] | None, files: Sequence[str], **how: bool
) -> int:
    """Return the exit code of a program or, where it is not waited for, its process id."""
    environment = dict(os.environ if env is None else env)
    environment["PYTHONPATH"] = os.pathsep.join([environment.get("PYTHONPATH", ""), str(ROOT)]).strip(os.pathsep)
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    program = {"words": words, "cwd": str(cwd or Path.cwd()), "environment": environment, "files": files}
    server.stdin.write(json.dumps({**how, "program": program}) + "\n")
    server.stdin.flush()
    timer = threading.Timer(PATIENCE, server.kill)
    timer.start()
    answer = int(server.stdout.readline())
    timer.cancel()
    return answer


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    return server


def serve(lines: Iterable[str], answer: Callable[[int], object], imports: Sequence[str]) -> None:
    """Fork for each line, and answer with the exit code or the process id."""
    for name in imports:
        importlib.import_module(name)
    gc.freeze()  # what is shared stays shared
    plugged_in, unwaited = None, set[int]()
    signal.signal(signal.SIGCHLD, lambda *_: unwaited.difference_update([pid for pid in unwaited if ended(pid)]))
    for line in lines:
        asked = json.loads(line)
        if asked.pop("plugged_in", False):
            plugged_in = plugged_in or PluggedIn()
            answer(plugged_in.answered(json.dumps(asked)))
            continue
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(code_of(**asked["program"]))
        if asked["waits"]:
            answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        else:
            unwaited.add(pid)
            answer(pid)


def ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


class PluggedIn:
    """A fork of the server which has imported the pack, and forks for each program that is to begin there."""

    def __init__(self) -> None:
        (its_lines, lines), (answers, its_answers) = os.pipe(), os.pipe()
        if not os.fork():
            os.close(lines)  # else it never ends
            sys.path[0] = str(ROOT)
            serve(os.fdopen(its_lines), lambda number: os.write(its_answers, f"{number}\n".encode()), PACK)
            os._exit(0)
        self.lines: IO[str] = os.fdopen(lines, "w")
        self.answers: IO[str] = os.fdopen(answers)

    def answered(self, line: str) -> int:
        self.lines.write(line + "\n")
        self.lines.flush()
        return int(self.answers.readline())


def code_of(**program: Any) -> int:
    """Run a program and what it has left to its end, but not the end of the interpreter, which takes long."""
    code: object = 0
    try:
        run(**program)
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
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
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
        script = Path(kind).resolve()
        sys.path.insert(0, str(script.parent))
        sys.argv = list(words)
        runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    serve(sys.stdin, lambda number: os.write(1, f"{number}\n".encode()), LIBRARIES)
