"""A Sphinx directive that puts an SVG into the page itself.

An ``<img>`` knows nothing of the page around it.  Inside the page, a picture takes its
colours from the theme (``_static/giftless.css``), so it is light where the page is light,
and dark where it is dark.  Usage::

    .. picture:: pictures/one-machine.svg

The SVG describes itself to those who cannot see it, by ``<title>`` and ``<desc>``.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: Where an SVG names one of its own parts.
_NAMES = re.compile(r'( id="|url\(#)')


def figure(svg: str, name: str) -> Node:
    """Return the node of a picture.

    :param svg: the picture; its ids are made unique on the page by ``name``.
    """
    unique = _NAMES.sub(lambda found: f"{found[1]}{name}-", svg)
    return nodes.container("", nodes.raw("", unique, format="html"), classes=["picture"])


class Picture(SphinxDirective):
    """``.. picture:: FILE``, a path relative to the page or, with a ``/``, to ``docs``."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Read the file."""
        relative, absolute = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        try:
            svg = Path(absolute).read_text()
        except OSError as error:
            raise self.error(f"the picture cannot be read: {error}") from None
        return [figure(svg, Path(absolute).stem)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
