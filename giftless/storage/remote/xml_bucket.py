"""A bucket that takes parts by the XML API which S3 and Cloud Storage share.

As in Amazon S3's API reference ("CreateMultipartUpload", "UploadPart",
"ListParts", "ListMultipartUploads", "CompleteMultipartUpload" and
"AbortMultipartUpload") and Cloud Storage's ("XML API multipart uploads").
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.base.concurrency import settle
from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.interfaces import PartUpload
from giftless.lfs.multipart import Part, PartLimits, PartPlan
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote.client import Request, StoreClient, StoreError
from giftless.storage.remote.container import (
    CHECK_TIMEOUT,
    PROBE,
    Container,
    FoundPart,
    Layout,
    Parts,
)
from giftless.storage.remote.credentials import Expiring, Refreshing
from giftless.storage.remote.metadata import content_type, disposition, encode_extras
from giftless.storage.remote.xml_answers import document, error_code, number, text

MIB: Final = 1024 * 1024

#: How long making an object of its parts may take, in seconds: of many parts,
#: minutes.
COMPLETE_TIMEOUT: Final = 600.0

#: How many are made at once.  They have places of their own: minutes are too long
#: for others to wait behind them.
COMPLETED_AT_ONCE: Final = 64

#: How long the bucket's existence is believed, in seconds, and from when on it
#: is looked for again in the background.
BUCKET_BELIEVED: Final = 300.0
BUCKET_RENEWED: Final = 60.0

#: How many parts, and how many uploads, one answer lists.  That many of the
#: longest names stay below :data:`giftless.storage.remote.client.MAX_ANSWER`.
PARTS_PAGE: Final = 1000
UPLOADS_PAGE: Final = 200

#: How many answers about the uploads of one object are read: somebody may begin
#: them by the thousand.
MAX_UPLOADS_PAGES: Final = 5

#: How many parts are signed until the reactor does something else.
SIGNED_AT_ONCE: Final = 100

#: The codes of an upload that cannot be completed any more as it was found.
_GONE: Final = frozenset({"NoSuchUpload", "InvalidPart"})


@dataclass(frozen=True, slots=True)
class UploadPermissions:
    """What a vendor calls the permissions that uploads in parts need.

    :ivar listing: to list the uploads of a bucket.
    :ivar reading: to list the parts of one.
    :ivar aborting: to abort one.
    :ivar creating: to begin and complete one.
    """

    listing: str
    reading: str
    aborting: str
    creating: str


class XmlBucket(Container):
    """A bucket, of which a vendor says how requests are made and authorised.

    :param layout: where objects lie in it.
    :param client: asks it.
    :param clock: tells the time.
    :cvar vendor: what the store is called in the log.
    :cvar extras_header: the metadata that holds an object's ``x-*`` members.
    :cvar max_extras: the most characters that it may have.
    """

    part_limits = PartLimits(5 * MIB, 5 * 1024 * MIB, 10_000)
    vendor: str
    extras_header: str
    max_extras: int

    def __init__(self, layout: Layout, client: StoreClient, clock: IReactorTime) -> None:
        self._layout = layout
        self._client = client
        self._patient = StoreClient(client.http, clock, COMPLETE_TIMEOUT, COMPLETED_AT_ONCE)
        self._clock = clock
        self._existence = Refreshing(self._look_for_bucket, clock, f"{self.vendor} bucket")

    # -- what a vendor brings

    @abstractmethod
    async def _request(
        self,
        method: str,
        key: ObjectKey | None,
        headers: Mapping[str, str],
        parameters: Mapping[str, str],
        body: bytes | None,
    ) -> Request:
        """Make a request of the daemon's own.

        :param key: the object; ``None`` for the bucket.
        :param parameters: the query, not encoded.
        :param body: ``None`` if it is sent by somebody else.
        """

    @abstractmethod
    async def _sign_part(
        self, key: ObjectKey, parameters: Mapping[str, str], size: int, lifetime: int
    ) -> Action:
        """Sign the upload of a part for a client.

        :param parameters: the query.
        :param size: the part's size in bytes.
        """

    @abstractmethod
    def _is_from_store(self, answer: Answer) -> bool:
        """Whether an answer bears the marks of the store itself, not of a server between."""

    @abstractmethod
    def _completion_headers(self, replace: bool) -> dict[str, str]:
        """Return the headers that an upload in parts ends with."""

    @abstractmethod
    def _blame(self, answer: Answer, may_not: str) -> ConfigError:
        """Say which option an answer to a question of ``--check`` is about."""

    # -- existence

    async def _confirm_absence(self, key: ObjectKey, answer: Answer) -> None:
        """Make sure that a 404 means the object, and comes from the store.

        An answer to HEAD has no body that says so.

        :raises StoreError: if it does not.
        """
        await self._existence.get()
        if not self._is_from_store(answer):
            await self._find_absent(key)

    async def _look_for_bucket(self) -> Expiring[None]:
        await self._find_absent(PROBE)
        now = self._clock.seconds()
        return Expiring(None, now + BUCKET_BELIEVED, now + BUCKET_RENEWED)

    async def _find_absent(self, key: ObjectKey) -> None:
        answer = await self._ask("GET", key, {"range": "bytes=0-0"})
        if error_code(answer) != "NoSuchKey":
            raise self.problem(answer)

    # -- what is kept beside an object

    def _creation_headers(self, extras: Extras) -> dict[str, str]:
        """Return the headers that an upload begins with."""
        headers = {"Content-Type": content_type(extras)}
        if (wanted := disposition(extras)) is not None:
            headers["Content-Disposition"] = wanted
        if kept := encode_extras(extras, self.max_extras):
            headers[self.extras_header] = kept
        return headers

    # -- asking

    async def _ask(
        self,
        method: str,
        key: ObjectKey | None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        async def prepare() -> Request:
            return await self._request(method, key, headers or {}, parameters or {}, b"")

        return await self._client.ask(prepare, timeout)

    async def get_request(self, key: ObjectKey, start: int, end: int) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.get_request`."""
        return await self._request("GET", key, {"range": f"bytes={start}-{end - 1}"}, {}, b"")

    async def delete(self, key: ObjectKey) -> None:
        """See :meth:`giftless.storage.remote.container.Container.delete`."""
        answer = await self._ask("DELETE", key)
        if answer.status not in (200, 204) and error_code(answer) != "NoSuchKey":
            raise self.problem(answer)

    # -- uploads in parts

    async def find_uploads(self, key: ObjectKey) -> Sequence[str]:
        """See :meth:`giftless.storage.remote.container.Container.find_uploads`."""
        name = self._layout.name(key)
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

    async def create_upload(self, key: ObjectKey, extras: Extras) -> str:
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
                self._sign_part(key, _parameters(upload, part), part.size, lifetime)
                for part in parts[start : start + SIGNED_AT_ONCE]
            )
        return actions

    async def part_request(self, key: ObjectKey, upload: PartUpload, part: Part) -> Request:
        """See :meth:`giftless.storage.remote.container.Container.part_request`."""
        return await self._request("PUT", key, {}, _parameters(upload, part), None)

    async def complete_upload(
        self, key: ObjectKey, upload: PartUpload, parts: Parts, extras: Extras, replace: bool
    ) -> bool:
        """See :meth:`giftless.storage.remote.container.Container.complete_upload`."""
        if not upload.id:
            return False
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
            return False
        if answer.status != 200 or code:
            raise self.problem(answer)
        document(answer, "CompleteMultipartUploadResult")
        return True

    async def abort_upload(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.storage.remote.container.Container.abort_upload`."""
        # Without an id it would be the object that is deleted.
        if upload.id:
            answer = await self._ask("DELETE", key, {}, {"uploadId": upload.id})
            if answer.status not in (200, 204) and error_code(answer) != "NoSuchUpload":
                raise self.problem(answer)

    # -- beforehand

    async def _check_uploads(self, needs: UploadPermissions) -> None:
        """Try what uploads in parts need, and leave none behind.

        :raises ConfigError: if something cannot be done.
        """
        listing = {"uploads": "", "prefix": self._layout.name(PROBE), "max-uploads": "1"}
        answer = await self._ask("GET", None, {}, listing, timeout=CHECK_TIMEOUT)
        if answer.status != 200:
            raise self._blame(answer, f"list uploads in parts: it needs {needs.listing}")
        # An upload that is absent; whoever may not look is told that first.
        for method, purpose in (
            ("DELETE", f"abort uploads in parts: it needs {needs.aborting}"),
            ("GET", f"list the parts of uploads: it needs {needs.reading}"),
        ):
            answer = await self._ask(
                method, PROBE, {}, {"uploadId": "giftless"}, timeout=CHECK_TIMEOUT
            )
            if error_code(answer) != "NoSuchUpload":
                raise self._blame(answer, purpose)
        headers = self._creation_headers({})
        answer = await self._ask("POST", PROBE, headers, {"uploads": ""}, timeout=CHECK_TIMEOUT)
        if answer.status != 200:
            raise self._blame(answer, f"begin uploads in parts: it needs {needs.creating}")
        begun = text(document(answer, "InitiateMultipartUploadResult"), "UploadId")
        await self.abort_upload(PROBE, PartUpload(begun, PartPlan(0, MIB)))


def _parameters(upload: PartUpload, part: Part) -> dict[str, str]:
    return {"partNumber": str(part.number), "uploadId": upload.id}


def bucket_root(url: str) -> str:
    """Return where questions about a bucket go.

    :param url: the bucket's URL, without a slash at its end.
    """
    return url if urlsplit(url).path else f"{url}/"
