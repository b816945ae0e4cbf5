"""CORS: every answer says whose pages may read it, and nobody else's may.

The rules are those of https://fetch.spec.whatwg.org/#http-cors-protocol; a
browser holds the daemon to them in :mod:`tests.integration.test_browser`.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import ConfigError
from giftless.web.call import RepoCall
from giftless.web.cors import Cors, CorsOptions, normal_origin
from giftless.web.headers import Headers
from giftless.web.limits import Limits
from giftless.web.proxies import Proxies, ServerURL
from giftless.web.route import Route
from giftless.web.routes import LFSResource
from giftless.web.site import LFSSite
from tests.support.making import oid_of, reader
from tests.support.memory import MemoryStore
from tests.web.support import (
    Connection,
    FrontTestCase,
    KeyAuthenticator,
    Response,
    batch_body,
    storage_url,
)
from tests.web.test_errors import every_error

DATA: Final = b"some bytes"
OID: Final = oid_of(DATA)
URL: Final = storage_url(OID)
API: Final = "/org/repo.git/info/lfs/objects"

PAGE: Final = "https://page.example"
OURS: Final = {"Origin": PAGE}

#: Who is not ``PAGE``, however much they look like it.
OTHERS: Final = (
    "https://evil.example",
    "https://page.example.evil.example",
    "https://evil-page.example",
    "https://evil.page.example",
    "https://page.example:8443",
    "https://page.example:444",
    "http://page.example",
    "https://page.exampl",
    "https://page.example.",
    "https://page.example/",
    "https://page.example/path",
    "https://user@page.example",
    "https://page.example@evil.example",
    "https://page.example, https://evil.example",
    "https://page.example https://evil.example",
    "https://page.example#",
    "https://page.example?",
    "https://page.example:443443",
    "https://page.example:0443x",
    "https://page_example",
    "https://pageXexample",
    "https://page.example\xad",
    "https://p\xe1ge.example",
    "null",
    "*",
    "",
    "https",
    "https://",
    "page.example",
    "//page.example",
    "https://[::1",
    "https://" + "a" * 5000 + ".example",
)


def options(*origins: str, credentials: bool = False, max_age: int = 86400) -> CorsOptions:
    """Return the options for some origins; for ``PAGE``, if none is given."""
    return CorsOptions(origins=list(origins or (PAGE,)), credentials=credentials, max_age=max_age)


def preflight(method: str = "PUT", *names: str, origin: str = PAGE) -> dict[str, str]:
    """Return the headers of a preflight."""
    asked = {"Access-Control-Request-Headers": ",".join(names)} if names else {}
    return {"Origin": origin, "Access-Control-Request-Method": method, **asked}


class CorsTestCase(FrontTestCase):
    """A front that pages of ``PAGE`` may use."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(cors=options())

    def vary(self, response: Response) -> set[str]:
        """Return what an answer says it depends on."""
        return {name.strip().lower() for name in response.headers.get("vary", "").split(",")} - {""}

    def cors_headers(self, response: Response) -> set[str]:
        """Return the names of an answer's headers that are about CORS."""
        return {name for name in response.headers if name.startswith("access-control-")}

    def assert_readable(self, response: Response, status: int) -> None:
        """Check that a page of ``PAGE`` may read an answer, headers and all."""
        self.assertEqual(response.status, status, response)
        self.assertEqual(response.headers["access-control-allow-origin"], PAGE)
        self.assertEqual(self.vary(response), {"origin"})
        self.assertIn("X-Request-Id", response.headers["access-control-expose-headers"])

    def assert_unreadable(self, response: Response, status: int) -> None:
        """Check that no other page may, and that caches know why."""
        self.assertEqual(response.status, status, response)
        self.assertEqual(self.cors_headers(response), set())
        self.assertIn("origin", self.vary(response))


class AnswerTests(CorsTestCase):
    """Every answer of every endpoint."""

    def test_every_endpoint_lets_our_pages_read(self) -> None:
        """What succeeds can be read by our pages, and by no others."""
        self.front.put(DATA)
        entry = {"oid": OID, "size": len(DATA)}
        new = b"new bytes"
        exchanges = [
            ("POST", f"{API}/batch", {}, batch_body("download", entry), 200),
            ("POST", f"{API}/storage/verify", {}, batch_body("", **entry), 200),
            ("PUT", storage_url(oid_of(new)), {}, new, 200),
            ("GET", URL, {}, b"", 200),
            ("HEAD", URL, {}, b"", 200),
            ("GET", URL, {"Range": "bytes=1-3"}, b"", 206),
            ("GET", URL, {"If-None-Match": f'"{OID}"'}, b"", 304),
        ]
        for method, url, headers, body, status in exchanges:
            self.assert_readable(self.request(method, url, {**headers, **OURS}, body), status)
            self.assert_unreadable(self.request(method, url, headers, body), status)
            other = {**headers, "Origin": OTHERS[0]}
            self.assert_unreadable(self.request(method, url, other, body), status)

    def test_an_answer_that_follows_another(self) -> None:
        """Each is for its own request's page."""
        self.front.put(DATA)
        connection = self.connect()
        self.assert_readable(connection.request("GET", URL, OURS), 200)
        self.assert_unreadable(connection.request("GET", URL), 200)
        self.assert_readable(connection.request("GET", URL, OURS), 200)

    def test_every_error_of_a_handler(self) -> None:
        for error in every_error():
            store = MemoryStore()
            store.failure = error
            self.serve(store=store, cors=options())
            self.assert_readable(self.request("GET", URL, OURS), error.code)
            self.assert_readable(self.request("HEAD", URL, OURS), error.code)
            self.assert_unreadable(self.request("GET", URL), error.code)

    def test_a_failure_of_the_server(self) -> None:
        store = MemoryStore()
        store.failure = RuntimeError("of no one's making")
        self.serve(store=store, cors=options())
        self.assert_readable(self.request("GET", URL, OURS), 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_refusals_can_be_read_too(self) -> None:
        """Before a handler, instead of one, and before its body."""
        people = KeyAuthenticator({"ritas-token": reader()})
        self.serve(authenticators=[people], cors=options(), limits=Limits(request_body=100))
        rita = {"Authorization": "Bearer ritas-token"}
        exchanges: list[tuple[Any, int]] = [
            (("GET", URL), 401),
            (("PUT", URL, rita, DATA), 403),
            (("GET", URL, rita), 404),
            (("GET", "/nowhere"), 404),
            (("DELETE", URL), 405),
            (("OPTIONS", URL), 405),
            (("POST", f"{API}/batch", rita, b"no JSON"), 400),
            (("POST", f"{API}/batch", rita, b" " * 101), 413),
            (("PUT", URL, {"Expect": "100-continue", "Content-Length": "9"}), 401),
            (("PUT", URL, {"Expect": "a-miracle"}), 417),
            (("GET", "//"), 400),
            (("GET", "/%ff"), 400),
            (("get", URL), 400),
            (("GET", URL, {"Host": "a b"}), 400),
        ]
        for (method, url, *rest), status in exchanges:
            headers, body = ({**rest[0]} if rest else {}), (rest[1] if rest[1:] else b"")
            response = self.request(method, url, {**headers, **OURS}, body)
            self.assert_readable(response, status)
            self.assert_unreadable(self.request(method, url, headers, body), status)

    def test_an_early_answer_to_an_upload(self) -> None:
        connection = self.connect()
        connection.send(
            f"PUT {URL} HTTP/1.1\r\nHost: lfs.example\r\nOrigin: {PAGE}\r\n"
            "Content-Encoding: gzip\r\nContent-Length: 1000000000\r\n\r\nbegun".encode()
        )
        self.assert_readable(connection.response(), 400)

    def test_a_body_that_is_slow(self) -> None:
        connection = self.connect()
        connection.send(
            f"PUT {URL} HTTP/1.1\r\nHost: lfs.example\r\nOrigin: {PAGE}\r\n"
            "Content-Length: 10\r\n\r\n".encode()
        )
        self.pass_time(45)
        self.assert_readable(connection.response(), 408)

    def test_a_body_that_is_malformed(self) -> None:
        connection = self.connect()
        connection.send(
            f"PUT {URL} HTTP/1.1\r\nHost: lfs.example\r\nOrigin: {PAGE}\r\n"
            "Transfer-Encoding: chunked\r\n\r\nno length\r\n".encode()
        )
        self.assert_readable(connection.response(), 400)

    def test_a_request_that_cannot_be_parsed(self) -> None:
        """If the origin has come before what is wrong, and another header after it."""
        head = f"GET {URL} HTTP/1.1\r\nHost: lfs.example\r\nOrigin: {PAGE}\r\nAccept: */*\r\n"
        for rest, status in (
            ("X: a\r\n folded\r\n\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (f"X: {'x' * 20000}\r\n\r\n", 431),
            ("X: ", 408),
        ):
            connection = self.connect()
            connection.send((head + rest).encode())
            self.pass_time(11)
            self.assert_readable(connection.response(), status)

    def test_a_request_that_is_none(self) -> None:
        connection = self.connect()
        connection.send(b"\x16\x03\x01\r\n\r\n")
        self.assert_unreadable(connection.response(), 400)

    def test_too_many_connections(self) -> None:
        """The answer comes unasked: nobody knows for whom."""
        self.serve(cors=options(), limits=Limits(connections_per_address=1))
        self.connect()
        self.assert_unreadable(self.request("GET", URL, OURS), 429)

    def test_the_headers_of_clients_are_exposed(self) -> None:
        """Whatever clients of LFS, of parts and of tus read."""
        response = self.request("GET", URL, OURS)
        exposed = {
            name.strip().lower()
            for name in response.headers["access-control-expose-headers"].split(",")
        }
        wanted = (
            "ETag Content-Range Accept-Ranges Content-Disposition Content-Length Location"
            " Retry-After X-Request-Id LFS-Authenticate WWW-Authenticate Upload-Offset"
            " Upload-Length Upload-Metadata Upload-Expires Tus-Resumable Tus-Version"
            " Tus-Extension Tus-Max-Size Tus-Checksum-Algorithm"
        )
        self.assertEqual(set(wanted.lower().split()) - exposed, set())

    def test_no_header_is_sent_unless_configured(self) -> None:
        """Nothing of it is there unless somebody is allowed."""
        self.serve()
        self.front.put(DATA)
        response = self.request("GET", URL, OURS)
        self.assertEqual(response.status, 200)
        self.assertEqual(self.cors_headers(response) | self.vary(response), set())
        response = self.request("OPTIONS", URL, preflight())
        self.assertEqual(response.status, 405)
        self.assertEqual(self.cors_headers(response) | self.vary(response), set())


class OriginTests(CorsTestCase):
    """Origins are compared as wholes."""

    def test_other_origins_are_not_let_in(self) -> None:
        self.front.put(DATA)
        for origin in OTHERS:
            response = self.request("GET", URL, {"Origin": origin})
            self.assert_unreadable(response, 200)
            self.assert_unreadable(self.request("OPTIONS", URL, preflight(origin=origin)), 403)

    def test_two_origins_are_not_let_in(self) -> None:
        """A browser sends one."""
        connection = self.connect()
        connection.send(
            f"GET {URL} HTTP/1.1\r\nHost: lfs.example\r\n"
            f"Origin: {PAGE}\r\nOrigin: {PAGE}\r\n\r\n".encode()
        )
        self.assert_unreadable(connection.response(), 404)

    def test_each_of_several(self) -> None:
        pages = ("https://a.example", "http://b.example:8080", "http://[::1]:81", "app://c", "null")
        self.serve(cors=options(*pages))
        for page in pages:
            response = self.request("GET", URL, {"Origin": page})
            self.assertEqual(response.headers["access-control-allow-origin"], page)
            self.assertEqual(self.vary(response), {"origin"})

    def test_equal_origins_may_be_spelled_differently(self) -> None:
        """Case, the scheme's own port and an address's zeros mean nothing."""
        self.serve(cors=options("HTTPS://Page.Example:443", "http://[0:0:0:0::1]:80"))
        for origin in (PAGE, "http://[::1]"):
            response = self.request("GET", URL, {"Origin": origin})
            self.assertEqual(response.headers["access-control-allow-origin"], origin)

    def test_a_star_lets_every_site_in(self) -> None:
        """The answer is the same for all, and says so."""
        self.serve(cors=options("*"))
        for headers in ({}, OURS, {"Origin": "null"}):
            response = self.request("GET", URL, headers)
            self.assertEqual(response.headers["access-control-allow-origin"], "*")
            self.assertEqual(self.vary(response), set())
            self.assertNotIn("access-control-allow-credentials", response.headers)
        response = self.request("OPTIONS", URL, preflight(origin="https://anybody.example"))
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["access-control-allow-origin"], "*")

    def test_credentials_are_allowed_if_configured(self) -> None:
        self.serve(cors=options(credentials=True))
        for response in (
            self.request("GET", URL, OURS),
            self.request("OPTIONS", URL, preflight()),
        ):
            self.assertEqual(response.headers["access-control-allow-credentials"], "true")
            self.assertEqual(response.headers["access-control-allow-origin"], PAGE)
        self.assert_unreadable(self.request("GET", URL, {"Origin": OTHERS[0]}), 404)


class PreflightTests(CorsTestCase):
    """What browsers ask before they send."""

    def ask(self, *arguments: str, url: str = URL, origin: str = PAGE) -> Response:
        """Send a preflight (see :func:`preflight`)."""
        return self.request("OPTIONS", url, preflight(*arguments, origin=origin))

    def test_a_preflight_is_answered_in_full(self) -> None:
        self.serve(cors=options(max_age=600))
        response = self.ask("PUT", "authorization", "content-type", "x-Filename")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertNotIn("content-length", response.headers)
        self.assertNotIn("content-type", response.headers)
        self.assertEqual(response.headers["access-control-allow-origin"], PAGE)
        self.assertEqual(response.headers["access-control-max-age"], "600")
        self.assertEqual(
            response.headers["access-control-allow-headers"],
            "authorization, content-type, x-Filename",
        )
        self.assertEqual(
            self.vary(response),
            {"origin", "access-control-request-method", "access-control-request-headers"},
        )
        methods = set(response.headers["access-control-allow-methods"].split(", "))
        self.assertEqual(methods, {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})

    def test_no_headers_are_asked_for(self) -> None:
        response = self.ask("PUT")
        self.assertEqual(response.status, 204)
        self.assertNotIn("access-control-allow-headers", response.headers)

    def test_everywhere_and_for_everybody(self) -> None:
        """Browsers send no credential with it, nor may they learn from it what is there."""
        self.serve(authenticators=[], cors=options())
        for url in (URL, f"{API}/batch", f"{API}/storage/verify", f"{API}/new/thing", "/"):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "BREW"):
                self.assertEqual(self.ask(method, url=url).status, 204)

    def test_the_connection_goes_on(self) -> None:
        connection = self.connect()
        self.assertEqual(connection.request("OPTIONS", URL, preflight()).status, 204)
        self.assert_readable(connection.request("PUT", URL, OURS, DATA), 200)
        self.assert_stored(DATA)

    def test_a_body_of_a_preflight_is_skipped(self) -> None:
        """None belongs there; it is not taken for the next request."""
        connection = self.connect()
        self.assertEqual(connection.request("OPTIONS", URL, preflight(), b"GET /").status, 204)
        self.assert_readable(connection.request("GET", URL, OURS), 404)

    def test_another_page_is_told_why(self) -> None:
        """It is told why, and its browser nothing at all."""
        response = self.ask(origin="https://evil.example")
        self.assert_error(response, 403)
        self.assert_unreadable(response, 403)
        self.assertIn("cors.origins", response.json["message"])

    def test_options_that_are_no_preflight(self) -> None:
        """They are requests like all others."""
        for headers in ({}, OURS, {"Access-Control-Request-Method": "PUT"}):
            response = self.request("OPTIONS", URL, headers)
            self.assert_error(response, 405)
            self.assertEqual(response.headers["allow"], "GET, HEAD, PUT")

    def test_names_that_are_none(self) -> None:
        for name in (
            "a b",
            "x:y",
            "x\x00",
            "x\ty",
            "x;y",
            "x(y)",
            'x"y',
            "x/y",
            "gr\xfc\xdfe",
            "*, <script>",
            "x" * 129,
            ",".join(["x-name"] * 400),
        ):
            response = self.ask("PUT", name)
            self.assert_error(response, 400)
            self.assertNotIn("access-control-allow-headers", response.headers)

    def test_no_header_can_be_injected(self) -> None:
        """A line end ends the header that asks, and nothing else comes back of it."""
        for end in ("\r\n", "\n", "\r"):
            response = self.ask("PUT", f"x{end}Set-Cookie: a=b")
            self.assertNotIn("set-cookie", response.headers)
            self.assertNotIn("Set-Cookie", response.headers.get("access-control-allow-headers", ""))

    def test_headers_may_come_on_several_lines(self) -> None:
        connection = self.connect()
        connection.send(
            f"OPTIONS {URL} HTTP/1.1\r\nHost: lfs.example\r\nOrigin: {PAGE}\r\n"
            "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: a ,, b\r\n"
            "Access-Control-Request-Headers: c\r\n\r\n".encode()
        )
        self.assertEqual(connection.response().headers["access-control-allow-headers"], "a, b, c")

    def test_malformed_requests_are_refused_first(self) -> None:
        response = self.request("OPTIONS", "//", preflight())
        self.assert_readable(response, 400)

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")))
    def test_whatever_is_asked(self, text: str) -> None:
        """What comes back was asked for, and is a list of tokens."""
        asked = Headers({"Origin": [PAGE], "Access-Control-Request-Headers": [text]})
        try:
            answer = dict(Cors(options()).preflight(asked))
        except Exception as error:
            self.assertEqual(type(error).__name__, "BadRequest")
            return
        for name in answer.get("Access-Control-Allow-Headers", "").split(", "):
            self.assertRegex(name, r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]*\Z")
            self.assertIn(name, text)


class LaterEndpointTests(CorsTestCase):
    """Endpoints that are not there yet need nothing of their own."""

    def test_any_method_and_redirects(self) -> None:
        async def accept(call: RepoCall) -> None:
            call.request.setHeader("Vary", "Accept")
            call.request.respond_json(200, b"{}")

        async def redirect(call: RepoCall) -> None:
            call.request.setHeader("Location", "https://store.example/part")
            call.request.respond_json(307, b"{}")

        routes = (
            Route("objects/tus", ("PATCH", "DELETE", "HEAD", "OPTIONS"), accept),
            Route("objects/elsewhere", ("GET", "PUT"), redirect),
        )
        proxies = Proxies(())
        resource = LFSResource(routes, ServerURL(proxies, "")).resource()
        site = LFSSite(resource, Limits(), proxies, self.clock, cors=Cors(options()))
        for method in ("PATCH", "DELETE", "HEAD", "OPTIONS"):
            connection = Connection(site, self.clock)
            response = connection.request(method, f"{API}/tus", OURS)
            self.assertEqual(response.headers["access-control-allow-origin"], PAGE, method)
            self.assertEqual(self.vary(response), {"accept", "origin"})
        for method in ("GET", "PUT"):
            connection = Connection(site, self.clock)
            self.assert_readable(connection.request(method, f"{API}/elsewhere", OURS), 307)


class OptionsTests(SynchronousTestCase):
    """What the configuration may say."""

    def problem(self, chosen: CorsOptions) -> ConfigError:
        """Return what is wrong with options."""
        return self.assertRaises(ConfigError, Cors, chosen)

    def test_what_is_no_origin_is_refused(self) -> None:
        for text in (*OTHERS, "https://*.example.com", "https://a:0", "https://a:65536"):
            if normal_origin(text) is None and text not in ("*", "null"):
                error = self.problem(options("https://fine.example", text))
                self.assertEqual(error.path, "cors.origins.1")
                self.assertIn("scheme://host[:port]", error.problem)

    def test_every_site_with_credentials(self) -> None:
        """Any site could act for its visitors; a frame without an origin is any site's."""
        for text in ("*", "null"):
            error = self.problem(options(PAGE, text, credentials=True))
            self.assertEqual(error.path, "cors.credentials")
            self.assertIn("every site", error.problem)

    def test_origins_have_a_normal_form(self) -> None:
        for text, normal in {
            "http://a": "http://a",
            "HTTP://A:80": "http://a",
            "https://a:80": "https://a:80",
            "https://a:0443": "https://a",
            "app://a:1": "app://a:1",
            "http://127.0.0.1:8080": "http://127.0.0.1:8080",
            "http://[::FFFF:0]:5": "http://[::ffff:0]:5",
            "http://[::1::]": None,
            "http://[1.2.3.4]": None,
            "http://a:": None,
            "http://a:0": None,
            "http://a..b": None,
            "http://a/": None,
            "http://a\n": None,
            "http:/a": None,
            "1a://b": None,
            "null": None,
        }.items():
            self.assertEqual(normal_origin(text), normal, text)

    @given(st.text())
    def test_normal_form_is_its_own(self, text: str) -> None:
        for origin in (text, f"http://{text}", f"http://a:{text}"):
            normal = normal_origin(origin)
            if normal is not None:
                self.assertEqual(normal_origin(normal), normal)
