"""The way to a server: sockets and TLS of Python's own, over which libldap speaks LDAP.

libldap connects and encrypts as well, but a server that says nothing while TLS begins keeps
it busy for ever, whatever its time-outs are (seen with 2.5.13; to interrupt it, one needs
the socket).  So it is lent a socket, and never makes one.  Everything here blocks, until a
deadline at most.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from queue import Empty, SimpleQueue
from typing import Any, Final
from urllib.parse import unquote

from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import PyAsn1Error, SubstrateUnderrunError
from pyasn1_modules import rfc2251

from giftless.auth.ldap.deadline import Deadline
from giftless.auth.ldap.options import Server

#: The name of the operation StartTLS (RFC 4511 section 4.14.1).
_START_TLS: Final = "1.3.6.1.4.1.1466.20037"

#: How long its answer may be, in bytes.
_MAX_ANSWER: Final = 4096

#: How many bytes are passed on at once.
_CHUNK: Final = 65536

#: How long a server may take nothing of what it is sent, in seconds.
_STALLED: Final = 10

#: How long libldap may sleep in a read before it looks at its own deadline, in seconds.
_NAP: Final = struct.pack("ll", 1, 0)


def connect(server: Server, deadline: Deadline) -> socket.socket:
    """Connect to a server.

    :returns: a socket over which LDAP can be spoken as if there were no TLS.
    :raises OSError: if the server does not answer in time, or cannot prove who it is.
    """
    raw = _connect(server, deadline)
    try:
        lent = raw
        if server.context is not None:
            if server.start_tls:
                _start_tls(raw, deadline)
            raw.settimeout(deadline.left())
            raw = server.context.wrap_socket(raw, server_hostname=server.host)
            lent, inner = socket.socketpair()
            threading.Thread(target=_relay, args=(raw, inner), name="ldap", daemon=True).start()
        # Not by "settimeout", which would let reads return at once.
        lent.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            lent.setsockopt(socket.SOL_SOCKET, option, _NAP)
    except BaseException:
        raw.close()
        raise
    return lent


def _connect(server: Server, deadline: Deadline) -> socket.socket:
    """Connect to the first address that answers; each gets its share of the time."""
    if server.port:
        addresses = _look_up(server, deadline)
    else:
        addresses = [(socket.AF_UNIX, unquote(server.host))]
    problem = OSError("there is no address")
    for number, (family, address) in enumerate(addresses):
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(deadline.left() / (len(addresses) - number))
            raw.connect(address)
        except OSError as error:
            raw.close()
            problem = error
        else:
            return raw
    raise problem


def _look_up(server: Server, deadline: Deadline) -> list[tuple[int, Any]]:
    """Find the addresses of a server.

    The resolver has time-outs of its own, and cannot be interrupted: a thread waits for it,
    beyond the deadline if need be.

    :returns: the family and the address of each.
    """
    found: SimpleQueue[list[tuple[int, Any]] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            places = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
            found.put([(family, address) for family, *_, address in places])
        except (OSError, ValueError) as error:
            found.put(error)

    threading.Thread(target=ask, name="ldap-name", daemon=True).start()
    try:
        answer = found.get(timeout=deadline.left())
    except Empty:
        raise TimeoutError("nobody tells the server's address in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _start_tls(raw: socket.socket, deadline: Deadline) -> None:
    """Agree to go on in TLS."""
    request = rfc2251.LDAPMessage()
    request["messageID"] = 1
    request["protocolOp"]["extendedReq"]["requestName"] = _START_TLS
    raw.settimeout(deadline.left())
    raw.sendall(encoder.encode(request))
    answer, rest = _receive(raw, deadline)
    # What follows would be taken for something that was said in TLS.
    if rest or answer["protocolOp"].getName() != "extendedResp":
        raise OSError("the answer to StartTLS is none")
    if answer["protocolOp"]["extendedResp"]["resultCode"] != 0:
        raise OSError("the server does not do StartTLS")


def _receive(raw: socket.socket, deadline: Deadline) -> tuple[rfc2251.LDAPMessage, bytes]:
    """Receive one message, and what has come behind it."""
    received = b""
    while len(received) < _MAX_ANSWER:
        # A server that sends a byte now and then has no more time than one that is silent.
        raw.settimeout(deadline.left())
        chunk = raw.recv(_MAX_ANSWER)
        if not chunk:
            break
        received += chunk
        try:
            answer, rest = decoder.decode(received, asn1Spec=rfc2251.LDAPMessage())
        except SubstrateUnderrunError:
            continue  # it goes on
        except PyAsn1Error:
            break
        return answer, rest
    raise OSError("the answer to StartTLS is none")


def _relay(tls: ssl.SSLSocket, inner: socket.socket) -> None:
    """Pass bytes on between libldap and a server, until one of them has enough.

    They take turns, as question and answer do: a socket of TLS is not for two threads.
    Servers also send what is no answer, such as session tickets (RFC 8446 section 4.6): to
    wait for more behind it would keep the question back that is to be answered.
    """
    other: dict[Any, socket.socket] = {tls: inner, inner: tls}
    with contextlib.suppress(OSError), tls, inner, selectors.DefaultSelector() as selector:
        for each in other:
            selector.register(each, selectors.EVENT_READ)
        while True:
            ready: list[Any] = [tls]
            if not tls.pending():
                ready = [key.fileobj for key, _ in selector.select()]
            for source in ready:
                tls.setblocking(False)
                try:
                    data = source.recv(_CHUNK)
                except ssl.SSLWantReadError:
                    continue
                if not data:
                    return
                tls.settimeout(_STALLED)
                other[source].sendall(data)
