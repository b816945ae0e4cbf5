"""Copy blobs within a storage account, from any of its containers.

As in the reference of Azure's Blob service, "Copy Blob".  Azure copies at once if it can,
and otherwise says that it will: until then, and if it fails, the target is a blob that is
no object (:func:`giftless.storage.azure.answers.copy_status`).
"""

from __future__ import annotations

from typing import Final

from twisted.internet.task import deferLater

from giftless.base.concurrency import settle
from giftless.base.http_client import Answer
from giftless.lfs.objects import ObjectKey
from giftless.storage.azure import answers
from giftless.storage.azure.blobs import ABSENT
from giftless.storage.azure.blocks import BlockContainer
from giftless.storage.azure.signing import VERSION, Grant
from giftless.storage.remote.client import Request, StoreError
from giftless.storage.remote.container import Container, stays
from giftless.storage.remote.versions import Version, tag_of

#: For how long Azure may read what it copies, in seconds.
SOURCE_LIFETIME: Final = 86_400

#: How often a copy is looked at that Azure makes later, in seconds.
POLL: Final = 1.0

#: For how long such a copy may not get on, in seconds.
STALLED: Final = 300.0

#: How often a copy is begun anew because its source is replaced meanwhile.
COPY_ATTEMPTS: Final = 4

#: What Azure says of a source that is absent, or is another blob by now.
_CHANGED: Final = frozenset(
    {ABSENT, "CannotVerifyCopySource", "ConditionNotMet", "SourceConditionNotMet"}
)

#: What Azure says if the target is being copied already.
_PENDING: Final = "PendingCopyOperation"


class CopyingContainer(BlockContainer):
    """A container within which blobs are copied."""

    def reaches(self, other: Container) -> bool:
        """See :meth:`giftless.storage.remote.container.Container.reaches`: of the account."""
        return isinstance(other, CopyingContainer) and _service(other) == _service(self)

    async def version(self, key: ObjectKey) -> Version | None:
        """See :meth:`giftless.storage.remote.container.Container.version`."""
        found = await self._find(key)
        return None if found is None else Version(self._facts_of(found).size, tag_of(found))

    async def copy(
        self,
        source: ObjectKey,
        target: ObjectKey,
        origin: Container | None = None,
        tag: str | None = None,
    ) -> bool:
        """See :meth:`giftless.storage.remote.container.Container.copy`."""
        here = self if origin is None else origin
        assert isinstance(here, CopyingContainer), "reaches() has said yes"
        for _ in range(COPY_ATTEMPTS):
            found, there = await settle([here._find(source), self._find(target)])
            facts = None if found is None else self._facts_of(found)
            if found is None or facts is None or facts.damage is not None:
                return False
            if tag not in (None, tag_of(found)):
                return False
            present = None if there is None else self._facts_of(there)
            if present is not None and stays(target, present, facts):
                return True
            if await self._transfer(here, source, target, found):
                await self._confirm_copy(target, found)
                return True
        raise StoreError("an object was replaced again and again while it was copied")

    async def _transfer(
        self, here: CopyingContainer, source: ObjectKey, target: ObjectKey, found: Answer
    ) -> bool:
        """Copy a blob, or wait for whoever does that.

        :param here: where the source is.
        :param found: the answer to HEAD, which tells what is copied.
        :returns: ``False`` if it is not that any more.
        """
        etag = tag_of(found)

        async def prepare() -> Request:
            url, _ = await here._sign(here._place.url, source, Grant("r"), SOURCE_LIFETIME)
            headers = {
                "x-ms-version": VERSION,
                "x-ms-copy-source": url,
                "x-ms-source-if-match": etag,
            }
            return await self._request("PUT", target, Grant("cw"), headers)

        answer = await self.client.ask(prepare)
        code = answers.error_code(answer)
        if answer.status in (404, 412) and code in _CHANGED:
            return False
        if answer.status != 202 and code != _PENDING:
            raise answers.describe(answer)
        if answers.copy_status(answer) != "success":
            await self._wait(target)
        return True

    async def _wait(self, target: ObjectKey) -> None:
        """Wait until a blob has been copied.

        :raises StoreError: if it does not get on.
        """
        progress, since = "", self._clock.seconds()
        while self._clock.seconds() < since + STALLED:
            answer = await self._look(target)
            # What becomes of the others is found when the copy is confirmed.
            if answers.copy_status(answer) != "pending":
                return
            if (copied := answer.headers.get("x-ms-copy-progress", "")) != progress:
                progress, since = copied, self._clock.seconds()
            await deferLater(self._clock, POLL)
        raise StoreError("Azure does not get on with copying a blob")

    async def _confirm_copy(self, target: ObjectKey, found: Answer) -> None:
        """Make sure that a copy is what was copied.

        :raises StoreError: if it is not.
        """
        copy = await self._find(target)
        if copy is None or self._facts_of(copy).size != self._facts_of(found).size:
            raise StoreError("Azure has not copied a blob, though it seemed so")
        # Of the whole blob; Azure makes none of what consists of blocks.
        theirs, ours = (answer.headers.get("content-md5") for answer in (copy, found))
        if theirs is not None and ours is not None and theirs != ours:
            raise StoreError("a copy has another MD5 than what was copied")


def _service(container: CopyingContainer) -> tuple[str, str]:
    """Return which account has a container, and where."""
    place = container._place
    return place.account, place.url.removesuffix(place.container)
