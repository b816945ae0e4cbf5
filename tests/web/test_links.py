"""The URLs that batch replies point to."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.errors import BadRequest
from giftless.interfaces import ILinks
from giftless.lfs.objects import Repo
from giftless.web.links import Links
from tests.support.making import oid_of

OID = oid_of(b"abc")
BASE = "https://lfs.example:8443/prefix"


class LinksTests(SynchronousTestCase):
    def test_it_provides_its_interface(self) -> None:
        verifyObject(ILinks, Links(BASE, ["org", "repo"]))

    def test_links_are_in_the_form_by_which_the_client_came(self) -> None:
        for segments, path in (
            (["org", "repo"], "/org/repo"),
            (["org", "repo.git", "info", "lfs"], "/org/repo.git/info/lfs"),
            (["a", "b", "c.git", "info", "lfs"], "/a/b/c.git/info/lfs"),
        ):
            links = Links(BASE, segments)
            self.assertEqual(links.storage(OID, {}), f"{BASE}{path}/objects/storage/{OID}")
            self.assertEqual(links.verify(), f"{BASE}{path}/objects/storage/verify")

    def test_any_endpoint_can_be_linked_to(self) -> None:
        links = Links(BASE, ["org", "r\u00e9po"])
        self.assertEqual(links.endpoint("stage/a b"), f"{BASE}/org/r%C3%A9po/stage/a%20b")
        self.assertEqual(
            links.endpoint("stage/x", {"a": "&"}), f"{BASE}/org/r%C3%A9po/stage/x?a=%26"
        )

    def test_parameters_are_encoded(self) -> None:
        url = Links(BASE, ["repo"]).storage(OID, {"filename": "a&b=\u00fc #?.bin", "x": ""})
        self.assertTrue(url.isascii())
        query = parse_qs(urlsplit(url).query, keep_blank_values=True)
        self.assertEqual(query, {"filename": ["a&b=\u00fc #?.bin"], "x": [""]})

    @given(st.lists(st.text(), min_size=1, max_size=4), st.dictionaries(st.text(), st.text()))
    def test_a_link_leads_back_to_the_repository_whatever_it_is_called(
        self, segments: list[str], parameters: dict[str, str]
    ) -> None:
        try:
            Repo.parse(segments)
        except BadRequest:
            return
        parameters = {
            name.encode(errors="replace").decode(): value.encode(errors="replace").decode()
            for name, value in parameters.items()
        }
        url = Links("http://h", segments).storage(OID, parameters)
        self.assertTrue(url.isascii() and url.isprintable() and " " not in url)
        parts = urlsplit(url)
        self.assertEqual(parts.netloc, "h")
        names = [unquote(name) for name in parts.path.split("/")]
        self.assertEqual(names, ["", *segments, "objects", "storage", OID])
        query = parse_qs(parts.query, keep_blank_values=True)
        self.assertEqual({name: [value] for name, value in parameters.items()}, query)
