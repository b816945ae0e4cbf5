"""The headers of what is kept beside a blob's bytes."""

from __future__ import annotations

from typing import Final

from giftless.lfs.objects import Extras
from giftless.storage.azure import answers
from giftless.storage.azure.signing import VERSION
from giftless.storage.remote.metadata import content_type, disposition, encode_extras

#: The metadata that holds an object's ``x-*`` members, and how many characters
#: it may have.  Azure takes 8 KiB of metadata in all.
EXTRAS_HEADER: Final = "x-ms-meta-giftless"
MAX_EXTRAS: Final = 4096

#: The metadata that says why an object is damaged.
DAMAGE_HEADER: Final = "x-ms-meta-giftlessdamaged"

#: The header of :data:`giftless.storage.azure.answers.DISCARDED`.
DISCARDED_HEADER: Final = f"x-ms-meta-{answers.DISCARDED}"


def upload_headers(extras: Extras) -> dict[str, str]:
    """Return what an upload must be sent with."""
    return {"x-ms-blob-type": "BlockBlob", "x-ms-version": VERSION, **kept_headers(extras)}


def kept_headers(extras: Extras) -> dict[str, str]:
    """Return the headers of what is kept beside an object's bytes."""
    headers = {"x-ms-blob-content-type": content_type(extras)}
    if (wanted := disposition(extras)) is not None:
        headers["x-ms-blob-content-disposition"] = wanted
    if kept := encode_extras(extras, MAX_EXTRAS):
        headers[EXTRAS_HEADER] = kept
    return headers
