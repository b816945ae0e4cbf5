"""Do the URLs that the server gives lead to where it was reached?

If not, batches succeed and every transfer fails: the most frequent fault behind proxies.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from giftless.base.urls import DEFAULT_PORTS
from giftless.client.asking import Outgoing, check_url
from giftless.client.errors import ServerError
from giftless.commands.doctor.failures import Unreachable
from giftless.commands.doctor.reaching import Add, example_url
from giftless.commands.doctor.session import Session, is_giftless
from giftless.commands.findings import Finding, failed, ok, skipped, warning
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered, GivenAction

_PROXY: Final = (
    "let the proxy pass on what the client asked for (nginx: proxy_set_header Host $http_host)"
)
_FORWARDED: Final = (
    "let the proxy say that the client came by https (nginx: proxy_set_header X-Forwarded-Proto"
    " $scheme) and name the proxy in trusted_proxies"
)


async def look_at_addresses(session: Session, answers: list[Answered], add: Add) -> bool:
    """Look where the actions of batch replies lead.

    :param answers: what batches were answered with.
    :returns: whether transfers can work.
    """
    given = [action for answered in answers for action in answered.actions.values()]
    try:
        for action in given:
            check_url(action.href)
    except ServerError as error:
        add(
            failed(
                "urls",
                f"the server sends transfers to no URL at all: {error.problem}",
                operator="correct the URL that the server believes it has (public_url)",
            )
        )
        return False
    actions = {_origin(action.href): action for action in given}
    if not actions:
        add(skipped("urls", "the server has given no URL for a transfer yet"))
        return True
    base, _ = await session.base(Operation.DOWNLOAD)
    findings = [
        await _look(session, _origin(base), there, action) for there, action in actions.items()
    ]
    for finding in findings:
        add(finding)
    return all(finding.verdict != "failed" for finding in findings)


async def _look(session: Session, here: str, there: str, action: GivenAction) -> Finding:
    """Look at one server that actions lead to.

    :param here: where batches go, as scheme, host and port.
    :param there: where transfers go, in the same way.
    """
    if here == there:
        return ok("urls", "transfers go to the server that answers the batches")
    one, other = urlsplit(here), urlsplit(there)
    if one.scheme == "https" and other.scheme == "http":
        found = f"you use {here}, and the server sends you to {there}: without TLS"
        if one.hostname == other.hostname:
            return failed(
                "urls",
                f"{found}. It does not know that a proxy speaks https in front of it",
                operator=f"{_FORWARDED}; or set public_url to {here}",
            )
        if is_giftless(action):
            return _wrong(session, here, there, "without TLS")
        return failed("urls", found, operator="let the store be reached by https")
    try:
        await session.send(Outgoing("GET", f"{there}/", {}), limit=65_536)
    except ServerError as error:
        return _unreachable(session, here, there, action, error)
    if is_giftless(action) and not await _is_itself(session, there):
        return _wrong(session, here, there, "where another server answers")
    if is_giftless(action) and _is_loopback(there) and not _is_alias(here, there):
        return _wrong(session, here, there, "which is another machine for each of its users")
    if is_giftless(action) and _is_internal(there) and not _is_alias(here, there):
        return warning(
            "urls",
            f"you have reached the server as {here}, but it calls itself {there} and sends every"
            " transfer there: that works from this machine, but perhaps from no other one",
            operator=_causes(session, here, there),
        )
    if is_giftless(action):
        return ok("urls", f"transfers go to {there}, which is the same server")
    return ok("urls", f"transfers go to another server, {there}, which can be reached")


async def _is_itself(session: Session, there: str) -> bool:
    """Whether a giftless that calls itself so is at an origin."""
    example = await example_url(session, there)
    return not example or _origin(example) == there


def _unreachable(
    session: Session, here: str, there: str, action: GivenAction, error: ServerError
) -> Finding:
    if is_giftless(action) or _is_internal(there):
        return _wrong(session, here, there, f"which cannot be reached: {error.problem}")
    kind = error.kind if isinstance(error, Unreachable) else "other"
    return failed(
        "urls",
        f"the server answers, but transfers go to {there}, which cannot be reached:"
        f" {error.problem}",
        user="look whether a firewall, a VPN or http.proxy keeps you from it"
        if kind in ("silent", "name", "refused")
        else "",
        operator="name the store as clients reach it (public_endpoint_url), or let bytes pass"
        " through the server (mode: proxy)",
    )


def _wrong(session: Session, here: str, there: str, why: str) -> Finding:
    """Report that the server gives URLs of a name that is not its own."""
    return failed(
        "urls",
        f"you have reached the server as {here}, but it calls itself {there} and sends every"
        f" transfer there, {why}. So batches succeed and transfers fail",
        operator=_causes(session, here, there),
    )


def _causes(session: Session, here: str, there: str) -> str:
    """Say what makes a server give URLs of another name, the likeliest cause first.

    Proxies that drop ``Host`` put their own name into ``Server`` as well.
    """
    causes = [_PROXY, f"set public_url to {here}, if it says {there}"]
    if session.direct or not _is_internal(there):
        causes.reverse()
    return "; or ".join(causes)


def _is_internal(origin: str) -> bool:
    """Whether a name looks as if a proxy alone knew it: it has no dot, or is private."""
    host = urlsplit(origin).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host


def _is_loopback(origin: str) -> bool:
    """Whether a name is that of every machine for itself."""
    host = urlsplit(origin).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_alias(here: str, there: str) -> bool:
    """Whether both are names of one port of this machine, such as ``localhost``."""
    ports = urlsplit(here).port, urlsplit(there).port
    return _is_loopback(here) and _is_loopback(there) and ports[0] == ports[1]


def _origin(url: str) -> str:
    """Return scheme, host and port of a URL, without the port that is usual."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    usual = port is None or DEFAULT_PORTS.get(parts.scheme) == port
    return f"{parts.scheme}://{host}{'' if usual else f':{port}'}"
