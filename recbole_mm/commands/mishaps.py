"""What ends a command although its author foresaw nothing of the kind, as one line: files, memory, packages."""

from __future__ import annotations

import errno
import os
import sys

from recbole_mm.base.errors import InputError

# What to do about an error of the operating system.
WHAT_TO_DO = {
    errno.ENOENT: "check the path, and name a folder that can be made",
    errno.EACCES: "change its permissions, or name another place",
    errno.EPERM: "change its permissions, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.ENOSPC: "make room on the disk, or name another place",
    errno.EDQUOT: "make room in your quota, or name another place",
    errno.EEXIST: "move it away, or name another place",
    errno.ENOTDIR: "a file is where a folder is needed: move it away, or name another place",
    errno.EISDIR: "a folder is where a file is needed: move it away, or name another place",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
# What torch's errors say where memory is at an end; they are no errors of a type of their own.
NO_MEMORY = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
LESS = "lower embedding_size, train_batch_size or eval_batch_size, or use a machine with more memory"


def what_failed(error: BaseException) -> str | None:
    """Return an error in one line for the user, None where it is a mistake of the pack's or of RecBole's."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed, and this command needs it: pip install it first"
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    ):
        reason = " ".join(str(error).split()).rpartition("CPUAllocator: ")[2].partition(". Error code")[0]
        return f"out of memory{reason and f' ({reason})'}: {LESS}"
    if isinstance(error, OSError):
        return _of_system(error)
    return None


def _of_system(error: OSError) -> str:
    """Return which file, what, and what to do."""
    files = [str(file) for file in (error.filename, error.filename2) if file is not None and not isinstance(file, int)]
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if advice := WHAT_TO_DO.get(error.errno or 0):
        what = f"{what}: {advice}"
    return ": ".join([" to ".join(files) or "a file or connection", what])


def end_quietly() -> int:
    """Let nothing be written to an output that nobody reads any more, as in `| head`; return what a shell then has."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return 128 + 13  # SIGPIPE
