"""Turn failures of a server that is mirrored into what clients are told."""

from __future__ import annotations

from typing import Final

from giftless.errors import ServiceUnavailable, TooManyRequests

#: For how long a server that wants to be asked later is waited for in the middle of something,
#: in seconds: git-lfs gives up after 30 without a byte.
LONGEST: Final = 10


class UpstreamLimit(TooManyRequests):
    """The server that is mirrored wants to be asked less often."""

    cause = "upstream-limit"


class UpstreamUnavailable(ServiceUnavailable):
    """The server that is mirrored cannot be reached, or says itself that it does not work."""

    cause = "upstream-unavailable"


class UpstreamUnusable(ServiceUnavailable):
    """The server that is mirrored answers something that makes no sense here."""

    cause = "upstream-unusable"
