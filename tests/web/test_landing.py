"""What the server's root says to people and to programs."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless import __version__
from giftless.web.landing import prefers_html
from tests.support.making import oid_of
from tests.web.support import MEDIA_TYPE, FrontTestCase, Response, storage_url

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)
W3M = "text/html, text/*;q=0.5, image/*, application/*, video/*, x-scheme-handler/*"
LYNX = "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01"


class AcceptTests(SynchronousTestCase):
    """Who gets HTML (RFC 9110 section 12.5.1)."""

    HTML: ClassVar = (
        *("text/html", "TEXT/HTML", "text/*", CHROMIUM, W3M, LYNX),
        *("text/html;q=0.2, application/json;q=0.1", "application/json; q=0.5 , text/html"),
        *("text/html;level=1;q=0.5", "*/*;q=0.1, text/html;q=0.2", "text/html;q=nonsense"),
        *("nonsense, text/html", "text/html, application/*"),
    )
    OTHERS: ClassVar = (
        *("", "*/*", "application/json", MEDIA_TYPE, f"{MEDIA_TYPE}; charset=utf-8", "image/png"),
        *("text/html;q=0", "text/html;q=0.000, */*", "text/html;q=0, text/*"),
        *("application/json, text/html", f"text/html, {MEDIA_TYPE}", "text/html;q=0.5, */*"),
        *("text/html;q=0.1, application/json;q=0.2", "text/html;level=1;Q=0", "text/plain"),
        *("text", "/", "text/", ";q=1", ",,,", "texthtml", "text /html", "\xff/\xff"),
    )

    def test_html_is_for_whoever_would_rather_have_it(self) -> None:
        for accept in self.HTML:
            self.assertTrue(prefers_html(accept), accept)
        for accept in self.OTHERS:
            self.assertFalse(prefers_html(accept), accept)

    @given(st.text(), st.text(alphabet="*/;,=q.0159 \ttexhml", max_size=100))
    def test_any_header_is_understood_somehow(self, text: str, almost: str) -> None:
        self.assertIn(prefers_html(text), (True, False))
        self.assertIn(prefers_html(almost), (True, False))


class Elements(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


class LandingTests(FrontTestCase):
    """``GET /``."""

    def html(self, **headers: str) -> Response:
        response = self.request("GET", "/", {"Accept": CHROMIUM, **headers})
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "text/html; charset=utf-8")
        return response

    def command(self, **headers: str) -> str:
        """Return the line of the page that points a repository here."""
        text = Elements(self.html(**headers).body.decode()).text
        (line,) = re.findall("git config .*", text)
        return str(line)

    def test_a_browser_gets_a_page_with_the_command(self) -> None:
        self.assertEqual(
            self.command(),
            "git config -f .lfsconfig lfs.url http://lfs.example/ORG/REPO.git/info/lfs",
        )

    def test_a_program_gets_json(self) -> None:
        for accept in ({}, {"Accept": "*/*"}, {"Accept": MEDIA_TYPE}):
            response = self.request("GET", "/", accept)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.headers["content-type"], "application/json")
            url = "http://lfs.example/ORG/REPO.git/info/lfs"
            words = f"this is a Git LFS server: write lfs.url as {url}"
            self.assertEqual(response.json, {"message": words, "lfs_url": url})

    def test_each_answer_says_what_it_depends_on_and_is_not_kept(self) -> None:
        for accept in (CHROMIUM, "*/*"):
            response = self.request("GET", "/", {"Accept": accept})
            self.assertIn("Accept", response.headers["vary"])
            self.assertEqual(response.headers["cache-control"], "no-store")
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")

    def test_several_accept_headers_count_as_one(self) -> None:
        connection = self.connect()
        connection.send(
            b"GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json;q=0.1\r\n"
            b"Accept: text/html;q=0.2\r\n\r\n"
        )
        self.assertIn("text/html", connection.response().headers["content-type"])

    def test_head_has_the_headers_and_no_body(self) -> None:
        for accept in (CHROMIUM, "*/*"):
            connection = self.connect()
            head = connection.request("HEAD", "/", {"Accept": accept})
            self.assertEqual(connection.received, b"")
            whole = self.request("GET", "/", {"Accept": accept})
            self.assertEqual(head.headers["content-length"], str(len(whole.body)))
            self.assertEqual(head.headers["content-type"], whole.headers["content-type"])

    def test_other_methods_are_refused(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            response = self.request(method, "/")
            self.assert_error(response, 405)
            self.assertEqual(response.headers["allow"], "GET, HEAD")

    def test_a_query_and_a_whole_url_lead_there_too(self) -> None:
        self.assertEqual(self.request("GET", "/?utm_source=x").status, 200)
        response = self.request("GET", "http://lfs.example/")
        self.assertEqual(response.json["lfs_url"], "http://lfs.example/ORG/REPO.git/info/lfs")

    def test_klein_leads_there_as_well(self) -> None:
        self.serve()
        self.front.forget_fast_routes()
        self.assertEqual(self.html().status, 200)
        self.assertEqual(self.request("GET", "/robots.txt").status, 200)

    def test_nobody_needs_a_credential(self) -> None:
        self.serve(authenticators=[])
        self.html(Authorization="Basic nonsense")

    def test_the_policy_lets_the_pages_own_style_in_and_nothing_else(self) -> None:
        response = self.html()
        page = response.body.decode()
        (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self.assertEqual(
            response.headers["content-security-policy"],
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action"
            " 'none'; frame-ancestors 'none'",
        )
        elements = Elements(page)
        self.assertNotIn("script", elements.tags)
        self.assertNotIn("style", elements.attributes)

    def test_nothing_is_told_that_is_not_public(self) -> None:
        self.serve()
        self.front.put(b"data", "secret/project")
        for accept in (CHROMIUM, "*/*"):
            response = self.request("GET", "/", {"Accept": accept})
            answer = f"{response.headers}{response.body.decode()}"
            for told in (__version__, "Twisted", "secret", "project", self.front.directory):
                self.assertNotIn(told, answer)

    def test_the_public_url_is_shown_whatever_the_host(self) -> None:
        self.serve(public_url="https://lfs.example.org/lfs/")
        url = "https://lfs.example.org/lfs/ORG/REPO.git/info/lfs"
        self.assertTrue(self.command(Host="evil.example").endswith(f" {url}"))
        self.assertEqual(self.request("GET", "/").json["lfs_url"], url)

    def test_a_trusted_proxy_tells_the_url(self) -> None:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "lfs.example.org"}
        self.serve(trusted=["198.51.100.0/24"])
        self.assertIn(" https://lfs.example.org/ORG/REPO.git", self.command(**forwarded))
        self.serve()
        self.assertIn(" http://lfs.example/ORG/REPO.git", self.command(**forwarded))

    def test_a_public_url_is_text_in_the_page_and_one_word_in_the_shell(self) -> None:
        hostile = "https://x/<script>alert('1')</script>&amp;\"$(reboot)`id`"
        self.serve(public_url=hostile)
        page = self.html().body.decode()
        self.assertNotIn("<script", page)
        self.assertNotIn("script", Elements(page).tags)
        quoted = hostile.replace("'", "'\"'\"'")
        self.assertEqual(
            self.command(),
            f"git config -f .lfsconfig lfs.url '{quoted}/ORG/REPO.git/info/lfs'",
        )
        self.assertEqual(
            self.request("GET", "/").json["lfs_url"], f"{hostile}/ORG/REPO.git/info/lfs"
        )

    def test_a_host_that_is_no_host_gets_no_page(self) -> None:
        for host in ("<script>", 'a"onload=b', "a b", "$(id)", "a'b", "a;b", "a/b", "", "\xe9"):
            response = self.request("GET", "/", {"Accept": CHROMIUM, "Host": host})
            self.assert_error(response, 400)

    def test_an_address_of_ipv6_is_one_word_in_the_shell(self) -> None:
        self.assertEqual(
            self.command(Host="[2001:db8::1]:8080"),
            "git config -f .lfsconfig lfs.url 'http://[2001:db8::1]:8080/ORG/REPO.git/info/lfs'",
        )

    def test_a_request_without_a_host_is_told_the_form_of_the_url(self) -> None:
        connection = self.connect()
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(
            connection.response().json["lfs_url"], "https://HOST/ORG/REPO.git/info/lfs"
        )


class BrowserFileTests(FrontTestCase):
    """What browsers and search engines ask for unasked."""

    def test_there_is_no_icon_and_browsers_need_not_ask_again(self) -> None:
        connection = self.connect()
        response = connection.request("GET", "/favicon.ico")
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["cache-control"], "private, max-age=86400")
        self.assertEqual(connection.received, b"")

    def test_search_engines_are_kept_out(self) -> None:
        response = self.request("GET", "/robots.txt")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(response.body, b"User-agent: *\nDisallow: /\n")

    def test_repositories_may_have_their_names(self) -> None:
        self.serve()
        for name in ("favicon.ico", "robots.txt"):
            url = storage_url(oid_of(b"data"), f"/{name}")
            self.assertEqual(self.request("PUT", url, {}, b"data").status, 200)
            self.assertEqual(self.request("GET", url).body, b"data")
