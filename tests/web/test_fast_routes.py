"""The short way to an endpoint leads where Klein leads."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from werkzeug.exceptions import HTTPException

from giftless.web.fast_routes import FastRoutes
from giftless.web.proxies import Proxies, ServerURL
from giftless.web.route import Level, Route
from giftless.web.routes import LFSResource


async def never_called(*_: object) -> None:
    raise NotImplementedError


ROUTES = (
    Route("objects/{oid}", ("GET", "HEAD"), never_called),
    Route("objects/batch", ("POST",), never_called),
    Route("objects/{oid}", ("PUT",), never_called),
    Route("objects/verify", ("POST", "GET"), never_called),
    Route("objects/{oid}/parts/{number}", ("PUT",), never_called),
    Route("objects/{oid}/parts", ("POST",), never_called),
    Route("info", ("GET",), never_called, Level.SERVER),
    Route("info/{name}", ("GET", "PUT"), never_called, Level.SERVER),
    Route("a.git/objects/batch", ("POST", "DELETE"), never_called, Level.SERVER),
    Route("a.b", ("GET",), never_called, Level.SERVER),
    Route("", ("GET",), never_called, Level.SERVER),
)

#: What paths are made of, so that most are almost an endpoint's.
WORDS = (
    *("objects", "batch", "verify", "parts", "org", "a.git", "info", "lfs", "1", "é"),
    *("a.b", "a-b", "", "\n"),
)


class FastRoutesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.klein = LFSResource(ROUTES, ServerURL(Proxies([]), "")).app.url_map
        numbered = [(route, str(number)) for number, route in enumerate(ROUTES)]
        self.fast = FastRoutes(numbered, Resource)  # type: ignore[arg-type]  # only matched

    def by_klein(self, method: str, path: str) -> Any:
        """Return the number of Klein's route and its variables; ``None`` if there is none."""
        try:
            return self.klein.bind("lfs.example").match(path, method)
        except HTTPException:
            return None

    @given(
        st.sampled_from(("GET", "HEAD", "POST", "PUT", "DELETE")),
        # A path that begins with two slashes is refused before (tests/web/test_framing.py);
        # Werkzeug takes them for one.
        st.lists(st.sampled_from(WORDS), max_size=9).filter(lambda words: words[:1] != [""]),
    )
    @example("POST", ["a.git", "objects", "batch"])
    @example("GET", [])
    def test_both_lead_to_the_same_endpoint(self, method: str, words: list[str]) -> None:
        path = "/" + "/".join(words)
        self.assertEqual(self.fast.match(method.encode(), path), self.by_klein(method, path), path)

    def test_names_come_before_variables(self) -> None:
        self.assertEqual(self.fast.match(b"GET", "/r/objects/verify"), ("3", {"repo": "r"}))
        self.assertEqual(
            self.fast.match(b"PUT", "/r/objects/verify"), ("2", {"repo": "r", "oid": "verify"})
        )

    def test_the_servers_own_endpoints_have_no_repository(self) -> None:
        self.assertEqual(self.fast.match(b"GET", "/info"), ("6", {}))
        self.assertEqual(self.fast.match(b"GET", "/info/x"), ("7", {"name": "x"}))
        self.assertEqual(self.fast.match(b"HEAD", "/info/x"), ("7", {"name": "x"}))
        self.assertIsNone(self.fast.match(b"GET", "/org/repo/info"))

    def test_names_are_no_patterns(self) -> None:
        self.assertIsNone(self.fast.match(b"GET", "/a-b"))
