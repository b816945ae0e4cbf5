"""A request that is handled as soon as its headers are complete.

twisted.web runs a resource only after the whole body has been stored.  Here
every request starts when its headers have arrived, and its handler reads the
body as it comes (``request.body``); that is what lets uploads be refused
before they are sent, and streamed with back-pressure.  One rule makes it work:
a response may be complete before its request is, and the connection moves on
only when both are.

It uses private parts of twisted.web (``HTTPChannel._command``, ``_path`` and
``_version``), as does :mod:`giftless.web.channel`, and nothing else; tests pin
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString, parse_qs
from twisted.web.server import Request

from giftless.errors import BadRequest, Disconnected, LFSError, Unauthorized
from giftless.interfaces import Identity
from giftless.lfs.batch import MEDIA_TYPE
from giftless.lfs.objects import Repo
from giftless.web import access_log
from giftless.web.arrival import Arrival
from giftless.web.body import RequestBody
from giftless.web.context import Context
from giftless.web.cors import is_preflight
from giftless.web.errors import error_body, uncaught
from giftless.web.framing import ASTERISK, HOST, refusal, split_target
from giftless.web.interim import interim_limit
from giftless.web.memory import SMALL_ANSWER, Held

#: Bound to no class: an event would have the request itself, and its URL may
#: hold a credential.
_log: Final = Logger(namespace="giftless.web.request")

#: The most bytes of an unwanted body that are read to keep a connection.
DRAIN_BYTES: Final = 1024 * 1024

#: How long a connection that will be closed waits for the client to read the
#: response, in seconds: closing at once could destroy it on its way.
LINGER_SECONDS: Final = 3.0

#: The status that the access log shows when the client left before its
#: response was complete (nginx's convention).
CLIENT_CLOSED: Final = 499

#: After how many seconds without a response a client that is known to bear it is sent
#: an interim one (102), and then repeatedly.  git-lfs gives up after 30 without a byte;
#: not much less, because some take only five interim responses.
INTERIM_SECONDS: Final = 25.0


class StreamingRequest(Request):
    """One HTTP request, from its headers on.

    :ivar context: what it shares with the site's other requests.
    :ivar request_id: names the request in the log and in error bodies.
    :ivar body: the body, to be read as it arrives.
    :ivar held: the memory for what is not passed on.
    :ivar repo: the repository that its URL names; ``None`` until that is known.
    :ivar identity: who sent it; ``None`` until that is known.
    :ivar started: when its headers were complete, in the reactor's seconds.
    """

    defaultContentType = None
    transport: Any
    channel: Any = None  # the base class deletes its own when it is done
    context: Context
    body: RequestBody
    held: Held
    request_id = "-"
    repo: Repo | None = None
    identity: Identity | None = None
    started = 0.0
    refused: LFSError | None = None
    length: int | None = 0
    _expects_continue = False
    _counted = False
    _finish_early = False
    _abandoned = False
    _arrival: Arrival | None = None
    _linger: IDelayedCall | None = None
    _interim: IDelayedCall | None = None
    _interims_sent = 0

    @property
    def reactor(self) -> IReactorTime:
        """What tells the time."""
        return self.context.clock

    @property
    def begun(self) -> bool:
        """Whether the headers are complete."""
        return self.request_id != "-"

    # -- the connection calls these

    def parseCookies(self) -> None:
        """Ignore cookies: nothing here uses them."""

    def gotLength(self, length: int | None) -> None:
        """Start to handle the request, whose headers are complete."""
        channel = self.channel
        self.context = channel.context
        self.length = length
        self.started = self.reactor.seconds()
        self.request_id = os.urandom(8).hex()
        self.method, self.clientproto = channel._command, channel._version
        host, self.uri = split_target(channel._path, self.method)
        self.path, _, query = self.uri.partition(b"?")
        self.args = parse_qs(query, True)
        self.body = RequestBody(
            self.context.memory.passing, self._send_continue, self._pause_body, self._resume_body
        )
        self.held = Held(self.context.memory, self.break_off, channel.abort)
        self.refused = refusal(self.method, self.path, self.clientproto, self.requestHeaders)
        if host is not None and self.refused is None:
            # It counts more than the header (RFC 9112 section 3.2.2).
            self.requestHeaders.setRawHeaders(b"host", [host])
            if not HOST.fullmatch(host):
                self.refused = BadRequest("the host in the request's target is malformed")
        # The body is invited when somebody wants it, not by twisted.web.
        self._expects_continue = (
            self.requestHeaders.hasHeader(b"expect") and self.clientproto == b"HTTP/1.1"
        )
        self.requestHeaders.removeHeader(b"expect")
        if length != 0:
            self.context.memory.passing.enter()
            self._counted = True
            self._arrival = Arrival(
                self.reactor,
                self.context.limits,
                self.body,
                self._awaits_invitation,
                self._refuse_slow_body,
            )
            self._arrival.start()
        self.process()

    def handleContentChunk(self, data: bytes) -> None:
        """Some of the body has arrived."""
        self.body.deliver(data)
        self.transport.bufferSize = self.context.memory.passing.read_size
        if self._linger is not None and self.body.received > DRAIN_BYTES:
            # The client ignores the response: it may wait, unread.
            self.transport.pauseProducing()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Tell the handler that the whole request has arrived."""
        self._body_over()
        self.body.end()
        if self._finish_early:
            self._really_finish()
        elif not self.startedWriting:
            self._interim = self.reactor.callLater(INTERIM_SECONDS, self._send_interim)

    def connectionLost(self, reason: Failure) -> None:
        """Tell the handler that the client went away."""
        if self.begun:
            if not self.finished:
                told = self._finish_early or self._abandoned
                self.log_access(disconnected=not told)
            self._let_go()
        super().connectionLost(reason)
        if self.begun:
            # Last, so that the handler finds that nobody can be answered.
            self.body.fail(Disconnected("the client went away"))

    def break_off(self, error: LFSError) -> None:
        """Let the handler's next read of the body raise ``error``.

        The connection is cut if the handler has answered already.
        """
        if self._finish_early or self.startedWriting:
            self.transport.abortConnection()
        else:
            self.body.fail(error)

    # -- handlers call these

    def process(self) -> None:
        """Hand the request to the site's resources, unless it is answered here."""
        self.setHeader(b"Date", datetimeToString())
        if self.refused is not None:
            self.channel.persistent = False
            self.respond_error(self.refused)
        elif self.context.cors.enabled and is_preflight(self.method, self.requestHeaders):
            self._answer_preflight()
        elif self.path == ASTERISK:
            self.setHeader(b"Allow", b"GET, HEAD, POST, PUT")
            self.setResponseCode(204)
            self.finish()
        else:
            super().process()

    def write(self, data: bytes) -> None:
        """Send part of the response; the first call sends its headers."""
        if self.channel is None:
            return
        if not self.startedWriting:
            self._stop_timers()
            # What waits beyond that holds the connection up.
            self.transport.bufferSize = SMALL_ANSWER
            self.setHeader(b"Server", b"giftless")
            self.setHeader(b"X-Request-Id", self.request_id.encode())
            if not self.responseHeaders.hasHeader(b"cache-control"):
                # A request with an action's token has no Authorization: without a
                # word, a shared cache could keep the answer (RFC 9111 section 3).
                self.setHeader(b"Cache-Control", b"no-store")
            self._add_headers(self.context.cors.headers(self.requestHeaders))
            if self._body_is_too_much():
                self.channel.persistent = False
            if not self.channel.persistent:
                self.setHeader(b"Connection", b"close")
        super().write(data)

    def finish(self) -> None:
        """End the response, and the request when its body is over too."""
        if self.channel is None or self._finish_early or self._abandoned:
            return
        if self.body.complete:
            self._really_finish()
            return
        if not self.startedWriting:
            self.write(b"")
        self._finish_early = True
        self.body.discard()
        if not self.channel.persistent:
            self._linger = self.reactor.callLater(LINGER_SECONDS, self._really_finish)

    def abandon(self, code: int) -> None:
        """Cut the connection, because the response cannot be completed.

        :param code: the status for the access log; the client has another.
        """
        self._abandoned = True
        self.code = code
        if self.channel is not None:
            self.transport.abortConnection()

    def processingFailed(self, reason: Failure) -> None:
        """Answer 503 if the machine failed, else 500, since no handler caught the failure."""
        self.respond_error(uncaught(reason, self.request_id))

    def respond_json(self, code: int, body: bytes) -> None:
        """Send a whole JSON response of the Git LFS media type.

        :raises Overloaded: if it is large, and there is no memory for it.
        """
        self.held.reserve(len(body))
        self.setResponseCode(code)
        self.setHeader(b"Content-Type", MEDIA_TYPE.encode())
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.respond(body)

    def respond(self, body: bytes) -> None:
        """Send the whole body of a response, and finish; none to a HEAD request."""
        channel = self.channel
        self.write(b"" if self.method == b"HEAD" else body)
        if channel is not None and (answer := self.held.hand_over()) is not None:
            channel.hold(answer)  # until the client has taken it
        self.finish()

    def respond_error(self, error: LFSError) -> None:
        """Answer with ``error``; cut the connection if the response has begun."""
        context = self.context
        if context.events.wanted:
            identity = self.identity
            who, principal = ("", "") if identity is None else (identity.name, identity.principal)
            address = context.proxies.client(self)
            context.events.publish_refusal(error, self.repo, who, address, principal)
        if self.channel is None:
            return
        if self.startedWriting:
            # Too late for another status: a cut connection is the only signal.
            self.abandon(error.code)
            return
        headers = error.headers
        if isinstance(error, Unauthorized):
            headers = {**context.challenge.headers(), **headers}
        for name, value in headers.items():
            self.setHeader(name.encode(), value.encode())
        self.respond_json(error.code, error_body(error, self.request_id))

    def log_access(self, disconnected: bool = False) -> None:
        """Write the one access line of the request.

        :param disconnected: the client left before the response was complete.
        """
        access_log.write(
            self.method.decode("ascii", "replace"),
            self.path.decode("ascii", "backslashreplace"),
            CLIENT_CLOSED if disconnected else self.code,
            self.sentLength,
            self.reactor.seconds() - self.started,
            self.request_id,
            self.identity,
            self.context.proxies.client(self),
        )

    # -- inside

    def _answer_preflight(self) -> None:
        try:
            self._add_headers(self.context.cors.preflight(self.requestHeaders))
        except LFSError as error:
            self.respond_error(error)
        else:
            self.setResponseCode(204)
            self.finish()

    def _add_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        for name, value in headers:
            self.responseHeaders.addRawHeader(name, value)

    def _really_finish(self) -> None:
        self._let_go()
        super().finish()

    def _let_go(self) -> None:
        """Give back what the request holds: time-outs and memory."""
        self._body_over()
        self._stop_timers()
        self.body.close()
        if self._counted:
            self._counted = False
            self.context.memory.passing.leave()
        self.held.release()

    def _body_is_too_much(self) -> bool:
        """Whether closing the connection is cheaper than reading the rest."""
        if self.body.complete or self.length == 0:
            return False
        if self._awaits_invitation():
            return True
        return self.length is None or self.length - self.body.received > DRAIN_BYTES

    def _send_continue(self) -> None:
        if self._expects_continue and not self.startedWriting:
            self.channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pause_body(self) -> None:
        # While the daemon is what is slow, the client must not be timed out.
        if self._arrival is not None:
            self._arrival.hold_up()
        self.channel.setTimeout(None)
        self.transport.pauseProducing()

    def _resume_body(self) -> None:
        if self.channel is not None:
            self.transport.resumeProducing()
            if not self.body.complete:
                self.channel.setTimeout(self.context.limits.idle_timeout)

    def _body_over(self) -> None:
        if self._arrival is not None:
            self._arrival.stop()

    def _awaits_invitation(self) -> bool:
        return self._expects_continue and self.body.uninvited

    def _refuse_slow_body(self, error: LFSError) -> None:
        self.channel.persistent = False
        self.break_off(error)

    def _send_interim(self) -> None:
        self._interim = None
        if self.startedWriting or self._interims_sent >= self._interim_limit():
            return
        self.channel.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        self._interims_sent += 1
        self._interim = self.reactor.callLater(INTERIM_SECONDS, self._send_interim)

    def _interim_limit(self) -> int:
        if self.clientproto != b"HTTP/1.1" or self.context.proxies.forwards(self):
            return 0
        return interim_limit(self.requestHeaders)

    def _stop_timers(self) -> None:
        for name in ("_linger", "_interim"):
            timer: Any = getattr(self, name)
            if timer is not None and timer.active():
                timer.cancel()
            setattr(self, name, None)
