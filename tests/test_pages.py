"""What all pages share: whatever the data say is shown and never read as HTML, and no template asks for too much."""

from __future__ import annotations

from html import escape

import numpy as np
import pytest
from jinja2 import UndefinedError
from pages import Page

from recbole_mm.html.render import render
from recbole_mm.inspection.feature_numbers import features
from recbole_mm.inspection.found import Inspection, Modality
from recbole_mm.inspection.inspect_page import inspection_html

EVIL = "<script>alert('1')</script>&\""


def test_an_inspection_escapes_names_of_datasets_models_users_and_modalities() -> None:
    read = features(iter([(np.array([0, 1]), np.array([[2, 0], [1, 1]]))]), EVIL)
    found = Inspection(EVIL, EVIL, modalities={EVIL: Modality(features=read)})
    found.problems.add(f"user '{EVIL}' has no interactions", is_error=True)
    found.problems.add(f"user '{EVIL}' has few interactions")
    text = inspection_html(found)
    shown = escape(EVIL).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    assert Page(text).tags.count("script") == 4  # plotly, its colours, the one plot, and sorting
    assert "<script>alert" not in text
    assert text.count(shown) == 2 * 2 + 2 + 2  # the title and the heading, the problems, the table
    assert all("&lt;" not in each for each in Page(text).texts)  # nothing is escaped twice


def test_a_value_that_a_template_does_not_get_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="summary"):
        render("sweep.html", plotlyjs="", sweep=Inspection("toy", "MHCR"))
