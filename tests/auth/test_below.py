"""Authenticators of their own below a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.app.backends import Backends, build_backends
from giftless.app.config import Config
from giftless.app.services import build_services
from giftless.auth.below import Below, Elsewhere
from giftless.auth.chain import AuthChain, in_order
from giftless.auth.grants import READ, RepoGrants
from giftless.errors import (
    BadRequest,
    ConfigError,
    CredentialNeeded,
    Forbidden,
    NotFound,
    TooManyFailures,
    Unauthorized,
)
from giftless.interfaces import (
    Credentials,
    IAnonymous,
    IAuthenticator,
    IAuthenticatorFactory,
    IConfined,
    Identity,
    Password,
    Vouched,
)
from giftless.lfs.objects import OPERATION, Permission, Repo
from giftless.usecases.events import Events
from tests.auth.test_chain import Fixed
from tests.contracts.authenticators import AuthenticatorContract
from tests.support.counting import Counted
from tests.support.making import part_builder, repo_of, writer
from tests.support.passwords import quick_hash
from tests.support.run import CoroutineTestCase

#: The password that is good wherever somebody takes it.
GOOD = "correct horse"


@implementer(IAuthenticator)
class Noting:
    """Takes the password :data:`GOOD`, and notes whatever it is shown.

    :ivar seen: passwords, and the repositories that they were shown for.
    """

    def __init__(self, kept: str = "", principal: str = "") -> None:
        self.seen: list[tuple[str, str]] = []
        self._kept = repo_of(kept) if kept else None
        self._principal = principal

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        for item in credentials.passwords:
            self.seen.append((item.password, repo.path))
            if item.password == GOOD:
                grants = RepoGrants(READ)
                return Identity(item.user, grants, self._principal, repo=self._kept)
            raise Unauthorized("the password is wrong")
        return None


def alice(password: str = GOOD) -> Credentials:
    return Credentials((Password("alice", password),), "192.0.2.1")


class BelowContractTests(AuthenticatorContract):
    """It is asked where it decides."""

    def make_authenticator(self) -> Any:
        return AuthChain([Below(repo_of("org"), [Noting()])])

    def accepted(self) -> list[Credentials]:
        return [alice()]


class BelowTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.hub, self.lab, self.rest = Noting(), Noting(), Noting()
        self.chain = AuthChain(
            in_order(
                [
                    self.rest,
                    Below(repo_of("github.com"), [self.hub]),
                    Below(repo_of("github.com/lab"), [self.lab]),
                ]
            )
        )

    def ask(self, path: str, credentials: Credentials | None = None) -> Identity:
        asked = self.chain.authenticate(credentials or alice(), repo_of(path))
        identity: Identity = self.run_now(asked)
        return identity

    def seen(self) -> tuple[int, ...]:
        return tuple(len(each.seen) for each in (self.hub, self.lab, self.rest))

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IConfined, Below(repo_of("a"), []))

    def test_the_longest_path_alone_decides(self) -> None:
        for path, name, seen in (
            ("github.com/acme/rocket", "acme/rocket", (1, 0, 0)),
            ("github.com/lab/rocket", "rocket", (0, 1, 0)),
            ("acme/rocket", "acme/rocket", (0, 0, 1)),
            ("github.community/acme/rocket", "github.community/acme/rocket", (0, 0, 1)),
        ):
            self.setUp()
            self.assertEqual(self.ask(path).name, "alice")
            self.assertEqual(self.seen(), seen)
            (noted,) = (*self.hub.seen, *self.lab.seen, *self.rest.seen)
            self.assertEqual(noted, (GOOD, name))

    def test_what_is_refused_is_shown_to_nobody_else(self) -> None:
        error = self.assertRaises(
            Unauthorized, self.ask, "github.com/lab/rocket", alice("of the other")
        )
        self.assertIn("wrong", error.message)
        self.assertEqual(self.seen(), (0, 1, 0))

    def test_whom_nobody_knows_there_nobody_else_is_asked_about(self) -> None:
        vouched = Credentials((Vouched("alice", "github:github.com"),))
        self.assertRaises(Unauthorized, self.ask, "github.com/acme/rocket", vouched)
        self.assertRaises(CredentialNeeded, self.ask, "github.com/acme/rocket", Credentials())
        below = Below(repo_of("github.com"), [self.hub])
        self.chain = AuthChain(in_order([Fixed(writer()), below]))
        self.assertRaises(CredentialNeeded, self.ask, "github.com/acme/rocket", Credentials())

    def test_another_spelling_is_shown_to_nobody(self) -> None:
        for path in ("GitHub.com/acme/rocket", "github.com./acme/rocket", "github.com/LAB/rocket"):
            self.assertRaises(NotFound, self.ask, path)
        for path in ("github.com", "github.com/-/rocket"):
            self.assertRaises(BadRequest, self.ask, path)
        self.assertEqual(self.seen(), (0, 0, 0))

    def test_what_is_told_of_the_name_stays_below_the_path(self) -> None:
        below = Below(repo_of("github.com"), [Noting("Acme/Rocket", "github:github.com#id:1")])
        identity = self.run_now(below.authenticate(alice(), repo_of("github.com/acme/rocket")))
        assert identity is not None
        self.assertEqual(identity.repo, repo_of("github.com/Acme/Rocket"))
        self.assertEqual(identity.principal, "github:github.com#id:1")

    def test_namesakes_without_a_realm_are_not_one_person(self) -> None:
        principals = {
            self.ask(path).principal
            for path in ("github.com/acme/rocket", "github.com/lab/rocket", "acme/rocket")
        }
        self.assertEqual(
            principals, {"below:github.com#alice", "below:github.com/lab#alice", "#alice"}
        )

    def test_it_is_anonymous_if_all_inside_are(self) -> None:
        parts = part_builder()
        section = {"type": "below", "path": "a", "auth": [{"type": "anonymous"}]}
        below = parts.build(IAuthenticatorFactory, section, "auth.0")
        self.assertTrue(IAnonymous.providedBy(below))
        self.assertFalse(IAnonymous.providedBy(Below(repo_of("a"), [self.hub])))
        identity = self.run_now(below.authenticate(Credentials(), repo_of("a/b")))
        self.assertTrue(identity.anonymous)


class ElsewhereTests(CoroutineTestCase):
    """Nobody decides about repositories that are below no path."""

    def test_it_says_how_paths_begin(self) -> None:
        elsewhere = Elsewhere(["git.example.com", "github.com"])
        verifyObject(IAuthenticator, elsewhere)
        asked = elsewhere.authenticate(alice(), repo_of("acme/rocket"))
        error = self.assert_fails(NotFound, asked)
        self.assertIn("begin with git.example.com/ or github.com/", error.message)

    def test_it_knows_no_operators(self) -> None:
        asked = Elsewhere(["github.com"]).authenticate(alice(), OPERATION)
        self.assertIsNone(self.run_now(asked))


class FactoryTests(CoroutineTestCase):
    def refused(self, path: Any, *sections: Any) -> ConfigError:
        section = {"type": "below", "path": path, "auth": list(sections)}
        build = part_builder().build
        return self.assertRaises(ConfigError, build, IAuthenticatorFactory, section, "auth.1")

    def test_a_path_is_written_in_one_way(self) -> None:
        for path in (
            *("", "/", "/github.com", "github.com/", "a//b", "a/../b", "github.com.git", "a b"),
            *("-", "-/x", "...", "https://github.com", "https://github.com/", "\uff47ithub.com"),
            *("a/*", "%67ithub.com", ".giftless", "a" * 300),
        ):
            error = self.refused(path, {"type": "anonymous"})
            self.assertEqual(error.path, "auth.1.path", path)

    def test_somebody_is_to_be_asked(self) -> None:
        self.assertEqual(self.refused("github.com").path, "auth.1.auth")

    def test_what_is_wrong_inside_is_named_with_its_place(self) -> None:
        hub = {"type": "github", "orgs": []}
        error = self.refused("github.com", {"type": "anonymous"}, hub)
        self.assertEqual(error.path, "auth.1.auth.1.orgs")


class ServerTests(CoroutineTestCase):
    """What a configuration makes of it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.counted = Counted()

    def build(self, *auth: Any, **options: Any) -> tuple[Config, Any, Backends]:
        config = Config(
            storage={"type": "local", "path": f"{self.folder}/objects"},
            auth=list(auth),
            locks={"type": "none"},
            state_dir=str(self.folder),
            **options,
        )
        parts = part_builder(str(self.folder))
        return config, parts, build_backends(config, parts, metrics=self.counted.metrics)

    def basic(self, path: str, password: str, realm: str = "", **more: Any) -> Any:
        """Return a section that knows alice, with a password, and lets her write."""
        name = path.replace("/", "-")
        (self.folder / f"{name}.htpasswd").write_text(f"alice:{quick_hash(password)}\n")
        (self.folder / f"{name}.access").write_text("alice: {'**': write}\n")
        section = {
            "type": "basic",
            "htpasswd": f"{self.folder}/{name}.htpasswd",
            "access": f"{self.folder}/{name}.access",
            "realm": realm,
        }
        return {"type": "below", "path": path, "auth": [section]} | more

    def test_namesakes_of_two_files_must_be_told_apart(self) -> None:
        error = self.assertRaises(
            ConfigError, self.build, self.basic("a", "x"), self.basic("b", "y")
        )
        self.assertEqual(error.path, "auth.1.auth.0.realm")
        self.build(self.basic("a", "x", "a"), self.basic("b", "y", "b"))

    def test_a_key_of_ssh_opens_what_is_below_the_path_of_its_user(self) -> None:
        sections = self.basic("a", "x", "a"), self.basic("b", "y", "b")
        config, parts, backends = self.build(*sections)
        services = build_services(config, parts.environment, backends, Events({}))
        vouched = Credentials((Vouched("alice", "basic:a"),))
        guarded = services.guarded.authenticate
        identity = self.run_now(guarded(vouched, repo_of("a/org/repo")))
        assert identity is not None
        self.assertEqual(identity.principal, "basic:a#alice")
        self.assertRaises(Unauthorized, self.run_now, guarded(vouched, repo_of("b/org/repo")))
        self.assertRaises(NotFound, self.run_now, guarded(vouched, repo_of("org/repo")))

    def test_where_nobody_has_a_name_nobody_is_asked_for_a_credential(self) -> None:
        """And one that git sends, because it knows it for the server, is no guess."""
        anonymous = {"type": "anonymous"}
        public = {"type": "below", "path": "public", "auth": [anonymous]}
        hub = self.basic("a", "x", "a")
        for sections, path, other in (
            ([public, hub], "public/repo", "a/repo"),
            ([anonymous, hub], "org/repo", "a/repo"),
        ):
            config, parts, backends = self.build(*sections)
            services = build_services(config, parts.environment, backends, Events({}))
            require = services.gate.require

            def ask(shown: Credentials, path: str, by: Any = services.guarded) -> Identity:
                identity: Identity = self.run_now(by.authenticate(shown, repo_of(path)))
                return identity

            for number in range(config.access.max_failures + 1):
                identity = ask(alice(f"of another forge {number}"), path)
                self.assertTrue(identity.anonymous)
            require(identity, Permission.READ, repo_of(path))
            wanted = identity, Permission.WRITE
            self.assertRaises(Forbidden, require, *wanted, repo_of(path))
            self.assertRaises(CredentialNeeded, require, *wanted, repo_of(other))
            self.assertRaises(CredentialNeeded, ask, Credentials(), other)
            self.assertEqual(ask(alice("x"), other).name, "alice")

    def test_where_nobody_decides_there_are_no_repositories(self) -> None:
        config, parts, backends = self.build(self.basic("a", "x", "a"))
        services = build_services(config, parts.environment, backends, Events({}))
        ask = services.guarded.authenticate
        for shown in (alice("x"), Credentials()):
            error = self.assert_fails(NotFound, ask(shown, repo_of("org/repo")))
            self.assertIn("begin with a/", error.message)
            self.assert_fails(CredentialNeeded, ask(shown, OPERATION))

    def test_what_is_good_below_one_path_is_a_guess_below_another(self) -> None:
        """And the other way round: who is shut out below one is let in below the other."""
        hubs = self.basic("a", "right at a", "a"), self.basic("b", "right at b", "b")
        config, parts, backends = self.build(*hubs)
        services = build_services(config, parts.environment, backends, Events({}))

        def ask(path: str, password: str) -> Identity:
            identity = self.run_now(services.guarded.authenticate(alice(password), repo_of(path)))
            assert identity is not None
            return identity

        self.assertTrue(ask("a/org/repo", "right at a").grants.allows(Permission.WRITE, None))
        self.assertRaises(Unauthorized, ask, "b/org/repo", "right at a")
        for number in range(config.access.max_failures - 1):
            self.assertRaises(Unauthorized, ask, "b/org/repo", f"wrong {number}")
        self.assertEqual(ask("a/org/repo", "right at a").principal, "basic:a#alice")
        self.assertRaises(TooManyFailures, ask, "b/org/repo", "right at b")
        self.assertEqual(ask("a/org/other", "right at a").name, "alice")
        # By their own types: what is below a path is told as elsewhere.
        counted = self.counted.totals("giftless_auth_requests_total")
        refused = float(config.access.max_failures)
        self.assertEqual(counted, {("basic", "accepted"): 3.0, ("basic", "refused"): refused})
