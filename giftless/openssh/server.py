"""Ask the daemon, over its Unix socket, in the messages of :mod:`giftless.base.ssh_greeting`.

They are written with Python's own ``json``: importing msgspec would take longer than
everything else together.  The tests hold both to the same form.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from giftless.openssh.command_line import failure

#: The longest question, in bytes: :data:`giftless.base.ssh_greeting.MAX_LINE`.
MAX_QUESTION: Final = 64 * 1024

#: The longest answer, in bytes: a list of keys may be long.
_MAX_ANSWER: Final = 64 * 1024 * 1024

#: How long the daemon may take to answer, in seconds: it may have to ask a forge.
_ANSWER_SECONDS: Final = 120

_PIECE: Final = 64 * 1024


class Answered(NamedTuple):
    """What the daemon has answered.

    :ivar connection: the connection.
    :ivar answer: the members of the answer.
    :ivar begun: what it has sent behind its answer.
    """

    connection: socket.socket
    answer: Mapping[str, Any]
    begun: bytes


def ask(path: str, question: Mapping[str, str]) -> Answered:
    """Ask the daemon something.

    :param path: the Unix socket.
    :param question: the members of the question.
    :raises SystemExit: if there is no answer.
    """
    line = json.dumps(question).encode() + b"\n"
    if len(line) > MAX_QUESTION:
        raise failure("this command is too long")
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(path)
        connection.sendall(line)
        received, begun = _read_line(connection)
    except TimeoutError:
        raise failure("the server does not answer; try again later") from None
    except (ConnectionResetError, BrokenPipeError):
        raise _unreachable(path, _hangs_up()) from None
    except OSError as error:
        raise _unreachable(path, error.strerror or str(error)) from None
    try:
        answer = json.loads(received)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _unreachable(path, "it answers nonsense")
    connection.settimeout(None)
    return Answered(connection, answer, begun)


def _read_line(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read one line.

    :returns: the line, and what has come behind it.
    """
    pieces = []
    length = 0
    while piece := connection.recv(_PIECE):
        line, newline, rest = piece.partition(b"\n")
        pieces.append(line)
        if newline:
            return b"".join(pieces), rest
        length += len(line)
        if length > _MAX_ANSWER:
            raise OSError("its answer has no end")
    if pieces:
        raise OSError("it has ended while it answered")
    raise ConnectionResetError


def _hangs_up() -> str:
    return f"it hangs up; is {os.getuid()}, this process's user, in ssh.trusted?"


def _unreachable(path: str, reason: str) -> SystemExit:
    return failure(f"the server cannot be reached by {path}: {reason}")
