"""Copy objects within a bucket, by the XML API which S3 and Cloud Storage share.

As in Amazon S3's API reference ("CopyObject", "UploadPartCopy") and Cloud Storage's
("Copy an object").
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from giftless.base.concurrency import settle
from giftless.base.http_client import Answer
from giftless.errors import PayloadTooLarge
from giftless.interfaces import ObjectFacts, PartUpload
from giftless.lfs.multipart import Part
from giftless.lfs.objects import ObjectKey
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import Container, FoundPart, stays
from giftless.storage.remote.metadata import encode_reason
from giftless.storage.remote.urls import encode_path
from giftless.storage.remote.versions import Version, tag_of
from giftless.storage.remote.xml_answers import document, error_code, text
from giftless.storage.remote.xml_bucket import XmlPlace
from giftless.storage.remote.xml_parts import XmlPartsBucket

#: Larger copies may take minutes, in bytes: they are waited for as long as objects that
#: are made of parts.
QUICK_COPY: Final = 64 * 1024**2

#: How large the parts are in which larger objects are copied than go at once, in bytes.
COPY_PART: Final = 1024**3

#: How many of these parts are copied at once.
PARTS_AT_ONCE: Final = 16

#: How often a copy is begun anew because its source is replaced meanwhile.
COPY_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """An object that is copied.

    :ivar bucket: where it is.
    """

    bucket: XmlCopiesBucket
    key: ObjectKey

    @property
    def path(self) -> str:
        """The bucket's name and the object's in it, not percent-encoded."""
        return f"/{self.bucket.bucket}/{self.bucket.layout.name(self.key)}"


class XmlCopiesBucket(XmlPartsBucket):
    """A bucket within which objects are copied, and to which they are from others beside it."""

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self._place.bucket

    def reaches(self, other: Container) -> bool:
        """See :meth:`giftless.storage.remote.container.Container.reaches`."""
        return isinstance(other, type(self)) and _service(other._place) == _service(self._place)

    def _digests_of(self, answer: Answer) -> Mapping[str, str]:
        """Return what an answer to HEAD tells of the object's bytes.

        :returns: by kind; two objects with the same bytes have the same values of each
            kind that both have.
        """
        return {}

    async def version(self, key: ObjectKey) -> Version | None:
        """See :meth:`giftless.storage.remote.container.Container.version`."""
        found = await self._look(key, False)
        return None if found is None else Version(int(self._length_of(found)), tag_of(found))

    async def mark(self, key: ObjectKey, reason: str) -> None:
        """See :meth:`giftless.storage.remote.container.Container.mark`.

        Metadata cannot be changed alone: the object is copied onto itself.
        """
        found = await self._look(key, False)
        if found is None:
            return
        size = self._facts_of(found).size
        if size > self.max_copy:
            raise PayloadTooLarge(
                f"the object has {size} bytes; this storage marks up to {self.max_copy}"
            )
        kept = ("content-type", "content-disposition", self.extras_header)
        headers = {
            **{name: found.headers[name] for name in kept if name in found.headers},
            f"{self.prefix}metadata-directive": "REPLACE",
            self._damage_header: encode_reason(reason),
        }
        # If it is another object by now, or none, what was found wrong is gone.
        await self._ask_to_copy(Origin(self, key), key, found, size, headers)

    async def copy(
        self,
        source: ObjectKey,
        target: ObjectKey,
        origin: Container | None = None,
        tag: str | None = None,
    ) -> bool:
        """See :meth:`giftless.storage.remote.container.Container.copy`."""
        bucket = self if origin is None else origin
        assert isinstance(bucket, XmlCopiesBucket), "reaches() has said yes"
        for _ in range(COPY_ATTEMPTS):
            found, there = await settle([bucket._look(source, True), self._look(target, False)])
            if found is None or tag not in (None, tag_of(found)):
                return False
            facts = self._facts_of(found)
            if facts.damage is not None:
                return False
            present = None if there is None else self._facts_of(there)
            if present is not None and stays(target, present, facts):
                return True
            if await self._transfer(Origin(bucket, source), target, found, facts):
                await self._confirm_copy(target, found, facts.size)
                return True
        raise StoreError("an object was replaced again and again while it was copied")

    async def _transfer(
        self, source: Origin, target: ObjectKey, found: Answer, facts: ObjectFacts
    ) -> bool:
        """Copy an object.

        :param found: the answer to HEAD, which tells what is copied.
        :returns: ``False`` if it is not that any more.
        """
        if facts.size > self.max_copy:
            return await self._transfer_in_parts(source, target, found, facts)
        answer = await self._ask_to_copy(source, target, found, facts.size, {})
        if answer is not None:
            document(answer, "CopyObjectResult")
        return answer is not None

    async def _transfer_in_parts(
        self, source: Origin, target: ObjectKey, found: Answer, facts: ObjectFacts
    ) -> bool:
        plan = self.part_limits.plan(facts.size, COPY_PART)
        upload = PartUpload(await self.create_upload(target, facts.extras), plan)
        done = False
        try:
            parts: dict[int, FoundPart] = {}
            pending = iter(plan)
            while some := list(islice(pending, PARTS_AT_ONCE)):
                tags = await settle(
                    self._copy_part(source, target, found, upload, part) for part in some
                )
                if None in tags:
                    return False
                for part, tag in zip(some, tags, strict=True):
                    parts[part.number] = FoundPart(part.size, tag or "")
            made = await self.complete_upload(target, upload, parts, facts.extras, True)
            done = made is not None
            return done
        finally:
            if not done:
                with contextlib.suppress(StoreError):
                    await self.abort_upload(target, upload)

    async def _copy_part(
        self, source: Origin, target: ObjectKey, found: Answer, upload: PartUpload, part: Part
    ) -> str | None:
        """Copy part of an object, and return its tag; ``None`` if that is not there any more."""
        span = f"bytes={part.pos}-{part.pos + part.size - 1}"
        parameters = {"partNumber": str(part.number), "uploadId": upload.id}
        answer = await self._ask_to_copy(
            source,
            target,
            found,
            part.size,
            {f"{self.prefix}copy-source-range": span},
            parameters,
        )
        return None if answer is None else text(document(answer, "CopyPartResult"), "ETag")

    async def _ask_to_copy(
        self,
        source: Origin,
        target: ObjectKey,
        found: Answer,
        size: int,
        headers: Mapping[str, str],
        parameters: Mapping[str, str] | None = None,
    ) -> Answer | None:
        """Ask the store to copy what was found.

        :param size: how many bytes are copied.
        :returns: the answer; ``None`` if the source has been replaced or deleted.
        """
        asked = {
            f"{self.prefix}copy-source": encode_path(source.path),
            f"{self.prefix}copy-source-if-match": tag_of(found),
            **headers,
        }

        async def prepare() -> Request:
            return await self._request("PUT", target, asked, parameters or {}, b"")

        answer = await self._client_for(size).ask(prepare)
        # The status may have been sent before the store knew how it would end.
        code = error_code(answer)
        if answer.status in (404, 412) or code in ("NoSuchKey", "PreconditionFailed"):
            return None
        if answer.status != 200 or code:
            raise self.problem(answer)
        return answer

    def _client_for(self, size: int) -> StoreClient:
        """Return what asks for a copy of so many bytes."""
        return self.client if size <= QUICK_COPY else self._patient

    async def _confirm_copy(self, target: ObjectKey, found: Answer, size: int) -> None:
        """Make sure that a copy is what was copied.

        :raises StoreError: if it is not.
        """
        copy = await self._look(target, True)
        if copy is None or self._facts_of(copy).size != size:
            raise StoreError("the store says that it has copied an object, but has not")
        theirs = self._digests_of(copy)
        for kind, digest in self._digests_of(found).items():
            if theirs.get(kind, digest) != digest:
                raise StoreError(f"a copy has another {kind} than what was copied")


def _service(place: XmlPlace) -> str:
    """Return the URL of the service that has a bucket."""
    return place.url.replace(place.bucket, "", 1)
