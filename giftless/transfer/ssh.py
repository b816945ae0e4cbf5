"""The ``ssh`` transfer: objects pass through the session in which they were asked for.

Its actions have no URLs and no tokens.  A session knows who its client is, and asks again
for each object.  Old versions of git-lfs would not send a token back, either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from zope.interface import implementer

from giftless.errors import LFSError
from giftless.interfaces import Fitness, ILinks, ITransferAdapter, Requester, Transfer
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Action, Actions, Oid
from giftless.lfs.ssh.requests import TRANSFER

_UPLOAD: Final[Actions] = {"upload": Action("")}
_DOWNLOAD: Final[Actions] = {"download": Action("")}


@implementer(ITransferAdapter)
class SSHTransfer:
    """Says which objects of a batch are to be moved, and no more."""

    name = TRANSFER

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`."""
        return Fitness.GOOD

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        return [_UPLOAD] * len(transfers)

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""
        return [_DOWNLOAD] * len(transfers)


@implementer(ILinks)
class NoLinks:
    """The URLs of a repository in a session: there are none."""

    def storage(self, oid: Oid, parameters: Mapping[str, str]) -> NoReturn:
        """See :meth:`giftless.interfaces.ILinks.storage`."""
        raise _no_url()

    def verify(self) -> NoReturn:
        """See :meth:`giftless.interfaces.ILinks.verify`."""
        raise _no_url()

    def parts(self, oid: Oid, step: str = "") -> NoReturn:
        """See :meth:`giftless.interfaces.ILinks.parts`."""
        raise _no_url()

    def endpoint(self, path: str, parameters: Mapping[str, str] | None = None) -> NoReturn:
        """See :meth:`giftless.interfaces.ILinks.endpoint`."""
        raise _no_url()


def _no_url() -> NotImplementedError:
    return NotImplementedError("sessions of SSH have no URLs")
