"""The access log: one line for each request."""

from __future__ import annotations

from twisted.logger import Logger

_access = Logger(namespace="giftless.access")


def write(
    method: str,
    path: str,
    status: int,
    size: int,
    seconds: float,
    request_id: str,
    identity: str,
    address: str,
) -> None:
    """Write the line of one request.

    :param path: without the query, which may hold a credential.
    :param status: the HTTP status.
    :param size: how many bytes of the response's body were sent.
    :param seconds: how long the request took, from the end of its headers.
    :param identity: the name of who sent it; ``-`` if nobody was identified.
    :param address: the client's IP address; empty for a unix socket.
    """
    address = address or "-"
    seconds = round(seconds, 4)
    _access.info(
        # Twisted takes as long for each member that it formats as for this.
        "{log_line}",
        log_line=f"{address} {identity} {method} {path} {status} {size} {seconds} {request_id}",
        address=address,
        identity=identity,
        method=method,
        path=path,
        status=status,
        bytes=size,
        seconds=seconds,
        request_id=request_id,
    )


def write_refusal(status: int, request_id: str, address: str) -> None:
    """Write the line of a request that was refused before it was parsed."""
    write("-", "-", status, 0, 0.0, request_id, "-", address)
