"""The grants file: its patterns, and what is wrong with wrong ones."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from giftless.auth.grants import READ, READ_WRITE
from giftless.auth.passwords import grants_file
from giftless.auth.passwords.grants_file import parse_grants
from giftless.base.patterns import compile_pattern
from giftless.base.watched_file import FileProblem
from giftless.lfs.objects import Permission
from tests.support.making import repo_of
from tests.support.run import CoroutineTestCase

#: Segments of patterns and of paths.
NAMES = st.text("ab.-", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)


def matches(pattern: str, path: str) -> bool:
    return compile_pattern(pattern).fullmatch(path) is not None


def slowly_matches(pattern: list[str], path: list[str]) -> bool:
    """Say the same in another way, one segment at a time."""
    if not pattern:
        return not path
    if pattern == ["**"]:
        return len(path) >= 1
    if pattern[0] == "**":
        return any(slowly_matches(pattern[1:], path[i:]) for i in range(len(path) + 1))
    if not path:
        return False
    segment = re.escape(pattern[0]).replace(r"\*", ".*").replace(r"\?", ".")
    return bool(re.fullmatch(segment, path[0])) and slowly_matches(pattern[1:], path[1:])


class PatternTests(CoroutineTestCase):
    def test_what_patterns_match(self) -> None:
        for pattern, path, expected in (
            ("acme/rocket", "acme/rocket", True),
            ("acme/rocket", "acme/rocket2", False),
            ("acme/rocket", "acme/Rocket", False),
            ("acme/rocket", "x/acme/rocket", False),
            ("acme/*", "acme/rocket", True),
            ("acme/*", "acme/group/rocket", False),
            ("acme/*", "acme", False),
            ("acme/*", "acme2/rocket", False),
            ("*/rocket", "acme/rocket", True),
            ("*/*", "acme/rocket", True),
            ("*/*", "acme/group/rocket", False),
            ("*", "rocket", True),
            ("*", "acme/rocket", False),
            ("acme/ro*t", "acme/rocket", True),
            ("acme/ro*t", "acme/rot", True),
            ("acme/ro?ket", "acme/rocket", True),
            ("acme/ro?ket", "acme/roket", False),
            ("**", "acme/rocket", True),
            ("**", "rocket", True),
            ("acme/**", "acme/rocket", True),
            ("acme/**", "acme/group/sub/rocket", True),
            ("acme/**", "acme", False),
            ("acme/**", "acme2/rocket", False),
            ("**/rocket", "rocket", True),
            ("**/rocket", "acme/group/rocket", True),
            ("**/rocket", "acme/bigrocket", False),
            ("acme/**/rocket", "acme/rocket", True),
            ("acme/**/rocket", "acme/a/b/rocket", True),
            ("acme/**/rocket", "acmerocket", False),
            ("a.c/x", "abc/x", False),
            ("acme/[rs]ocket", "acme/rocket", False),
            ("acme/[rs]ocket", "acme/[rs]ocket", True),
            ("acme/r\u00f6cket", "acme/r\u00f6cket", True),
        ):
            self.assertEqual(matches(pattern, path), expected, (pattern, path))

    def test_patterns_that_cannot_match_are_refused(self) -> None:
        for pattern in ("", "/", "/acme", "acme/", "acme//rocket", "acme**", "acme/**x/y", "***"):
            self.assertRaises(ValueError, compile_pattern, pattern)

    @given(
        st.lists(st.one_of(NAMES, st.just("**"), st.text("ab*?", min_size=1, max_size=3)))
        .filter(bool)
        .filter(lambda segments: all(s == "**" or "**" not in s for s in segments)),
        PATHS,
    )
    def test_patterns_match_segment_by_segment(self, segments: list[str], path: str) -> None:
        self.assertEqual(
            matches("/".join(segments), path), slowly_matches(segments, path.split("/"))
        )

    @given(PATHS, PATHS)
    def test_a_plain_path_matches_itself_alone(self, pattern: str, path: str) -> None:
        self.assertEqual(matches(pattern, path), pattern == path)


class AccessTests(CoroutineTestCase):
    def permissions(self, text: str, user: str, path: str) -> frozenset[Permission]:
        return parse_grants(text.encode()).permissions((user,), repo_of(path))

    def problem(self, text: str) -> str:
        return str(self.assertRaises(FileProblem, parse_grants, text.encode()))

    def test_users_have_what_their_lines_give(self) -> None:
        text = "alice:\n  acme/*: write\nbob:\n  acme/*: read\n"
        self.assertEqual(self.permissions(text, "alice", "acme/rocket"), READ_WRITE)
        self.assertEqual(self.permissions(text, "bob", "acme/rocket"), READ)
        self.assertEqual(self.permissions(text, "carol", "acme/rocket"), frozenset())
        self.assertEqual(self.permissions(text, "alice", "other/rocket"), frozenset())

    def test_a_file_is_read_once_however_many_lines_it_has(self) -> None:
        """Where a line stands is looked for only if something is wrong with it."""
        self.patch(grants_file, "find_place", self.fail)
        users = range(300)
        text = "".join(f"user{n}:\n  acme/{n}: read\n  lab/{n}: write\n" for n in users)
        grants = parse_grants(text.encode())
        for n in users:
            self.assertEqual(grants.permissions((f"user{n}",), repo_of(f"lab/{n}")), READ_WRITE)

    def test_administrators_do_what_writers_do_and_more(self) -> None:
        text = "alice:\n  acme/*: admin\n"
        self.assertEqual(
            self.permissions(text, "alice", "acme/rocket"), READ_WRITE | {Permission.ADMIN}
        )

    def test_grants_add_up_in_any_order(self) -> None:
        for text in (
            "alice:\n  acme/*: read\n  acme/rocket: write\n",
            "alice:\n  acme/rocket: write\n  acme/*: read\n",
        ):
            self.assertEqual(self.permissions(text, "alice", "acme/rocket"), READ_WRITE)
            self.assertEqual(self.permissions(text, "alice", "acme/anvil"), READ)

    def test_a_star_is_everybody(self) -> None:
        text = '"*":\n  public/**: read\nalice:\n  public/site: write\n'
        self.assertEqual(self.permissions(text, "bob", "public/site"), READ)
        self.assertEqual(self.permissions(text, "alice", "public/site"), READ_WRITE)
        self.assertEqual(self.permissions(text, "alice", "public/a/b"), READ)

    def test_who_has_no_lines_has_nothing(self) -> None:
        for text in ("", "# nobody yet\n", "alice:\n", "alice: {}\n"):
            self.assertEqual(self.permissions(text, "alice", "acme/rocket"), frozenset())

    def test_problems_are_named(self) -> None:
        for text, words in (
            ("alice: [", ("is not valid YAML",)),
            ("[" * 3000 + "]" * 3000, ("is not valid YAML", "levels of nesting in line 1")),
            ("alice: {acme/x: " + "[" * 3000, ("is not valid YAML", "levels of nesting")),
            ("alice: &a\n  acme/x: *a\n", ("is not valid YAML", "an alias inside")),
            ('alice: {acme/x: !!int ""}', ("is not valid YAML", "not of its type in line 1")),
            ("- alice\n", ("found a list", "allowed is a mapping")),
            ("alice: write\n", ("line 1, column 1: found text", "allowed is a mapping")),
            ("alice:\n  - acme/*\n", ("line 1, column 1: found a list",)),
            ("alice:\n  acme/*: owner\n", ("line 2, column 3: found text", "read, write, admin")),
            ("alice:\n  acme/*: true\n", ("line 2, column 3: found true", "read, write")),
            ("alice:\n  acme/*:\n", ("line 2, column 3: found nothing", "read, write")),
            ("alice:\n  /acme/*: read\n", ("line 2, column 3: ", "begins or ends with '/'")),
            ("alice:\n  acme**: read\n", ("line 2, column 3: ", "whole segment")),
            ("1234:\n  acme/*: read\n", ("a key that YAML", "quotes")),
            ("yes:\n  acme/*: read\n", ("a key that YAML", "quotes")),
            ("alice:\n  12: read\n", ("line 1, column 1: found a key that", "quotes")),
            ("\x00", ("is not valid YAML",)),
        ):
            problem = self.problem(text)
            for word in words:
                self.assertIn(word, problem)
            self.assertNotIn("\n", problem)

    def test_bytes_that_are_no_text_are_a_problem(self) -> None:
        self.assertRaises(FileProblem, parse_grants, b"alice: \xff\xfe")

    def test_code_in_yaml_is_not_run(self) -> None:
        self.assertIn("YAML", self.problem("!!python/object/apply:os.getcwd []"))
