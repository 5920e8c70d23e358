"""Multimodal and micro-video recommenders for RecBole: importing this package plugs them in."""

import importlib.util

if importlib.util.find_spec("recbole") is None:
    raise ImportError("recbole-mm needs RecBole; install it with: pip install --no-deps recbole==1.2.1")

from recbole_mm.recbole_bridge import stack as compat

compat.apply()

from recbole_mm.recbole_bridge import plugin  # noqa: E402  (RecBole can be imported only after the shims)
from recbole_mm.recbole_bridge.models import register_model  # noqa: E402

__all__ = ["register_model"]

plugin.register()
