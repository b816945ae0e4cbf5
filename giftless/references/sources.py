"""What git repositories are called: URLs, names of hosts with paths, and directories."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from giftless.references.errors import NoReferences

#: How git may be asked to fetch.  Helpers (``ext::``) run any command.
SCHEMES: Final = ("file", "git", "http", "https", "ssh")

_HELPER: Final = re.compile(r"[A-Za-z0-9+.-]*::")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Source:
    """A git repository.

    :ivar url: what git is given; may hold a credential.
    :ivar name: what people are shown: without a credential.
    :ivar local: its directory, if it is one of this machine.
    """

    url: str
    name: str
    local: Path | None = None

    def __repr__(self) -> str:
        return f"<Source {self.name}>"


def parse_source(text: str) -> Source:
    """Read what somebody calls a git repository.

    :raises NoReferences: if it is an option or a helper of git, or nothing that git fetches
        from.
    """
    if not text or text.startswith("-") or not text.isprintable():
        raise NoReferences(f"{redacted(text)!r} is no URL of a git repository")
    if _HELPER.match(text):
        raise NoReferences(f"{redacted(text)!r} names a helper of git, which could run anything")
    scheme = _SCHEME.match(text)
    if scheme is None:
        host, colon, _ = text.partition(":")
        if colon and "/" not in host:
            if host.rpartition("@")[2].startswith("-"):
                raise NoReferences(f"{redacted(text)!r} is no URL of a git repository")
            return Source(text, text)
        return _local(Path(os.path.abspath(text)))
    if scheme[1] not in SCHEMES:
        allowed = ", ".join(SCHEMES)
        raise NoReferences(f"{redacted(text)!r} is of none of the schemes {allowed}")
    if scheme[1] == "file":
        return _local(Path(unquote(urlsplit(text).path)))
    return Source(text, redacted(text))


def redacted(text: str) -> str:
    """Leave the users and passwords out of all URLs in a text."""
    return _USERINFO.sub("", text)


def _local(path: Path) -> Source:
    if not path.is_dir():
        raise NoReferences(f"{str(path)!r} is no directory")
    return Source(str(path), str(path), path)
