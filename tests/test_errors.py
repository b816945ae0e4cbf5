"""The errors that clients are told about."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import giftless
import giftless.lfs.locks
from giftless import errors
from giftless.errors import (
    ConfigError,
    Disconnected,
    LFSError,
    MethodNotAllowed,
    RangeNotSatisfiable,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from tests.docs.pages import DOCS
from tests.support.making import repo_of

#: What the constructors want beside the message.
ARGUMENTS: dict[str, Any] = {
    "allowed": ("GET", "HEAD"),
    "code": 404,
    "size": 10,
    "retry_after": 7,
    "lock": giftless.lfs.locks.Lock("1", repo_of(), "a.psd", "olga", 0),
}


def kinds() -> Iterator[type[LFSError]]:
    """Yield every class of the tree, also those that modules keep to themselves."""
    for module in pkgutil.walk_packages(giftless.__path__, "giftless."):
        import_module(module.name)
    yield from descendants(LFSError)


def descendants(base: type[LFSError]) -> Iterator[type[LFSError]]:
    """Yield a class and what derives from it, except what tests have derived."""
    yield base
    for kind in base.__subclasses__():
        if kind.__module__.startswith("giftless."):
            yield from descendants(kind)


def make(kind: type[LFSError], message: str) -> LFSError:
    """Make an error of a class, whatever else it wants."""
    names = list(inspect.signature(kind).parameters)[1:]
    return kind(message, **{name: ARGUMENTS[name] for name in names})


class LFSErrorTests(SynchronousTestCase):
    def test_every_error_needs_a_message(self) -> None:
        """Clients crash on errors without one."""
        seen = list(kinds())
        self.assertGreater(len(seen), 15)
        for kind in seen:
            self.assertRaises(ValueError, make, kind, "")

    def test_every_error_keeps_its_message(self) -> None:
        for kind in kinds():
            error = make(kind, "what went wrong")
            self.assertEqual(error.message, "what went wrong")
            self.assertEqual(str(error), "what went wrong")

    def test_every_error_has_the_status_of_an_error(self) -> None:
        for kind in kinds():
            self.assertTrue(400 <= kind.code <= 599, kind)

    def test_a_status_has_one_class_from_which_its_other_classes_derive(self) -> None:
        codes: dict[int, type[LFSError]] = {}
        for kind in kinds():
            if kind.__module__.startswith(f"{errors.__name__}."):
                self.assertTrue(issubclass(kind, codes.setdefault(kind.code, kind)), kind)

    def test_every_class_has_a_cause_of_its_own(self) -> None:
        causes: dict[str, type[LFSError]] = {}
        for kind in kinds():
            self.assertIn("cause", vars(kind), kind)
            self.assertRegex(kind.cause, r"\A[a-z]+(-[a-z]+)*\Z")
            self.assertIs(causes.setdefault(kind.cause, kind), kind)

    def test_the_operators_guide_has_each_cause_with_its_status(self) -> None:
        rows = re.findall(r"(?m)^``([a-z-]+)`` +(\d{3})  +\S", (DOCS / "operating.rst").read_text())
        self.assertEqual(sorted(rows), sorted((kind.cause, str(kind.code)) for kind in kinds()))

    def test_every_error_says_what_it_is(self) -> None:
        for kind in kinds():
            self.assertTrue((kind.__doc__ or "").strip(), kind)

    def test_headers_are_text_of_one_line(self) -> None:
        for kind in kinds():
            for name, value in make(kind, "x").headers.items():
                self.assertTrue(name.isascii() and value.isprintable())

    def test_some_errors_bring_headers(self) -> None:
        self.assertEqual(MethodNotAllowed("x", ("GET", "HEAD")).headers, {"Allow": "GET, HEAD"})
        self.assertEqual(RangeNotSatisfiable("x", 10).headers, {"Content-Range": "bytes */10"})
        self.assertEqual(TooManyRequests("x", 7).headers, {"Retry-After": "7"})
        self.assertEqual(ServiceUnavailable("x", 8).headers, {"Retry-After": "8"})
        self.assertEqual(Unauthorized("x").headers, {})

    def test_a_client_that_left_cannot_be_told_anything(self) -> None:
        self.assertFalse(issubclass(Disconnected, LFSError))


class ConfigErrorTests(SynchronousTestCase):
    def test_it_names_the_keys_path(self) -> None:
        error = ConfigError("storage.path", "is missing")
        self.assertEqual(str(error), "storage.path: is missing")
        self.assertEqual((error.path, error.problem), ("storage.path", "is missing"))

    def test_a_problem_of_the_whole_file_has_no_path(self) -> None:
        self.assertEqual(str(ConfigError("", "is not YAML")), "is not YAML")

    @given(st.text(), st.text())
    def test_it_is_shown_in_one_line(self, path: str, problem: str) -> None:
        shown = str(ConfigError(path, problem))
        self.assertLessEqual(len(shown.splitlines()), 1)
        whole = f"{path}: {problem}" if path else problem
        self.assertEqual("".join(shown.split()), "".join(whole.split()))
