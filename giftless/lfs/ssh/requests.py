"""The requests of ``git-lfs-transfer``, and what each of them asks for.

A request is a line with the command, lines with arguments (``key=value``), and a flush.
Behind the arguments there may be a delim, and then more lines, or the bytes of an object.
Unknown arguments are passed over, as the proposal of the protocol wants it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from giftless.errors import BadRequest, LFSError, PayloadTooLarge
from giftless.lfs.batch import (
    BatchRequest,
    RequestedObject,
    check_count,
    distinct,
    hash_conflict,
    object_problem,
)
from giftless.lfs.locks import Paging, parse_paging, path_problem
from giftless.lfs.objects import MAX_SIZE, NO_EXTRAS, Oid, Operation
from giftless.lfs.ssh.pkt_lines import Mark, text_of

#: What the transfer is called that this protocol itself is.
TRANSFER: Final = "ssh"

#: The command whose lines are the bytes of an object.
PUT_OBJECT: Final = "put-object"

#: What a line costs in memory beside its own bytes.
LINE_BYTES: Final = 64

_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)


class Request(msgspec.Struct, frozen=True):
    """A request.

    :ivar command: what is asked for; empty if nothing is.
    :ivar subject: the word behind that: the oid of an object or the id of a lock.
    :ivar arguments: the first value of each argument.
    :ivar lines: what stands behind the delim.
    :ivar has_body: whether the bytes of an object follow, until a flush.
    :ivar problem: why nothing can be done about it; ``None`` if something may.
    """

    command: str
    subject: str = ""
    arguments: Mapping[str, str] = {}
    lines: Sequence[str] = ()
    has_body: bool = False
    problem: LFSError | None = None

    def argument(self, name: str) -> str:
        """Return the value of an argument; empty if there is none."""
        return self.arguments.get(name, "")


class RequestReader:
    """Puts requests together, packet by packet.

    Whatever is wrong with a request is told when all of it has come: only then does its
    client listen.

    :param max_bytes: how large a request may be in memory, without the bytes of an object.
    :ivar size: how large that is which came last or is coming.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begun = False
        self._start()

    def _start(self) -> None:
        self.size = 0
        self._command = ""
        self._subject = ""
        self._arguments: dict[str, str] = {}
        self._lines: list[str] = []
        self._divided = False
        self._problem: LFSError | None = None

    def add(self, packet: bytes | Mark) -> Request | None:
        """Take the next packet.

        :returns: a request that is whole now, or whose bytes follow.
        """
        begun, self._begun = self._begun, True
        if not begun:
            self._start()
        if packet is Mark.FLUSH:
            return self._finish(False)
        if packet is Mark.DELIM:
            if self._command == PUT_OBJECT:
                return self._finish(True)
            if self._divided:
                self.refuse(BadRequest("a request has one delim at most"))
            self._divided = True
            return None
        self.size += len(packet) + LINE_BYTES
        if self.size > self._max_bytes:
            self.refuse(PayloadTooLarge(f"a request has at most {self._max_bytes} bytes"))
            return None
        try:
            line = text_of(packet)
        except BadRequest as error:
            self.refuse(error)
            return None
        if not begun:
            self._command, _, self._subject = line.partition(" ")
        elif self._divided:
            self._lines.append(line)
        else:
            name, _, value = line.partition("=")
            self._arguments.setdefault(name, value)
        return None

    def refuse(self, problem: LFSError) -> None:
        """Keep no more of the request that is coming, because it is refused."""
        self._problem = self._problem or problem
        self._lines.clear()

    def _finish(self, has_body: bool) -> Request:
        self._begun = False
        return Request(
            self._command, self._subject, self._arguments, self._lines, has_body, self._problem
        )


@dataclass(frozen=True, slots=True)
class WantedObject:
    """An object that a request is about.

    :ivar size: its size in bytes, as the client knows it.
    """

    oid: Oid
    size: int


def parse_version(request: Request) -> None:
    """Make sure that a client wants the version that there is.

    :raises BadRequest: if it wants another.
    """
    if request.subject != "1":
        raise BadRequest("this server speaks version 1 of the protocol")


def parse_batch(
    request: Request, operation: Operation, max_objects: int, max_object_size: int
) -> BatchRequest:
    """Parse a request for what to do with some objects.

    Other transfers than this protocol can be asked for by nobody who speaks it.

    :param operation: what the session is for.
    :param max_objects: how many objects one batch may have.
    :param max_object_size: the largest object that may be uploaded, in bytes.
    :raises BadRequest: if a line is not the oid and the size of an object.
    :raises Unprocessable: if there is none.
    :raises PayloadTooLarge: if there are more than ``max_objects``.
    """
    check_count(len(request.lines), max_objects)
    limit = max_object_size if operation is Operation.UPLOAD else MAX_SIZE
    conflict = hash_conflict(request.argument("hash-algo"))
    objects = distinct(_objects(request.lines, limit, conflict))
    return BatchRequest(operation, objects, (TRANSFER,))


def _objects(
    lines: Sequence[str], limit: int, conflict: LFSError | None
) -> Iterator[RequestedObject]:
    for line in lines:
        words = line.split(" ")
        if len(words) < 2 or not words[0] or not _NUMBER.fullmatch(words[1]):
            raise BadRequest("each line of a batch must be an oid and a size, with a space between")
        oid, size = words[0], int(words[1])
        problem = object_problem(oid, size, limit, conflict)
        yield RequestedObject(oid, size, NO_EXTRAS, problem)


def parse_object(request: Request) -> WantedObject:
    """Parse a request that is about one object.

    :raises BadRequest: if its oid or its size is none.
    """
    oid, size = Oid.parse(request.subject), request.argument("size")
    if not _NUMBER.fullmatch(size) or int(size) > MAX_SIZE:
        raise BadRequest(f"the request needs the object's size, from 0 to {MAX_SIZE} bytes")
    return WantedObject(oid, int(size))


def parse_lock(request: Request) -> str:
    """Parse a request for a lock.

    :returns: the path, which can be locked.
    :raises BadRequest: if it cannot.
    """
    path = request.argument("path")
    problem = path_problem(path)
    if problem is not None:
        raise BadRequest(problem)
    return path


def parse_list(request: Request) -> Paging:
    """Parse which page of a list of locks is wanted.

    :raises BadRequest: if that makes no sense.
    """
    return parse_paging(request.argument("cursor"), request.argument("limit"))


def parse_unlock(request: Request) -> tuple[str, bool]:
    """Parse a request to remove a lock.

    :returns: the lock's id, and whether it may be somebody else's.
    :raises BadRequest: if it names no lock.
    """
    if not request.subject:
        raise BadRequest("name the lock that is to be removed")
    return request.subject, request.argument("force") == "true"
