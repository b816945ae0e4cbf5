"""What is wrong with a server that is mirrored, as clients are told."""

from __future__ import annotations

from giftless.errors import ServiceUnavailable, TooManyRequests


class UpstreamLimit(TooManyRequests):
    """The server that is mirrored wants to be asked less often."""

    cause = "upstream-limit"


class UpstreamUnavailable(ServiceUnavailable):
    """The server that is mirrored cannot be reached, or says itself that it does not work."""

    cause = "upstream-unavailable"


class UpstreamUnusable(ServiceUnavailable):
    """The server that is mirrored answers something that makes no sense here."""

    cause = "upstream-unusable"
