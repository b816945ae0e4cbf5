"""The daemon itself, if one runs with the configuration: its user, its descriptors, its URL."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from giftless.base.http_client import get
from giftless.commands import CommandError
from giftless.commands.check.processes import Process
from giftless.commands.findings import Finding, failed, ok, skipped, warning
from giftless.web.limits import Limits

#: Which part of the descriptors may be in use.
_BUSY: Final = 0.8

#: How long the server may take to say what it is, in seconds.
_TIMEOUT: Final = 10.0

#: How much of its answer is read, in bytes.
_LIMIT: Final = 65_536

#: What proxies answer if the server behind them does not.
_GATEWAY: Final = frozenset({502, 503, 504})

_NOFILE: Final = "set LimitNOFILE=65536 in the unit (ulimit -n without systemd), and restart"


def user_of(name: str | None, daemon: Sequence[Process], state_dir: str) -> int:
    """Return whose rights count: the user that the daemon runs as.

    :param name: the user's name or number, if it was given.
    :param daemon: its processes, if it runs.
    :param state_dir: what belongs to it otherwise.
    :returns: the user's number; this process's own if nothing tells.
    :raises CommandError: if there is no such user.
    """
    if name is not None:
        try:
            return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
        except KeyError:
            raise CommandError(f"there is no user {name!r}") from None
    if daemon:
        return daemon[0].uid
    try:
        return os.stat(state_dir).st_uid
    except OSError:
        return os.geteuid()


def become(uid: int) -> Finding:
    """Let this process have the rights of a user, if it may.

    What it makes then belongs to the one who needs it.

    :param uid: the user's number.
    """
    name = _name(uid)
    if uid == os.geteuid():
        return ok("user", f"everything is tried as {name}, whom the daemon runs as")
    if os.geteuid() != 0:
        return warning(
            "user",
            f"the daemon runs as {name}, but this is {_name(os.geteuid())}: what one may read"
            " and write, the other perhaps may not",
            operator=f"run this as root or as {name}",
        )
    try:
        user = pwd.getpwuid(uid)
        gid, groups = user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)
    except KeyError:
        # One that systemd makes has a name only where libnss-systemd is installed.
        gid, groups = uid, [uid]
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    return ok("user", f"everything is tried as {name}, whom the daemon runs as")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def look_at_daemon(daemon: Sequence[Process], limits: Limits) -> Iterator[Finding]:
    """Look at the processes of the daemon."""
    if not daemon:
        yield skipped(
            "daemon",
            "no process listens on the configured endpoints that this user may look at, so"
            " descriptors and the public URL are not checked",
        )
        return
    pids = ", ".join(str(process.pid) for process in sorted(daemon, key=lambda each: each.pid))
    yield ok("daemon", f"it runs: processes {pids}")
    limit = min(process.limit for process in daemon)
    used = max(process.descriptors for process in daemon)
    found = f"the busiest process has {used:,} of {limit:,} descriptors open"
    if used > limit * _BUSY:
        yield warning("descriptors", found, operator=_NOFILE)
    elif limit < limits.connections_per_address:
        yield warning(
            "descriptors",
            f"a process may have {limit:,} descriptors, fewer than the"
            f" {limits.connections_per_address:,} connections of one address"
            " (limits.connections_per_address): one client can take all",
            operator=f"{_NOFILE}; or lower that limit",
        )
    else:
        yield ok("descriptors", found)


class _Welcome(msgspec.Struct):
    """What the server's root says to programs."""

    lfs_url: str


async def look_at_public_url(url: str, http: HTTPClient, clock: IReactorTime) -> Finding:
    """Ask whether the URL that clients are given leads to this server.

    :param url: ``public_url`` of the configuration.
    """
    wanted = url.rstrip("/")
    headers = {"Accept": "application/json"}
    try:
        answer = await get(http, f"{wanted}/", headers, _LIMIT, _TIMEOUT, clock)
    except Exception as error:
        # Names may be known, and ports be open, to clients only.
        return skipped("public_url", f"{wanted} cannot be asked from here: {_words(error)}")
    if answer.status in _GATEWAY:
        return failed(
            "public_url",
            f"{wanted} answers {answer.status}: a proxy is there, and does not reach the daemon",
            operator="let the proxy forward to an endpoint of the configuration",
        )
    try:
        told = msgspec.json.decode(answer.body, type=_Welcome).lfs_url
    except (ValueError, RecursionError):
        told = ""
    if not told.startswith(f"{wanted}/"):
        return failed(
            "public_url",
            f"{wanted} answers {answer.status}, but is not this server: clients are sent there for"
            " every transfer",
            operator="write public_url as clients reach the daemon, or leave it out and let the"
            " proxy send Host and X-Forwarded-Proto",
        )
    return ok("public_url", f"{wanted} leads to this server")


def _words(error: Any) -> str:
    return " ".join(str(error).split()) or type(error).__name__
