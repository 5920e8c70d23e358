"""RecBole's intervals, such as "[5,inf)" or "(0,1];[3,4)": what it cannot read, it passes over."""

from __future__ import annotations

import math
import re
from typing import Any

from recbole_mm.base.errors import InputError

INTERVAL = re.compile(r"[\[(]([^,]+),([^,]+)[\])]")


def check_interval(name: str, value: Any) -> None:
    """Refuse an interval that RecBole would pass over, or misread.

    Parameters
    ----------
    name : str
        The setting.
    value : object
        Its value; a list or tuple of two numbers is a closed or an open interval.

    Raises
    ------
    InputError
        Another syntax, an end that is no number, or a left end above the right one.
    """
    for text in str(value).split(";"):
        match = INTERVAL.fullmatch(text.strip())
        try:
            left, right = map(float, match.groups()) if match else (math.nan, math.nan)
        except ValueError:
            left = right = math.nan
        if math.isnan(left) or math.isnan(right):
            raise InputError(
                f"invalid interval '{text}' in {name}: write [5,inf) or (0,1], several as (0,1];[3,4), "
                "round brackets leaving out the end"
            )
        if left > right:
            raise InputError(f"invalid interval '{text}' in {name}: its left end is above its right end")
