"""The service by which clients log in (RFC 4252): by keys, and in no other way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
from twisted.conch.ssh.service import SSHService
from twisted.conch.ssh.transport import (
    DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE,
    DISCONNECT_SERVICE_NOT_AVAILABLE,
)
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.base.ssh_greeting import Owned, WhoseKey
from giftless.base.ssh_wire import string
from giftless.sshd.errors import BrokenProtocol, Unreachable
from giftless.sshd.public_keys import OfferedKey, read_offered
from giftless.sshd.transport import ServerTransport
from giftless.sshd.wire import Fields
from giftless.sshd.workers import Workers

_log = Logger(namespace="giftless.ssh")

_USERAUTH_REQUEST: Final = 50
_USERAUTH_FAILURE: Final = 51
_USERAUTH_SUCCESS: Final = 52
_USERAUTH_BANNER: Final = 53
_USERAUTH_PK_OK: Final = 60

#: The service that follows.
_CONNECTION: Final = b"ssh-connection"

#: How many requests a client may make for each key that it may offer, and how many beside:
#: it asks whether a key is good, signs with it, and asks first what methods there are.
_REQUESTS: Final = 2
_MORE_REQUESTS: Final = 4


class User(msgspec.Struct, frozen=True):
    """Somebody who has logged in.

    :ivar user: the user.
    :ivar realm: the text of the realm that the user is in.
    :ivar key: what the worker was asked about the key.
    """

    user: str
    realm: str
    key: WhoseKey


class Login(SSHService):
    """Finds out who a client is.

    Requests are answered one after the other, as they come.

    :param workers: who knows whose keys are.
    :param attempts: how many keys a client may offer.
    :param succeeded: is told who has logged in, and makes the service that follows.
    """

    name = b"ssh-userauth"
    transport: ServerTransport

    def __init__(
        self, workers: Workers, attempts: int, succeeded: Callable[[User], SSHService]
    ) -> None:
        self._workers = workers
        self._attempts = attempts
        self._succeeded = succeeded
        self._requests: deque[bytes] = deque()
        self._left = _REQUESTS * attempts + _MORE_REQUESTS
        self._failures = 0
        self._asked_methods = self._warned = False
        self._running: Deferred[None] | None = None
        self._busy = self._stopped = False

    def packetReceived(self, messageNum: int, packet: bytes) -> None:
        """Take a request.

        :raises BrokenProtocol: if it is something else, or one too many.
        """
        if messageNum != _USERAUTH_REQUEST:
            raise BrokenProtocol(f"message {messageNum} comes before the login")
        self._left -= 1
        if self._left < 0:
            raise BrokenProtocol("too many requests to log in")
        self._requests.append(packet)
        if not self._busy:
            self._busy = True
            self._running = Deferred.fromCoroutine(self._answer_all())
            self._running.addErrback(self._break_off)

    def go_on(self) -> None:
        """Do nothing: what is sent here is little, and is never held up."""

    def pass_on(self) -> None:
        """Do nothing: what comes is used at once."""

    def serviceStarted(self) -> None:
        """Wait for requests."""

    def serviceStopped(self) -> None:
        """Wait for nothing more."""
        if self._stopped:
            return
        self._stopped = True
        if self._running is not None:
            self._running.cancel()

    async def _answer_all(self) -> None:
        try:
            while self._requests and not self._stopped:
                await self._answer(self._requests.popleft())
        finally:
            self._busy = False

    def _break_off(self, failure: Failure) -> None:
        if not self._stopped and failure.value is not None:
            self.transport.break_off(failure.value)

    async def _answer(self, packet: bytes) -> None:
        fields = Fields(packet)
        login, service, method = fields.string(), fields.string(), fields.string()
        if service != _CONNECTION:
            self.transport.sendDisconnect(DISCONNECT_SERVICE_NOT_AVAILABLE, b"no such service")
        elif method == b"publickey":
            await self._try_key(login, fields)
        elif method == b"none" and not self._asked_methods:
            self._asked_methods = True
            self._refuse()
        else:
            self._count_failure()

    async def _try_key(self, login: bytes, fields: Fields) -> None:
        is_signed, algorithm, blob = fields.flag(), fields.string(), fields.string()
        key = read_offered(algorithm, blob)
        if key is None:
            self._count_failure()
            return
        if is_signed:
            signature = fields.string()
            if not key.verify(signature, self._signed_data(login, algorithm, blob)):
                self._count_failure()
                return
        fields.end()
        question = WhoseKey(blob, login.decode(errors="replace"), self.transport.address)
        owned = await self._ask(question)
        if self._stopped:
            return
        if not owned.user:
            self._count_failure()
        elif is_signed:
            self._succeed(key, User(owned.user, owned.realm, question))
        else:
            self.transport.sendPacket(_USERAUTH_PK_OK, string(algorithm) + string(blob))

    def _signed_data(self, login: bytes, algorithm: bytes, blob: bytes) -> bytes:
        session = self.transport.sessionID
        assert session is not None, "services start when keys are exchanged"
        return b"".join(
            (
                string(session),
                bytes([_USERAUTH_REQUEST]),
                *map(string, (login, _CONNECTION, b"publickey")),
                b"\1",
                *map(string, (algorithm, blob)),
            )
        )

    async def _ask(self, question: WhoseKey) -> Owned:
        try:
            owned = await self._workers.owner(question)
        except Unreachable as error:
            owned = Owned(problem=str(error))
        if owned.problem and not self._warned and not self._stopped:
            self._warned = True
            _log.warn("cannot tell whose a key is: {problem}", problem=owned.problem)
            words = "giftless: cannot tell now whose keys are; try again later\r\n"
            self.transport.sendPacket(_USERAUTH_BANNER, string(words.encode()) + string(b""))
        return owned

    def _succeed(self, key: OfferedKey, user: User) -> None:
        _log.info(
            "{user} has logged in from {address} with {kind} {fingerprint}",
            user=user.user,
            address=self.transport.address,
            kind=key.kind.decode() + (" certificate" if key.certified else ""),
            fingerprint=key.fingerprint(),
        )
        self._stopped = True
        self.transport.logged_in(user.user)
        self.transport.sendPacket(_USERAUTH_SUCCESS, b"")
        self.transport.setService(self._succeeded(user))

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures >= self._attempts:
            self.transport.sendDisconnect(
                DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE, b"Too many authentication failures"
            )
        else:
            self._refuse()

    def _refuse(self) -> None:
        self.transport.sendPacket(_USERAUTH_FAILURE, string(b"publickey") + b"\0")
