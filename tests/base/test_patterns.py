"""Patterns of repositories: what they match, and how long that takes."""

from __future__ import annotations

import re
import subprocess
import sys

from hypothesis import example, given
from hypothesis import strategies as st

from giftless.base.patterns import compile_pattern
from tests.support.run import CoroutineTestCase

PATHS = st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=7).map("/".join)
PATTERNS = st.lists(
    st.one_of(st.just("**"), st.text("ab*?", min_size=1, max_size=6)), min_size=1, max_size=7
).map("/".join)

#: Prints whether a pattern matches a path.
PROGRAM = """
import sys
from giftless.base.patterns import compile_pattern
print(compile_pattern(sys.argv[1]).fullmatch(sys.argv[2]) is not None)
"""

#: How long one match may take on a busy machine, with the start of Python, in seconds.
#: It takes years if each place is tried for each ``*``.
LONG = 60


def translate(pattern: str) -> str:
    """Say what a pattern means in the shortest way, which may take exponential time."""
    segments = pattern.split("/")
    expression = ""
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            expression += ".+" if last else "(?:.+/)?"
            continue
        globs = {"*": "[^/]*", "?": "[^/]"}
        expression += "".join(globs.get(char, re.escape(char)) for char in segment)
        expression += "" if last else "/"
    return expression


class PatternTests(CoroutineTestCase):
    @given(PATTERNS.filter(lambda text: not re.search(r"[^/]\*\*|\*\*[^/]", text)), PATHS)
    @example("**/a/**/a/b", "a/a/b")
    @example("**/a/**/b/**", "b/a/b")
    @example("**/a/**/a", "a")
    @example("**/a*a/**/*", "a/aa/b")
    @example("**/**", "a")
    @example("a*a", "a")
    @example("*a*a*b", "aab")
    @example("*?*", "a")
    def test_patterns_mean_what_their_plain_translation_means(
        self, pattern: str, path: str
    ) -> None:
        expected = re.fullmatch(translate(pattern), path, re.DOTALL) is not None
        self.assertEqual(compile_pattern(pattern).fullmatch(path) is not None, expected)

    def test_no_pattern_takes_long(self) -> None:
        many, letters = "/".join("a" * 32), "a" * 255
        for pattern, path in (
            ("**/" * 30 + "x", many),
            ("**/a/" * 20 + "x", many),
            ("**/*/" * 20 + "x", many),
            ("**/*/a/" * 10 + "**/x/**", many),
            ("a*" * 60 + "x", letters),
            ("*a?" * 60 + "x", letters),
            ("**/*a*a*/" * 10 + "x", "/".join([letters] * 32)),
        ):
            ended = subprocess.run(
                [sys.executable, "-c", PROGRAM, pattern, path],
                check=True,
                capture_output=True,
                timeout=LONG,
            )
            self.assertEqual(ended.stdout, b"False\n", pattern)
