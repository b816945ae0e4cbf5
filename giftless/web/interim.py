"""Which clients are sent ``102 Processing`` while they wait for an answer.

git-lfs gives a connection up after 30 seconds without a byte (``lfs.activitytimeout``),
and a store may need longer for a large object.  Nobody else needs an interim response,
and many take one for the answer: urllib3, ``requests``, nginx, and git-lfs itself if it
was built with a Go before 1.11.  So only a client that is known to bear it is sent one,
and only over a connection of its own: if there is any sign of a proxy, none is sent.
"""

from __future__ import annotations

import re
from typing import Final

from giftless.web.headers import Headers

#: Go skips interim responses since 1.11, at most five of them before 1.24, and then
#: as many as have 10 MiB.
_FIRST_GO: Final = (1, 11)
_PATIENT_GO: Final = (1, 24)
_FEW: Final = 5
_MANY: Final = 10_000

#: How git-lfs names itself: ``git-lfs/3.7.1 (GitHub; linux amd64; go 1.25.3)``.
_GIT_LFS: Final = re.compile(rb"git-lfs/[^ ]+ \([^()]*; go (\d{1,3})\.(\d{1,3})(?![0-9])")

#: What git-lfs writes itself, with the headers of actions.  Most proxies add others.
_OWN: Final = frozenset(
    (
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"authorization"),
        *(b"content-length", b"content-type", b"cookie", b"giftless-action", b"range"),
        *(b"transfer-encoding", b"tus-resumable", b"upload-offset"),
    )
)

_LENGTHS: Final = frozenset((b"content-length", b"transfer-encoding"))


def interim_limit(headers: Headers) -> int:
    """Return how many interim responses a client bears; 0 if it may bear none.

    :param headers: those of its request, of HTTP/1.1.
    """
    agents = headers.getRawHeaders(b"user-agent", [])
    known = _GIT_LFS.match(agents[0]) if len(agents) == 1 else None
    if known is None or not _is_direct(headers):
        return 0
    go = int(known[1]), int(known[2])
    if go < _FIRST_GO:
        return 0
    return _FEW if go < _PATIENT_GO else _MANY


def _is_direct(headers: Headers) -> bool:
    """Whether a request looks as git-lfs has written it, and no proxy.

    nginx adds nothing by itself; but it writes the length first, and Go the name
    of the client.
    """
    names = [name.lower() for name, _ in headers.getAllRawHeaders()]
    if not _OWN.issuperset(names):
        return False
    return not _LENGTHS.intersection(names[: names.index(b"user-agent")])
