"""What a forge tells of a repository: its present name, its number, and who may what.

Forges do not distinguish upper and lower case in names, but keep the case in which a
name was given; and they know a repository by its old name too after it has been renamed
or transferred.  Objects and locks are kept under one name, whichever is asked for.
"""

from __future__ import annotations

from urllib.parse import SplitResult, quote, urljoin, urlsplit

import msgspec

from giftless.base.urls import DEFAULT_PORTS
from giftless.errors import BadRequest
from giftless.lfs.objects import Permission, Repo


class Found(msgspec.Struct, frozen=True):
    """What a forge tells somebody of a repository.

    :ivar permissions: what they may do in it.
    :ivar repo: what the forge calls it; ``None`` if it does not tell.
    :ivar id: what the forge knows it by for ever; ``None`` if it does not tell.
    """

    permissions: frozenset[Permission]
    repo: Repo | None = None
    id: int | None = None


def folded(repo: Repo) -> Repo:
    """Return what all spellings of a repository's name have in common.

    Names on forges are ASCII; no other letters are taken for their kin.
    """
    return Repo(tuple(segment.encode().lower().decode() for segment in repo.segments))


def parse_name(path: str) -> Repo | None:
    """Read what a forge calls a repository; ``None`` if nothing can be called so."""
    try:
        # Parsing drops one ".git".
        return Repo.parse(f"{path}.git".split("/"))
    except BadRequest:
        return None


def quote_path(repo: Repo) -> str:
    """Return the repository's path for use in a URL."""
    return "/".join(quote(segment, safe="") for segment in repo.segments)


def place_of(url: str) -> str:
    """Return host and path of a URL that has been checked."""
    parts = urlsplit(url)
    return parts.netloc.lower() + parts.path


def redirection(root: str, url: str, location: str | None) -> str | None:
    """Return where a forge's redirection leads, if it stays inside of the forge's API.

    :param root: the root of the API.
    :param url: what was asked for.
    :param location: the value of ``Location`` (RFC 9110 section 10.2.2).
    :returns: the URL; ``None`` if there is none, or one that must not be shown a token.
    """
    if not location or not location.isascii() or not location.isprintable():
        return None
    try:
        target = urljoin(url, location)
        allowed, parts = urlsplit(root), urlsplit(target)
        same = (_origin(allowed), allowed.path) == (_origin(parts), parts.path[: len(allowed.path)])
    except ValueError:
        return None
    inside = same and parts.path[len(allowed.path) :].startswith("/")
    plain = not any(char in target for char in "@#\\ ") and ".." not in parts.path.split("/")
    return target if inside and plain else None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
