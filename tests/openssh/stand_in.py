"""Stands in for the daemon on its Unix socket: one scripted answer for each connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from giftless.base.ssh_greeting import Greeting

#: How long anything may take, in seconds.
PATIENCE = 60

_decode = msgspec.json.Decoder(Greeting).decode


class StandIn:
    """Answers one connection after the other.

    :param path: where it listens.
    :param answer: given the question and the connection, answers; the connection is
        closed afterwards.
    :param deaf: whether it closes each connection as soon as something comes.
    :ivar asked: the questions.
    :ivar lines: the same as they came.
    """

    def __init__(
        self,
        path: Path,
        answer: Callable[[Greeting, socket.socket], None],
        deaf: bool = False,
    ) -> None:
        self._deaf = deaf
        self.asked: list[Greeting] = []
        self.lines: list[bytes] = []
        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(PATIENCE)
                if self._deaf:
                    connection.recv(1, socket.MSG_PEEK)
                    continue
                line = b""
                while not line.endswith(b"\n") and (byte := connection.recv(1)):
                    line += byte
                self.lines.append(line)
                self.asked.append(_decode(line))
                self._answer(self.asked[-1], connection)

    def close(self) -> None:
        """Stop listening, and wait for the last answer."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the stand-in does not end"


def answering(answer: msgspec.Struct) -> Callable[[Greeting, socket.socket], None]:
    """Return what answers every question alike."""
    return saying(msgspec.json.encode(answer) + b"\n")


def saying(data: bytes) -> Callable[[Greeting, socket.socket], None]:
    """Return what says the same to whatever is asked."""

    def say(question: Greeting, connection: socket.socket) -> None:
        connection.sendall(data)

    return say
