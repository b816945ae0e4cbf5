"""The file name that a download is saved under (``x-filename``; RFC 6266)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from giftless.lfs.objects import Extras

#: The longest file name that is sent, in characters.
_MAX_FILENAME: Final = 200


def filename_in(extras: Extras) -> str:
    """Return what a client calls an object (``x-filename``); empty if it does not say."""
    filename = extras.get("filename")
    return filename if isinstance(filename, str) else ""


def content_disposition(filename: str | None, disposition: str | None) -> str | None:
    """Build a Content-Disposition header.

    :param filename: the name to save under, if any; never more than a name.
    :param disposition: ``inline`` or ``attachment``; the default.
    :returns: the header, or ``None`` if nothing asks for one.
    """
    kind = disposition if disposition in ("inline", "attachment") else None
    name = _clean(filename) if filename else ""
    if not name:
        return kind
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    header = f'{kind or "attachment"}; filename="{plain}"'
    if plain != name:
        header += f"; filename*=UTF-8''{quote(name, safe='')}"
    return header


def _clean(filename: str) -> str:
    """Reduce what a client calls a file to a bare, printable name."""
    name = re.split(r"[/\\]", filename)[-1]
    printable = (c for c in name if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp", "Cf"))
    cleaned = "".join(printable).strip()[:_MAX_FILENAME]
    return "" if cleaned in (".", "..") else cleaned
