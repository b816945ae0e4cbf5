"""The headers of resumable uploads: tus 1.0.0 (https://tus.io/protocols/resumable-upload).

An upload is known by its object's oid and size, which stand in its URL.  Whatever else a
later request needs to know of it stands in the query of that URL: so nobody has to remember
an upload, and its URL is the same for whoever uploads the object.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from giftless.errors import BadRequest, Conflict, LFSError, NotFound
from giftless.lfs.objects import MAX_SIZE, NO_EXTRAS, Extras, Oid

#: The one version of the protocol that is spoken here.
VERSION: Final = "1.0.0"

#: What is understood beyond the core of the protocol.
EXTENSIONS: Final = (
    "creation",
    "creation-with-upload",
    "checksum",
    "termination",
    "expiration",
)

#: What the body of a PATCH, or of a creation with bytes, is called.
MEDIA_TYPE: Final = "application/offset+octet-stream"

#: Where uploads are created, below a repository.
PATH: Final = "objects/tus"

#: The most bytes that ``Upload-Metadata`` may have: it becomes part of a URL.
MAX_METADATA_BYTES: Final = 1024

#: The algorithms of ``Upload-Checksum``, and how many bytes their digests have.
ALGORITHMS: Final[Mapping[str, int]] = {"sha1": 20, "sha256": 32}

_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)

#: One entry of ``Upload-Metadata``: a key, and perhaps a value in base64.
_ENTRY: Final = re.compile(r"([!-+\--~]+)(?: ([A-Za-z0-9+/]+={0,2}))?", re.ASCII)

_CHECKSUM: Final = re.compile(r"([a-z0-9-]{1,32}) +([A-Za-z0-9+/]+={0,2})", re.ASCII)


class WrongVersion(LFSError):
    """The client speaks another version of tus, or does not say which."""

    code = 412
    cause = "tus-version"

    @property
    def headers(self) -> dict[str, str]:
        """``Tus-Version``: what the server speaks."""
        return {"Tus-Version": VERSION}


class WrongUploadType(LFSError):
    """The bytes of an upload are called something else by their ``Content-Type``."""

    code = 415
    cause = "wrong-upload-type"


class WrongOffset(Conflict):
    """The client goes on with an upload somewhere else than where it broke off."""

    cause = "wrong-offset"


class Displaced(Conflict):
    """Somebody else goes on with the upload; what has come of it is kept."""

    cause = "displaced"


class WrongChecksum(LFSError):
    """The body of a request is not what its ``Upload-Checksum`` says."""

    code = 460
    cause = "wrong-checksum"


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the body of one request must be (``Upload-Checksum``).

    :ivar algorithm: one of :data:`ALGORITHMS`.
    :ivar digest: as bytes.
    """

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Creation:
    """What is to be uploaded.

    :ivar size: of the object, in bytes.
    :ivar metadata: the ``Upload-Metadata``, as it was sent.
    :ivar extras: what of it is kept beside the object.
    """

    oid: Oid
    size: int
    metadata: str
    extras: Extras


def check_version(text: str | None) -> None:
    """Check the ``Tus-Resumable`` of a request.

    :raises WrongVersion: if it is missing, or another version.
    """
    if text != VERSION:
        raise WrongVersion(f"send the header Tus-Resumable: {VERSION}")


def parse_number(name: str, text: str | None) -> int:
    """Read a header that holds a number of bytes.

    :param name: the header's.
    :raises BadRequest: if it is missing or malformed.
    """
    number = int(text) if text is not None and _NUMBER.fullmatch(text) else -1
    if not 0 <= number <= MAX_SIZE:
        raise BadRequest(f"the header {name} must be a whole number of bytes")
    return number


def parse_size(text: str) -> int:
    """Read the size in the URL of an upload.

    :raises NotFound: if there can be no such upload.
    """
    if not _NUMBER.fullmatch(text) or str(int(text)) != text or int(text) > MAX_SIZE:
        raise NotFound("the URL of an upload ends with the size of its object in bytes")
    return int(text)


def upload_path(oid: Oid, size: int) -> str:
    """Return where an upload is, below its repository."""
    return f"{PATH}/{oid}/{size}"


def parse_metadata(text: str) -> Mapping[str, bytes]:
    """Read ``Upload-Metadata``.

    :returns: the values by their keys.
    :raises BadRequest: if it is malformed or too long, or has a key twice.
    """
    if len(text) > MAX_METADATA_BYTES:
        raise BadRequest(f"Upload-Metadata may have at most {MAX_METADATA_BYTES} bytes")
    found: dict[str, bytes] = {}
    for part in text.split(","):
        entry = _ENTRY.fullmatch(part.strip(" "))
        if entry is None or entry[1] in found:
            raise _malformed_metadata()
        found[entry[1]] = _decode(entry[2] or "", _malformed_metadata())
    return found


def parse_extras(text: str | None) -> Extras:
    """Read what is kept beside the object from the ``Upload-Metadata`` of its upload.

    :param text: ``None`` if there is none.
    :raises BadRequest: if it is malformed.
    """
    return NO_EXTRAS if text is None else _extras(parse_metadata(text))


def parse_creation(length: str | None, metadata: str | None) -> Creation:
    """Read the headers of a creation.

    :param length: the ``Upload-Length``.
    :param metadata: the ``Upload-Metadata``; its key ``oid`` names the object.
    :raises BadRequest: if one of them is missing or malformed.
    """
    size = parse_number("Upload-Length", length)
    values = parse_metadata(metadata) if metadata is not None else {}
    if metadata is None or "oid" not in values:
        raise BadRequest("Upload-Metadata must have the key oid: the SHA-256 of the object")
    oid = Oid.parse(values["oid"].decode("ascii", "replace"))
    return Creation(oid, size, metadata, _extras(values))


def parse_checksum(text: str) -> Checksum:
    """Read ``Upload-Checksum``.

    :raises BadRequest: if it is malformed, or if the algorithm is not known.
    """
    found = _CHECKSUM.fullmatch(text)
    known = ", ".join(ALGORITHMS)
    error = BadRequest(f"Upload-Checksum must be one of {known}, a space, and a digest in base64")
    if found is None or found[1] not in ALGORITHMS:
        raise error
    digest = _decode(found[2], error)
    if len(digest) != ALGORITHMS[found[1]]:
        raise error
    return Checksum(found[1], digest)


def _extras(values: Mapping[str, bytes]) -> Extras:
    if "filename" not in values:
        return NO_EXTRAS
    try:
        filename = values["filename"].decode()
    except UnicodeDecodeError:
        raise BadRequest("the filename in Upload-Metadata must be UTF-8") from None
    if any(unicodedata.category(char) == "Cc" for char in filename):
        raise BadRequest("the filename in Upload-Metadata must not have control characters")
    return {"filename": filename}


def _decode(text: str, error: BadRequest) -> bytes:
    """Decode base64, and nothing that only resembles it."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise error from None


def _malformed_metadata() -> BadRequest:
    return BadRequest(
        "Upload-Metadata must be keys, each once, with a space and a value in base64 behind"
        " each, and commas between them"
    )
