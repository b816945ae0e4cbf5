"""The short-lived credentials that batch replies carry: action tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import msgspec
from zope.interface import Attribute, Interface

from giftless.interfaces.auth import Identity
from giftless.interfaces.multipart import PartUpload
from giftless.lfs.objects import NO_EXTRAS, Action, Extras, Oid, Permission, Repo


class Lifetime(Enum):
    """Which option of the ``actions`` section tells for how long an action is good.

    :cvar TRANSFER: ``lifetime``: uploads and downloads.
    :cvar PARTS: ``multipart_lifetime``: the parts of an upload.
    :cvar AFTERWARDS: ``verify_lifetime``: what comes after an upload.
    """

    TRANSFER = "lifetime"
    PARTS = "multipart_lifetime"
    AFTERWARDS = "verify_lifetime"


@dataclass(frozen=True, slots=True)
class ActionKind:
    """What actions of one kind have in common.

    :ivar name: stands in the tokens; each name is one kind in a server.
    :ivar permission: what a token permits on its object.
    :ivar lifetime: for how long it is good.
    :ivar header: the headers that clients send beside the token.
    :ivar sends_bytes: whether clients send an object's bytes with it, through the
        daemon.
    """

    name: str
    permission: Permission
    lifetime: Lifetime
    header: Mapping[str, str] = field(default_factory=dict, hash=False)
    sends_bytes: bool = False


class Pass(msgspec.Struct, frozen=True, gc=False):
    """What the token of an action carries for a store that asks another server.

    :ivar text: for that store alone; what is secret in it is encrypted.
    :ivar expires_at: until when the action is good, in seconds since the epoch; ``None``:
        as long as others of its kind.
    """

    text: str = ""
    expires_at: int | None = None

    def __repr__(self) -> str:
        return "<Pass>"


class IActionTokens(Interface):
    """Makes the short-lived credentials that batch replies carry."""

    lifetime: int = Attribute("For how many seconds an upload or a download may begin.")

    multipart_lifetime: int = Attribute("For how many seconds parts may be sent.")

    always_verify: bool = Attribute(
        "Whether each upload is to have a ``verify`` action.  If not, those have none whose"
        " bytes pass through the daemon: it has verified them when it answers the request"
        " that ends the upload."
    )

    def signer(kind: ActionKind, repo: Repo, identity: Identity, client: str = "") -> IActionSigner:
        """Return what makes the actions of one kind, now.

        :param kind: one of the ``kinds`` of a transfer's factory.
        :param repo: where their objects are.
        :param identity: who asked; its name is in the access log later.
        :param client: what the client calls itself: some do not bear what is asked of
            others with the bytes that they send.
        :raises ValueError: if the server does not know the kind.
        """


class IActionSigner(Interface):
    """Makes actions that need no other credential and open nothing else."""

    def action(
        oid: Oid,
        href: str,
        size: int,
        extras: Extras = NO_EXTRAS,
        upload: PartUpload | None = None,
        passed: Pass | None = None,
    ) -> Action:
        """Make an action.

        :param oid: the object that it is for.
        :param href: the URL that it goes to.
        :param size: the object's size in bytes.
        :param extras: the object's ``x-*`` members in the batch.
        :param upload: the upload in parts that it belongs to, if to any.
        :param passed: what its token carries for the store, and when it ends; ``None`` for
            nothing.
        """
