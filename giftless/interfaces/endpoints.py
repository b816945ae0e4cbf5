"""Endpoints that a transfer adapter brings with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from zope.interface import Attribute, Interface

from giftless.interfaces.actions import ActionKind
from giftless.interfaces.auth import Identity
from giftless.interfaces.bodies import IBody
from giftless.interfaces.transfers import ILinks
from giftless.interfaces.usecases import IDownload, IObjects
from giftless.lfs.objects import Repo


class ICall(Interface):
    """A request to an endpoint, and the ways to answer it.

    An endpoint answers once, with :meth:`respond` or :meth:`send`, or raises an
    error of :mod:`giftless.errors`.
    """

    address: str = Attribute("The client's IP address; empty for a unix socket.")
    method: str = Attribute("The HTTP method.")
    length: int | None = Attribute("The body's length in bytes; ``None`` if it is not told.")
    body: IBody = Attribute("The body, which is read as it arrives.")

    def header(name: str) -> str | None:
        """Return a header of the request, if it is there."""

    def argument(name: str) -> str | None:
        """Return the first value of a query parameter, if it is there.

        :raises giftless.errors.BadRequest: if it is not UTF-8.
        """

    def read_small_body() -> Awaitable[bytes]:
        """Read a body that is not an object's bytes.

        :raises giftless.errors.PayloadTooLarge: if it is larger than
            ``limits.request_body``.
        """

    def respond(status: int, body: bytes = b"", headers: Mapping[str, str] = {}) -> None:
        """Answer with a body that is in memory.

        :param headers: others than ``Content-Length``.
        """

    def send(
        download: IDownload,
        start: int,
        end: int,
        status: int = 200,
        headers: Mapping[str, str] = {},
    ) -> Awaitable[None]:
        """Answer with part of an object, and note how much of it was sent.

        :param start: the first byte's offset.
        :param end: one past the last byte's offset, at most the object's size.
        :param headers: others than ``Content-Length``.
        :raises giftless.errors.Disconnected: if the client goes away.
        """


class IRepoCall(ICall):
    """A request to an endpoint below a repository."""

    repo: Repo = Attribute("The repository, by the name under which it is kept.")
    links: ILinks = Attribute("The endpoints of the repository.")
    identity: Identity = Attribute("Who sends the request.")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of a transfer adapter.

    :ivar path: where it stands below a repository; variables are whole segments in
        braces: ``stage/{oid}``.
    :ivar methods: the HTTP methods that it answers; ``HEAD`` comes with ``GET``.
    :ivar handler: answers; it is given an :class:`IRepoCall`, and the variables of the
        URL as keyword arguments of their names.
    :ivar kind: the kind of action whose tokens identify clients here, beside the
        credentials of API calls; ``None`` for those credentials only.
    :ivar server_level: whether it stands below the root of the server instead.  Its
        handler is given an :class:`ICall`: nobody is identified there, since
        credentials and tokens belong to a repository.
    """

    path: str
    methods: tuple[str, ...]
    handler: Callable[..., Awaitable[None]]
    kind: ActionKind | None = None
    server_level: bool = False


class IEndpoints(Interface):
    """A transfer adapter that brings endpoints."""

    def endpoints(objects: IObjects) -> Sequence[Endpoint]:
        """Return the endpoints; asked once.

        No URL may be that of another endpoint, too.

        :param objects: the use cases that they may call.
        """
