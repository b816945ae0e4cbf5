"""Check the URLs that options hold."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from giftless.errors import ConfigError

#: Everything before the host of a URL that may be a user's name and password.
_USER: Final = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*@", re.ASCII | re.IGNORECASE | re.DOTALL)


def check_url(option: str, url: str, *, query: bool = False) -> str:
    """Check that a URL is ``http(s)://host[:port][/path]``.

    It consists of printable ASCII characters without spaces.  It has no user,
    no fragment and, unless ``query`` is set, no query.

    :param option: the option's path, for the error.
    :param query: whether the URL may have a query.
    :returns: the URL without slashes at its end.
    :raises ConfigError: if the URL is of another form.  The error hides what
        stands before an ``@``: that may be a password.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    refused = "#@ " if query else "?#@ "
    if not good or not url.isascii() or not url.isprintable() or any(c in url for c in refused):
        form, without = "http(s)://host[:port][/path]", "query or user"
        if query:
            form, without = f"{form}[?query]", "user"
        raise ConfigError(option, f"found {_shown(url)!r}, allowed is {form} without {without}")
    return url.rstrip("/")


def _shown(url: str) -> str:
    return _USER.sub(r"\1***@", url)
