"""Every Python that RecBole's tests start begins with the pack plugged in."""

import recbole_mm  # noqa: F401
