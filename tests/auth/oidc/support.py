"""What the tests of ``type: oidc`` have in common: an issuer, a clock, and who shows what."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent
from twisted.trial.unittest import TestCase

from giftless.auth.grant_lists import GrantLists
from giftless.auth.grants import ADMIN, READ, READ_WRITE
from giftless.auth.oidc.authenticator import OIDCAuthenticator
from giftless.auth.oidc.discovery import Discovery
from giftless.auth.oidc.factory import OIDCFactory
from giftless.auth.oidc.options import OIDCOptions
from giftless.auth.oidc.people import People
from giftless.auth.oidc.questions import Questions
from giftless.auth.oidc.signed import SignedTokens
from giftless.base.schema import convert
from giftless.interfaces import Bearer, Credentials, Environment, Identity, Password
from giftless.lfs.objects import Permission
from tests.support.logs import observe
from tests.support.making import environment, repo_of
from tests.support.openid import CLIENT, FakeOpenID
from tests.support.reactor import reactor

#: When the tests take place, in seconds since the epoch.
NOW = 1000.0

GRANTS = {"writers": {"acme/*": "write"}, "admins": {"**": "admin"}, "*": {"public/*": "read"}}

LEVELS = {ADMIN: "admin", READ_WRITE: "write", READ: "read", frozenset[Permission](): "nothing"}


def options_of(issuer: FakeOpenID, **others: Any) -> OIDCOptions:
    """Return the options of an authenticator for an issuer."""
    section = {"issuer": issuer.url, "audience": "lfs", "grants": GRANTS, **others}
    return convert(section, OIDCOptions, "auth.0")


def introspecting(**others: Any) -> dict[str, Any]:
    """Return the options of a server that asks about opaque tokens."""
    return {"client_id": CLIENT[0], "client_secret": CLIENT[1], **others}


class _InMemory:
    """Stands for a client of an issuer without sockets: every answer is there at once."""

    def __init__(self, issuer: FakeOpenID) -> None:
        self.http: Any = StubTreq(issuer)

    async def begin(self) -> None:
        """Do nothing."""


def in_memory(issuer: FakeOpenID, **others: Any) -> OIDCAuthenticator:
    """Build an authenticator for an issuer in memory, at the time ``NOW``."""
    options = options_of(issuer, **others)
    client: Any = _InMemory(issuer)
    clock = Clock()
    clock.advance(NOW)
    discovery = Discovery(options.issuer, client, options.jwks_max_age, clock)
    signed = SignedTokens(discovery, options, clock, clock.seconds, lambda _: None)
    questions = Questions(discovery, options, options.secret(), clock, clock.seconds)
    people = People(signed, questions, options, clock, clock.seconds, lambda _: None)
    grants = GrantLists.of_option("grants", options.grants)
    return OIDCAuthenticator(people, grants, options.issuer, options.scopes)


def level_of(identity: Identity) -> str:
    """Say what an identity may do."""
    allowed = frozenset(each for each in Permission if identity.grants.allows(each, None))
    return LEVELS[allowed]


class _TimeOfTests:
    """The real reactor, but for the time: that only passes when a test says so."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = clock.seconds
        self.callLater = clock.callLater

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class OIDCTestCase(TestCase):
    """An issuer over real sockets, in a time that tests make.

    :ivar logged: what has been logged.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.issuer = FakeOpenID()
        port = self.issuer.listen(reactor)
        self.addCleanup(port.stopListening)
        self.lookups: list[tuple[str, str]] = []
        self.logged: list[str] = []
        observe(self, self._note)

    def _note(self, event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("giftless.auth"):
            self.logged.append(formatEvent(event))

    def build(self, **others: Any) -> OIDCAuthenticator:
        """Build an authenticator as the daemon does."""
        lent: Environment = environment(reactor=_TimeOfTests(self.clock))
        lent.services.startService()
        self.addCleanup(lambda: Deferred.fromCoroutine(_stopped(lent)))
        return OIDCFactory().build(options_of(self.issuer, **others), lent)

    async def show(
        self, authenticator: OIDCAuthenticator, token: str, path: str = "acme/rocket"
    ) -> tuple[str, str] | None:
        """Show a token as git does.

        :returns: whose it is, and what they may do; ``None`` if it is none of the issuer's.
        """
        shown = Credentials((Password("oauth2", token),))
        identity = await authenticator.authenticate(shown, repo_of(path))
        return None if identity is None else (identity.name, level_of(identity))

    async def failure(self, kind: type[Exception], authenticator: Any, token: str) -> Any:
        """Return the error that showing a token ends with."""
        try:
            found = await self.show(authenticator, token)
        except kind as error:
            return error
        self.fail(f"{kind.__name__} was not raised, but came {found}")

    async def settle(self, authenticator: OIDCAuthenticator) -> None:
        """Wait until nothing is fetched that nobody waits for."""
        signed = authenticator._people._signed
        assert signed._keys is not None
        for errand in (signed._discovery._fetching, signed._keys._fetching):
            await errand.join(_nothing)

    def showing(self, authenticator: OIDCAuthenticator, token: str) -> Deferred[Any]:
        """Begin to show a token."""
        return Deferred.fromCoroutine(self.show(authenticator, token))


async def _nothing() -> None:
    """Do nothing."""


async def _stopped(lent: Environment) -> None:
    await lent.services.stopService()


def bearer(token: str) -> Credentials:
    """Return the credentials of a request with a token."""
    return Credentials((Bearer(token),))
