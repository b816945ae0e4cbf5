"""Interfaces of storage backends that take objects in parts."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from zope.interface import Attribute

from giftless.interfaces.bodies import IBody
from giftless.interfaces.storage import IObjectStore, Payload
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import Action, Extras, ObjectKey


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

    reads_back: bool = Attribute(
        "Whether whoever commits must read the object back, because ``commit`` compares no"
        " digest.  A store for which this is true provides"
        " :class:`~giftless.interfaces.IReadableStore`, and"
        " :class:`~giftless.interfaces.IMarking` or :class:`~giftless.interfaces.IDeleting`."
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

    def commit(
        key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> Awaitable[None]:
        """Make the object of its parts; harmless when repeated.

        :param payload: what is known of the bytes of all parts together.
        :param extras: the ``x-*`` members of the batch's object.
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
