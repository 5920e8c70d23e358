"""Multimodal and micro-video recommenders for RecBole: importing this package plugs them in."""

import importlib
import importlib.util

RECBOLE = "1.2.1"  # the version that the table of patches is for
INSTALL = f"pip install --no-deps recbole=={RECBOLE}"

if importlib.util.find_spec("recbole") is None:
    raise ImportError(f"recbole-mm needs RecBole; install it with: {INSTALL}")

found = importlib.import_module("recbole").__version__
if found != RECBOLE:
    raise ImportError(f"recbole-mm is made for RecBole {RECBOLE}, and {found} is installed; install it with: {INSTALL}")

from recbole_mm.recbole_bridge import table  # noqa: E402

table.apply()

from recbole_mm.recbole_bridge import plugin  # noqa: E402  (RecBole can be imported only after the patches)
from recbole_mm.recbole_bridge.models import register_model  # noqa: E402

__all__ = ["register_model"]

plugin.register()
