"""Where clients are told to log in: the documents of RFC 9728, and the challenge of a refusal."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from giftless.auth.chain import not_accepted
from giftless.auth.prefixes import Prefixes
from giftless.interfaces import Credentials, Identity, ILogIn
from giftless.lfs.objects import Repo
from giftless.web.errors import Challenge
from giftless.web.protected_resource import ProtectedResource
from giftless.web.proxies import Proxies, ServerURL
from tests.auth.test_prefixes import Confined
from tests.support.tokens import basic
from tests.web.support import FrontTestCase, Response

WELL_KNOWN = "/.well-known/oauth-protected-resource"

BATCH = "/acme/rocket.git/info/lfs/objects/batch"


@implementer(ILogIn)
class LogIn:
    """Refuses everybody who shows something, and leaves the others to the next."""

    issuer = "https://sso.example"
    scopes = ("openid", "groups")

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        if credentials.given:
            raise not_accepted()
        return None


class OtherLogIn(LogIn):
    """Has another issuer."""

    issuer = "https://b.sso"


class ProtectedResourceTests(FrontTestCase):
    def start(self, public_url: str = "", *trusted: str, www_authenticate: bool = True) -> None:
        server_url = ServerURL(Proxies(trusted), public_url)
        told = ProtectedResource({"": [LogIn(), LogIn()]}, server_url, "Acme LFS", Prefixes({}))
        self.serve(
            authenticators=[LogIn()],
            routes=told.routes,
            trusted=trusted,
            public_url=public_url,
            challenge=Challenge("Acme LFS", www_authenticate, told.challenge),
        )

    def told(self, path: str = "", **headers: str) -> Any:
        response = self.request("GET", WELL_KNOWN + path, headers)
        self.assertEqual(response.status, 200, response.body)
        self.assertEqual(response.headers["content-type"], "application/json")
        return response.json

    def resource(self, path: str = "", **headers: str) -> str:
        told: str = self.told(path, **headers)["resource"]
        return told

    def refused(self, **headers: str) -> Response:
        response: Response = self.request("POST", BATCH, headers, b"{}")
        self.assertEqual(response.status, 401)
        return response

    def test_the_document_says_which_issuers_tokens_are_taken(self) -> None:
        self.start()
        self.assertEqual(
            self.told(),
            {
                "resource": "http://lfs.example",
                "authorization_servers": ["https://sso.example"],
                "scopes_supported": ["openid", "groups"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Acme LFS",
            },
        )

    def test_there_is_one_of_each_url_below(self) -> None:
        self.start("https://lfs.example")
        for path in (
            "/acme/rocket.git/info/lfs",
            "/acme/group/rocket",
            "/acme/rocket.git/info/lfs/objects/batch",
            "/acme/rocket/locks",
            "/%C3%A9quipe%20A/fus%C3%A9e",
            "/a%20b/~c;d=e",
        ):
            self.assertEqual(self.resource(path), f"https://lfs.example{path}")
        self.assertEqual(self.resource("/a?x=y"), "https://lfs.example/a")

    def test_below_a_path_with_its_own_log_ins_only_they_are_named(self) -> None:
        here: dict[str, list[ILogIn]] = {"": [LogIn()]}
        there: dict[str, list[ILogIn]] = {"b.example": [OtherLogIn()]}
        for log_ins, whole, inside in (
            (there, None, "https://b.sso"),
            (here, "https://sso.example", None),
            (here | there, "https://sso.example", "https://b.sso"),
        ):
            for base in ("https://lfs.example", "https://lfs.example/lfs"):
                prefixes = Prefixes({"auth.0": Confined("b.example")})
                server_url = ServerURL(Proxies(()), base)
                told = ProtectedResource(log_ins, server_url, "Acme LFS", prefixes)
                place = lambda request: prefixes.of_url(request.path)  # noqa: E731, B023
                challenge = Challenge("Acme LFS", True, told.challenge, place)
                self.serve(
                    authenticators=[LogIn()],
                    routes=told.routes,
                    public_url=base,
                    challenge=challenge,
                )
                root = base.removeprefix("https://lfs.example")
                for path, below, issuer in (
                    ("/acme/rocket", "", whole),
                    ("/b.example/acme/rocket", "/b.example", inside),
                    ("/B.example/acme/rocket", "/b.example", inside),
                ):
                    refused = self.request("POST", f"{path}/objects/batch", {}, b"{}")
                    asked = refused.headers["www-authenticate"]
                    where = f"https://lfs.example{WELL_KNOWN}{root}{below}"
                    self.assertEqual(f'resource_metadata="{where}"' in asked, issuer is not None)
                    self.assertEqual("resource_metadata" in asked, issuer is not None)
                    realm = f"Acme LFS {below[1:]}".strip()
                    self.assertTrue(asked.startswith(f'Basic realm="{realm}"'), asked)
                    told_there = self.request("GET", WELL_KNOWN + root + path, {})
                    self.assertEqual(told_there.status, 404 if issuer is None else 200)
                    if issuer is not None:
                        self.assertEqual(told_there.json["authorization_servers"], [issuer])
                        self.assertEqual(
                            told_there.json["resource"], f"https://lfs.example{root}{path}"
                        )

    def test_no_path_makes_anything_else_of_the_document(self) -> None:
        self.start("https://lfs.example")
        self.assertEqual(self.resource('/a"b<c>%00'), "https://lfs.example/a%22b%3Cc%3E%00")
        self.assertEqual(self.request("GET", f"{WELL_KNOWN}/{'x' * 2000}").status, 400)
        self.assertEqual(self.request("POST", f"{WELL_KNOWN}/acme/rocket").status, 405)

    def test_a_proxy_decides_what_the_server_is_called(self) -> None:
        outside = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "out.example"}
        self.start()
        self.assertEqual(self.resource("/a", **outside), "http://lfs.example/a")
        self.start("", "198.51.100.0/24")
        self.assertEqual(self.resource("/a", **outside), "https://out.example/a")

    def test_a_path_in_front_of_all_stands_behind_the_well_known_part(self) -> None:
        self.start("https://example.com/lfs/")
        challenge = self.refused().headers["www-authenticate"]
        where = f"https://example.com{WELL_KNOWN}/lfs"
        self.assertEqual(challenge, f'Basic realm="Acme LFS", Bearer resource_metadata="{where}"')
        self.assertEqual(self.resource("/lfs"), "https://example.com/lfs")

    def test_who_shows_something_bad_is_told_that(self) -> None:
        self.start("https://lfs.example")
        response = self.refused(Authorization=basic("a", "b"))
        self.assertEqual(
            response.headers["www-authenticate"],
            f'Basic realm="Acme LFS", Bearer resource_metadata="https://lfs.example{WELL_KNOWN}",'
            ' error="invalid_token"',
        )
        self.assertEqual(response.headers["lfs-authenticate"], 'Basic realm="Acme LFS"')

    def test_browsers_may_be_told_nothing(self) -> None:
        self.start("https://lfs.example", www_authenticate=False)
        self.assertNotIn("www-authenticate", self.refused().headers)
