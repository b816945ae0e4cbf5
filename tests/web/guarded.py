"""The front as a configuration describes it, with everything that guards it.

Storage, authenticators and site are put together by the daemon's own
:func:`~giftless.app.backends.build_backends` and
:func:`~giftless.app.assembly.build_site`; only the connections and the time are the
test's.  Forges are fakes on the loopback interface.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from giftless.app.assembly import build_site
from giftless.app.backends import build_backends
from giftless.app.config import Config
from giftless.app.services import build_services
from giftless.base.schema import convert
from giftless.usecases.events import Events
from giftless.web.admin_pages import PageMaker
from tests.auth.forges.support import NOW, ForgeTestCase
from tests.support.blocking import InlineBlocking
from tests.support.making import SECRET, oid_of, part_builder
from tests.support.passwords import quick_hash
from tests.support.tokens import sign, verification_key
from tests.web.support import (
    CLIENT,
    Connection,
    Front,
    FrontTestCase,
    Incomplete,
    Response,
    batch_body,
    render_request,
    storage_url,
)

REPO: Final = "acme/rocket"
API: Final = f"/{REPO}.git/info/lfs"

#: An object that is there, and one that is yet to come.
PRESENT: Final = b"the object that is there"
NEW: Final = b"an object that is yet to come"

GRANTS: Final = """
wanda: {acme/rocket: write}
ray: {acme/rocket: read}
sam: {acme/other: write}
olga: {"-": admin}
"""

_hash: Final = cache(quick_hash)


def entry(data: bytes) -> dict[str, Any]:
    """Describe an object as a batch or a verification does."""
    return {"oid": oid_of(data), "size": len(data)}


@dataclass(frozen=True)
class Operation:
    """One kind of request.

    :ivar data: the object that it is about.
    :ivar body: what is sent.
    """

    method: str
    target: str
    data: bytes
    body: bytes = b""

    @property
    def is_batch(self) -> bool:
        """Whether it is a batch, which tells of each object what it may."""
        return self.target.endswith("/batch")


#: Every operation of the API; last the one after which another object is there.
OPERATIONS: Final[Mapping[str, Operation]] = {
    "download_batch": Operation(
        "POST", f"{API}/objects/batch", PRESENT, batch_body("download", entry(PRESENT))
    ),
    "upload_batch": Operation(
        "POST", f"{API}/objects/batch", NEW, batch_body("upload", entry(NEW))
    ),
    "get": Operation("GET", storage_url(oid_of(PRESENT), API), PRESENT),
    "head": Operation("HEAD", storage_url(oid_of(PRESENT), API), PRESENT),
    "verify": Operation(
        "POST", f"{API}/objects/storage/verify", PRESENT, json.dumps(entry(PRESENT)).encode()
    ),
    "put": Operation("PUT", storage_url(oid_of(NEW), API), NEW, NEW),
}

#: Those that change what is stored.
WRITES: Final = frozenset({"upload_batch", "put"})


def bearer(scope: str, algorithm: str, which: str = "ours", **claims: Any) -> str:
    """Return the header of somebody with a JWT."""
    claims = {"sub": "somebody", "exp": NOW + 60, "scopes": scope, **claims}
    return f"Bearer {sign(claims, algorithm, which, {'kid': algorithm})}"


def jwt_section(algorithm: str, **options: Any) -> dict[str, Any]:
    """Configure that such tokens are accepted."""
    key = verification_key(algorithm)
    section = {"type": "jwt", "algorithms": [algorithm], "key": key, "key_id": algorithm}
    return section | options


class GuardedFront(Front):
    """What the daemon serves with a configuration, over an empty local store.

    :param options: the configuration, but for the storage and the secret.
    :param pages: makes the operators' pages.
    :ivar blocking: what has been computed.
    :ivar services: what the parts run beside; not started.
    """

    def __init__(
        self,
        directory: str,
        clock: Clock,
        http: HTTPClient,
        options: Mapping[str, Any],
        pages: PageMaker | None = None,
    ) -> None:
        self.directory = directory
        self.blocking = InlineBlocking()
        settings = {
            "secret": SECRET.decode(),
            "storage": {"type": "local", "path": directory},
            "locks": {"type": "none"},
            "catalogue": {"type": "none"},
            **options,
        }
        config = convert(settings, Config, "")
        parts = part_builder("", clock, self.blocking, http)
        backends = build_backends(config, parts, pages=pages)
        self.services = parts.environment.services
        self.store = backends.store
        events = Events(backends.observers, backends.arrivals)
        services = build_services(config, parts.environment, backends, events)
        self.site = build_site(config, parts.environment, backends, services)


class GuardedTestCase(FrontTestCase, ForgeTestCase):  # type: ignore[misc]  # the front's come first
    """Tests of a guarded front in memory, under a clock.

    What has been shown as a credential must not be in the log.
    """

    front: GuardedFront

    def setUp(self) -> None:
        ForgeTestCase.setUp(self)
        self._shown: set[str] = set()
        self.start_log()

    def guard(
        self,
        *auth: Mapping[str, Any],
        present: bool = True,
        pages: PageMaker | None = None,
        **options: Any,
    ) -> GuardedFront:
        """Make a front with a chain.

        Each upload has a verification, so that tokens of all kinds are asked for.

        :param present: whether :data:`PRESENT` is stored in it.
        :param pages: makes the operators' pages.
        """
        memory = "/dev/shm"
        directory = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
        self.addCleanup(shutil.rmtree, directory)
        config = {"auth": [dict(part) for part in auth], "actions": {"verify": "always"}}
        self.front = GuardedFront(directory, self.clock, self.http, {**config, **options}, pages)
        if present:
            self.front.put(PRESENT, REPO)
        return self.front

    def passwords(self) -> dict[str, Any]:
        """Write the files of users and grants; each password is ``NAMEs password``."""
        directory = self.mktemp()
        os.mkdir(directory)
        section = {"type": "basic"}
        users = [
            f"{user}:{_hash(f'{user}s password')}\n" for user in ("wanda", "ray", "sam", "olga")
        ]
        for option, content in (("htpasswd", "".join(users)), ("access", GRANTS)):
            section[option] = os.path.join(directory, option)
            with open(section[option], "w", encoding="utf-8") as file:
                file.write(content)
        return section

    async def ask(self, name: str, *authorization: str, **options: Any) -> Response:
        """Send an operation of :data:`OPERATIONS` (see :meth:`send`) and wait for the answer."""
        operation = OPERATIONS[name]
        connection = self.send(operation, *authorization, **options)
        for _ in range(2000):
            try:
                return connection.response(head=operation.method == "HEAD")
            except Incomplete:
                # A forge is being asked: its sockets are real, the clock is not.
                await deferLater(reactor, 0.001)
                self.clock.advance(0)
        self.fail(f"there is no answer to {name}")

    def ask_now(self, operation: Operation | str, *authorization: str, **options: Any) -> Response:
        """The same for what needs no forge, so that the answer is there at once."""
        if isinstance(operation, str):
            operation = OPERATIONS[operation]
        connection = self.send(operation, *authorization, **options)
        return connection.response(head=operation.method == "HEAD")

    def send(
        self,
        operation: Operation,
        *authorization: str,
        peer: Any = CLIENT,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Connection:
        """Send a request on a connection of its own.

        :param authorization: the values of its ``Authorization`` headers.
        :param token: the value of ``?jwt=``.
        """
        for value in (*authorization, token or ""):
            self._shown.update(word for word in value.split() if len(word) > 8)
        all_headers = dict(headers or {})
        if authorization:
            # A mapping has one header of a name; further ones go in its value.
            all_headers["Authorization"] = "\r\nAuthorization: ".join(authorization)
        target = operation.target + (f"?jwt={token}" if token is not None else "")
        connection = Connection(self.front.site, self.clock, peer)
        connection.send(render_request(operation.method, target, all_headers, operation.body))
        return connection

    def assert_objects(self, *wanted: bytes) -> None:
        """Check that these objects are stored, and nothing else."""
        self.assertEqual(self.front.objects(), {f"{REPO}/{oid_of(data)}": data for data in wanted})

    def assert_challenged(self, response: Response, www_authenticate: bool = True) -> None:
        """Check that a 401, and nothing else, asks for a credential."""
        challenge = {"lfs-authenticate": 'Basic realm="Git LFS"'}
        if www_authenticate:
            challenge["www-authenticate"] = challenge["lfs-authenticate"]
        found = {n: v for n, v in response.headers.items() if n.endswith("-authenticate")}
        self.assertEqual(found, challenge if response.status == 401 else {})

    def assert_cell(self, cell: str, name: str, response: Response, wanted: int) -> None:
        """Check an answer, and that nothing was stored that should not be.

        :param cell: what to call it in a message.
        :param name: the operation.
        """
        self.assertEqual(response.status, wanted, f"{cell}: {response}")
        if name == "put" and wanted == 200:
            self.assert_objects(PRESENT, NEW)
        else:
            self.assert_objects(PRESENT)
        if wanted == 503:
            self.assertGreater(int(response.headers["retry-after"]), 0, cell)
        if name == "head":
            self.assertEqual(response.body, b"", cell)
        elif wanted != 200:
            self.assert_error(response, wanted)
        elif name == "get":
            self.assertEqual(response.body, PRESENT, cell)
        elif name == "put":
            self.assertEqual(response.json, {}, cell)
        elif name == "verify":
            self.assertEqual(response.body, b"", cell)
        else:
            self.assert_actions(cell, name, response)

    def assert_actions(self, cell: str, name: str, response: Response) -> None:
        """Check that a batch's reply lets its object be moved."""
        (found,) = response.json["objects"]
        self.assertNotIn("error", found, cell)
        self.assertEqual(found["oid"], oid_of(OPERATIONS[name].data), cell)
        actions = {"upload", "verify"} if name == "upload_batch" else {"download"}
        self.assertEqual(set(found["actions"]), actions, cell)

    def _check_log(self) -> None:
        super()._check_log()
        text = "\n".join(repr(event) for event in self.events)
        for word in self._shown:
            self.assertFalse(word in text, f"a credential is in the log: {word[:20]}")


def add_cell(case: type[GuardedTestCase], cell: str, *arguments: Any) -> None:
    """Make a cell of the matrix a test."""

    async def test(self: Any) -> None:
        await self.check(cell, *arguments)

    test.__name__ = "test_" + cell.replace("-", "_")
    test.__qualname__ = f"{case.__qualname__}.{test.__name__}"
    assert not hasattr(case, test.__name__), test.__name__
    setattr(case, test.__name__, test)
