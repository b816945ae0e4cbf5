"""Bytes between a client and the daemon: both ways, to the end, and no faster than they go."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.openssh.relay import relay, write
from tests.openssh.stand_in import PATIENCE

#: More than the buffers of a pipe and a socket, of both directions, hold together.
TOO_MUCH = 16 << 20


class Pipes:
    """The client's side is two pipes, as sshd makes on some systems."""

    def __init__(self) -> None:
        self.stdin, self.says = os.pipe()
        self.reads, self.stdout = os.pipe()

    def end(self) -> None:
        """Say nothing more."""
        # Nothing more can be written by mistake to what has this number then.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, self.says)
        os.close(nothing)

    def leave(self) -> None:
        """Be gone."""
        os.close(self.says)
        os.close(self.reads)


class Sockets:
    """The client's side is a pair of sockets, as sshd makes on others."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._ours = ours
        self.stdin = theirs.detach()
        self.stdout = os.dup(self.stdin)
        self.says, self.reads = os.dup(ours.fileno()), os.dup(ours.fileno())

    def end(self) -> None:
        """Say nothing more."""
        self._ours.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Be gone."""
        self._ours.close()
        os.close(self.says)
        os.close(self.reads)


class RelayTestCase(SynchronousTestCase):
    """A relay that runs in a thread.

    :cvar Client: how the client is connected.
    """

    Client: Callable[[], Any] = Pipes

    def setUp(self) -> None:
        others = set(threading.enumerate())
        self.client = self.Client()
        self.daemon, server = socket.socketpair()
        self.daemon.settimeout(PATIENCE)
        self.outcome: list[Exception | None] = []

        def run() -> None:
            try:
                relay(server, b"begun ", self.client.stdin, self.client.stdout)
                self.outcome.append(None)
            except OSError as error:
                self.outcome.append(error)
            # Not closed: the thread that sends may be about to, and another may have the
            # number of the descriptor then.
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

        def end_threads() -> None:
            for thread in set(threading.enumerate()) - others:
                thread.join(PATIENCE)
                self.assertFalse(thread.is_alive(), "a thread does not end")
            server.close()
            os.close(self.client.stdin)
            os.close(self.client.stdout)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        self.addCleanup(end_threads)
        self.addCleanup(self.daemon.close)
        self.addCleanup(self.leave)
        self.left = False

    def leave(self) -> None:
        """Let the client be gone."""
        if not self.left:
            self.left = True
            self.client.leave()

    def read(self, size: int) -> bytes:
        """Read what the client gets."""
        data = b""
        while len(data) < size and (piece := os.read(self.client.reads, size - len(data))):
            data += piece
        return data

    def ended(self) -> Exception | None:
        """Wait until the relay has ended."""
        self.thread.join(PATIENCE)
        self.assertFalse(self.thread.is_alive(), "the relay does not end")
        return self.outcome[0]

    def end_session(self) -> None:
        """End as a worker does, who waits until the other side closes."""
        self.daemon.shutdown(socket.SHUT_WR)

    def receive(self, size: int) -> bytes:
        """Read what the daemon gets."""
        data = b""
        while len(data) < size and (piece := self.daemon.recv(size - len(data))):
            data += piece
        return data


class RelayTests(RelayTestCase):
    def test_bytes_pass_in_both_directions(self) -> None:
        """What came with the daemon's answer comes first."""
        os.write(self.client.says, b"question")
        self.assertEqual(self.receive(8), b"question")
        self.daemon.sendall(b"answer")
        self.assertEqual(self.read(12), b"begun answer")
        self.end_session()
        self.assertIsNone(self.ended())

    def test_the_daemon_may_go_on_when_the_client_has_said_all(self) -> None:
        """Clients end by closing their side, without a word."""
        self.client.end()
        self.assertEqual(self.daemon.recv(1), b"")
        self.daemon.sendall(b"the last")
        self.assertEqual(self.read(14), b"begun the last")
        self.assertFalse(self.outcome)
        self.end_session()
        self.assertIsNone(self.ended())

    def test_a_client_that_says_nothing_more_is_not_waited_for(self) -> None:
        """The daemon has ended the session, and that is the end."""
        self.end_session()
        self.assertIsNone(self.ended())

    def test_much_passes_whole_in_both_directions_at_once(self) -> None:
        data = os.urandom(1 << 20) * 8
        received = []

        def daemon() -> None:
            received.append(self.receive(len(data)))

        threads = [
            threading.Thread(target=daemon),
            threading.Thread(target=write, args=(self.client.says, data)),
            threading.Thread(target=self.daemon.sendall, args=(data,)),
        ]
        for thread in threads:
            thread.start()
        self.assertEqual(self.read(6 + len(data)), b"begun " + data)
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(received, [data])

    def test_a_client_that_reads_nothing_holds_up_the_daemon(self) -> None:
        self.daemon.settimeout(0)
        sent = _fill(self.daemon, self.daemon.send)
        self.assertLess(sent, TOO_MUCH)
        self.assertFalse(self.outcome)

    def test_a_daemon_that_reads_nothing_holds_up_the_client(self) -> None:
        os.set_blocking(self.client.says, False)
        sent = _fill(self.client.says, lambda data: os.write(self.client.says, data))
        self.assertLess(sent, TOO_MUCH)
        os.set_blocking(self.client.says, True)
        # What the daemon says passes all the same: the two directions wait by themselves.
        self.daemon.sendall(b"stop")
        self.assertEqual(self.read(10), b"begun stop")

    def test_a_client_that_is_gone_ends_the_relay(self) -> None:
        """Also while the daemon has nothing to say, and although its side is open."""
        self.read(6)
        self.leave()
        self.assertIsInstance(self.ended(), BrokenPipeError)
        self.assertEqual(self.daemon.recv(1), b"")

    def test_a_daemon_that_dies_without_a_word_is_noticed(self) -> None:
        """It has read all that there was, so nothing is lost that the kernel would tell."""
        self.read(6)
        self.daemon.close()
        self.assertIsInstance(self.ended(), ConnectionResetError)

    def test_a_daemon_that_breaks_off_is_noticed(self) -> None:
        """What it has not read is lost, which the kernel tells."""
        self.read(6)
        write(self.client.says, b"unread")
        self.assertTrue(_is_ready(self.daemon, select.POLLIN, PATIENCE))
        self.daemon.close()
        self.assertIsInstance(self.ended(), ConnectionResetError)


class SocketRelayTests(RelayTests):
    """The same between sockets, where the kernel moves nothing by itself."""

    Client = Sockets


def _fill(waiting: Any, send: Callable[[bytes], int]) -> int:
    """Send until nothing is taken any more for a while.

    :returns: how many bytes were taken.
    """
    sent, piece = 0, bytes(64 * 1024)
    while sent < TOO_MUCH and _is_ready(waiting, select.POLLOUT, 0.5):
        sent += send(piece)
    return sent


def _is_ready(file: Any, event: int, seconds: float) -> bool:
    """Wait until something can be read or written; returns whether it can be."""
    poll = select.poll()
    poll.register(file, event)
    return bool(poll.poll(seconds * 1000))
