"""What a worker has done lately, by repository, and what it does just now."""

from __future__ import annotations

import msgspec


class RepositoryTraffic(msgspec.Struct):
    """What was done for one repository.

    :ivar name: of the repository.
    :ivar batches: how many were answered.
    :ivar objects_stored: how many objects were stored, each arrival counted.
    :ivar objects_served: how many were sent, wholly or in part.
    :ivar uploaded_bytes: how many bytes were stored.
    :ivar downloaded_bytes: how many bytes were sent.
    """

    name: str
    batches: int = 0
    objects_stored: int = 0
    objects_served: int = 0
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0


class Running(msgspec.Struct, frozen=True):
    """An upload that runs.

    :ivar repo: the repository.
    :ivar oid: the object.
    :ivar size: how many bytes are expected; ``None`` if that is not known.
    :ivar received: how many have come.
    :ivar began_at: when, in seconds since the epoch.
    :ivar worker: the process that receives it.
    """

    repo: str
    oid: str
    size: int | None
    received: int
    began_at: float
    worker: int


class Recent(msgspec.Struct, frozen=True):
    """Something that has happened, for people to read.

    :ivar at: when, in seconds since the epoch.
    :ivar kind: what, as observers are told it: ``lock.forced``.
    :ivar repo: the repository; empty if it concerns none.
    :ivar words: one line.
    :ivar request_id: names the request in the log; empty if there is none.
    """

    at: float
    kind: str
    repo: str
    words: str
    request_id: str = ""
