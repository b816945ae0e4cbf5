"""Where a request really comes from, and what the server is called there."""

from __future__ import annotations

from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address
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

#: What the value of a header may hold.
LATIN_1 = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12)


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

    def test_a_proxy_is_trusted_however_its_address_is_written(self) -> None:
        """A socket for both protocols shows IPv4 inside IPv6; link-local ones have a zone."""
        proxies = Proxies(["10.0.0.7", "2001:db8::5", "fe80::/10"])
        for host in ("::ffff:10.0.0.7", "2001:db8:0::5", "fe80::1%eth0"):
            self.assertTrue(proxies.trusts(host), host)
            self.assertTrue(proxies.forwards(request_from(IPv6Address("TCP", host, 1))), host)
        inside = Proxies(["::ffff:10.0.0.0/104", "::ffff:192.0.2.1"])
        for host in ("10.0.0.7", "::ffff:10.0.0.7", "192.0.2.1"):
            self.assertTrue(inside.trusts(host), host)
        self.assertFalse(inside.trusts("192.0.2.2"))
        for host in ("::ffff:10.0.0.8", "2001:db8::6"):
            self.assertFalse(proxies.forwards(request_from(IPv6Address("TCP", host, 1))), host)

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

    def test_a_port_is_no_part_of_an_address(self) -> None:
        """Azure's gateways write it, and it differs from connection to connection."""
        for hop, address in (
            ("203.0.113.5:5678", CLIENT),
            ("203.0.113.5:", CLIENT),
            ('"203.0.113.5:5678"', CLIENT),
            ("::ffff:203.0.113.5", CLIENT),
            ("[::ffff:203.0.113.5]:80", CLIENT),
            ("[2001:db8::1]:5678", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ('"[2001:db8::1]:5678"', "2001:db8::1"),
            ("2001:DB8:0::0001", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
        ):
            self.assertEqual(self.client(PROXY, hop), address, hop)
            self.assertEqual(self.client(PROXY, f"{hop}, 10.0.0.9:80"), address, hop)

    def test_a_hop_that_is_no_address_is_the_proxy_that_wrote_it(self) -> None:
        """Else each request could be another client."""
        for hop in ("unknown", "_hidden", "localhost", "1.2.3", "1.2.3.4.5", "[", '"', ":", "\xff"):
            self.assertEqual(self.client(PROXY, hop), PROXY, hop)
            self.assertEqual(self.client(PROXY, f"{CLIENT}, {hop}"), PROXY, hop)
            self.assertEqual(self.client(PROXY, f"{CLIENT}, {hop}, 10.0.0.9"), "10.0.0.9", hop)

    @given(
        st.ip_addresses(),
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.sampled_from(["{a}", "{a}:{port}", "[{a}]", "[{a}]:{port}", '"[{a}]:{port}"']),
    )
    def test_an_address_is_the_same_with_any_port(
        self, address: IPv4 | IPv6, port: int, other: int, form: str
    ) -> None:
        if address.version == 6 and form == "{a}:{port}":
            form = "[{a}]:{port}"
        first, second = (
            self.client(PROXY, form.format(a=address, port=number), trusted=(PROXY,))
            for number in (port, other)
        )
        self.assertEqual(first, second)
        mapped = address.ipv4_mapped if isinstance(address, IPv6) else None
        self.assertEqual(first, str(mapped or address))

    @given(st.lists(LATIN_1, max_size=4))
    def test_whatever_a_proxy_writes_the_client_is_an_address(self, forwarded: list[str]) -> None:
        ip_address(self.client(PROXY, *forwarded))

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

    def test_a_port_belongs_to_the_host_that_was_asked_for(self) -> None:
        for host, headers, expected in (
            ("outer", {"Port": "8443", "Proto": "https"}, "https://outer:8443"),
            ("outer", {"Port": "8080"}, "http://outer:8080"),
            ("[::1]", {"Port": "8080"}, "http://[::1]:8080"),
            ("outer:81", {"Port": "8443", "Proto": "https"}, "https://outer:8443"),
            ("outer:81", {"Proto": "https"}, "https://outer:81"),
            ("outer", {"Port": "443", "Proto": "https"}, "https://outer"),
            ("outer", {"Port": "80", "Proto": "http"}, "http://outer"),
            ("inner", {"Host": "outer", "Port": "443", "Proto": "https"}, "https://outer"),
            ("inner:81", {"Host": "outer", "Port": "8443"}, "http://outer:8443"),
            ("outer:443", {"Proto": "https"}, "https://outer"),
            # Without a scheme, the port tells it.
            ("outer", {"Port": "443"}, "https://outer"),
            ("outer", {"Port": "80"}, "http://outer"),
        ):
            forwarded: dict[str, Any] = {
                f"X_Forwarded_{name}": value for name, value in headers.items()
            }
            self.assertEqual(self.base(PROXY, Host=host, **forwarded), expected, (host, headers))

    def test_the_scheme_is_right_where_the_port_contradicts_it(self) -> None:
        """A proxy behind the one that ends TLS tells the port that it listens on itself."""
        for headers, expected in (
            ({"Host": "outer", "Port": "80", "Proto": "https"}, "https://outer"),
            ({"Port": "80", "Proto": "https"}, "https://inner"),
            ({"Host": "outer:80", "Proto": "https"}, "https://outer"),
            ({"Host": "outer:80", "Port": "8443", "Proto": "https"}, "https://outer:8443"),
            ({"Host": "outer", "Port": "443", "Proto": "http"}, "http://outer"),
            ({"Host": "outer", "Port": "8443, 80", "Proto": "https, http"}, "https://outer:8443"),
        ):
            forwarded: dict[str, Any] = {
                f"X_Forwarded_{name}": value for name, value in headers.items()
            }
            self.assertEqual(self.base(PROXY, Host="inner", **forwarded), expected, headers)

    def test_tls_on_the_way_is_the_clients(self) -> None:
        """The hops behind the end of TLS add "http", each of them."""
        for scheme in ("https,http", "https, http, http", "HTTPS,http", "http,https", "x,https"):
            self.assertEqual(
                self.base(PROXY, Host="outer", X_Forwarded_Proto=scheme), "https://outer", scheme
            )
        self.assertEqual(
            self.base(PROXY, secure=True, Host="outer", X_Forwarded_Proto="http"), "http://outer"
        )

    def test_a_port_that_is_none_means_nothing(self) -> None:
        for port in ("", "0", "65536", "99999999999", "-1", "+1", "8 0", "\xb2", "0x50", "http"):
            self.assertEqual(
                self.base(PROXY, Host="outer", X_Forwarded_Port=port), "http://outer", port
            )

    def test_forwarded_means_nothing(self) -> None:
        """RFC 7239: proxies that set X-Forwarded-* pass it on as their client has sent it."""
        value = 'for=192.0.2.9;host=evil;proto=https, for="[2001:db8::1]:1"'
        self.assertEqual(self.base(PROXY, Host="outer", Forwarded=value), "http://outer")
        request = request_from(PROXY, Forwarded=value)
        self.assertEqual(Proxies(["10.0.0.0/8"]).client(request), PROXY)

    @given(
        st.sampled_from(["http", "https"]),
        st.integers(1, 65535),
        st.sampled_from(["outer", "outer.example.com", "192.0.2.1", "[2001:db8::1]"]),
        st.booleans(),
    )
    def test_the_port_is_what_the_proxy_says_and_left_out_if_the_scheme_implies_it(
        self, scheme: str, port: int, name: str, in_host: bool
    ) -> None:
        headers: dict[str, Any] = (
            {"X_Forwarded_Host": f"{name}:{port}"}
            if in_host
            else {"X_Forwarded_Host": name, "X_Forwarded_Port": str(port)}
        )
        base = self.base(PROXY, Host="inner:81", X_Forwarded_Proto=scheme, **headers)
        suffix = "" if port in (80, 443) else f":{port}"
        self.assertEqual(base, f"{scheme}://{name}{suffix}")

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
        *[LATIN_1] * 4,
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
