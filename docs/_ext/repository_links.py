"""Let pages that are included from the root of the repository link to pages.

There, links are paths, as hosting sites want them: ``docs/architecture.rst``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_LINK = re.compile(r"`([^`<]+) <(?:docs/)?([\w/-]+)\.rst>`_")


def _relink(_: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    """Turn each path into the page that it is, or is included in."""
    content[0] = _LINK.sub(lambda link: f":doc:`{link[1]} </{link[2].lower()}>`", content[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("include-read", _relink)
    return {"parallel_read_safe": True}
