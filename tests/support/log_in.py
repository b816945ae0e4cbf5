"""What a browser and its user do at an issuer: open a URL, log in, agree, and be led back.

git's credential helpers start it as ``xdg-open URL`` or ``open URL``, and wait for it to end
before they answer; so it goes on in the background.  ``LOG_IN_AS`` is the name of the user.
"""

from __future__ import annotations

import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Final

#: How many pages there may be: a log-in, a consent, a device's code, and redirects between.
_MOST_PAGES: Final = 8

#: How long to wait for an answer, in seconds: on a busy machine it takes long.
_PATIENCE: Final = 300.0


class _Form(HTMLParser):
    """Finds the first form of a page that is sent by POST.

    :ivar action: where it is sent; empty if there is none.
    :ivar fields: what is in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at a tag."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.action and values.get("method", "").lower() == "post":
            self.action, self._inside = values.get("action", ""), True
        elif tag == "input" and self._inside and "name" in values:
            self.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Look at the end of a tag."""
        if tag == "form":
            self._inside = False


def log_in(url: str, name: str) -> None:
    """Open a URL of an issuer, and fill in forms until there are none."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    form: Mapping[str, str] | None = None
    for _ in range(_MOST_PAGES):
        data = None if form is None else urllib.parse.urlencode(form).encode()
        with opener.open(url, data, timeout=_PATIENCE) as answer:
            page = _Form()
            page.feed(answer.read().decode())
            if not page.action:
                return
            url = urllib.parse.urljoin(answer.url, page.action)
        form = {**page.fields}
        if "login" in form:
            form |= {"login": name, "password": "of no matter"}
    raise SystemExit("there is always another form")


def main() -> None:
    """Log in, in the background."""
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    log_in(sys.argv[1], os.environ["LOG_IN_AS"])


if __name__ == "__main__":
    main()
