"""A request that is handled as soon as its headers are complete.

Every request starts when its headers have arrived, and its handler reads the
body as it comes (``request.body``); that is what lets uploads be refused
before they are sent, and streamed with back-pressure.  One rule makes it work:
a response may be complete before its request is, and the connection moves on
only when both are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from giftless.base.client_memory import SMALL_ANSWER, Held
from giftless.base.received_body import RequestBody
from giftless.base.uncaught import new_request_id, uncaught
from giftless.errors import BadRequest, Disconnected, LFSError, Unauthorized
from giftless.interfaces import Identity
from giftless.lfs.batch import MEDIA_TYPE
from giftless.lfs.objects import Repo
from giftless.web import accounting
from giftless.web.arrival import Arrival
from giftless.web.context import Context
from giftless.web.cors import is_preflight
from giftless.web.errors import error_body
from giftless.web.framing import ASTERISK, HOST, ends_connection, refusal, split_target
from giftless.web.interim import interim_limit
from giftless.web.parser import Head
from giftless.web.resource_request import ResourceRequest

#: The most bytes of an unwanted body that are read to keep a connection.
DRAIN_BYTES: Final = 1024 * 1024

#: How long a connection that will be closed waits for the client to read the
#: response, in seconds: closing at once could destroy it on its way.
LINGER_SECONDS: Final = 3.0

#: After how many seconds without a response a client that is known to bear it is sent
#: an interim one (102), and then repeatedly.  git-lfs gives up after 30 without a byte;
#: not much less, because some take only five interim responses.
INTERIM_SECONDS: Final = 25.0

_MEDIA_TYPE: Final = MEDIA_TYPE.encode()


class LFSRequest(ResourceRequest):
    """One HTTP request, from its headers on.

    :param connection: what it came over, an :class:`~giftless.web.connection.LFSConnection`.
    :param head: its head.
    :ivar connection: the same; ``None`` when the request is over.
    :ivar context: what it shares with the site's other requests.
    :ivar request_id: names the request in the log and in error bodies.
    :ivar method: the method, as it was sent.
    :ivar path: the path of its URL, as it was sent.
    :ivar length: the length of its body in bytes; ``None`` if it comes in chunks.
    :ivar body: the body, to be read as it arrives.
    :ivar route: the template of its endpoint's path; empty until that is known.
    :ivar repo: the repository that its URL names; ``None`` until that is known.
    :ivar identity: who sent it; ``None`` until that is known.
    :ivar started: when its headers were complete, in the reactor's seconds.
    :ivar expects_continue: whether its client waits before it sends the body.
    :ivar completed: whether the last bytes of the response have been sent, or are next.
    :ivar on_complete: called before the last bytes of the response are sent.
    """

    def __init__(self, connection: Any, head: Head) -> None:
        super().__init__(connection)
        context: Context = connection.context
        self.connection = connection
        self.context = context
        self.started = context.clock.seconds()
        self.request_id = new_request_id()
        self.method, self.clientproto = head.method, head.version
        self.requestHeaders = headers = head.headers
        self.length = head.length
        self.route = ""
        self.repo: Repo | None = None
        self.identity: Identity | None = None
        host, self.uri = split_target(head.target, head.method)
        self.path = self.uri.partition(b"?")[0]
        self.body = RequestBody(
            context.memory.passing, self._send_continue, self._pause_body, self._resume_body
        )
        self._held: Held | None = None
        self._address: str | None = None
        self._finish_early = False
        self._abandoned = False
        self.completed = False
        self.on_complete: Callable[[], object] = accounting.nothing
        self._arrival: Arrival | None = None
        self._linger: IDelayedCall | None = None
        self._interims_sent = 0
        self._refused = refusal(self.method, self.path, self.clientproto, headers)
        if host is not None and self._refused is None:
            # It counts more than the header (RFC 9112 section 3.2.2).
            headers.setRawHeaders(b"host", [host])
            if not HOST.fullmatch(host):
                self._refused = BadRequest("the host in the request's target is malformed")
        retiring = context.connections.retiring
        if self._refused is not None or retiring or ends_connection(head.version, headers):
            connection.persistent = False
        self.expects_continue = (
            b"expect" in headers.fields and self.clientproto == b"HTTP/1.1" and head.length != 0
        )
        self._counted = head.length != 0
        if self._counted:
            context.memory.passing.enter()

    @property
    def address(self) -> str:
        """The client's IP address; empty for a unix socket."""
        if self._address is None:
            self._address = self.context.proxies.client(self)
        return self._address

    @property
    def held(self) -> Held:
        """The memory for what is not passed on."""
        if self._held is None:
            self._held = Held(self.context.memory, self.break_off, self._cut)
        return self._held

    # -- the connection calls these

    def begin(self) -> None:
        """Hand the request to the site's resources, unless it is answered here."""
        if not self.body.complete:
            context, calls = self.context, (self._awaits_invitation, self._refuse_slow_body)
            self._arrival = Arrival(context.clock, context.limits, self.body, *calls)
            self._arrival.start()
        try:
            if self._refused is not None:
                self.respond_error(self._refused)
            elif self.context.cors.enabled and is_preflight(self.method, self.requestHeaders):
                self._add_headers(self.context.cors.preflight(self.requestHeaders))
                self.setResponseCode(204)
                self.finish()
            elif self.path == ASTERISK:
                self.setHeader(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE")
                self.setResponseCode(204)
                self.finish()
            else:
                self.connection.serve(self)
        except LFSError as error:
            self.respond_error(error)
        except BaseException:
            self.processingFailed(Failure())

    def deliver(self, data: bytes) -> None:
        """Take some of the body."""
        self.body.deliver(data)
        if self._linger is not None and self.body.received > DRAIN_BYTES:
            # The client ignores the response: it may wait, unread.
            self.connection.hold_unwanted()

    def body_over(self) -> None:
        """Tell the handler that the whole request has arrived."""
        if self._arrival is not None:
            self._arrival.stop()
        self.body.end()
        if self._finish_early:
            self._really_finish()
        elif not self.response.begun:
            self.connection.tell_patience(INTERIM_SECONDS)

    def send_interim(self) -> None:
        """Tell the client that its request is being worked on, if it bears that."""
        if self.response.begun or self._interims_sent >= self._interim_limit():
            return
        self.connection.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        self._interims_sent += 1
        self.connection.tell_patience(INTERIM_SECONDS)

    def connection_lost(self, reason: Failure) -> None:
        """Tell the handler that the client went away."""
        if self.connection is None:
            return
        accounting.end(self, disconnected=not (self._finish_early or self._abandoned))
        self._let_go()
        self.connection = None
        self.notify(reason)
        # Last, so that the handler finds that nobody can be answered.
        self.body.fail(Disconnected("the client went away"))

    def break_off(self, error: LFSError) -> None:
        """Let the handler's next read of the body raise ``error``.

        The connection is cut if the handler has answered already.
        """
        if self._finish_early or self.response.begun:
            self._cut()
        else:
            self.body.fail(error)

    # -- handlers call these

    def write(self, data: bytes) -> None:
        """Send part of the response; the first call sends its headers."""
        connection, response = self.connection, self.response
        if connection is None:
            return
        if response.begun:
            data = response.take(data)
        else:
            connection.response_begins()
            # What waits beyond that holds the connection up.
            connection.transport.bufferSize = SMALL_ANSWER
            self._add_own_headers()
            data = response.begin(self.clientproto, self.method, data)
        if response.complete:
            accounting.complete(self)
        if data:
            connection.write(data)

    def finish(self) -> None:
        """End the response, and the request when its body is over too."""
        if self.connection is None or self._finish_early or self._abandoned:
            return
        if not self.response.begun:
            self.write(b"")
        if self.body.complete:
            self._really_finish()
            return
        self._finish_early = True
        self.body.discard()
        if not self.connection.persistent:
            self._linger = self.context.clock.callLater(LINGER_SECONDS, self._really_finish)

    def abandon(self, code: int) -> None:
        """Cut the connection, because the response cannot be completed.

        :param code: the status for the access log; the client has another.
        """
        self._abandoned = True
        self.response.code = code
        self._cut()

    def processingFailed(self, reason: Failure) -> None:
        """Answer 503 if the machine failed, else 500, since no handler caught the failure."""
        self.respond_error(uncaught(reason, self.request_id))

    def reserve(self, size: int) -> None:
        """Take memory for an answer, unless it is small.

        :param size: about how large it is going to be, or how large it is, in bytes.
        :raises Overloaded: if there is none.
        """
        if size > SMALL_ANSWER:
            self.held.reserve(size)

    def respond_json(self, code: int, body: bytes) -> None:
        """Send a whole JSON response of the Git LFS media type.

        :raises Overloaded: if it is large, and there is no memory for it.
        """
        self.reserve(len(body))
        self.response.code = code
        fields = self.response.headers.fields
        fields[b"content-type"] = [_MEDIA_TYPE]
        fields[b"content-length"] = [b"%d" % len(body)]
        self.respond(body)

    def respond_whole(self, code: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole response.

        :param headers: those that belong to the body, but for its length.
        :raises Overloaded: if it is large, and there is no memory for it.
        """
        self.reserve(len(body))
        self.setResponseCode(code)
        for name, value in headers.items():
            self.setHeader(name, value)
        self.setHeader("Content-Length", str(len(body)))
        self.respond(body)

    def respond(self, body: bytes) -> None:
        """Send the whole body of a response, and finish; none to a HEAD request."""
        self.write(body)
        held, connection = self._held, self.connection
        if held is not None and connection is not None:
            answer = held.hand_over()
            if answer is not None:
                connection.keep(answer)  # until the client has taken it
        self.finish()

    def respond_error(self, error: LFSError) -> None:
        """Answer with ``error``; cut the connection if the response has begun."""
        context = self.context
        if context.events.wanted:
            identity = self.identity
            who, principal = ("", "") if identity is None else (identity.name, identity.principal)
            context.events.publish_refusal(
                error, self.repo, who, self.address, principal, self.request_id
            )
        if self.connection is None:
            return
        if self.response.begun:
            # Too late for another status: a cut connection is the only signal.
            self.abandon(error.code)
            return
        # What was prepared for another answer is not true of this one.
        self.response.headers.fields.clear()
        if isinstance(error, Unauthorized):
            self._add_headers(context.challenge.headers(self, error))
        for name, value in error.headers.items():
            self.setHeader(name, value)
        self.respond_json(error.code, error_body(error, self.request_id))

    # -- inside

    def _add_own_headers(self) -> None:
        """Add what every response has."""
        connection = self.connection
        self.response.add_common(self.request_id)
        self._add_headers(self.context.cors.headers(self.requestHeaders))
        if self._body_is_too_much() or not self.response.framed:
            connection.persistent = False
        if not connection.persistent:
            self.setHeader(b"Connection", b"close")

    def _add_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        for name, value in headers:
            self.response.headers.addRawHeader(name, value)

    def _really_finish(self) -> None:
        self._let_go()
        accounting.end(self, disconnected=False)
        connection, self.connection = self.connection, None
        self.notify(None)
        connection.request_done()

    def _let_go(self) -> None:
        """Give back what the request holds: time-outs, memory, and what would call it.

        That would keep it until Python looks for circles, thousands of requests later.
        """
        if self._arrival is not None:
            self._arrival.stop()
            self._arrival = None
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self._linger = None
        self.connection.response_begins()
        self.body.abandon()
        if self._counted:
            self._counted = False
            self.context.memory.passing.leave()
        if self._held is not None:
            self._held.release()
            self._held = None

    def _cut(self, _: object = None) -> None:
        if self.connection is not None:
            self.connection.abort()

    def _body_is_too_much(self) -> bool:
        """Whether closing the connection is cheaper than reading the rest."""
        if self.body.complete:
            return False
        if self._awaits_invitation():
            return True
        return self.length is None or self.length - self.body.received > DRAIN_BYTES

    def _send_continue(self) -> None:
        if self.expects_continue and not self.response.begun:
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pause_body(self) -> None:
        # While the daemon is what is slow, the client must not be timed out.
        if self._arrival is not None:
            self._arrival.hold_up()
        self.connection.pause_body()

    def _resume_body(self) -> None:
        if self.connection is not None:
            self.connection.resume_body(self.body.complete)

    def _awaits_invitation(self) -> bool:
        return self.expects_continue and self.body.uninvited

    def _refuse_slow_body(self, error: LFSError) -> None:
        self.connection.persistent = False
        self.break_off(error)

    def _interim_limit(self) -> int:
        if self.clientproto != b"HTTP/1.1" or self.context.proxies.forwards(self):
            return 0
        return interim_limit(self.requestHeaders)
