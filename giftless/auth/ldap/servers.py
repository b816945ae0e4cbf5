"""The servers of a directory: connections are kept, and one that is down is passed over.

Everything here but :meth:`Servers.stopService` is called in threads, several at a time, and
blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeVar

import ldap
from twisted.application.service import Service
from twisted.logger import Logger

from giftless.auth.ldap.deadline import Deadline
from giftless.auth.ldap.entries import PersonProblem
from giftless.auth.ldap.link import Link, words_of
from giftless.auth.ldap.options import Server
from giftless.interfaces import IBlocking

T = TypeVar("T")

#: For how many seconds a server is not asked that was not ready in time.
_REST: Final = 10

#: For how many seconds if it refuses the account that searches: guesses lock accounts.
_REST_REFUSED: Final = 60

#: After how many seconds a connection is not used again: firewalls forget idle ones, and
#: whoever uses such a one waits in vain.
_IDLE: Final = 60


#: What says that a server does not answer as it should.  python-ldap takes DNs and the names
#: of attributes for UTF-8, and no others for values.
_FAILURES: Final = (ldap.LDAPError, OSError, ValueError)


class DirectoryDown(Exception):
    """No server of the directory answers as it should; the text says why, and is in the log."""


class AccountRefused(Exception):
    """A server refuses the account that searches; the text says why."""


class Session:
    """The connections to one server that one log-in at a time uses.

    :param server: the server.
    :param account: the DN of the account that searches; empty for none.
    :param password: its password.
    :param deadline: until when the server must be ready.
    :raises ldap.LDAPError: if it is not.
    :raises OSError: if it cannot be reached.
    :raises AccountRefused: if it refuses the account.
    """

    def __init__(self, server: Server, account: str, password: bytes, deadline: Deadline) -> None:
        self._server = server
        self._users: Link | None = None
        #: Where the account searches.
        self.search = Link(server, deadline)
        if account:
            try:
                self.search.bind(deadline, account, password)
            except ldap.INVALID_CREDENTIALS as error:
                self.close()
                raise AccountRefused(words_of(error)) from None
            except BaseException:
                self.close()
                raise

    def users(self, deadline: Deadline) -> Link:
        """Return the connection on which passwords of users are tried."""
        if self._users is None:
            self._users = Link(self._server, deadline)
        return self._users

    def close(self) -> None:
        """End the connections."""
        for link in (self.search, self._users):
            if link is not None:
                link.close()


class Servers(Service):
    """Lends sessions to jobs: of the first server that answers.

    :param servers: the servers, the preferred one first.
    :param account: the DN of the account that searches; empty for none.
    :param connect_timeout: how long a server may take to be ready, in seconds.
    :param timeout: how long a job may take on one server, in seconds.
    :param blocking: ends the connections when the service stops.
    :param now: tells the time, in seconds, whatever its zero; it is called in threads.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        account: str,
        connect_timeout: float,
        timeout: float,
        blocking: IBlocking,
        now: Callable[[], float],
    ) -> None:
        lent = (account, connect_timeout, timeout, now)
        self._places = [_Place(server, *lent) for server in servers]
        self._blocking = blocking

    def run(self, password: bytes, job: Callable[[Session, Deadline], T]) -> T:
        """Call ``job(session, deadline)``; again, with another session, where one fails.

        :param password: the password of the account that searches.
        :raises DirectoryDown: if no server answers.
        """
        for place in self._places:
            try:
                return place.run(password, job)
            except DirectoryDown as error:
                last = error
        raise last

    def check(self, password: bytes, job: Callable[[Session, Deadline], object]) -> Iterator[str]:
        """Call a job on each server.

        :returns: what is wrong with each, in their order; empty if nothing is.
        """
        for place in self._places:
            try:
                place.run(password, job)
            except DirectoryDown as error:
                yield str(error)
            else:
                yield ""

    def stopService(self) -> Awaitable[None]:
        """End the connections.  No job may run any more."""
        super().stopService()
        return self._blocking.run(self._close)

    def _close(self) -> None:
        for place in self._places:
            place.close()


class _Place:
    """One server, and the sessions with it that nobody uses."""

    log = Logger()

    def __init__(
        self,
        server: Server,
        account: str,
        connect_timeout: float,
        timeout: float,
        now: Callable[[], float],
    ) -> None:
        self._server = server
        self._account = account
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._now = now
        # Threads take from it and put back; both are atomic.
        self._idle: list[tuple[Session, float]] = []
        self._rests_until = now()

    def run(self, password: bytes, job: Callable[[Session, Deadline], T]) -> T:
        """See :meth:`Servers.run`."""
        deadline = Deadline(self._timeout)
        kept = self._take()
        try:
            if kept is not None:
                try:
                    return self._use(kept, deadline, job)
                except _FAILURES:
                    # Whatever has ended it has ended the others that were idle.
                    self.close()
            session = self._open(password, min(self._connect_timeout, deadline.left()))
            return self._use(session, deadline, job)
        except _FAILURES as error:
            raise self._down(words_of(error)) from None

    def _use(self, session: Session, deadline: Deadline, job: Callable[..., T]) -> T:
        try:
            result = job(session, deadline)
        except PersonProblem:
            self._idle.append((session, self._now()))
            raise
        except BaseException:
            session.close()
            raise
        self._idle.append((session, self._now()))
        return result

    def _open(self, password: bytes, seconds: float) -> Session:
        if self._now() < self._rests_until:
            raise DirectoryDown("has just failed, and is left alone")
        try:
            return Session(self._server, self._account, password, Deadline(seconds))
        except AccountRefused as error:
            rest, problem = _REST_REFUSED, f"refuses bind_dn: {error}"
        except _FAILURES as error:
            rest, problem = _REST, words_of(error)
        self._rests_until = self._now() + rest
        raise self._down(problem)

    def _down(self, problem: str) -> DirectoryDown:
        self.log.error("{url} fails: {problem}", url=self._server.url, problem=problem)
        return DirectoryDown(problem)

    def _take(self) -> Session | None:
        while True:
            try:
                session, since = self._idle.pop()
            except IndexError:
                return None
            if self._now() - since < _IDLE:
                return session
            session.close()

    def close(self) -> None:
        """End the connections that nobody uses."""
        while (session := self._take()) is not None:
            session.close()
