"""The two kinds of store over a container.

Which one is built decides what clients do with it: :class:`DirectStore`
provides ``IExternalStore``, :class:`ProxyStore` provides ``IStreamingStore``,
and none provides both.  The same goes for parts.  The daemon itself can write to each,
bit by bit as well.
"""

from __future__ import annotations

from zope.interface import implementer

from giftless.errors import PayloadTooLarge
from giftless.interfaces import IExternalStore, IStreamingStore
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.failures import unavailable
from giftless.storage.remote.multipart import ExternalMultipartStore, StreamingMultipartStore
from giftless.storage.remote.resumable.store import ResumableStore


@implementer(IExternalStore)
class DirectStore(ExternalMultipartStore, ResumableStore):
    """A store that clients send objects to and fetch them from, with signed URLs."""

    async def upload_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool = False
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.upload_action`.

        :raises PayloadTooLarge: if it does not go into one request.
        """
        most = self.container.max_put
        if size > most:
            raise PayloadTooLarge(
                f"the object has {size} bytes; this storage takes up to {most} at once,"
                " and larger ones only in parts (multipart), which this transfer cannot do"
            )
        try:
            return await self.container.sign_upload(key, size, lifetime, extras, replace)
        except StoreError as error:
            raise unavailable(error, "an upload could not be signed") from error

    async def download_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.download_action`."""
        try:
            return await self.container.sign_download(key, size, lifetime, extras)
        except StoreError as error:
            raise unavailable(error, "a download could not be signed") from error


@implementer(IStreamingStore)
class ProxyStore(StreamingMultipartStore, ResumableStore):
    """A store whose objects pass through the daemon."""
