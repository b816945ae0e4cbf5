"""The client of a session: who it is, and what it may ask for."""

from __future__ import annotations

from dataclasses import dataclass, field

from giftless.base import access_log
from giftless.base.uncaught import new_request_id
from giftless.errors import Forbidden, LFSError
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import ObjectKey, Operation, Repo
from giftless.lfs.ssh.commands import Command
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events


@dataclass(slots=True)
class Caller:
    """Who has opened a session.

    Who that is was found out once, by a key.  What may be done is asked for again with each
    request: sessions last for hours, and a right may be lost meanwhile.

    :ivar credentials: whom somebody has identified.
    :ivar command: what the session is for.
    :ivar identity: who that is, as it was found out last; ``None`` if it was not yet.
    :ivar id: names the session in the log: 16 hexadecimal digits.
    :ivar stored: what was stored last in the session, and its size in bytes; ``None`` before,
        and when it has been verified.
    """

    credentials: Credentials
    command: Command
    identity: Identity | None = None
    id: str = field(default_factory=new_request_id)
    stored: tuple[ObjectKey, int] | None = None

    def log(self, status: int, sent: int, seconds: float) -> None:
        """Write the line of the access log, when the session has ended.

        :param status: of its last request, or why there is no session.
        :param sent: how many bytes of objects were sent.
        :param seconds: how long it lasted.
        """
        command = self.command
        path = f"/{command.repo.path}/{command.program.value}/{command.operation.value}"
        access_log.write("SSH", path, status, sent, seconds, self.id, self.identity, self.address)

    @property
    def address(self) -> str:
        """The client's IP address; empty if unknown."""
        return self.credentials.address

    async def require_permission(
        self, authenticator: IAuthenticator, gate: Gate, events: Events
    ) -> None:
        """Raise an error unless the caller may do now what the command is for.

        :param authenticator: see :meth:`identify`.
        :param gate: decides.
        :param events: where it is published if something is refused.
        :raises LFSError: if the caller may not, or it cannot be told.
        """
        try:
            identity, repo = await self.identify(authenticator)
            gate.require(identity, self.command.operation.permission, repo)
        except LFSError as error:
            self.publish(events, error)
            raise

    async def identify(self, authenticator: IAuthenticator) -> tuple[Identity, Repo]:
        """Find out what may be done now.

        :param authenticator: a chain, which ends with an identity or an error.
        :returns: who asks, and the repository by the name under which it is kept.
        """
        named = self.command.repo
        identity = await authenticator.authenticate(self.credentials, named)
        assert identity is not None, "a chain ends with an identity or an error"
        self.identity = identity
        return identity, identity.repo or named

    def publish(self, events: Events, error: LFSError) -> None:
        """Publish that something was refused to this caller.

        :param events: where.
        """
        identity = self.identity
        name, principal, repo = "", "", self.command.repo
        if identity is not None:
            name, principal, repo = identity.name, identity.principal, identity.repo or repo
        events.publish_refusal(error, repo, name, self.address, principal, self.id)

    def require_upload(self) -> None:
        """Raise an error unless the session is for uploads.

        Whoever has let the client in may have decided by that: gitolite does.

        :raises Forbidden: if it is for downloads.
        """
        if self.command.operation is not Operation.UPLOAD:
            raise Forbidden("this session is for downloads; nothing can be changed in it")
