"""The certificate of a client, as a proxy tells it; ``test_auth_certificate`` has TLS."""

from __future__ import annotations

import base64
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from zope.interface import implementer

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.errors import BadRequest
from giftless.interfaces import Credentials, IAuthenticator, Identity, Password
from giftless.lfs.objects import Repo
from giftless.web.certificates import _parse
from giftless.web.cors import CorsOptions
from tests.support.client_certificates import Authority
from tests.support.making import oid_of
from tests.support.tokens import basic
from tests.web.support import FrontTestCase, Response, batch_body

HEADER = "X-Client-Cert"

ALICE = Authority().issue("alice")

#: As nginx writes it, and as RFC 9440 does.
ESCAPED = quote(ALICE.pem.decode(), safe="")
RFC9440 = f":{base64.b64encode(ALICE.der).decode()}:"

PROXY = IPv4Address("TCP", "10.0.0.1", 4000)
CLIENT = IPv4Address("TCP", "192.0.2.9", 4000)


@implementer(IAuthenticator)
class Noting:
    """Lets everybody in, and notes what was shown.

    :ivar shown: the credentials of the last request.
    """

    def __init__(self) -> None:
        self.shown = Credentials()

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        self.shown = credentials
        return Identity("somebody", RepoGrants(READ_WRITE))


class HeaderTests(FrontTestCase):
    """What is believed, and of whom."""

    def ask(
        self,
        *headers: tuple[str, str],
        peer: IPv4Address = PROXY,
        trusted: str = "10.0.0.0/8",
        certificate_header: str = HEADER,
        cors: CorsOptions | None = None,
    ) -> Response:
        """Send a batch request with some headers.

        :ivar shown: what the authenticator was shown.
        """
        noting = Noting()
        self.serve(
            authenticators=[noting],
            trusted=[trusted],
            certificate_header=certificate_header,
            cors=cors,
        )
        body = batch_body("download", {"oid": oid_of(b"x"), "size": 1})
        # By hand: a mapping has no two headers of one name.
        lines = [
            "POST /org/repo/objects/batch HTTP/1.1",
            "Host: lfs.example",
            "Content-Type: application/vnd.git-lfs+json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        connection = self.connect(peer)
        connection.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.shown = noting.shown
        return connection.response()

    def test_a_trusted_proxy_is_believed(self) -> None:
        for value in (ESCAPED, RFC9440):
            for name in (HEADER, HEADER.lower(), HEADER.upper()):
                self.assertEqual(self.ask((name, value)).status, 200)
                (certificate,) = self.shown.certificates
                self.assertEqual(certificate.der, ALICE.der)

    def test_nobody_else_is_believed(self) -> None:
        for options in (
            {"peer": CLIENT},
            {"trusted": "192.0.2.1"},
            {"certificate_header": ""},
            {"certificate_header": "X-Other"},
        ):
            response = self.ask((HEADER, ESCAPED), ("X-Forwarded-For", "10.0.0.1"), **options)
            self.assertEqual((response.status, self.shown.items), (200, ()), options)

    def test_without_the_header_there_is_no_certificate(self) -> None:
        for headers in ((), ((HEADER, ""),)):
            self.assertEqual(self.ask(*headers).status, 200)
            self.assertFalse(self.shown.given)

    def test_what_the_client_sends_by_itself_is_looked_at_first(self) -> None:
        self.ask((HEADER, ESCAPED), ("Authorization", basic("bob", "secret")))
        first, second = self.shown.items
        self.assertEqual(first, Password("bob", "secret"))
        self.assertEqual(self.shown.certificates, (second,))

    def test_a_page_of_another_site_borrows_no_certificate(self) -> None:
        """Browsers show it unasked; a form, or a request without CORS, may change something."""
        page = ("Origin", "https://wiki.example")
        lent = CorsOptions(origins=["https://wiki.example"], credentials=True)
        listed = CorsOptions(origins=["https://wiki.example"])
        for cors, site, counts in (
            (CorsOptions(), "cross-site", False),
            (CorsOptions(), "same-site", False),
            (listed, "cross-site", False),
            (CorsOptions(origins=["*"]), "Cross-Site", False),
            (lent, "cross-site", True),
            (CorsOptions(), "same-origin", True),
            (CorsOptions(), "none", True),
        ):
            self.ask((HEADER, ESCAPED), page, ("Sec-Fetch-Site", site), cors=cors)
            self.assertEqual(bool(self.shown.certificates), counts, (cors, site))
        other = ("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")
        self.ask((HEADER, ESCAPED), *other, cors=lent)
        self.assertFalse(self.shown.given)

    def test_two_certificates_are_none(self) -> None:
        """One of them is what the client has sent, past a proxy that adds its own."""
        for values in ((ESCAPED, ESCAPED), (RFC9440, ESCAPED), (f"{RFC9440}, {RFC9440}",)):
            response = self.ask(*((HEADER, value) for value in values))
            self.assertEqual(response.status, 400)
            self.assertIn("proxy", response.json["message"])
            self.assertFalse(self.shown.given)

    def test_what_is_no_certificate_is_refused(self) -> None:
        chain = ESCAPED + ESCAPED
        for value in ("x", "::", ":x:", ":", "(null)", "%", chain, ESCAPED[:-5], "NONE"):
            self.assertEqual(self.ask((HEADER, value)).status, 400, value)

    @given(st.lists(st.binary(max_size=40), min_size=1, max_size=2))
    @example([b":AA==:"])
    @example([b"-----BEGIN CERTIFICATE-----AA==-----END CERTIFICATE-----"])
    def test_any_bytes_are_a_certificate_or_refused(self, values: list[bytes]) -> None:
        try:
            self.assertTrue(_parse(values).der)
        except BadRequest as error:
            self.assertTrue(error.message)
