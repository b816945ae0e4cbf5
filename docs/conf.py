"""How Sphinx builds these pages: ``sphinx-build -W -b html docs docs/_build``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from giftless import __version__  # noqa: E402

project = "giftless"
copyright = "the giftless contributors"
release = version = __version__

extensions = ["sphinx.ext.autodoc", "source_signatures", "repository_links", "pictures", "charts"]
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]
# References to giftless must lead somewhere; those to other projects need a network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!giftless\.).*")]
html_theme = "furo"
html_title = "giftless"
html_static_path = ["_static"]
html_css_files = ["giftless.css"]
html_show_sourcelink = False
# The OpenAPI file is served as it is, for tools.
html_extra_path = ["openapi.yaml"]
