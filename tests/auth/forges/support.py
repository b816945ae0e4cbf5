"""What the tests of all forges have in common: a fake, a clock and questions."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.trial.unittest import TestCase

from giftless.base.http_client import http_client, quiet_pool
from giftless.base.schema import convert
from giftless.interfaces import Credentials, Identity, Lookup, Password
from giftless.lfs.objects import Permission
from tests.support.forges import Fake
from tests.support.logs import observe
from tests.support.making import environment, repo_of
from tests.support.run import assert_kind

T = TypeVar("T")

#: When the tests begin, in seconds since the epoch.
NOW = 1_350_085_000.0


class ForgeTestCase(TestCase):
    """Tests of an authenticator over a fake forge on the loopback interface.

    Sockets are real; time, for what is remembered and for time-outs, is not.

    :cvar factory: builds the authenticator.
    """

    factory: Any

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        pool = quiet_pool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        self.http = http_client(reactor, pool)
        self.lookups: list[tuple[str, Lookup]] = []

    def serve(self, fake: Fake) -> None:
        """Let a fake listen until the test ends."""
        port = fake.listen(reactor)
        self.addCleanup(port.stopListening)

    def build(self, **options: Any) -> Any:
        """Build the authenticator from a section of the configuration."""
        parsed = convert(options, self.factory.Options, "auth.0")
        lent = environment(reactor=self.clock, http=self.http, count_lookup=self.note_lookup)
        return self.factory.build(parsed, lent)

    def note_lookup(self, cache: str, result: Lookup) -> None:
        """Take note of a look into a cache."""
        self.lookups.append((cache, result))

    async def identify(
        self, authenticator: Any, token: str, path: str = "acme/rocket", user: str = "git"
    ) -> Identity | None:
        """Show a token as git does."""
        credentials = Credentials((Password(user, token),))
        identity: Identity | None = await authenticator.authenticate(credentials, repo_of(path))
        return identity

    async def access(
        self, authenticator: Any, token: str, path: str = "acme/rocket", user: str = "git"
    ) -> tuple[str, str]:
        """Return who somebody is and what they may do: ``write``, ``read`` or ``nothing``."""
        identity = await self.identify(authenticator, token, path, user)
        assert identity is not None, "passed on"
        return identity.name, level(identity)

    async def administers(self, authenticator: Any, token: str, path: str = "acme/rocket") -> bool:
        """Tell whether somebody may decide about what others have locked."""
        identity = await self.identify(authenticator, token, path)
        assert identity is not None, "passed on"
        return identity.grants.allows(Permission.ADMIN, None)

    async def failure_of(self, kind: type[Exception], awaitable: Awaitable[Any]) -> Any:
        """Return the error that ``awaitable`` ends with; ``kind`` as for ``assert_kind``."""
        try:
            result = await awaitable
        except kind as error:
            assert_kind(self, error, kind)
            return error
        self.fail(f"{kind.__name__} was not raised, but came {result!r}")


class ServerTokenTestCase(ForgeTestCase):
    """Tests of what asks a fake forge with a token of the server.

    :cvar server: the token.
    :ivar fake: the forge.
    :ivar token_file: the file of the token.
    :ivar logged: what authenticators and keyrings have logged.
    """

    server: str
    fake: Any

    def make_fake(self) -> Fake:
        """Make a forge that knows the token."""
        raise NotImplementedError

    def place(self) -> dict[str, Any]:
        """Return the option that says where the forge is."""
        return {"url": self.fake.url}

    def setUp(self) -> None:
        super().setUp()
        self.fake = self.make_fake()
        self.serve(self.fake)
        self.token_file = Path(self.mktemp())
        self.token_file.write_text(f"{self.server}\n")
        self.logged: list[str] = []
        observe(self, self.note)

    def note(self, event: LogEvent) -> None:
        """Take note of what is logged."""
        if event.get("log_namespace", "").startswith("giftless.auth"):
            self.logged.append(event["log_format"].format(**event))


def level(identity: Identity) -> str:
    """Say what an identity may do."""
    allows = identity.grants.allows
    if allows(Permission.WRITE, None):
        assert allows(Permission.READ, None)
        return "write"
    assert allows(Permission.READ, None) == allows(Permission.READ_META, None)
    return "read" if allows(Permission.READ, None) else "nothing"


def start(awaitable: Awaitable[T]) -> Deferred[T]:
    """Let ``awaitable`` run beside the test."""

    async def run() -> T:
        return await awaitable

    return Deferred.fromCoroutine(run())
