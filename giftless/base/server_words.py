"""Tell people what other servers are called and what they say: in one line, without secrets."""

from __future__ import annotations

import json
from typing import Any, Final

#: How much of it is told, in characters.
_WORDS: Final = 300


def shown(url: str) -> str:
    """Write a URL for people: without a user, a query and a fragment."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = bare.partition("://")
    if mark:
        host, slash, path = rest.partition("/")
        bare = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return "".join(c if c.isprintable() else "?" for c in bare[:_WORDS])


def explain(body: bytes) -> str:
    """Find the words in the body of an error: ``message`` of the LFS API, or plain text."""
    text = body[:65536].decode("utf-8", "replace")
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None if text.lstrip()[:1] in ("<", "{", "[") else text
    if isinstance(found, dict):
        found = found.get("message", "")
    words = " ".join(str(found).split()) if isinstance(found, str) else ""
    return "".join(c if c.isprintable() else "?" for c in words[:_WORDS])
