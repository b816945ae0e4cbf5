"""Every public interface: the contract between giftless and its plugins.

What a storage backend can do is declared by the interfaces that it provides
(stream, sign, tell its free space); transfer adapters ask for the interface
and never for a class.  Methods described as coroutines may be ``async def``
or return a ``Deferred``; none may block the reactor: what blocks goes through
:class:`IBlocking`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from twisted.application.service import MultiService
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from giftless.errors import LFSError
from giftless.lfs.batch import BatchRequest
from giftless.lfs.locks import Lock, LockPage, LockQuery
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import (
    NO_EXTRAS,
    Action,
    Actions,
    Extras,
    ObjectKey,
    Oid,
    Permission,
    Repo,
)

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


# --- What the server lends to its parts ------------------------------------


class IBlocking(Interface):
    """Runs what blocks (disk, big hashes, RSA) away from the reactor."""

    def run(function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Call ``function(*args)`` where it may block.

        :returns: an awaitable of its result; it raises what the call raises.
        """


class IBody(Interface):
    """A stream of bytes that is being received, with back-pressure.

    The sender is held up while nobody reads, so a body costs constant memory.
    """

    def read() -> Awaitable[Sequence[bytes]]:
        """Wait for bytes and take all that have arrived since the last call.

        :returns: an awaitable of chunks in order; an empty sequence at the end
            of the body, and only there.
        :raises giftless.errors.Disconnected: if the sender went away.
        :raises giftless.errors.LFSError: if the bytes are not acceptable, for
            instance not those that the oid names.  What was read before must
            then never become visible.
        """


@dataclass(frozen=True, slots=True)
class Environment:
    """What a plugin's factory may use to build.

    Factories see all of it; what they build is given exactly what it uses.

    :ivar reactor: the reactor (a ``Clock`` in tests).
    :ivar blocking: runs blocking calls in worker threads.
    :ivar http: makes HTTP requests to other servers, over kept connections.
    :ivar state_dir: the directory for the daemon's own small state; it may not
        exist yet.
    :ivar services: what is added here is started with the daemon, and stopped
        when no request is left.
    """

    reactor: IReactorTime
    blocking: IBlocking
    http: HTTPClient
    state_dir: str
    services: MultiService = field(default_factory=MultiService)


# --- Storage ---------------------------------------------------------------


class IObjectStore(Interface):
    """A place where objects are kept: the part that every backend has."""

    def sizes(keys: Sequence[ObjectKey]) -> Awaitable[Sequence[int | LFSError | None]]:
        """Ask for the sizes of many objects at once.

        :param keys: up to a whole batch of keys.
        :returns: an awaitable with one entry per key, in order: the size in
            bytes, ``None`` only if the object is certainly absent, or an error
            (not raised) if it can be told of others and not of this one.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a store says about an object.

    :ivar size: in bytes.
    :ivar sha256: the SHA-256 of its bytes as the store has computed it, in
        hexadecimal; ``None`` if the store keeps none.
    :ivar extras: the ``x-*`` members that it was uploaded with.
    """

    size: int
    sha256: str | None = None
    extras: Extras = field(default_factory=dict)


class IInspector(Interface):
    """A store that can look closer at an object: for its verification."""

    def inspect(key: ObjectKey) -> Awaitable[ObjectFacts | None]:
        """Tell what is known about an object.

        :returns: an awaitable of the facts; ``None`` if it is absent.
        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """


class ICheckable(Interface):
    """What can tell beforehand, by trying, whether it is going to work.

    ``twistd giftless --check`` asks every storage backend, lock store and
    authenticator that provides this, with a reactor that runs; a normal start does not.
    """

    def check() -> Awaitable[None]:
        """Try what will be needed: reach the server, use the credential.

        :returns: an awaitable that fires if all is well.
        :raises giftless.errors.ConfigError: with the option's name as path, in
            words for whoever wrote the configuration, if it is not.
        """


class IStoredObject(Interface):
    """An object opened for reading.  Whoever opened it closes it."""

    size: int = Attribute("The object's size in bytes.")
    extras: Extras = Attribute("The ``x-*`` members that it was uploaded with.")

    def read(start: int, end: int) -> IBody:
        """Read part of the object.

        :param start: the first byte's offset.
        :param end: one past the last byte's offset, at most ``size``.
        :returns: a body that provides exactly ``end - start`` bytes.
        """

    def close() -> None:
        """Free what the open object holds.  Harmless when repeated."""


class IStoredFile(IStoredObject):
    """An open object that is a file, so the kernel can send it by itself."""

    def fileno() -> int:
        """Return a descriptor of a regular file with the object's bytes."""


class IStreamingStore(IObjectStore):
    """A store whose bytes pass through the daemon."""

    def put(key: ObjectKey, size: int | None, body: IBody, extras: Extras) -> Awaitable[None]:
        """Store an object, durably and at once or not at all.

        :param key: where it goes; an object that is there already is replaced
            by the same bytes, or left alone.
        :param size: the length of the body in bytes; ``None`` if unknown.
        :param body: the bytes; it is checked against the oid on the way and
            raises from ``read`` before its end if they are wrong, so a store
            commits only after ``read`` has returned an empty sequence.
        :param extras: the ``x-*`` members of the batch's object, to be given
            back by :meth:`open`.
        :raises giftless.errors.InsufficientStorage: if the store is full.
        :raises giftless.errors.LengthRequired: if ``size`` is ``None`` and the
            store cannot do without.
        """

    def open(key: ObjectKey) -> Awaitable[IStoredObject | None]:
        """Open an object for reading.

        :returns: an awaitable of the open object; ``None`` if it is absent.
        """


class IExternalStore(IObjectStore):
    """A store that clients talk to directly, with actions signed here."""

    def upload_action(
        key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Awaitable[Action]:
        """Sign an upload of ``size`` bytes, valid for ``lifetime`` seconds.

        All objects of a batch are asked for at the same time.

        :returns: an awaitable of the action; its ``expires_in`` is less than
            ``lifetime`` if what signs it expires before.
        :raises giftless.errors.LFSError: if this object cannot be uploaded so;
            the batch says it of this object alone.
        """

    def download_action(
        key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Awaitable[Action]:
        """Sign a download, valid for ``lifetime`` seconds; see :meth:`upload_action`."""


@dataclass(frozen=True, slots=True)
class PartUpload:
    """An upload in parts that has begun.

    It travels in the tokens of the upload's actions, so that any process can
    go on with it.

    :ivar id: what the store calls it; may be empty.
    :ivar plan: how the object is divided.
    """

    id: str
    plan: PartPlan


class IMultipartStore(IObjectStore):
    """A store that takes an object in parts.

    What has arrived is known to the store alone: an upload goes on after a
    restart, and in whichever process is asked.  A store provides one of the
    two interfaces that follow, too.
    """

    want_digest: str = Attribute(
        "The digest that clients should send with a part, because the store checks it:"
        " ``contentMD5``, or empty."
    )

    def plan(size: int) -> PartPlan:
        """Divide an object of ``size`` bytes; quick.

        :raises giftless.errors.PayloadTooLarge: if no division is small enough.
        """

    def begin(
        key: ObjectKey, plan: PartPlan, extras: Extras
    ) -> Awaitable[tuple[PartUpload, Sequence[Part]]]:
        """Go on with an upload of the object, or begin one.

        :param extras: the ``x-*`` members of the batch's object.
        :returns: an awaitable of the upload, and of the parts that it lacks.
        """

    def commit(key: ObjectKey, upload: PartUpload, extras: Extras) -> Awaitable[None]:
        """Make the object of its parts; harmless when repeated.

        :raises giftless.errors.Conflict: if parts are missing, or if it is
            seen that they are not the object.  Nothing is stored then.
        """

    def abort(key: ObjectKey, upload: PartUpload) -> Awaitable[None]:
        """Throw the parts away, if there are any, and never an object."""


class IExternalMultipartStore(IMultipartStore):
    """A store to which clients send parts directly."""

    def part_actions(
        key: ObjectKey, upload: PartUpload, parts: Sequence[Part], lifetime: int
    ) -> Awaitable[Sequence[Action]]:
        """Sign the upload of each part, for ``lifetime`` seconds at most."""


class IStreamingMultipartStore(IMultipartStore):
    """A store whose parts pass through the daemon."""

    def put_part(key: ObjectKey, upload: PartUpload, part: Part, body: IBody) -> Awaitable[None]:
        """Store a part, durably and at once or not at all.

        :param body: exactly the part's bytes: anything else raises from
            ``read`` before its end.
        :raises giftless.errors.Conflict: if the upload is not there any more.
        :raises giftless.errors.InsufficientStorage: if the store is full.
        """


class ICapacity(Interface):
    """A store that knows how much it can still take."""

    def sizes_and_room(
        keys: Sequence[ObjectKey],
    ) -> Awaitable[tuple[Sequence[int | LFSError | None], int]]:
        """Ask for sizes, and for how many bytes uploads can still use: one question.

        :param keys: what may be uploaded.
        :returns: what :meth:`IObjectStore.sizes` returns, and the bytes.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """


# --- Identity and permission -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says about who sends it.

    :ivar authorization: the values of all ``Authorization`` headers; CI
        runners add their own to an action's, so there may be two.
    :ivar token: the ``jwt`` query parameter, if given.
    :ivar address: the client's IP address; empty for a unix socket.
    """

    authorization: tuple[str, ...] = ()
    token: str | None = None
    address: str = ""

    @property
    def given(self) -> bool:
        """Whether the request carries any credential at all."""
        return bool(self.authorization) or self.token is not None

    def each(self) -> tuple[Credentials, ...]:
        """Return the credentials one by one: each alone, or none at all."""
        single = [Credentials((value,), address=self.address) for value in self.authorization]
        if self.token is not None:
            single.append(Credentials(token=self.token, address=self.address))
        return tuple(single) or (self,)

    def __repr__(self) -> str:
        return f"<Credentials: {len(self.authorization)} header(s)>"


class IGrants(Interface):
    """What one identity may do in the repository it was authenticated for."""

    def allows(permission: Permission, oid: Oid | None) -> bool:
        """Decide, without waiting for anything.

        :param permission: what is about to be done.
        :param oid: the object concerned; ``None`` for the whole repository.
        """


class Ticket(msgspec.Struct, frozen=True):
    """What an action's pre-authorisation says.

    :ivar operation: what it is for: ``upload``, ``download``, ``verify``,
        ``parts``, ``part``, ``commit`` or ``abort``.
    :ivar size: the object's size in bytes, as announced in the batch.
    :ivar extras: the ``x-*`` members that were given in the batch.
    :ivar upload: the upload in parts that it belongs to, if to any.
    """

    operation: str
    size: int
    extras: Extras = {}
    upload: PartUpload | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, and what they may do in its repository.

    :ivar name: the name for the access log and for locks.
    :ivar grants: an :class:`IGrants` provider.
    :ivar anonymous: whether nobody in particular asks; a refusal is then an
        invitation to show a credential.
    :ivar ticket: what a pre-authorised action says of its object, if one is
        what authenticates the request.
    """

    name: str
    grants: IGrants
    anonymous: bool = False
    ticket: Ticket | None = None


class IAuthenticator(Interface):
    """Turns a request's credentials into an identity."""

    def authenticate(credentials: Credentials, repo: Repo) -> Awaitable[Identity | None]:
        """Look at the credentials of a request to ``repo``.

        :returns: an awaitable of the identity; ``None`` if no credential is
            one of this authenticator's, so the next in the chain is asked.
        :raises giftless.errors.Unauthorized: if one is, and is bad.
        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """


class INameless(Interface):
    """An authenticator that knows nobody in particular, whatever it is shown.

    Where all authenticators are like that, no client is asked for a credential
    so that it may hold a lock: none would help.
    """


class IPreAuthorizer(Interface):
    """Makes the short-lived credentials that batch replies carry."""

    lifetime: int = Attribute("For how many seconds an upload or a download may begin.")

    multipart_lifetime: int = Attribute("For how many seconds parts may be sent.")

    def signer(operation: str, repo: Repo, identity: Identity) -> IActionSigner:
        """Return what makes the actions of one operation, now.

        :param operation: what they are for (see :class:`Ticket`).
        :param repo: where their objects are.
        :param identity: who asked; its name is in the access log later.
        """


class IActionSigner(Interface):
    """Makes actions that need no other credential and open nothing else."""

    def action(
        oid: Oid,
        href: str,
        size: int,
        extras: Extras = NO_EXTRAS,
        upload: PartUpload | None = None,
    ) -> Action:
        """Make an action.

        :param oid: the object that it is for.
        :param href: the URL that it goes to.
        :param size: the object's size in bytes.
        :param extras: the object's ``x-*`` members in the batch.
        :param upload: the upload in parts that it belongs to, if to any.
        """


# --- Locks ---------------------------------------------------------------------


class ILockStore(Interface):
    """Where locks are kept: at most one for each path of a repository."""

    def create(lock: Lock) -> Awaitable[None]:
        """Keep a lock, durably, unless its path has one already.

        However many ask for one path at once, here or in other processes, one
        succeeds.  That takes a constraint of the store; whoever looks first and
        writes then comes too late.

        :param lock: what to keep.  Its id is new; the lock of that id, if it is
            there, is this one, and was kept by an attempt that seemed to fail.
        :raises giftless.lfs.locks.PathLocked: with the lock that the path has.
        :raises giftless.errors.ServiceUnavailable: if it cannot be kept now.
        """

    def page(query: LockQuery) -> Awaitable[LockPage]:
        """List locks, newest first, page by page.

        A lock that is there all the while is on exactly one page, whatever is
        created and removed meanwhile.

        :param query: its path and id, if it has them, could be those of a lock.
        :raises giftless.errors.BadRequest: if the cursor is none of this store's.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """

    def remove(lock: Lock) -> Awaitable[bool]:
        """Remove a lock, durably.

        :param lock: one that :meth:`page` has told of.
        :returns: an awaitable of whether it was there; of several that remove
            it at once, one is told so.
        :raises giftless.errors.ServiceUnavailable: if it cannot be removed now.
        """


# --- Transfers -----------------------------------------------------------------


class ILinks(Interface):
    """The absolute URLs of a repository's own endpoints."""

    def storage(oid: Oid, parameters: Mapping[str, str]) -> str:
        """Return the URL of an object's bytes, with query ``parameters``."""

    def verify() -> str:
        """Return the URL of the verification endpoint."""

    def parts(oid: Oid, step: str = "") -> str:
        """Return the URL of an upload in parts.

        :param step: a part's number, ``commit`` or ``abort``; empty for the
            endpoint that tells what there is to do.
        """


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One object that is to be transferred.

    :ivar key: which object.
    :ivar size: its size in bytes.
    :ivar extras: its ``x-*`` members in the batch, without their ``x-``.
    """

    key: ObjectKey
    size: int
    extras: Extras = {}


@dataclass(frozen=True, slots=True)
class Requester:
    """What the transfers of one request have in common.

    :ivar identity: who asked.
    :ivar repo: for objects of which repository.
    :ivar links: the repository's endpoints (:class:`ILinks`).
    """

    identity: Identity
    repo: Repo
    links: ILinks


class Fitness(Enum):
    """How well a transfer adapter can serve a batch.

    :cvar NONE: not at all.
    :cvar POSSIBLE: if there is nothing simpler.
    :cvar GOOD: well.
    """

    NONE = 0
    POSSIBLE = 1
    GOOD = 2


class ITransferAdapter(Interface):
    """One way of moving objects: makes the actions of a batch reply."""

    name: str = Attribute("The adapter's name on the wire, e.g. ``basic``.")

    def fitness(request: BatchRequest) -> Fitness:
        """Tell how well the adapter suits a batch whose client offers it."""

    def upload(
        transfers: Sequence[Transfer], requester: Requester
    ) -> Awaitable[Sequence[Actions | LFSError]]:
        """Make the actions for objects that the store does not have.

        :returns: each object's actions, or why it has none, in order.
        """

    def download(
        transfers: Sequence[Transfer], requester: Requester
    ) -> Awaitable[Sequence[Actions | LFSError]]:
        """Make the actions for objects that the store has.

        :returns: as :meth:`upload` does.
        """


# --- Plugins ---------------------------------------------------------------------


class IFactory(IPlugin):
    """What a plugin file provides: a name and how to build something.

    A module in a ``twisted/plugins/`` folder holds instances; they are found
    by :func:`twisted.plugin.getPlugins`.
    """

    name: str = Attribute("What selects it in the configuration: a ``type``, or a transfer.")


class IBuilder(IFactory):
    """A factory of something that a section of the configuration describes."""

    Options: type[msgspec.Struct] = Attribute(
        "A frozen, keyword-only ``msgspec.Struct``: the section's keys beside ``type``."
    )

    def build(options: Any, environment: Environment) -> Any:
        """Build it.

        :param options: an instance of ``Options``.
        :raises giftless.errors.ConfigError: with the option's name as path, if
            the options cannot work.
        """


class IStorageFactory(IBuilder):
    """Builds a storage backend."""

    def build(options: Any, environment: Environment) -> IObjectStore:
        """Build the store.  See :meth:`IBuilder.build`."""


class IAuthenticatorFactory(IBuilder):
    """Builds an authenticator."""

    def build(options: Any, environment: Environment) -> IAuthenticator:
        """Build the authenticator.  See :meth:`IBuilder.build`."""


class ILockStoreFactory(IBuilder):
    """Builds a lock store."""

    def build(options: Any, environment: Environment) -> ILockStore | None:
        """Build the store; ``None`` for a server without locks.

        See :meth:`IBuilder.build`.
        """


class ITransferFactory(IFactory):
    """Offers a transfer adapter for stores that are capable of it."""

    def build(store: IObjectStore, preauth: IPreAuthorizer) -> ITransferAdapter | None:
        """Return an adapter over ``store``; ``None`` if the store cannot do it."""
