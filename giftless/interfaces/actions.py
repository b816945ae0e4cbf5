"""The short-lived credentials that batch replies carry: action tokens."""

from __future__ import annotations

from zope.interface import Attribute, Interface

from giftless.interfaces.auth import Identity
from giftless.interfaces.multipart import PartUpload
from giftless.lfs.objects import NO_EXTRAS, Action, Extras, Oid, Repo


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
