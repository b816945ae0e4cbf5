"""Read the XML that S3 and Cloud Storage answer with.

Lists are read with a real parser: names in them may be escaped in any way.  A
document type is refused beforehand, because nothing else can define entities
that grow; no store sends one.
"""

from __future__ import annotations

import html
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from giftless.base.http_client import Answer
from giftless.storage.remote.client import StoreError


def element(answer: Answer, name: str) -> str:
    """Return the text of the first element with a name, in whatever was answered; or nothing."""
    match = re.search(rf"<{name}>([^<]*)</{name}>", answer.body.decode("utf-8", "replace"))
    return " ".join(html.unescape(match[1]).split()) if match else ""


def error_code(answer: Answer) -> str:
    """Return the code in an error's body; empty if there is none, as after HEAD."""
    return element(answer, "Code")


def document(answer: Answer, root: str) -> Element:
    """Parse an answer's body.

    :param root: the name that its root element must have.
    :raises StoreError: if it is no such document, or not all of one.
    """
    try:
        # White space keeps a connection alive until the document begins.
        text = answer.body.decode("utf-8-sig").strip()
        if not answer.whole or "<!DOCTYPE" in text:
            raise StoreError(f"what the store answers is no {root}")
        found = ElementTree.fromstring(text)  # noqa: S314 (see the module's docstring)
    except (UnicodeDecodeError, ElementTree.ParseError):
        raise StoreError(f"what the store answers is no {root}") from None
    if found.tag.rpartition("}")[2] != root:
        raise StoreError(f"the store answers with {found.tag[:80]} instead of {root}")
    return found


def text(parent: Element, name: str) -> str:
    """Return the text of a child, whatever its namespace; empty if there is none."""
    return parent.findtext(f"{{*}}{name}") or ""


def number(parent: Element, name: str) -> int:
    """Return the number in a child.

    :raises StoreError: if there is none.
    """
    found = text(parent, name)
    if not (found.isascii() and found.isdecimal() and len(found) < 20):
        raise StoreError(f"the store answers with {found[:80]!r} as {name}")
    return int(found)


def flag(parent: Element, name: str) -> bool:
    """Return whether a child says ``true``.

    :raises StoreError: if it says neither that nor ``false``.
    """
    found = text(parent, name)
    if found not in ("true", "false"):
        raise StoreError(f"the store answers with {found[:80]!r} as {name}")
    return found == "true"


def instant(parent: Element, name: str) -> float:
    """Return the time in a child, in seconds since the epoch, or a little later.

    Stores cut off what is less than a second, but nothing must seem to have happened
    before it has.

    :raises StoreError: if there is none: as in ISO 8601 or in HTTP.
    """
    found = text(parent, name)
    try:
        read = datetime.fromisoformat if found.endswith("Z") else parsedate_to_datetime
        # Without a zone it would be this machine's time.
        if (moment := read(found)).tzinfo is not None:
            return moment.timestamp() + (0.0 if moment.microsecond else 1.0)
    except (ValueError, OverflowError):
        pass
    raise StoreError(f"the store answers with {found[:80]!r} as {name}")
