"""The access log: one line for each request."""

from __future__ import annotations

import re
import time
from typing import Final
from urllib.parse import quote

from twisted.logger import Logger, LogLevel

from giftless.interfaces import Identity

#: The status of a request whose client left before the response was complete (nginx's
#: convention).
CLIENT_CLOSED: Final = 499

#: What would make a line's words ambiguous: white space, and the escape itself.
_SPECIAL: Final = re.compile(r"[\s%]")

_access = Logger(namespace="giftless.access")


def write(
    method: str,
    path: str,
    status: int,
    size: int,
    seconds: float,
    request_id: str,
    identity: Identity | None,
    address: str,
) -> None:
    """Write the line of one request.

    A name stands in the line as one word: spaces in it are written as in URLs.

    :param path: without the query, which may hold a credential.
    :param status: the HTTP status.
    :param size: how many bytes of the response's body were sent.
    :param seconds: how long the request took, from the end of its headers.
    :param identity: who sent it; ``None`` if nobody was identified.
    :param address: the client's IP address; empty for a unix socket.
    """
    address = address or "-"
    name, principal = ("-", "-") if identity is None else (identity.name, identity.principal)
    word = "-" if identity is None else _word(name)
    seconds = round(seconds, 4)
    # What Logger.info does, which takes longer to see that "info" is a level.
    _access.observer(
        {
            "log_logger": _access,
            "log_level": LogLevel.info,
            "log_namespace": _access.namespace,
            "log_source": None,
            # Twisted takes as long for each member that it formats as for this.
            "log_format": "{log_line}",
            "log_time": time.time(),
            "log_line": f"{address} {word} {method} {path} {status} {size} {seconds} {request_id}",
            "address": address,
            "identity": name,
            "principal": principal,
            "method": method,
            "path": path,
            "status": status,
            "bytes": size,
            "seconds": seconds,
            "request_id": request_id,
        }
    )


def write_refusal(status: int, request_id: str, address: str, method: str = "-") -> None:
    """Write the line of a request that was refused before it was parsed.

    :param method: ``SSH`` for a command line.
    """
    write(method, "-", status, 0, 0.0, request_id, None, address)


def _word(name: str) -> str:
    return "%2D" if name == "-" else _SPECIAL.sub(lambda char: quote(char[0]), name)
