"""A request to an endpoint, and what endpoints do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred

from giftless.base.concurrency import begin
from giftless.errors import BadRequest, Disconnected, PayloadTooLarge
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import ACTION_HEADER, Repo
from giftless.web.borrowed import refuse_borrowed
from giftless.web.certificates import client_certificate
from giftless.web.credentials import parse_action_token, parse_credentials
from giftless.web.links import Links
from giftless.web.request import LFSRequest

_ACTION_HEADER: Final = ACTION_HEADER.lower().encode()

#: A body of up to so many bytes that is here at once is not counted: it is gone as fast.
_SMALL_BODY: Final = 16 * 1024


@dataclass(slots=True)
class Call:
    """One request to an endpoint.

    :ivar request: the request.
    :ivar address: the client's IP address; empty for a unix socket.
    """

    request: LFSRequest
    address: str

    async def read_small_body(self) -> bytes:
        """Read a body that is not an object's bytes.

        :raises PayloadTooLarge: if it is larger than ``limits.request_body``.
        :raises Overloaded: if others need the memory more, because it comes slowly.
        """
        request = self.request
        limit = request.context.limits.request_body
        parts: list[bytes] = []
        received = 0
        if (request.length or 0) > limit:
            raise _too_large(limit)
        request.body.enough = _SMALL_BODY
        while chunks := await request.body.read():
            received += sum(map(len, chunks))
            if received > limit:
                raise _too_large(limit)
            parts.extend(chunks)
            if received > _SMALL_BODY or not request.body.complete:
                request.held.keep_body(received, request.body.complete)
        return b"".join(parts)

    def refuse_partial_body(self) -> None:
        """Make sure that the body is bytes as they are, from their beginning.

        :raises BadRequest: if it is encoded, or part of something.
        """
        for header in ("content-range", "content-encoding"):
            if self.header(header) not in (None, "identity"):
                raise BadRequest(f"send the bytes whole and as they are, without {header}")

    def header(self, name: str) -> str | None:
        """Return a header's value, if it is there; whatever bytes it has are Latin-1.

        :param name: in lower case.
        """
        values = self.request.requestHeaders.fields.get(name.encode())
        return values[-1].decode("latin-1") if values else None

    def argument(self, name: str) -> str | None:
        """Return a query parameter's first value, if it is there.

        :raises BadRequest: if it is not UTF-8.
        """
        values: Any = self.request.args.get(name.encode(), ())
        for value in values:
            try:
                return str(value.decode())
            except UnicodeDecodeError:
                raise BadRequest(f"the parameter {name} must be UTF-8") from None
        return None


@dataclass(slots=True)
class RepoCall(Call):
    """One request to a repository's endpoint, from nobody knows whom.

    :ivar named: the repository that its URL names.
    :ivar links: the endpoints below that URL.
    :ivar short: whether the URL is the short one, without ``info/lfs``.
    """

    named: Repo
    links: Links
    short: bool

    async def identify(self, authenticator: IAuthenticator) -> IdentifiedCall:
        """Find out who sends the request and to which repository, and note it for the log.

        :param authenticator: a chain, which ends with an identity or an error.
        :raises Forbidden: if a page of another site has borrowed the user's password.
        """
        headers = self.request.requestHeaders.fields.get(b"authorization", ())
        shown = parse_credentials(headers, self.argument("jwt"), self.address)
        refuse_borrowed(self.request, shown, self.links.base_url)
        certificate = client_certificate(self.request)
        if certificate is not None:
            # Behind what the client has sent by itself: connections show it unasked.
            shown = Credentials((*shown.items, certificate), self.address)
        return await self._identify(shown, authenticator)

    async def identify_action(self, authenticator: IAuthenticator) -> IdentifiedCall:
        """Do the same where actions lead to.

        The token of an action decides alone: whatever the client adds beside it is
        not looked at.

        :param authenticator: a chain that begins with what knows these tokens.
        """
        headers = self.request.requestHeaders.fields.get(_ACTION_HEADER)
        if headers is None:
            return await self.identify(authenticator)
        return await self._identify(parse_action_token(headers, self.address), authenticator)

    async def _identify(
        self, credentials: Credentials, authenticator: IAuthenticator
    ) -> IdentifiedCall:
        request = self.request
        identity = await self._unless_gone(authenticator, credentials)
        assert identity is not None, "a chain ends with an identity or an error"
        request.identity = identity
        repo, links = self.named, self.links
        if identity.repo is not None and identity.repo != repo:
            request.repo = repo = identity.repo
            links = links.to(repo)
        return IdentifiedCall(request, self.address, identity, repo, links, self.short)

    async def _unless_gone(
        self, authenticator: IAuthenticator, credentials: Credentials
    ) -> Identity | None:
        """Ask an authenticator, as long as the client is there.

        :raises Disconnected: if the client leaves before there is an answer: what is
            being asked or computed for it is given up.
        """

        async def ask() -> Identity | None:
            return await authenticator.authenticate(credentials, self.named)

        asking = begin(ask())
        if not isinstance(asking, Deferred):
            return asking
        self.request.notifyFinish().addErrback(lambda _: asking.cancel())
        try:
            return await asking
        except CancelledError:
            raise Disconnected("the client went away") from None


@dataclass(slots=True)
class IdentifiedCall(Call):
    """One request to a repository's endpoint, from somebody.

    :ivar identity: who sends it.
    :ivar repo: the repository, by the name under which it is kept.
    :ivar links: its endpoints.
    :ivar short: whether the URL is the short one, without ``info/lfs``.
    """

    identity: Identity
    repo: Repo
    links: Links
    short: bool


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body of this request may have at most {limit} bytes")
