"""Uploads in parts as Google documents them, which fake-gcs-server does not have.

The front (``tests/support/gcs.py``) has verified who asks.  Parts are files
here until the whole goes to fake-gcs-server.  None of it is Google: limits,
errors and XML are as in Cloud Storage's reference, "XML API multipart uploads".
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

#: How much is passed on at once, in bytes.
PIECE = 256 * 1024

#: The least that a part other than the last may have, and the most, in bytes.
MIN_PART = 5 * 1024**2
MAX_PART = 5 * 1024**3
MAX_NUMBER = 10_000

#: The most entries that a list has.
MAX_LISTED = 1000


class Refusal(Exception):
    """An error as the XML API has it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


@dataclass
class PartFile:
    """A part that has arrived."""

    path: Path
    size: int
    etag: str


@dataclass
class Upload:
    """An upload that has begun.

    :ivar headers: what the object will have.
    """

    id: str
    bucket: str
    name: str
    began: str
    headers: Mapping[str, str]
    parts: dict[int, PartFile] = field(default_factory=dict)


class Uploads:
    """All uploads that run.

    :param directory: where parts go.
    :ivar completing: held while an object is made: one at a time.
    """

    def __init__(self, directory: Path) -> None:
        self.completing = threading.Lock()
        self._directory = directory
        self._numbers = itertools.count(1)
        self._running: dict[str, Upload] = {}

    def create(self, bucket: str, name: str, headers: Mapping[str, str]) -> bytes:
        """Begin an upload."""
        number = next(self._numbers)
        # As opaque as Google's, and with what has to be encoded in a query.
        name_of_it = f"ABPnzm{number:06}-_/+={hashlib.md5(str(number).encode()).hexdigest()}"
        now = time.time()
        began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{number % 1000:03}Z"
        self._running[name_of_it] = Upload(name_of_it, bucket, name, began, dict(headers))
        return xml(
            "InitiateMultipartUploadResult",
            f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key><UploadId>{name_of_it}</UploadId>",
        )

    def find(self, upload: str, bucket: str, name: str) -> Upload:
        """Return an upload of an object.

        :raises Refusal: if it is not there.
        """
        found = self._running.get(upload)
        if found is None or (found.bucket, found.name) != (bucket, name):
            raise Refusal(404, "NoSuchUpload", "The requested upload was not found.")
        return found

    def receive(
        self, upload: Upload, number: str, length: int, md5: str | None, body: BinaryIO
    ) -> str | None:
        """Take a part.

        :returns: its ETag; ``None`` if the client left.
        """
        if not number.isdecimal() or not 1 <= int(number) <= MAX_NUMBER:
            raise Refusal(400, "InvalidArgument", "Part number must be from 1 to 10000.")
        if length > MAX_PART:
            raise Refusal(400, "EntityTooLarge", "Your proposed upload is too large.")
        path = self._directory / f"part-{next(self._numbers)}"
        digest, left = hashlib.md5(), length
        with path.open("wb") as file:
            while left and (piece := body.read(min(left, PIECE))):
                digest.update(piece)
                file.write(piece)
                left -= len(piece)
        if left:
            path.unlink()
            return None
        if md5 is not None and md5 != base64.b64encode(digest.digest()).decode():
            path.unlink()
            raise Refusal(400, "BadDigest", "The Content-MD5 you specified did not match.")
        etag = f'"{digest.hexdigest()}"'
        previous = upload.parts.get(int(number))
        upload.parts[int(number)] = PartFile(path, length, etag)
        if previous is not None:
            previous.path.unlink()
        return etag

    def list_uploads(self, bucket: str, query: Mapping[str, str]) -> bytes:
        """List the uploads of a bucket."""
        after = (query.get("key-marker", ""), query.get("upload-id-marker", "\U0010ffff"))
        found = sorted(
            (
                upload
                for upload in self._running.values()
                if upload.bucket == bucket
                and upload.name.startswith(query.get("prefix", ""))
                and (upload.name, upload.id) > after
            ),
            key=lambda upload: (upload.name, upload.id),
        )
        shown = found[: min(int(query.get("max-uploads", MAX_LISTED)), MAX_LISTED)]
        text = "".join(
            f"<Upload><Key>{escape(upload.name)}</Key><UploadId>{upload.id}</UploadId>"
            f"<StorageClass>STANDARD</StorageClass><Initiated>{upload.began}</Initiated></Upload>"
            for upload in shown
        )
        if len(shown) < len(found):
            text += f"<NextKeyMarker>{escape(shown[-1].name)}</NextKeyMarker>"
            text += f"<NextUploadIdMarker>{shown[-1].id}</NextUploadIdMarker>"
        truncated = str(len(shown) < len(found)).lower()
        return xml("ListMultipartUploadsResult", f"<IsTruncated>{truncated}</IsTruncated>{text}")

    def list_parts(self, upload: Upload, query: Mapping[str, str]) -> bytes:
        """List the parts of an upload."""
        after = int(query.get("part-number-marker", "0"))
        found = sorted(number for number in upload.parts if number > after)
        shown = found[: min(int(query.get("max-parts", MAX_LISTED)), MAX_LISTED)]
        text = "".join(
            f"<Part><PartNumber>{number}</PartNumber>"
            f"<ETag>{escape(upload.parts[number].etag)}</ETag>"
            f"<Size>{upload.parts[number].size}</Size></Part>"
            for number in shown
        )
        truncated = str(len(shown) < len(found)).lower()
        last = shown[-1] if shown else 0
        return xml(
            "ListPartsResult",
            f"<NextPartNumberMarker>{last}</NextPartNumberMarker>"
            f"<IsTruncated>{truncated}</IsTruncated>{text}",
        )

    def chosen(self, upload: Upload, body: bytes) -> list[PartFile]:
        """Return the parts that an upload is to be completed with."""
        try:
            listed = [
                (int(part.findtext("{*}PartNumber") or 0), part.findtext("{*}ETag"))
                for part in ElementTree.fromstring(body).iterfind("{*}Part")
            ]
        except ElementTree.ParseError:
            raise Refusal(400, "MalformedXML", "The XML was not well-formed.") from None
        if not listed:
            raise Refusal(400, "MalformedXML", "There are no parts.")
        if [number for number, _ in listed] != sorted({number for number, _ in listed}):
            raise Refusal(400, "InvalidPartOrder", "The parts are not in ascending order.")
        parts = []
        for number, etag in listed:
            part = upload.parts.get(number)
            if part is None or part.etag != etag:
                raise Refusal(400, "InvalidPart", f"Part {number} could not be found.")
            parts.append(part)
        if any(part.size < MIN_PART for part in parts[:-1]):
            raise Refusal(400, "EntityTooSmall", "A part is too small.")
        return parts

    def forget(self, upload: Upload) -> None:
        """Throw an upload and its parts away."""
        self._running.pop(upload.id, None)
        for part in upload.parts.values():
            part.path.unlink(missing_ok=True)

    def completed(self, upload: Upload) -> bytes:
        """Return what is said of an upload that has been completed."""
        return xml(
            "CompleteMultipartUploadResult",
            f"<Bucket>{upload.bucket}</Bucket><Key>{escape(upload.name)}</Key>",
        )


def pieces(parts: list[PartFile]) -> Iterator[bytes]:
    """Read parts, one after the other."""
    for part in parts:
        with part.path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


def clear(directory: Path) -> Path:
    """Return an empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def xml(name: str, text: str) -> bytes:
    """Return an answer's document."""
    return (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<{name} xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{text}</{name}>"
    ).encode()
