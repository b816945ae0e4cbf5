"""Check the URLs that options hold, and know what URLs leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from giftless.errors import ConfigError

#: The port that a URL of each scheme need not name.
DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

#: Addresses that stand for all of this machine's, and those by which it reaches itself.
#: No client can be told the former.
ANY_ADDRESS: Final[Mapping[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound here


def url_host(host: str) -> str:
    """Return a host's name or address as it stands in a URL: one of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def check_url(option: str, url: str, *, query: bool = False) -> str:
    """Check that a URL is ``http(s)://host[:port][/path]``.

    It consists of printable ASCII characters without spaces.  It has no user,
    no fragment and, unless ``query`` is set, no query.

    :param option: the option's path, for the error.
    :param query: whether the URL may have a query.
    :returns: the URL without slashes at its end.
    :raises ConfigError: if the URL is of another form.  The error does not show it: a
        user, a query, or what was written instead of a URL may be a secret.
    """
    problem = _problem(url, query)
    if problem is not None:
        form, without = "http(s)://host[:port][/path]", "query or user"
        if query:
            form, without = f"{form}[?query]", "user"
        raise ConfigError(option, f"found {problem}, allowed is {form} without {without}")
    return url.rstrip("/")


def _problem(url: str, query: bool) -> str | None:
    """Say what is wrong with a URL; ``None`` if nothing is."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "text with spaces or with characters that a URL cannot have"
    if "@" in url:
        return "a URL with a user or a password"
    for char, words in (("#", "a fragment"), ("?", "a query")):
        if char in url and not (query and char == "?"):
            return f"a URL with {words}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "a URL with a malformed host or port"
    if parts.scheme not in ("http", "https"):
        return "text that does not begin with http:// or https://"
    if not parts.hostname or port == 0:
        return "a URL with a malformed host or port"
    return None
