"""Multimodal and micro-video recommenders for RecBole: importing this package plugs them in."""

import importlib.util
import sys


def plug_in() -> None:
    """Plug the pack into RecBole; a second call changes nothing."""
    if importlib.util.find_spec("recbole") is None:
        raise ImportError("recbole-mm needs RecBole; install it with: pip install --no-deps recbole==1.2.1")

    from recbole_mm.recbole_bridge import stack  # noqa: PLC0415

    stack.apply()

    from recbole_mm.recbole_bridge import plugin  # noqa: PLC0415 (RecBole can be imported only after the shims)

    plugin.register()


# While Python looks for the module of `python -m recbole_mm`, the arguments are not read: the command line plugs in.
if sys.argv[:1] != ["-m"] or sys.orig_argv[-len(sys.argv)] != "recbole_mm":
    plug_in()
