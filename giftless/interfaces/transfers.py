"""The ways of moving objects."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec
from zope.interface import Attribute, Interface

from giftless.errors import LFSError
from giftless.interfaces.actions import Pass
from giftless.interfaces.auth import Identity
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Actions, Extras, ObjectKey, Oid, Repo


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

    def endpoint(path: str, parameters: Mapping[str, str] = {}) -> str:
        """Return the URL of any endpoint below the repository.

        :param path: as the template of an :class:`Endpoint`, with values for its
            variables: ``stage/0123``.
        :param parameters: those of the query.
        """


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One object that is to be transferred.

    :ivar key: which object.
    :ivar size: its size in bytes.
    :ivar extras: its ``x-*`` members in the batch, without their ``x-``.
    :ivar replace: whether an upload replaces a damaged object that is there.
    :ivar passed: what the tokens of its actions carry for the store; ``None`` for nothing.
    """

    key: ObjectKey
    size: int
    extras: Extras = {}
    replace: bool = False
    passed: Pass | None = None


@dataclass(frozen=True, slots=True)
class Requester:
    """What the transfers of one request have in common.

    :ivar identity: who asked.
    :ivar repo: for objects of which repository.
    :ivar links: the repository's endpoints (:class:`ILinks`).
    :ivar client: what the client calls itself (``User-Agent``).
    :ivar resumes: whether the client goes on with an upload of one piece by tus, if the
        plan of its upload says so.
    """

    identity: Identity
    repo: Repo
    links: ILinks
    client: str = ""
    resumes: bool = False


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


class ILengthy(Interface):
    """A transfer adapter whose part of a reply can be long, whatever the request's length."""

    def count(request: BatchRequest) -> int:
        """Return how many actions the reply to a batch has at most."""


class IResuming(ITransferAdapter):
    """A transfer adapter whose uploads go on where they broke off, by endpoints of the server.

    Its actions are those of the kind ``tus``, good for as long as those of parts.
    """

    def suits(size: int) -> bool:
        """Tell whether an object is worth the question how far its upload is.

        :param size: its size in bytes.
        """


class IPartPlanner(Interface):
    """A transfer adapter that can plan the upload of a single object in parts."""

    def resume_by(adapter: IResuming) -> None:
        """Leave objects of one piece to another adapter of the server, where that is better."""

    def plan(transfer: Transfer, requester: Requester) -> Awaitable[Actions]:
        """Make the actions for an object that the store does not have.

        :returns: an awaitable of what a batch reply to ``multipart-basic`` says; or, for a
            requester that resumes, of ``resume`` instead of the parts.
        :raises giftless.errors.LFSError: if the object cannot be uploaded.
        """
