"""Typed options from plain data, and errors for people who edit files."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect
from twisted.trial.unittest import SynchronousTestCase

from giftless.base import schema
from giftless.base.schema import EnvironmentValue, convert
from giftless.base.units import Duration, Share, Size
from giftless.errors import ConfigError


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    """A section in a section."""

    level: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5
    name: str = ""


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    """A section with every kind of value."""

    needed: str
    text: str = ""
    maybe: str | None = None
    number: int = 0
    least: Annotated[int, msgspec.Meta(ge=3)] = 3
    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    switch: bool = False
    choice: Literal["red", "green"] = "red"
    many: Annotated[int, msgspec.Meta(ge=1)] | Literal["all"] = 1
    names: list[str] = []
    numbers: list[int] = []
    pair: tuple[int, ...] = ()
    perhaps: list[int] | None = None
    long: Annotated[str, msgspec.Meta(min_length=3)] = "abc"
    inner: Inner = Inner()
    option: Inner | None = None
    anything: dict[str, Any] = {}
    keep: Duration = Duration(60)
    perhaps_kept: Duration | None = None
    largest: Size = Size(0)
    sizes: list[Size] = []
    warn: Share = Share(0.8)
    renamed: int = msgspec.field(default=1, name="re-named")


def made(**members: Any) -> Outer:
    """Convert a section that is fine but for what is given."""
    return convert({"needed": "x", **members}, Outer, "section")


class ConvertTests(SynchronousTestCase):
    def refusal(self, **members: Any) -> ConfigError:
        """Return why a section cannot be converted."""
        error: ConfigError = self.assertRaises(ConfigError, made, **members)
        return error

    def assert_refused(self, path: str, found: str, wanted: str, **members: Any) -> None:
        """Check that an error names the path, what was found and what is allowed."""
        error = self.refusal(**members)
        self.assertEqual(error.path, path)
        self.assertEqual(error.problem, f"found {found}, allowed is {wanted}")

    def test_what_is_not_given_has_its_default(self) -> None:
        self.assertEqual(made(), Outer(needed="x"))

    def test_values_of_the_right_type_are_taken(self) -> None:
        result = made(
            text="a",
            maybe="b",
            number=-5,
            least=3,
            ratio=1,
            switch=True,
            choice="green",
            names=["a", "b"],
            numbers=[1],
            pair=[1, 2],
            perhaps=[3],
            inner={"level": 9},
            option={"name": "n"},
            anything={"x": [1, {"y": None}]},
        )
        self.assertEqual(result.ratio, 1.0)
        self.assertEqual(result.inner, Inner(level=9))
        self.assertEqual(result.option, Inner(name="n"))
        self.assertEqual(result.anything, {"x": [1, {"y": None}]})
        self.assertEqual(result.pair, (1, 2))
        self.assertEqual(result.perhaps, [3])

    def test_durations_sizes_and_shares_are_written_with_units(self) -> None:
        result = made(
            keep="30d", perhaps_kept=90, largest="10G", sizes=["1k", 5, "1KiB"], warn="75%"
        )
        self.assertEqual((result.keep, result.perhaps_kept), (2_592_000.0, 90.0))
        self.assertEqual((result.largest, result.sizes), (10**10, [1000, 5, 1024]))
        self.assertEqual(result.warn, 0.75)
        self.assertIsInstance(result.keep, Duration)
        self.assertIsNone(made(perhaps_kept=None).perhaps_kept)

    def test_nothing_is_a_value_where_it_is_allowed(self) -> None:
        self.assertIsNone(made(maybe=None).maybe)
        self.assertIsNone(made(option=None).option)
        self.assertIsNone(made(perhaps=None).perhaps)

    def test_a_key_may_have_another_name_in_the_file(self) -> None:
        self.assertEqual(made(**{"re-named": 7}).renamed, 7)
        self.assertIn("unknown key", self.refusal(renamed=7).problem)

    def test_a_missing_key_is_named(self) -> None:
        error = self.assertRaises(ConfigError, convert, {}, Outer, "a.b")
        self.assertEqual(str(error), "a.b.needed: is missing, and has no default")

    def test_an_unknown_key_is_named_with_what_may_have_been_meant(self) -> None:
        error = self.refusal(numbr=1)
        self.assertEqual(error.path, "section.numbr")
        self.assertIn("did you mean 'number'?", error.problem)
        self.assertIn("allowed here: anything, choice, inner,", error.problem)

    def test_keys_of_somebody_else_are_left_alone(self) -> None:
        """They are known all the same, where an unknown one is named."""
        found = convert({"level": 7, "force": 1}, Inner, "", ["force"])
        self.assertEqual(found, Inner(level=7))
        error = self.assertRaises(ConfigError, convert, {"forced": 1}, Inner, "", ["force"])
        self.assertIn("did you mean 'force'? allowed here: force, level, name", error.problem)

    def test_an_unknown_key_that_resembles_none_has_no_suggestion(self) -> None:
        error = self.refusal(zzzzzz=1)
        self.assertNotIn("did you mean", error.problem)

    def test_a_section_without_keys_says_so(self) -> None:
        class Empty(msgspec.Struct):
            """Has no options."""

        error = self.assertRaises(ConfigError, convert, {"x": 1}, Empty, "storage")
        self.assertEqual(str(error), "storage: unknown key; allowed here: nothing")
        self.assertEqual(error.key, "x")

    def test_an_unknown_key_of_an_inner_section_has_its_whole_path(self) -> None:
        for name in ("inner", "option"):
            error = self.refusal(**{name: {"levle": 1}})
            self.assertEqual(error.path, f"section.{name}.levle")
            self.assertIn("did you mean 'level'?", error.problem)

    def test_a_key_that_is_no_text_is_unknown(self) -> None:
        error = self.assertRaises(ConfigError, convert, {"needed": "x", 5: 1}, Outer, "")
        self.assertEqual((error.path, error.key), ("", "5"))
        error = self.refusal(anything={True: 1})
        self.assertEqual((error.path, error.key), ("section.anything", "True"))
        self.assertIn("YAML does not take for text", error.problem)

    def test_what_should_be_a_section_must_be_one(self) -> None:
        for found, words in (
            ("x", "text"),
            (5, "5"),
            (True, "true"),
            ([], "an empty list"),
        ):
            error = self.refusal(inner=found)
            self.assertEqual(error.path, "section.inner")
            self.assertEqual(error.problem, f"found {words}, but this is a section with keys")
        error = self.assertRaises(ConfigError, convert, None, Outer, "")
        self.assertEqual(str(error), "found nothing, but this is a section with keys")

    def test_wrong_values_are_named_with_what_is_allowed(self) -> None:
        number = "a whole number"
        self.assert_refused("section.number", "text", number, number="x")
        self.assert_refused("section.number", "1.5", number, number=1.5)
        self.assert_refused("section.number", "true", number, number=True)
        self.assert_refused("section.number", "nothing", number, number=None)
        self.assert_refused("section.number", "an empty list", number, number=[])
        self.assert_refused("section.number", "a section", number, number={})
        self.assert_refused("section.least", "2", f"{number}, at least 3", least=2)
        self.assert_refused(
            "section.inner.level", "10", f"{number} from 1 to 9", inner={"level": 10}
        )
        self.assert_refused("section.ratio", "1.5", "a number from 0 to 1", ratio=1.5)
        self.assert_refused("section.switch", "text", "true or false", switch="yes")
        self.assert_refused("section.switch", "1", "true or false", switch=1)
        self.assert_refused("section.text", "5", "text", text=5)
        self.assert_refused("section.long", "text", "text of 3 or more", long="ab")
        self.assert_refused("section.maybe", "5", "text or nothing", maybe=5)
        self.assert_refused("section.choice", "text", "one of: green, red", choice="blue")
        self.assert_refused("section.names", "text", "a list, each item text", names="a")
        self.assert_refused("section.anything", "text", "a section with keys", anything="a")
        self.assert_refused("section.keep", "text", Duration.ALLOWED, keep="1 month")
        self.assert_refused("section.keep", "-1", Duration.ALLOWED, keep=-1)
        self.assert_refused("section.keep", "nothing", Duration.ALLOWED, keep=None)
        self.assert_refused(
            "section.perhaps_kept", "text", f"{Duration.ALLOWED} or nothing", perhaps_kept="x"
        )
        self.assert_refused("section.largest", "a number", Size.ALLOWED, largest=1e30)
        self.assert_refused("section.warn", "80", Share.ALLOWED, warn=80)

    def test_a_wrong_item_of_a_list_has_its_index(self) -> None:
        self.assert_refused("section.names.1", "5", "text", names=["a", 5])
        self.assert_refused("section.numbers.0", "text", "a whole number", numbers=["a"])
        self.assert_refused("section.perhaps.2", "nothing", "a whole number", perhaps=[1, 2, None])
        self.assert_refused("section.sizes.1", "text", Size.ALLOWED, sizes=["1k", "1x"])
        self.assert_refused("section.pair.1", "text", "a whole number", pair=[1, "b"])

    @given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())))
    def test_whatever_stands_in_a_file_is_taken_or_refused_with_a_path(
        self, section: dict[str, Any]
    ) -> None:
        try:
            made(**{"needed": "x", **section})
        except ConfigError as error:
            self.assertTrue(error.path.startswith("section." if error.key is None else "section"))
            self.assertTrue(error.problem)
            self.assertEqual(len(error.problem.splitlines()), 1, error.problem)


class EnvironmentTests(SynchronousTestCase):
    def from_environment(self, name: str, text: str) -> Any:
        """Convert one value that comes as text."""
        return getattr(made(**{name: EnvironmentValue(text)}), name)

    def test_text_stays_text_whatever_it_looks_like(self) -> None:
        for text in ("123", "true", "null", "~", "", "1e3", "[a]", "2024-01-01", " x ", "{"):
            for name in ("text", "maybe", "needed"):
                value = self.from_environment(name, text)
                self.assertEqual(value, text)
                self.assertIs(type(value), str)

    def test_other_values_are_read_as_yaml_has_them(self) -> None:
        for name, text, expected in (
            ("number", "-5", -5),
            ("ratio", "0.25", 0.25),
            ("ratio", "1", 1.0),
            ("switch", "true", True),
            ("switch", "no", False),
            ("choice", "green", "green"),
            ("many", "5", 5),
            ("many", "all", "all"),
            ("names", "[a, b]", ["a", "b"]),
            ("numbers", "[1, 2]", [1, 2]),
            ("numbers", "[]", []),
            ("perhaps", "null", None),
            ("pair", "[1]", (1,)),
            ("keep", "30d", Duration(2_592_000)),
            ("perhaps_kept", "90", Duration(90)),
            ("largest", "10G", Size(10**10)),
            ("sizes", "[1k, 5]", [1000, 5]),
            ("warn", "75%", Share(0.75)),
            ("inner", "{level: 2}", Inner(level=2)),
            ("option", "{level: 2}", Inner(level=2)),
            ("anything", "{a: {b: 1}}", {"a": {"b": 1}}),
        ):
            self.assertEqual(self.from_environment(name, text), expected, (name, text))

    def test_items_of_a_list_may_come_from_the_environment(self) -> None:
        self.assertEqual(
            made(names=["a", EnvironmentValue("5")], numbers=[1, EnvironmentValue("5")]),
            Outer(needed="x", names=["a", "5"], numbers=[1, 5]),
        )
        self.assertEqual(made(perhaps=[EnvironmentValue("5")]).perhaps, [5])

    def test_keys_of_a_section_may_come_from_the_environment(self) -> None:
        inner = {"level": EnvironmentValue("7"), "name": EnvironmentValue("7")}
        self.assertEqual(made(inner=inner).inner, Inner(level=7, name="7"))

    def test_what_is_wrong_is_described_and_not_shown(self) -> None:
        for name, text, words in (
            ("number", "x", "text"),
            ("number", "{", "text"),
            ("number", "2024-13-45", "text"),
            ("number", "2024-12-24", "a date"),
            ("number", "9" * 5000, "text"),
            ("number", "", "nothing"),
            ("number", "[" * 5000, "text"),
            ("choice", "blue", "text"),
        ):
            error = self.assertRaises(ConfigError, self.from_environment, name, text)
            self.assertEqual(error.path, f"section.{name}")
            self.assertTrue(error.problem.startswith(f"found {words}, "), error.problem)

    @given(st.text())
    def test_any_text_is_taken_as_text(self, text: str) -> None:
        self.assertEqual(self.from_environment("text", text), text)

    @given(st.text(max_size=30))
    def test_any_text_is_taken_or_refused_elsewhere(self, text: str) -> None:
        for name in (
            "number",
            "switch",
            "keep",
            "sizes",
            "warn",
            "numbers",
            "inner",
            "anything",
            "option",
        ):
            try:
                self.from_environment(name, text)
            except ConfigError as error:
                self.assertTrue(error.path.startswith(f"section.{name}"))

    @given(st.integers(-(10**30), 10**30))
    def test_a_number_is_the_same_from_the_file_and_from_the_environment(self, number: int) -> None:
        def outcome(value: object) -> object:
            try:
                return made(number=value).number
            except ConfigError as error:
                return error.path

        self.assertEqual(outcome(EnvironmentValue(number)), outcome(number))


class ExpandTests(SynchronousTestCase):
    def test_only_what_is_from_the_environment_is_expanded(self) -> None:
        self.assertEqual(schema.expand("[1]"), "[1]")
        self.assertEqual(schema.expand(EnvironmentValue("[1]")), [1])
        self.assertEqual(schema.expand(EnvironmentValue("[")), "[")


class WordsTests(SynchronousTestCase):
    def test_paths_are_joined_by_dots(self) -> None:
        self.assertEqual(schema.join("a.b", "c"), "a.b.c")
        self.assertEqual(schema.join("", "c"), "c")

    def test_every_type_has_words(self) -> None:
        for kind, words in (
            (str, "text"),
            (float, "a number"),
            (list[list[bool]], "a list, each item a list, each item true or false"),
            (tuple[str, ...], "a list, each item text"),
            (Inner, "a section with keys"),
            (None, "nothing"),
        ):
            self.assertEqual(schema.allowed(inspect.type_info(kind)), words, json.dumps(str(kind)))
