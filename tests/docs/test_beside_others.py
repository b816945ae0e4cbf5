"""What the page about other servers says of them has its source beside it."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.pages import DOCS, directives

PAGE = DOCS / "beside-others.rst"

#: A cell that says something, and where that stands.
SOURCED = re.compile(r":doc:`[^<`]+ <[\w/-]+>`|`[^<`]+ <(?:[\w-]+_|https://\S+)>`__")

#: What a cell says otherwise.
UNSOURCED = {"not found", "none published yet"}


def rows() -> list[list[str]]:
    """Return the rows of the tables, without their heads."""
    found = []
    for table in directives(PAGE, "list-table"):
        lines = [re.sub(r"^[* ] - ?", "", line) for line in table.content.splitlines()]
        starts = [i for i, line in enumerate(table.content.splitlines()) if line.startswith("*")]
        ends = [*starts[1:], len(lines)]
        found += [lines[a:b] for a, b in zip(starts[1:], ends[1:], strict=True)]
    return found


class TableTests(SynchronousTestCase):
    """The feature table."""

    def test_each_cell_has_its_source(self) -> None:
        self.assertGreater(len(rows()), 15)
        for name, *cells in rows():
            self.assertEqual(len(cells), 7, name)
            for cell in cells:
                if cell not in UNSOURCED:
                    self.assertRegex(cell, SOURCED, name)
