"""Read the XML that S3 and Cloud Storage answer with.

Lists are read with a real parser: names in them may be escaped in any way.  A
document type is refused beforehand, because nothing else can define entities
that grow; no store sends one.
"""

from __future__ import annotations

import html
import re
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
    # White space keeps a connection alive until the document begins.
    text = answer.body.decode("utf-8", "replace").strip()
    try:
        if not answer.whole or "<!DOCTYPE" in text:
            raise StoreError(f"what the store answers is no {root}")
        found = ElementTree.fromstring(text)  # noqa: S314 (see the module's docstring)
    except ElementTree.ParseError:
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
