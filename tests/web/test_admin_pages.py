"""The operators' pages on the endpoints that clients use (``admin.public_pages``)."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.auth.chain import AuthChain
from giftless.base.pages import MAX_FORM, PAGES, PageReply, PageRequest
from giftless.errors import ServiceUnavailable
from giftless.interfaces import Refused
from giftless.monitoring.overview import Overview
from giftless.runtime.admin.page_maker import PageMaker
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events
from giftless.web.admin_pages import AdminPages
from giftless.web.proxies import Proxies, ServerURL
from tests.auth.forges.support import NOW
from tests.runtime.admin.pages.sample import overview
from tests.support.events import Recorder
from tests.support.making import writer
from tests.support.tokens import basic
from tests.web.guarded import GuardedTestCase, Operation, bearer, jwt_section
from tests.web.support import CLIENT, FrontTestCase, KeyAuthenticator, Response

OLGA: Final = basic("olga", "olgas password")
WANDA: Final = basic("wanda", "wandas password")
PUBLIC: Final = {"public_pages": True}


class PagesTestCase(GuardedTestCase):
    """A front whose pages are made here.

    :ivar asked: what pages were asked for.
    """

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[PageRequest] = []
        self.reply: Any = PageReply(200, {"Content-Type": "text/html", "X-Mine": "1"}, b"<p>hello")

    async def make(self, request: PageRequest) -> PageReply:
        self.asked.append(request)
        if isinstance(self.reply, Exception):
            raise self.reply
        reply: PageReply = await self.reply if isinstance(self.reply, Deferred) else self.reply
        return reply

    def offer(self, *auth: Any, **options: Any) -> None:
        """Serve pages over a chain of authenticators."""
        options = {"admin": PUBLIC, **options}
        self.guard(*(auth or (self.passwords(),)), pages=self.make, present=False, **options)

    def get(
        self, target: str, *authorization: str, method: str = "GET", **options: Any
    ) -> Response:
        """Ask for a page."""
        body = options.pop("body", b"")
        operation = Operation(method, target, b"", body)
        return self.ask_now(operation, *authorization, **options)


class ServedPagesTests(PagesTestCase):
    def test_an_operator_gets_each_page(self) -> None:
        self.offer()
        for page in PAGES:
            response = self.get(f"/-/{page}?q=a%20b&q=c", OLGA)
            self.assertEqual((response.status, response.body), (200, b"<p>hello"))
            self.assertEqual(response.headers["x-mine"], "1")
            asked = self.asked.pop()
            self.assertEqual((asked.method, asked.path, asked.query), ("GET", page, "q=a%20b&q=c"))
            self.assertEqual((asked.who, asked.principal), ("olga", "basic#olga"))
            self.assertEqual((asked.public, asked.address), (True, "198.51.100.7"))
            self.assertEqual(asked.request_id, response.headers["x-request-id"])

    def test_head_has_no_body(self) -> None:
        self.offer()
        response = self.get("/-/", OLGA, method="HEAD")
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.headers["content-length"], "8")
        self.assertEqual(self.asked[0].method, "HEAD")

    def test_a_form_is_passed_on_with_what_the_browser_says_of_it(self) -> None:
        self.offer()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": "https://lfs.example",
            "Sec-Fetch-Site": "same-origin",
        }
        self.get("/-/release", OLGA, method="POST", body=b"id=1&token=2", headers=headers)
        (asked,) = self.asked
        self.assertEqual((asked.method, asked.body), ("POST", b"id=1&token=2"))
        self.assertEqual(asked.kind, "application/x-www-form-urlencoded")
        self.assertEqual((asked.origin, asked.fetch_site), ("https://lfs.example", "same-origin"))

    def test_a_large_form_is_refused_before_it_is_read(self) -> None:
        self.offer()
        response = self.get("/-/release", OLGA, method="POST", body=b"x" * (MAX_FORM + 1))
        self.assertEqual(response.status, 413)
        self.assertEqual(self.asked, [])

    def test_the_slash_is_added(self) -> None:
        self.offer()
        response = self.get("/-")
        self.assertEqual((response.status, response.headers["location"]), (308, "-/"))

    def test_what_the_server_is_called_outside_is_told(self) -> None:
        self.offer(public_url="https://git.example.com/lfs")
        self.get("/-/", OLGA)
        self.offer(trusted_proxies=["198.51.100.7"])
        forwarded = {"X-Forwarded-Host": "lfs.example.com", "X-Forwarded-Proto": "https"}
        self.get("/-/", OLGA, headers=forwarded)
        self.assertEqual(
            [asked.hosts for asked in self.asked],
            [["lfs.example", "git.example.com"], ["lfs.example", "lfs.example.com"]],
        )

    def test_other_methods_are_refused(self) -> None:
        self.offer()
        for method, target in (
            ("POST", "/-/"),
            ("PUT", "/-/locks"),
            ("DELETE", "/-/release"),
            ("POST", "/-"),
        ):
            response = self.get(target, OLGA, method=method)
            self.assertIn(response.status, (400, 404, 405), (method, target))
        self.assertEqual(self.asked, [])

    def test_a_daemon_that_does_not_answer_is_503(self) -> None:
        self.offer()
        self.reply = ServiceUnavailable("the daemon has not answered in time", 5)
        response = self.get("/-/", OLGA)
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))
        self.assertEqual(response.body, b"the daemon has not answered in time\n")

    def test_a_client_that_leaves_disturbs_nobody(self) -> None:
        self.offer()
        self.reply = waiting = Deferred[PageReply]()
        connection = self.send(Operation("GET", "/-/", b""), OLGA)
        connection.disconnect()
        waiting.callback(PageReply(200, {}, b"x" * 1_000_000))
        self.assertEqual(self.flushLoggedErrors(), [])


class RefusedTests(PagesTestCase):
    """Nobody else gets anything."""

    def assert_no_page(self, response: Response, status: int) -> None:
        """Check that somebody is refused, in plain words."""
        self.assertEqual(response.status, status)
        self.assertIn(
            response.headers["content-type"], ("text/plain; charset=utf-8", "application/json")
        )
        self.assertEqual(response.headers["x-content-type-options"], "nosniff")
        self.assertEqual(self.asked, [])
        self.assert_challenged(response)

    def test_a_browser_asks_for_a_password(self) -> None:
        """Even where clients are not told how to ask for one."""
        for auth in ((), (self.passwords(), {"type": "anonymous", "access": "read-write"})):
            self.offer(*auth, access={"www_authenticate": False})
            for page in PAGES:
                self.assert_no_page(self.get(f"/-/{page}"), 401)

    def test_a_wrong_password_is_refused(self) -> None:
        self.offer()
        for wrong in (basic("olga", "wrong"), basic("nobody", "olgas password"), "Bearer x"):
            self.assert_no_page(self.get("/-/", wrong), 401)

    def test_permission_to_read_or_write_is_not_enough(self) -> None:
        self.offer()
        for user in ("wanda", "ray", "sam"):
            for page in PAGES:
                response = self.get(f"/-/{page}", basic(user, f"{user}s password"))
                self.assert_no_page(response, 403)
        self.assertIn(b"does not have admin access", response.body)

    def test_a_program_is_refused_in_json(self) -> None:
        self.offer()
        response = self.get("/-/overview.json", WANDA)
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.json, {"message": "wanda does not have admin access to -"})

    def test_a_form_is_not_read_from_somebody_else(self) -> None:
        self.offer()
        form = b"id=1&token=2"
        self.assert_no_page(self.get("/-/release", WANDA, method="POST", body=form), 403)
        self.assert_no_page(self.get("/-/release", method="POST", body=form), 401)

    def test_a_server_that_names_nobody_lets_nobody_in(self) -> None:
        self.offer({"type": "anonymous", "access": "read-write"})
        self.assert_no_page(self.get("/-/"), 403)

    def test_without_the_option_there_are_no_pages(self) -> None:
        self.offer(admin={})
        for target in ("/-", "/-/", "/-/locks", "/-/release", "/-/style.css", "/-/overview.json"):
            for method in ("GET", "POST"):
                response = self.get(target, OLGA, method=method)
                self.assertIn(response.status, (400, 404), (method, target))
        self.assertEqual(self.asked, [])

    def test_tricks_with_paths_lead_to_no_page(self) -> None:
        self.offer()
        for target in (
            *("/-//", "/-//locks", "//-/", "/./-/", "/-/./", "/-/../-/", "/x/../-/", "/-/locks/"),
            *("/-%2f", "/-/%2e%2e/", "/-/..%2f", "/-/x", "/-/locks%00", "/-/%2e", "/-;/", "/-/;x"),
            *("/-.git/", "/-/.git/info/lfs/locks", "/org/-/locks", "/-/org/repo/locks"),
        ):
            response = self.get(target, OLGA)
            self.assertGreaterEqual(response.status, 400, target)
            self.assertEqual(self.asked, [], target)

    def test_an_encoded_path_is_the_same_page_with_the_same_guard(self) -> None:
        self.offer()
        self.assert_no_page(self.get("/%2D/loc%6Bs", WANDA), 403)
        self.assertEqual(self.get("/%2D/loc%6Bs", OLGA).status, 200)

    def test_no_repository_is_below_the_pages(self) -> None:
        """With the option or without it."""
        for admin in (PUBLIC, {}):
            self.offer({"type": "anonymous", "access": "read-write"}, admin=admin)
            batch = b'{"operation":"upload","objects":[]}'
            for target in ("/-/objects/batch", "/-/org/repo/objects/batch", "/-.git/objects/batch"):
                response = self.get(target, method="POST", body=batch)
                self.assertEqual(response.status, 400, target)
                self.assertIn("begins with -/", response.json["message"])


class EventTests(FrontTestCase):
    """Whoever is refused is in the audit log."""

    def test_refusals_are_published(self) -> None:
        recorder = Recorder()

        async def make(_: PageRequest) -> PageReply:
            raise AssertionError("nobody may see a page")

        people = KeyAuthenticator({"w": writer("wanda")})
        chain = AuthChain([people])
        pages = AdminPages(make, chain, Gate(), ServerURL(Proxies(()), ""), "Git LFS")
        self.serve(events=Events({"recorder": recorder}), routes=pages.routes)
        self.request("GET", "/-/", {"Authorization": "Bearer w"})
        self.request("GET", "/-/")
        self.assertEqual(
            [(event.cause, event.who, event.address) for event in recorder.of(Refused)],
            [("forbidden", "wanda", CLIENT.host), ("unauthenticated", "", CLIENT.host)],
        )
        self.assertTrue(all(event.request_id for event in recorder.of(Refused)))


class OriginTests(PagesTestCase):
    """Pages as the daemon makes them, for an operator's browser that another page uses."""

    def setUp(self) -> None:
        super().setUp()

        async def look() -> Overview:
            return overview(("acme/secret",))

        clock: Any = Clock()
        self.maker = PageMaker(look, lambda *_: None, clock)

    async def make(self, request: PageRequest) -> PageReply:
        return await self.maker.make(request)

    def test_a_page_that_may_use_the_api_may_not_read_these(self) -> None:
        """Not even with the operator's password, which ``cors.credentials`` lets it send."""
        origins = ["https://app.example.com", "http://lfs.example:8443"]
        self.offer(cors={"origins": origins, "credentials": True})
        for origin in (*origins, "null", "https://evil.example"):
            for page in PAGES:
                response = self.get(f"/-/{page}", OLGA, headers={"Origin": origin})
                self.assertEqual(response.status, 403, page)
                self.assertNotIn(b"acme/secret", response.body)
            form = self.get("/-/release", OLGA, method="POST", headers={"Origin": origin})
            self.assertEqual(form.status, 403)
        for headers in ({}, {"Origin": "http://lfs.example"}, {"Origin": "https://LFS.example"}):
            response = self.get("/-/", OLGA, headers=headers)
            self.assertEqual(response.status, 200)
            self.assertIn(b"acme/secret", response.body)
            self.assertIn("frame-ancestors 'none'", response.headers["content-security-policy"])
            self.assertEqual(response.headers["cache-control"], "no-store")


class AuthenticatorTests(PagesTestCase):
    """What each kind of authenticator is asked, and takes for an operator."""

    def status(self, scope: str) -> int:
        """Return what the dashboard answers to the bearer of a token."""
        return self.get("/-/", bearer(scope, "HS256")).status

    def test_a_token_needs_the_permission_admin(self) -> None:
        self.offer(jwt_section("HS256"))
        for scope, status in (
            ("obj:-:admin", 200),
            ("obj:*:admin", 200),
            ("obj:*/*:admin", 200),
            ("obj:-:read,write", 403),
            ("obj:-:*", 403),
            ("obj:*", 403),
            ("obj", 403),
            ("obj:acme/rocket:admin", 403),
            ("obj:acme/*:admin", 403),
            ("", 403),
        ):
            self.assertEqual(self.status(scope), status, scope)

    def test_a_browser_may_send_a_token_as_the_password(self) -> None:
        self.offer(jwt_section("HS256"))
        token = bearer("obj:-:admin", "HS256").removeprefix("Bearer ")
        self.assertEqual(self.get("/-/", basic("_jwt", token)).status, 200)
        self.assertEqual(self.asked[-1].principal.partition("#")[2], "sub:somebody")

    def test_an_expired_token_is_refused(self) -> None:
        self.offer(jwt_section("HS256"))
        response = self.get("/-/", bearer("obj:-:admin", "HS256", exp=NOW - 60))
        self.assertEqual(response.status, 401)

    def test_forges_are_not_asked(self) -> None:
        """They know no such repository: somebody with another credential is the operator."""
        section = {"orgs": ["*"], "type": "github"}
        self.offer(section, {**section, "type": "gitea", "url": "http://127.0.0.1:1"})
        self.assertEqual(self.get("/-/", basic("x", "ghp_0123456789")).status, 401)
        self.assertEqual(self.get("/-/", "Bearer 0123456789abcdef").status, 401)
        self.assertEqual(self.asked, [])

    def test_guessing_is_slowed_down(self) -> None:
        self.offer(access={"max_failures": 3})
        for number in range(3):
            self.assertEqual(self.get("/-/", basic("olga", f"guess {number}")).status, 401)
        self.assertEqual(self.get("/-/", basic("olga", "guess 4")).status, 429)
