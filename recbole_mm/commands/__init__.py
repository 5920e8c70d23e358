"""The commands of `recbole-mm`: each module reads the arguments of one and does nothing else."""

from collections.abc import Callable
from typing import Any

Say = Callable[..., Any]  # takes a line for the user and, if it is not for stdout, a stream
