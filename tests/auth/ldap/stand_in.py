"""A server that gives values in parts, as Active Directory does and OpenLDAP cannot."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from collections.abc import Iterator, Sequence

from pyasn1.codec.ber.decoder import decode
from pyasn1.codec.ber.encoder import encode
from pyasn1.error import SubstrateUnderrunError
from pyasn1_modules.rfc2251 import LDAPMessage

USER = "cn=frank,ou=people,dc=corp"

#: Of how many values it gives at a time.
AT_A_TIME = 1500


class Parts(socketserver.ThreadingTCPServer):
    """Knows one user, whose password is ``secret``.

    :param groups: the DNs of the user's groups.
    :ivar asked: from which value on it was asked for more.
    """

    daemon_threads = True

    def __init__(self, groups: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.groups = groups
        self.asked: list[int] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ldap://127.0.0.1:{self.server_address[1]}"

    def attributes(self, wanted: Sequence[str]) -> dict[str, Sequence[str]]:
        """Return what is known of the user."""
        if "uid" in wanted:
            return {
                "uid": ["frank"],
                "entryUUID": ["5a3cc1f1-9f39-4fc1-8c68-4c5f6f2a4d52"],
                # Without a value, beside the one that has some.
                "memberOf": [],
                **self.part(0),
            }
        (name,) = wanted
        first = re.fullmatch(r"memberOf;range=(\d+)-\*", name)
        assert first is not None, name
        self.asked.append(int(first[1]))
        return self.part(int(first[1]))

    def part(self, first: int) -> dict[str, Sequence[str]]:
        """Return the groups from one on."""
        values = self.groups[first : first + AT_A_TIME]
        end = first + len(values)
        last = "*" if end >= len(self.groups) else str(end - 1)
        return {f"memberOf;range={first}-{last}": values}


class _Connection(socketserver.BaseRequestHandler):
    server: Parts

    def handle(self) -> None:
        """Answer questions until the client has no more."""
        rest = b""
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                rest += data
                with contextlib.suppress(SubstrateUnderrunError):
                    while rest:
                        message, rest = decode(rest, asn1Spec=LDAPMessage())
                        self.answer(message)

    def answer(self, message: LDAPMessage) -> None:
        """Answer a question."""
        number, operation = message["messageID"], message["protocolOp"]
        question = operation.getComponent()
        if operation.getName() == "bindRequest":
            good = question["authentication"]["simple"] == b"secret"
            self.send(number, "bindResponse", resultCode=0 if good else 49)
        elif operation.getName() == "searchRequest":
            if question["baseObject"]:
                self.send_entry(number, [str(name) for name in question["attributes"]])
            self.send(number, "searchResDone", resultCode=0)

    def send_entry(self, number: int, wanted: Sequence[str]) -> None:
        """Send what is known of the user."""
        message, found = _message(number, "searchResEntry")
        found["objectName"] = USER
        for index, (name, values) in enumerate(self.server.attributes(wanted).items()):
            found["attributes"][index]["type"] = name
            found["attributes"][index]["vals"].extend(value.encode() for value in values)
        self.request.sendall(encode(message))

    def send(self, number: int, kind: str, **fields: int) -> None:
        """Send how something has ended."""
        message, ended = _message(number, kind)
        for name, value in {"matchedDN": "", "errorMessage": "", **fields}.items():
            ended[name] = value
        self.request.sendall(encode(message))


def _message(number: int, kind: str) -> tuple[LDAPMessage, LDAPMessage]:
    message = LDAPMessage()
    message["messageID"] = number
    return message, message["protocolOp"][kind]


@contextlib.contextmanager
def serving(server: Parts) -> Iterator[Parts]:
    """Let a server serve meanwhile."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
