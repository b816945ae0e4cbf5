"""Decide which requests for pages are an operator's own.

Pages of other sites make an operator's browser send requests, too.  Forms carry a token
that only a page of this server can tell (against CSRF), requests of other origins are
refused, and on admin endpoints the server answers to its own names only: another site
may let its name lead to this server's address (DNS rebinding), and its pages could read
everything.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from giftless.base.pages import PageRequest
from giftless.runtime.admin.pages.problem import Problem

#: Who does what nobody has logged in for.
NOBODY: Final = "admin endpoint"

#: What browsers say of requests that a page of another site has caused.
_FOREIGN: Final = ("cross-site", "same-site")

#: A host as browsers name it: a name or an address of IPv4, or one of IPv6 in brackets.
_HOST: Final = re.compile(
    r"(?:(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]{1,5})?",
    re.ASCII,
)


class Guard:
    """Refuses requests that are not an operator's own.

    :param hosts: returns the names by which operators ask the server for pages, in lower
        case and without a port; IP addresses, ``localhost`` and the machine's own name
        need not be among them.
    """

    def __init__(self, hosts: Callable[[], Collection[str]]) -> None:
        self._key = secrets.token_bytes(32)
        self._named = hosts
        own = socket.gethostname().lower()
        self._own = {"localhost", own, own.partition(".")[0]} - {""}

    def admit(self, request: PageRequest) -> None:
        """Make sure that no other site is behind a request.

        :raises Problem: if one may be.
        """
        # Who comes by a public endpoint has shown a credential, and a browser shows that
        # to no other host.
        if not request.public and not any(map(self._is_own, request.hosts)):
            raise Problem(
                403,
                "the server does not know that it is called so; use its IP address, or name"
                " the host in the configuration (admin.hosts)",
            )
        if request.origin and not self._is_same(request):
            raise Problem(403, "a page of another site has sent this request")
        if request.method == "POST" and request.fetch_site in _FOREIGN:
            raise Problem(403, "a page of another site has sent this form")

    def token(self, request: PageRequest, purpose: str) -> str:
        """Return what proves that a form was made here, for whoever asks now.

        :param purpose: what the form does, and to what.
        """
        text = msgspec.json.encode((purpose, request.public, request.principal))
        return hmac.new(self._key, text, "sha256").hexdigest()

    def check(self, request: PageRequest, purpose: str, token: str) -> None:
        """Make sure that a form was made by :meth:`token`.

        :raises Problem: if it was not.
        """
        expected = self.token(request, purpose)
        if not hmac.compare_digest(expected.encode(), token.encode(errors="replace")):
            raise Problem(
                403,
                "the form is not one that this server has just made; it may have been"
                " restarted: go back, open the form again, and confirm",
            )

    def _is_own(self, host: str) -> bool:
        name = host_name(host)
        return name in self._own or _is_address(name) or self._is_named(name)

    def _is_named(self, name: str) -> bool:
        # What is no name must not be taken for one that is empty.
        return bool(name) and name in self._named()

    def _is_same(self, request: PageRequest) -> bool:
        scheme, _, place = request.origin.lower().partition("://")
        if scheme not in ("http", "https") or not place:
            return False
        if place in map(str.lower, request.hosts):
            return True
        # A proxy in front of an admin endpoint may ask by another name.
        return not request.public and self._is_named(host_name(place))


def host_name(host: str) -> str:
    """Return a host without its port, in lower case; empty if it is none.

    :param host: as ``Host`` has it.
    """
    found = _HOST.fullmatch(host.lower())
    return "" if found is None else found["name"] or found["address"]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
