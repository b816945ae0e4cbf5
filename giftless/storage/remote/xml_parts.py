"""Uploads in parts to a bucket, by the XML API which S3 and Cloud Storage share.

As in Amazon S3's API reference ("CreateMultipartUpload", "UploadPart",
"ListParts", "ListMultipartUploads", "CompleteMultipartUpload" and
"AbortMultipartUpload") and Cloud Storage's ("XML API multipart uploads").
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.base.concurrency import settle
from giftless.interfaces import PartUpload
from giftless.lfs.multipart import Part, PartLimits, PartPlan
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import (
    CHECK_TIMEOUT,
    PROBE,
    FoundPart,
    Layout,
    Parts,
    Place,
    RunningUpload,
)
from giftless.storage.remote.xml_answers import document, error_code, instant, number, text
from giftless.storage.remote.xml_bucket import XmlBucket

MIB: Final = 1024 * 1024

#: How long making an object of its parts may take, in seconds: of many parts,
#: minutes.
COMPLETE_TIMEOUT: Final = 600.0

#: How many objects are made of parts at once.  These requests have places of
#: their own: minutes are too long for other requests to wait behind them.
COMPLETED_AT_ONCE: Final = 64

#: How many parts, and how many uploads, one answer lists.  That many of the
#: longest names stay below :data:`giftless.storage.remote.client.MAX_ANSWER`.
PARTS_PAGE: Final = 1000
UPLOADS_PAGE: Final = 200

#: How many answers about the uploads of one object are read: somebody may begin
#: them by the thousand.
MAX_UPLOADS_PAGES: Final = 5

#: How many uploads that run are found in a whole bucket, at most.
MAX_RUNNING: Final = 5000

#: How many parts are signed until the reactor does something else.
SIGNED_AT_ONCE: Final = 100

#: The codes of an upload that cannot be completed any more as it was found.
_GONE: Final = frozenset({"NoSuchUpload", "InvalidPart"})


class XmlPartsBucket(XmlBucket):
    """A bucket that takes uploads in one piece or in parts."""

    part_limits = PartLimits(5 * MIB, 5 * 1024 * MIB, 10_000)

    def __init__(
        self, place: Place, layout: Layout, client: StoreClient, clock: IReactorTime
    ) -> None:
        super().__init__(place, layout, client, clock)
        self._patient = StoreClient(client.http, clock, COMPLETE_TIMEOUT, COMPLETED_AT_ONCE)

    @abstractmethod
    def _completion_headers(self, replace: bool) -> Mapping[str, str]:
        """Return the headers that an upload in parts ends with.

        :param replace: whether an object that is there may be replaced.
        """

    def _part_headers(self, size: int) -> Mapping[str, str]:
        """Return the headers that a client must send with a part.

        :param size: the part's size in bytes.
        """
        return {}

    async def find_uploads(self, key: ObjectKey) -> Sequence[str]:
        """See :meth:`giftless.storage.remote.container.Container.find_uploads`."""
        name = self.layout.name(key)
        asked = {"uploads": "", "prefix": name, "max-uploads": str(UPLOADS_PAGE)}
        found: list[tuple[str, str]] = []
        for _ in range(MAX_UPLOADS_PAGES):
            answer = await self._ask("GET", None, {}, asked)
            if answer.status != 200 and found:
                # versitygw 1.8 refuses the marker that it has given: go without the rest.
                break
            if answer.status != 200:
                raise self.problem(answer)
            listed = document(answer, "ListMultipartUploadsResult")
            uploads = listed.findall("{*}Upload")
            # Objects whose names are longer come behind.
            mine = [upload for upload in uploads if text(upload, "Key") == name]
            found += [(text(upload, "Initiated"), text(upload, "UploadId")) for upload in mine]
            if text(listed, "IsTruncated") != "true" or len(mine) < len(uploads):
                break
            asked["key-marker"] = text(listed, "NextKeyMarker")
            asked["upload-id-marker"] = text(listed, "NextUploadIdMarker")
        return [upload for _, upload in sorted(found, reverse=True) if upload]

    async def running_uploads(self, path: str = "") -> Sequence[RunningUpload]:
        """See :meth:`giftless.storage.remote.container.Container.running_uploads`."""
        asked = {"uploads": "", "prefix": self.layout.below(path), "max-uploads": str(UPLOADS_PAGE)}
        asked["encoding-type"] = "url"
        found: list[RunningUpload] = []
        for _ in range(MAX_RUNNING // UPLOADS_PAGE):
            answer = await self._ask("GET", None, {}, asked)
            if answer.status != 200 and found:
                # versitygw 1.8 refuses the marker that it has given: go without the rest.
                break
            if answer.status != 200:
                raise self.problem(answer)
            listed = document(answer, "ListMultipartUploadsResult")
            decode = unquote_plus if text(listed, "EncodingType") == "url" else str
            found += [
                RunningUpload(
                    decode(text(upload, "Key")),
                    text(upload, "UploadId"),
                    instant(upload, "Initiated"),
                )
                for upload in listed.iterfind("{*}Upload")
            ]
            if text(listed, "IsTruncated") != "true":
                break
            asked["key-marker"] = decode(text(listed, "NextKeyMarker"))
            asked["upload-id-marker"] = text(listed, "NextUploadIdMarker")
        return found

    async def create_upload(self, key: ObjectKey, extras: Extras, apart: bool = False) -> str:
        """See :meth:`giftless.storage.remote.container.Container.create_upload`."""
        answer = await self._ask("POST", key, self._creation_headers(extras), {"uploads": ""})
        if answer.status != 200:
            raise self.problem(answer)
        upload = text(document(answer, "InitiateMultipartUploadResult"), "UploadId")
        if not upload:
            raise StoreError("the store does not say what it calls an upload")
        return upload

    async def find_parts(self, key: ObjectKey, upload: PartUpload) -> Parts | None:
        """See :meth:`giftless.storage.remote.container.Container.find_parts`."""
        if not upload.id:
            return None
        found: dict[int, FoundPart] = {}
        asked = {"uploadId": upload.id, "max-parts": str(PARTS_PAGE)}
        for _ in range(self.part_limits.max_parts // PARTS_PAGE + 1):
            answer = await self._ask("GET", key, {}, asked)
            if answer.status != 200:
                if error_code(answer) == "NoSuchUpload":
                    return None
                raise self.problem(answer)
            listed = document(answer, "ListPartsResult")
            for part in listed.iterfind("{*}Part"):
                entry = FoundPart(number(part, "Size"), text(part, "ETag"))
                found[number(part, "PartNumber")] = entry
            if text(listed, "IsTruncated") != "true":
                return found
            asked["part-number-marker"] = text(listed, "NextPartNumberMarker")
        raise StoreError("the store's list of parts does not end")

    async def sign_parts(
        self, key: ObjectKey, upload: PartUpload, parts: Sequence[Part], lifetime: int
    ) -> Sequence[Action]:
        """See :meth:`giftless.storage.remote.container.Container.sign_parts`."""
        actions: list[Action] = []
        for start in range(0, len(parts), SIGNED_AT_ONCE):
            if start:
                await deferLater(self._clock, 0)
            actions += await settle(
                self._sign_part(key, upload, part, lifetime)
                for part in parts[start : start + SIGNED_AT_ONCE]
            )
        return actions

    async def _sign_part(
        self, key: ObjectKey, upload: PartUpload, part: Part, lifetime: int
    ) -> Action:
        # Other headers, Content-MD5 above all, may be sent without being signed.
        headers = self._part_headers(part.size)
        parameters = _parameters(upload, part)
        href, expires = await self._presign(
            "PUT", self._place.public_url, key, parameters, headers, lifetime
        )
        return Action(href, None, expires)

    async def part_request(self, key: ObjectKey, upload: PartUpload, part: Part) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.part_request`."""
        return await self._request("PUT", key, {}, _parameters(upload, part), None)

    async def complete_upload(
        self, key: ObjectKey, upload: PartUpload, parts: Parts, extras: Extras, replace: bool
    ) -> str | None:
        """See :meth:`giftless.storage.remote.container.Container.complete_upload`."""
        if not upload.id:
            return None
        listed = "".join(
            f"<Part><PartNumber>{place}</PartNumber><ETag>{escape(parts[place].tag)}</ETag></Part>"
            for place in sorted(parts)
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        headers = {"Content-Type": "application/xml", **self._completion_headers(replace)}

        async def prepare() -> Request:
            return await self._request("POST", key, headers, {"uploadId": upload.id}, body)

        answer = await self._patient.ask(prepare)
        # The status may have been sent before the store knew how it would end.
        code = error_code(answer)
        if answer.status in (409, 412) or code in _GONE or code == "PreconditionFailed":
            return None
        if answer.status != 200 or code:
            raise self.problem(answer)
        return text(document(answer, "CompleteMultipartUploadResult"), "ETag")

    async def abort_upload(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.storage.remote.container.Container.abort_upload`."""
        # Without an id it would be the object that is deleted.
        if upload.id:
            answer = await self._ask("DELETE", key, {}, {"uploadId": upload.id})
            if answer.status not in (200, 204) and error_code(answer) != "NoSuchUpload":
                raise self.problem(answer)

    async def _check_uploads(self) -> None:
        """Try what uploads in parts need, and leave none behind.

        :raises ConfigError: if something cannot be done.
        """
        needs = self.permissions
        listing = {"uploads": "", "prefix": self.layout.name(PROBE), "max-uploads": "1"}
        answer = await self._ask("GET", None, {}, listing, timeout=CHECK_TIMEOUT)
        if answer.status != 200:
            raise self._blame(answer, f"list uploads in parts: it needs {needs.list_uploads}")
        # An upload that is absent; a missing permission is reported before that.
        for method, purpose in (
            ("DELETE", f"abort uploads in parts: it needs {needs.abort_upload}"),
            ("GET", f"list the parts of uploads: it needs {needs.list_parts}"),
        ):
            answer = await self._ask(
                method, PROBE, {}, {"uploadId": "giftless"}, timeout=CHECK_TIMEOUT
            )
            if error_code(answer) != "NoSuchUpload":
                raise self._blame(answer, purpose)
        headers = self._creation_headers({})
        answer = await self._ask("POST", PROBE, headers, {"uploads": ""}, timeout=CHECK_TIMEOUT)
        if answer.status != 200:
            raise self._blame(answer, f"begin uploads in parts: it needs {needs.create_upload}")
        begun = text(document(answer, "InitiateMultipartUploadResult"), "UploadId")
        await self.abort_upload(PROBE, PartUpload(begun, PartPlan(0, MIB)))


def _parameters(upload: PartUpload, part: Part) -> dict[str, str]:
    return {"partNumber": str(part.number), "uploadId": upload.id}
