"""The files around the code: news fragments and what services read."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent

#: ``+`` tells towncrier that a fragment belongs to no issue; without it, the news
#: would print the name as the number of one.
FRAGMENT = re.compile(r"\+[a-z][a-z0-9]*(-[a-z0-9]+)*\.(feature|bugfix|doc|removal|misc)\.rst")


class NewsTests(SynchronousTestCase):
    """News fragments, from which towncrier makes the news of a release."""

    def setUp(self) -> None:
        """Find the fragments."""
        folder = ROOT / "newsfragments"
        self.fragments = [path for path in folder.iterdir() if path.name != "README.rst"]

    def test_every_fragment_is_named_by_words_and_its_kind(self) -> None:
        """The name says what the fragment is about and holds no number of an issue."""
        names = [path.name for path in self.fragments]
        self.assertEqual([name for name in names if not FRAGMENT.fullmatch(name)], [])

    def test_every_fragment_says_something(self) -> None:
        """No fragment is empty."""
        for path in self.fragments:
            self.assertTrue(path.read_text(encoding="utf-8").strip(), path.name)
