"""Where a request really comes from, and what the server is called there."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from giftless.errors import BadRequest
from giftless.web.framing import HOST
from giftless.web.proxies import Proxies

PROXY = "10.0.0.7"
CLIENT = "203.0.113.5"


def request_from(peer: Any, secure: bool = False, **headers: str | list[str]) -> Request:
    """Return a request; in header names ``_`` stands for ``-``."""
    channel = DummyChannel()
    if secure:
        channel.transport = DummyChannel.SSL()
    request = Request(channel, False)
    request.client = IPv4Address("TCP", peer, 1234) if isinstance(peer, str) else peer
    request.requestHeaders = Headers(
        {
            name.replace("_", "-").encode(): [
                value.encode("latin-1") for value in ([given] if isinstance(given, str) else given)
            ]
            for name, given in headers.items()
        }
    )
    return request


class TrustTests(SynchronousTestCase):
    def test_addresses_and_networks_are_trusted(self) -> None:
        proxies = Proxies(["10.0.0.0/8", "192.0.2.1", "fd00::/8", "172.16.5.9/16"])
        for host in ("10.0.0.1", "10.255.255.255", "192.0.2.1", "fd00::1", "172.16.0.1"):
            self.assertTrue(proxies.trusts(host), host)
        for host in ("11.0.0.1", "192.0.2.2", "fe80::1", "172.17.0.1", "::1"):
            self.assertFalse(proxies.trusts(host), host)

    def test_a_unix_socket_is_trusted_if_that_is_said(self) -> None:
        self.assertTrue(Proxies(["unix"]).trusts(""))
        self.assertFalse(Proxies(["10.0.0.0/8"]).trusts(""))
        self.assertFalse(Proxies(["unix"]).trusts("10.0.0.1"))

    def test_nobody_is_trusted_by_default(self) -> None:
        for host in ("", "127.0.0.1", "::1", "x"):
            self.assertFalse(Proxies([]).trusts(host))

    def test_names_are_not_trusted(self) -> None:
        """They would be somebody else's to define."""
        self.assertFalse(Proxies(["0.0.0.0/0", "::/0"]).trusts("localhost"))

    def test_what_is_no_address_is_refused(self) -> None:
        for text in ("localhost", "10.0.0.0/33", "", "UNIX"):
            self.assertRaises(ValueError, Proxies, [text])


class ClientTests(SynchronousTestCase):
    def client(self, peer: Any, *forwarded: str, trusted: tuple[str, ...] = ("10.0.0.0/8",)) -> str:
        """Return the client's address, for a peer and its X-Forwarded-For headers."""
        return Proxies(trusted).client(request_from(peer, X_Forwarded_For=list(forwarded)))

    def test_without_a_proxy_it_is_the_peer(self) -> None:
        self.assertEqual(self.client(CLIENT), CLIENT)
        self.assertEqual(self.client(IPv6Address("TCP", "2001:db8::1", 1)), "2001:db8::1")

    def test_nobody_else_can_say_who_it_is(self) -> None:
        self.assertEqual(self.client(CLIENT, "198.51.100.1"), CLIENT)

    def test_a_proxy_tells_who_it_is(self) -> None:
        self.assertEqual(self.client(PROXY, CLIENT), CLIENT)
        self.assertEqual(self.client(PROXY, "2001:db8::1"), "2001:db8::1")

    def test_what_a_client_claims_to_its_proxy_does_not_count(self) -> None:
        """The proxy appends; only what it has appended is certain."""
        self.assertEqual(self.client(PROXY, f"127.0.0.1, {CLIENT}"), CLIENT)
        self.assertEqual(self.client(PROXY, "127.0.0.1", CLIENT), CLIENT)
        self.assertEqual(self.client(PROXY, f"10.0.0.99, {CLIENT}"), CLIENT)

    def test_a_chain_of_proxies_is_followed_to_its_end(self) -> None:
        self.assertEqual(self.client(PROXY, f"127.0.0.1, {CLIENT}, 10.0.0.9, 10.0.0.8"), CLIENT)

    def test_a_request_of_a_proxy_itself_is_its_own(self) -> None:
        self.assertEqual(self.client(PROXY), PROXY)
        self.assertEqual(self.client(PROXY, ""), PROXY)
        self.assertEqual(self.client(PROXY, "10.0.0.9, 10.0.0.8"), "10.0.0.9")

    def test_a_proxy_on_a_unix_socket_may_be_trusted(self) -> None:
        peer = UNIXAddress("/run/giftless.sock")
        self.assertEqual(self.client(peer, CLIENT, trusted=("unix",)), CLIENT)
        self.assertEqual(self.client(peer, CLIENT), "")

    @given(st.lists(st.text(alphabet="0123456789.,: abc", max_size=20), max_size=4))
    def test_an_untrusted_peer_is_itself_whatever_it_sends(self, forwarded: list[str]) -> None:
        self.assertEqual(self.client(CLIENT, *forwarded), CLIENT)


class BaseUrlTests(SynchronousTestCase):
    def base(self, peer: str = CLIENT, secure: bool = False, **headers: str | list[str]) -> str:
        """Return the server's root for a request."""
        return Proxies(["10.0.0.0/8"]).base_url(request_from(peer, secure, **headers))

    def test_it_is_the_host_that_was_asked_for(self) -> None:
        for host in ("lfs.example", "lfs.example:8080", "192.0.2.1:80", "[2001:db8::1]:8080"):
            self.assertEqual(self.base(Host=host), f"http://{host}")

    def test_the_scheme_is_the_connections(self) -> None:
        self.assertEqual(self.base(secure=True, Host="lfs.example"), "https://lfs.example")

    def test_a_request_without_a_usable_host_is_refused(self) -> None:
        for headers in ({}, {"Host": ""}, {"Host": "a b"}, {"Host": "a/b"}, {"Host": "a@b"}):
            self.assertRaises(BadRequest, self.base, **headers)

    def test_a_proxy_tells_what_was_asked_for(self) -> None:
        for headers, expected in (
            ({"X_Forwarded_Proto": "https"}, "https://inner"),
            ({"X_Forwarded_Proto": "HTTPS"}, "https://inner"),
            ({"X_Forwarded_Host": "outer"}, "http://outer"),
            (
                {"X_Forwarded_Host": "outer:8443", "X_Forwarded_Proto": "https"},
                "https://outer:8443",
            ),
            ({"X_Forwarded_Host": "outer", "X_Forwarded_Port": "81"}, "http://outer:81"),
            ({"X_Forwarded_Host": "outer:82", "X_Forwarded_Port": "81"}, "http://outer:82"),
            ({"X_Forwarded_Host": "[::1]", "X_Forwarded_Port": "81"}, "http://[::1]:81"),
            ({"X_Forwarded_Host": "forged, outer"}, "http://outer"),
            ({"X_Forwarded_Proto": ["http", "https"]}, "https://inner"),
        ):
            self.assertEqual(self.base(PROXY, Host="inner", **headers), expected)

    def test_what_a_proxy_says_must_make_sense(self) -> None:
        self.assertEqual(self.base(PROXY, Host="inner", X_Forwarded_Proto="gopher"), "http://inner")
        self.assertEqual(
            self.base(PROXY, Host="inner", X_Forwarded_Host="outer", X_Forwarded_Port="x"),
            "http://outer",
        )
        self.assertRaises(BadRequest, self.base, PROXY, Host="inner", X_Forwarded_Host="a/b")

    def test_nobody_else_can_say_what_was_asked_for(self) -> None:
        """Else anybody could have tokens sent to a host of theirs."""
        self.assertEqual(
            self.base(
                Host="inner",
                X_Forwarded_Host="evil",
                X_Forwarded_Proto="https",
                X_Forwarded_Port="81",
            ),
            "http://inner",
        )

    @given(
        st.sampled_from([CLIENT, PROXY]),
        *[st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12)] * 4,
    )
    def test_any_headers_make_a_plain_root_or_are_refused(
        self, peer: str, host: str, forwarded: str, scheme: str, port: str
    ) -> None:
        try:
            base = self.base(
                peer,
                Host=host,
                X_Forwarded_Host=forwarded,
                X_Forwarded_Proto=scheme,
                X_Forwarded_Port=port,
            )
        except BadRequest:
            return
        name, _, rest = base.partition("://")
        self.assertIn(name, ("http", "https"))
        self.assertTrue(HOST.fullmatch(rest.encode("ascii")), base)
