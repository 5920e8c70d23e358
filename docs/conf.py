"""The site: ``make docs`` builds it into build/docs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import recbole_mm  # noqa: F401 (plugs into RecBole before autodoc imports modules in any order)
from recbole_mm.base import versions

project = "recbole-mm"
release = versions.version("recbole-mm")
copyright = "2026, the recbole-mm founders"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "extension"]
exclude_patterns = ["extension"]

html_theme = "furo"
html_title = "recbole-mm"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # CHANGELOG and other files outside start at the level that they need

smartquotes = False
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings have the types
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]  # one line for several names
