"""A Sphinx directive for charts of the benchmarks' results.

::

    .. chart:: large
       :log:

       PUT *
       GET *

The argument names a file of ``benchmarks/results``, the content the cases that are shown,
one pattern a line.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from docutils.nodes import Node
from docutils.parsers.rst import directives
from pictures import figure
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmarks.charts import draw
from benchmarks.report import Results

_RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


class Chart(SphinxDirective):
    """``.. chart:: WORKLOAD``."""

    required_arguments = 1
    has_content = True
    option_spec = {"log": directives.flag}

    def run(self) -> list[Node]:
        """Draw what was measured."""
        path = _RESULTS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        patterns = [line for line in self.content if line]
        try:
            results = msgspec.json.decode(path.read_bytes(), type=Results)
            svg = draw(results, patterns, "log" in self.options)
        except (OSError, ValueError) as error:
            raise self.error(f"the chart cannot be drawn: {error}") from None
        return [figure(svg, path.stem)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("chart", Chart)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
