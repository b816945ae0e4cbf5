"""YAML becomes a value or one error, whatever is in it."""

from __future__ import annotations

import time

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.safe_yaml import MAX_ALIASED, MAX_DEPTH, load_yaml


def laughs(levels: int, aliases: int = 10) -> str:
    """Return a document of which each level holds several aliases of the one before."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        items = ", ".join([f"*l{level - 1}"] * aliases)
        lines.append(f"l{level}: &l{level} [{items}]")
    return "\n".join(lines)


class LoadTests(SynchronousTestCase):
    def test_a_document_is_read(self) -> None:
        self.assertEqual(load_yaml("a: [1, x]"), {"a": [1, "x"]})
        self.assertEqual(load_yaml(b"a: 1"), {"a": 1})
        self.assertIsNone(load_yaml(""))

    def test_aliases_and_merged_keys_are_read(self) -> None:
        text = "base: &base {a: 1, b: [2, 3]}\nsame: *base\nmore: {<<: *base, c: 4}\n"
        base = {"a": 1, "b": [2, 3]}
        self.assertEqual(load_yaml(text), {"base": base, "same": base, "more": {**base, "c": 4}})

    def test_what_cannot_be_read_is_told_in_one_line(self) -> None:
        for text in (
            "{",
            "a: b: c",
            "\x00",
            "2024-13-45",
            "9" * 5000,
            "a: 0x" + "f" * 20_000,
            "1:" * 30_000 + "1",
            "[" * 10_000,
            "- " * 10_000,
            "!!python/x y",
            '!!int ""',
            "!!float []",
            "!!bool x",
            "!!timestamp x",
            "{a: {[b]: c}}",
        ):
            error = self.assertRaises(ValueError, load_yaml, text)
            self.assertNotIsInstance(error, yaml.YAMLError)
            self.assertEqual(len(str(error).splitlines()), 1)

    def test_nesting_is_refused_at_the_first_level_that_is_too_deep(self) -> None:
        deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
        self.assertIsInstance(load_yaml(deepest), list)
        for text, place in (
            (f"[{deepest}]", f"line 1, column {MAX_DEPTH + 1}"),
            ("a:\n  " + "[" * 3000 + "]" * 3000, f"line 2, column {MAX_DEPTH + 2}"),
        ):
            error = self.assertRaises(ValueError, load_yaml, text)
            self.assertEqual(
                str(error), f"found more than {MAX_DEPTH} levels of nesting in {place}"
            )

    def test_nesting_by_aliases_is_refused(self) -> None:
        lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, MAX_DEPTH - 2))]
        self.assertEqual(len(load_yaml("\n".join(lines))), MAX_DEPTH - 2)
        lines += [f"a{n}: &a{n} [*a{n - 1}]" for n in range(MAX_DEPTH - 2, MAX_DEPTH + 1)]
        error = self.assertRaises(ValueError, load_yaml, "\n".join(lines))
        self.assertIn("levels of nesting", str(error))

    def test_an_alias_inside_what_it_stands_for_is_refused(self) -> None:
        for text in ("&a [*a]", "&a {b: *a}", "a: &a {b: [{c: *a}]}"):
            error = self.assertRaises(ValueError, load_yaml, text)
            self.assertIn("found an alias inside what it stands for", str(error))

    def test_aliases_may_stand_for_a_bounded_number_of_values(self) -> None:
        self.assertEqual(len(load_yaml(laughs(4))), 4)
        for text in (laughs(9), laughs(9).replace("[x, x", "[{y: x}, x")):
            error = self.assertRaises(ValueError, load_yaml, text)
            self.assertIn(f"stand for more than {MAX_ALIASED} values", str(error))

    def test_merged_keys_may_stand_for_a_bounded_number_of_values(self) -> None:
        keys = ", ".join(f"k{n}: v" for n in range(10))
        lines = [f"m0: &m0 {{{keys}}}"]
        for level in range(1, 12):
            merged = ", ".join([f"*m{level - 1}"] * 10)
            lines.append(f"m{level}: &m{level} {{<<: [{merged}]}}")
        before = time.monotonic()
        error = self.assertRaises(ValueError, load_yaml, "\n".join(lines))
        self.assertIn("stand for more than", str(error))
        self.assertLess(time.monotonic() - before, 30)

    @given(st.text(alphabet="{}[]:,-#&*!|>'\"%@` \n\tab01.~<="))
    def test_anything_is_a_document_or_a_value_error(self, text: str) -> None:
        try:
            read = load_yaml(text)
        except ValueError:
            try:
                read = yaml.safe_load(text)
            except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError):
                return
            self.assertIn("*", text, "only an alias makes a document that is read be refused")
        else:
            self.assertEqual(repr(read), repr(yaml.safe_load(text)))
