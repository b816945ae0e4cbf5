"""The short way to an endpoint leads where Klein leads."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from werkzeug.exceptions import HTTPException

from giftless.web.endpoint import Route
from giftless.web.fast_routes import Shortcut
from giftless.web.proxies import Proxies
from giftless.web.routes import LFSResource

ROUTES = (
    Route("objects/<string:oid>", ("GET", "HEAD"), lambda *_: None),  # type: ignore[arg-type,return-value]
    Route("objects/batch", ("POST",), lambda *_: None),  # type: ignore[arg-type,return-value]
    Route("objects/<string:oid>", ("PUT",), lambda *_: None),  # type: ignore[arg-type,return-value]
    Route("objects/verify", ("POST", "GET"), lambda *_: None),  # type: ignore[arg-type,return-value]
    Route("objects/<string:oid>/parts/<string:number>", ("PUT",), lambda *_: None),  # type: ignore[arg-type,return-value]
    Route("objects/<string:oid>/parts", ("POST",), lambda *_: None),  # type: ignore[arg-type,return-value]
)

#: What paths are made of, so that most are almost an endpoint's.
WORDS = ("objects", "batch", "verify", "parts", "org", "a.git", "info", "lfs", "1", "é", "", "\n")


class ShortcutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.klein = LFSResource(ROUTES, Proxies([]), "").app.url_map
        numbered = [(route, str(number)) for number, route in enumerate(ROUTES)]
        self.shortcut = Shortcut(numbered, Resource())  # type: ignore[arg-type]  # only matched

    def by_klein(self, method: str, path: str) -> Any:
        """Return the number of Klein's route and its variables; ``None`` if there is none."""
        try:
            return self.klein.bind("lfs.example").match(path, method)
        except HTTPException:
            return None

    @given(
        st.sampled_from(("GET", "HEAD", "POST", "PUT", "DELETE")),
        st.lists(st.sampled_from(WORDS), max_size=9),
    )
    def test_both_lead_to_the_same_endpoint(self, method: str, words: list[str]) -> None:
        path = "/" + "/".join(words)
        self.assertEqual(
            self.shortcut.match(method.encode(), path), self.by_klein(method, path), path
        )

    def test_names_come_before_variables(self) -> None:
        self.assertEqual(self.shortcut.match(b"GET", "/r/objects/verify"), ("3", {"repo": "r"}))
        self.assertEqual(
            self.shortcut.match(b"PUT", "/r/objects/verify"), ("2", {"repo": "r", "oid": "verify"})
        )
