"""What a client may send, how much, and how slowly."""

from __future__ import annotations

from typing import Annotated

import msgspec

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``limits`` section.  Sizes are in bytes, times in seconds.

    :ivar header_timeout: how long a request's headers may take to arrive.
    :ivar header_bytes: how large the request line and headers may be.
    :ivar idle_timeout: how long a connection may be silent between requests.
    :ivar body_min_rate: the slowest that a body may arrive, in bytes a
        second; 0 switches the check off.
    :ivar body_rate_window: over how many seconds that rate is measured.
    :ivar stall_timeout: how long a client may take nothing at all of its response.
    :ivar response_min_rate: the slowest that a client may take its response, in
        bytes a second; 0 switches the check off.
    :ivar response_rate_window: over how many seconds that rate is measured.
    :ivar connections_per_address: how many connections one client address
        (or IPv6 /64 network) may have; trusted proxies are not counted.
    :ivar request_body: how large the JSON body of a request may be.
    :ivar batch_objects: how many objects one batch may name.
    :ivar object_size: how large an object may be.
    :ivar memory: how much a worker may hold of bodies and answers in memory.
    """

    header_timeout: _Positive = 10
    header_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1048576)] = 16384
    idle_timeout: _Positive = 75
    body_min_rate: _NotNegative = 1024
    body_rate_window: _Positive = 20
    stall_timeout: _Positive = 60
    response_min_rate: _NotNegative = 1024
    response_rate_window: _Positive = 60
    connections_per_address: _Positive = 2048
    request_body: _Positive = 1048576
    batch_objects: _Positive = 1000
    object_size: _Positive = 5 * 1024**4
    memory: Annotated[int, msgspec.Meta(ge=4194304)] = 64 * 1024**2
