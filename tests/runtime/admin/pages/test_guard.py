"""Which requests for pages are an operator's own."""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.pages import PageRequest
from giftless.runtime.admin.pages.guard import Guard, host_name
from giftless.runtime.admin.pages.problem import Problem


def request(host: str = "127.0.0.1:9090", method: str = "GET", **members: Any) -> PageRequest:
    """Return a request."""
    members.setdefault("hosts", [host])
    return PageRequest(method, "", **members)


class HostTests(SynchronousTestCase):
    """Against DNS rebinding."""

    def setUp(self) -> None:
        # Not even an empty one among them lets in what is no name.
        self.named = {"admin.example.com", ""}
        self.guard = Guard(lambda: self.named)

    def test_addresses_and_own_names_are_answered(self) -> None:
        for host in (
            *("127.0.0.1", "127.0.0.1:9090", "10.1.2.3:80", "[::1]", "[::1]:9090", "[fe80::1]"),
            *(
                "localhost",
                "LOCALHOST:9090",
                "localhost.",
                "admin.example.com",
                "Admin.Example.com",
            ),
            *(
                "admin.example.com.:443",
                socket.gethostname(),
                socket.gethostname().partition(".")[0],
            ),
        ):
            for method in ("GET", "POST"):
                self.guard.admit(request(host, method))

    def test_names_of_others_are_not(self) -> None:
        for host in (
            *(
                "evil.example",
                "evil.example:9090",
                "127.0.0.1.evil.example",
                "localhost.evil.example",
            ),
            *(
                "evil.localhost",
                "",
                "x@127.0.0.1",
                "127.0.0.1@evil.example",
                "127.0.0.1,evil",
                "[::1",
            ),
            *(
                "127.1",
                "0x7f000001",
                "2130706433",
                "admin.example.com.evil.example",
                "a b",
                "\u0661",
            ),
            *(
                "xadmin.example.com",
                "127.0.0.1:9090, evil.example",
                "localhost\x00",
                "evil$.example",
                "(evil).example:80",
                "[::1]evil",
            ),
        ):
            for method in ("GET", "POST"):
                error = self.assertRaises(Problem, self.guard.admit, request(host, method))
                self.assertEqual(error.status, 403, host)
                self.assertIn("admin.hosts", error.message)

    def test_a_reload_may_change_the_names(self) -> None:
        self.named = {"other.example.com"}
        self.guard.admit(request("other.example.com"))
        self.assertRaises(Problem, self.guard.admit, request("admin.example.com"))

    def test_who_has_shown_a_credential_may_call_the_server_anything(self) -> None:
        """A browser shows it to no other name."""
        self.guard.admit(request("git.example.com", public=True))

    @given(st.text(st.characters(), max_size=60))
    def test_any_text_is_a_name_or_none(self, text: str) -> None:
        name = host_name(text)
        self.assertTrue(name == "" or name in text.lower())


class OriginTests(SynchronousTestCase):
    """Against requests of other sites' pages."""

    def setUp(self) -> None:
        self.guard = Guard(lambda: {"admin.example.com", ""})

    def test_the_servers_own_pages_may_send_forms(self) -> None:
        for members in (
            {"origin": "http://127.0.0.1:9090", "fetch_site": "same-origin"},
            {"origin": "http://127.0.0.1:9090"},
            {"fetch_site": "none"},
            {},
            {"origin": "https://admin.example.com", "hosts": ["127.0.0.1:9090"]},
            {
                "origin": "https://git.example.com",
                "hosts": ["10.0.0.1:8080", "git.example.com"],
                "public": True,
            },
        ):
            self.guard.admit(request(method="POST", **members))

    def test_other_origins_get_nothing(self) -> None:
        for origin in (
            *(
                "http://evil.example",
                "http://127.0.0.1:9091",
                "http://127.0.0.1",
                "null",
                "x",
                "//",
            ),
            *(
                "http://evil$.example",
                "http://evil!:9090",
                "http://127.0.0.1:9090.evil.example",
                "http://127.0.0.1:9090@evil.example",
            ),
            *("file://", "ftp://127.0.0.1:9090", "http://127.0.0.1:9090, http://evil.example"),
            *("https://admin.example.com.evil.example", "chrome-extension://127.0.0.1:9090"),
        ):
            for method in ("GET", "POST"):
                for public in (False, True):
                    asked = request(method=method, origin=origin, public=public)
                    error = self.assertRaises(Problem, self.guard.admit, asked)
                    self.assertEqual(error.status, 403, origin)

    def test_another_port_of_a_name_is_another_origin_to_who_has_logged_in(self) -> None:
        """``cors`` may let its pages use the API with the operator's password."""
        asked = request("admin.example.com", public=True, origin="https://admin.example.com:8443")
        self.assertRaises(Problem, self.guard.admit, asked)
        self.guard.admit(
            request("admin.example.com", public=True, origin="https://admin.example.com")
        )

    def test_forms_of_other_sites_are_refused_even_without_an_origin(self) -> None:
        for site in ("cross-site", "same-site"):
            asked = request(method="POST", fetch_site=site)
            self.assertRaises(Problem, self.guard.admit, asked)

    def test_a_link_on_another_site_leads_here(self) -> None:
        self.guard.admit(request(fetch_site="cross-site"))


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.guard = Guard(lambda: ())

    def test_a_token_is_good_for_its_purpose(self) -> None:
        token = self.guard.token(request(), "release 1")
        self.guard.check(request(method="POST"), "release 1", token)
        self.assertNotIn("release", token)

    def test_a_token_is_good_for_nothing_else(self) -> None:
        ada: dict[str, Any] = {"public": True, "principal": "basic#ada"}
        token = self.guard.token(request(**ada), "release 1")
        self.guard.check(request(**ada), "release 1", token)
        for asked, purpose, shown in (
            (request(**ada), "release 2", token),
            (request(), "release 1", token),
            (request(public=True, principal="basic#bob"), "release 1", token),
            (request(principal="basic#ada"), "release 1", token),
            (request(**ada), "release 1", token.upper()),
            (request(**ada), "release 1", token[:-1]),
            (request(**ada), "release 1", ""),
            (request(**ada), "release 1", "\ud800"),
            (request(**ada), "release 1", Guard(lambda: ()).token(request(**ada), "release 1")),
        ):
            error = self.assertRaises(Problem, self.guard.check, asked, purpose, shown)
            self.assertEqual(error.status, 403)
