"""Speed of the pack's models beside RecBole's, side by side in one run."""

import recbole_mm  # noqa: F401 (RecBole can be imported only after it)
