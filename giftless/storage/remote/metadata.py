"""What a store keeps beside an object's bytes: type, file name, ``x-*`` members, a mark."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from giftless.lfs.filename import content_disposition
from giftless.lfs.objects import Extras

#: The media type of an object that has no telling name.
DEFAULT_TYPE = "application/octet-stream"

#: How long the reason of a mark may be, in characters: beside the longest extras,
#: S3 takes no more.
MAX_REASON: Final = 100


def content_type(extras: Extras) -> str:
    """Guess an object's media type from its ``x-filename``.

    Only from the types that Python knows by itself, so that it does not
    depend on the machine.
    """
    name = extras.get("filename")
    if not isinstance(name, str):
        return DEFAULT_TYPE
    guessed, encoding = _TYPES.guess_type(name.rpartition("/")[2])
    # The type of "x.tar.gz" is that of what it unpacks to.
    return DEFAULT_TYPE if guessed is None or encoding is not None else guessed


_TYPES = mimetypes.MimeTypes()


def disposition(extras: Extras) -> str | None:
    """Return the Content-Disposition that an object's ``x-filename`` asks for."""
    name = extras.get("filename")
    return content_disposition(name, "attachment") if isinstance(name, str) and name else None


def encode_extras(extras: Extras, limit: int) -> str:
    """Write ``x-*`` members so that they fit into a header.

    :param limit: the most characters that the store takes.
    :returns: the text; with the file name alone if all is too long, and empty
        if there is nothing (that fits).
    """
    name = {"filename": extras["filename"]} if "filename" in extras else {}
    for kept in (extras, name):
        text = base64.urlsafe_b64encode(msgspec.json.encode(kept)).decode()
        if kept and len(text) <= limit:
            return text
    return ""


def decode_extras(text: str) -> Extras:
    """Read what :func:`encode_extras` has written; empty if it is not that."""
    try:
        return _decoder.decode(base64.urlsafe_b64decode(text))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return {}


def encode_reason(reason: str) -> str:
    """Write why an object is damaged, so that it fits into a header.

    It is cut off after :data:`MAX_REASON` characters, and is never empty.
    """
    text = ""
    for character in " ".join(reason.split()) or "unknown":
        if len(text + quote(character)) > MAX_REASON:
            break
        text += quote(character)
    return text


def decode_reason(text: str | None) -> str | None:
    """Read what :func:`encode_reason` has written; ``None`` if there is nothing."""
    return None if text is None else unquote(text)


_decoder = msgspec.json.Decoder(dict[str, str | int | float | bool | None])
