"""Errors of the service: what is asked for cannot be had now, or not from here."""

from __future__ import annotations

from giftless.errors.told import LFSError


class TooManyRequests(LFSError):
    """The client must wait before it asks again.

    :param retry_after: how long to wait, in whole seconds.
    """

    code = 429
    cause = "rate-limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` in seconds."""
        return {"Retry-After": str(self.retry_after)}


class TooManyFailures(TooManyRequests):
    """The client's address has sent too many bad credentials."""

    cause = "too-many-failures"


class LogInsBusy(TooManyRequests):
    """Too many passwords are waiting to be checked."""

    cause = "log-ins-busy"


class TooManyConnections(TooManyRequests):
    """The client's address has too many connections."""

    cause = "too-many-connections"


class ForgeLimit(TooManyRequests):
    """The forge that knows the client wants to be asked less often."""

    cause = "forge-limit"


class TooManyDownloads(TooManyRequests):
    """What may be downloaded within a period has been downloaded."""

    cause = "over-budget"


class ServiceUnavailable(TooManyRequests):
    """Something that the server depends on does not answer."""

    code = 503
    cause = "unavailable"


class Overloaded(ServiceUnavailable):
    """The server has no memory left for what the client wants."""

    cause = "overloaded"


class StorageUnavailable(ServiceUnavailable):
    """The storage does not answer as it should."""

    cause = "storage-unavailable"


class ObjectUnreadable(StorageUnavailable):
    """The storage works, but does not give this object: its disk or its mode does not let it."""

    cause = "unreadable"


class ObjectSealed(StorageUnavailable):
    """The object may be good: what opens or unpacks it here (key, library, section) is missing."""

    cause = "sealed"


class ObjectReplaced(StorageUnavailable):
    """Another form of the object has taken its place while it was read: open it again."""

    cause = "replaced"


class LocksUnavailable(ServiceUnavailable):
    """The database of locks does not answer."""

    cause = "locks-unavailable"


class CatalogueUnavailable(ServiceUnavailable):
    """The database of the catalogue does not answer."""

    cause = "catalogue-unavailable"


class IdentityUnavailable(ServiceUnavailable):
    """Who the client is cannot be checked: a forge or an issuer of keys does not answer."""

    cause = "identity-unavailable"


class TokenRefused(IdentityUnavailable):
    """A forge does not tell who the client is, because of the token that the server has."""

    cause = "server-token-refused"


class InsufficientStorage(LFSError):
    """The storage backend is full."""

    code = 507
    cause = "no-room"


class OverQuota(InsufficientStorage):
    """A repository or an organisation has as much as it may have."""

    cause = "over-quota"
