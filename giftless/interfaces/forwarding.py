"""Stores that ask another server, with the credential of whoever asks here."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

from zope.interface import Interface

from giftless.interfaces.actions import Pass
from giftless.interfaces.auth import IAuthenticator, Identity
from giftless.interfaces.storage import IInspector, IObjectStore, IStreamingStore
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import ObjectKey, Repo


class ICallersStore(IStreamingStore, IInspector):
    """A store as one caller sees it, for one request.

    Each method asks the other server with the caller's credential, or does what a
    :class:`Pass` allows, and raises the other server's refusals as its own.
    """

    def pass_of(key: ObjectKey) -> Pass | None:
        """Return what the action of an object needs that the last batch was told of.

        :returns: ``None`` if its action needs nothing and is good as long as others.
        """

    def warm(key: ObjectKey) -> Awaitable[int]:
        """Keep an object that the last batch was told of, unless it is kept.

        :returns: an awaitable of how many bytes were fetched.
        :raises giftless.errors.LFSError: if it cannot be had, or there is no room for it.
        """


class IForwarding(IObjectStore):
    """A store whose permissions another server decides.

    It lets nobody do anything by itself: a server with such a store has authenticators that
    are :class:`IDeferring`, and no others.
    """

    def for_caller(identity: Identity, request: BatchRequest | None = None) -> ICallersStore:
        """Return the store as one caller sees it; quick.

        :param identity: who asks: its ``credential`` is shown to the other server, and its
            ``ticket`` may hold a pass.
        :param request: the batch that is being answered; ``None`` for other requests.
        """

    def url_of(repo: Repo) -> str:
        """Return the URL of the other server's LFS API for a repository.

        :raises giftless.errors.NotFound: if no server has it.
        """


class IDeferring(IAuthenticator):
    """An authenticator that lets everybody do everything, for a store that decides itself.

    The server does not start with one and any other store than an :class:`IForwarding`.
    """


@dataclass(frozen=True, slots=True)
class LockRequest:
    """A request of the File Locking API, as the client has sent it.

    :ivar path: where it goes, as decoded segments below the repository's: ``locks``.
    :ivar query: the parameters of the URL.
    :ivar body: of a POST request; not parsed.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class LockAnswer:
    """What the other server has answered to such a request.

    :ivar body: a JSON object.
    """

    status: int
    body: bytes


class ILockForwarding(Interface):
    """A store whose server keeps the locks of its repositories as well."""

    def forward(identity: Identity, repo: Repo, request: LockRequest) -> Awaitable[LockAnswer]:
        """Let the other server answer a request about locks.

        :raises giftless.errors.LFSError: if there is no answer that a client can use.
        """
