"""Who may be logging in at once: key exchange takes time, and anybody can ask for it.

A client that finds no place waits, without a word from the server, until another has
logged in or is gone.  One address may have half of the places, so that others get in
whatever it does; an office behind one address is served quickly, one after the other.  Of
those who wait at an address, the last to come is next, so that idle connections do not
stand before users.  Whoever takes long to log in loses the place, but only if it keeps
somebody waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from giftless.base.networks import NetworkCounts

#: For how many seconds a client has its place for certain.
PATIENCE: Final = 10.0

#: How many times as many clients may wait as may be logging in.
MAX_WAITING: Final = 4


class Client(Protocol):
    """A connection that has not logged in.

    :ivar network: what counts as one address.
    """

    network: str

    def begin(self) -> None:
        """Start to talk to the client."""

    def turn_away(self, reason: str) -> None:
        """Close the connection; :meth:`Logins.leave` is called before this returns.

        :param reason: why, for the log.
        """


class Logins:
    """The places for those who log in.

    :param clock: tells the time.
    :param places: how many there are.
    :param timeout: for how many seconds a connection may last without a login.
    """

    def __init__(self, clock: IReactorTime, places: int, timeout: float) -> None:
        self._clock = clock
        self._places = places
        self._share = (places + 1) // 2
        self._timeout = timeout
        self._deadlines: dict[Client, IDelayedCall] = {}
        # The oldest first, with the time since when it has its place.
        self._busy: dict[Client, float] = {}
        self._waiting: dict[Client, None] = {}
        self._busy_from = NetworkCounts()
        self._later: IDelayedCall | None = None

    def enter(self, client: Client) -> None:
        """Give a client a place, now or later."""
        if len(self._waiting) >= MAX_WAITING * self._places:
            waiting_from = Counter(each.network for each in self._waiting)
            greedy, _ = waiting_from.most_common(1)[0]
            victim = next(each for each in self._waiting if each.network == greedy)
            victim.turn_away("too many others wait to log in")
        deadline = self._clock.callLater(
            self._timeout, client.turn_away, "it has taken too long to log in"
        )
        self._deadlines[client] = deadline
        self._waiting[client] = None
        self._step()

    def leave(self, client: Client) -> None:
        """Note that a client has logged in or is gone.  Harmless when repeated."""
        deadline = self._deadlines.pop(client, None)
        if deadline is None:
            return
        if deadline.active():
            deadline.cancel()
        if client in self._waiting:
            del self._waiting[client]
            return
        del self._busy[client]
        self._busy_from.drop(client.network)
        self._step()

    def _step(self) -> None:
        """Give places to those who wait, as far as there are any."""
        while self._waiting and len(self._busy) < self._places:
            # Whoever comes from where the fewest are logging in; the last of these, since
            # connections that wait for long may be there for nothing else.
            client = min(reversed(self._waiting), key=lambda each: self._busy_from[each.network])
            if self._busy_from[client.network] >= self._share:
                break
            del self._waiting[client]
            self._busy[client] = self._clock.seconds()
            self._busy_from[client.network] += 1
            client.begin()
        if self._waiting:
            self._make_room()
        elif self._later is not None:
            self._later.cancel()
            self._later = None

    def _make_room(self) -> None:
        """Turn away who has had a place for too long, or do so when that is the case."""
        oldest = next(iter(self._in_the_way()), None)
        if oldest is None:
            return
        left = self._busy[oldest] + PATIENCE - self._clock.seconds()
        if left <= 0:
            oldest.turn_away("it has taken long to log in, and others wait")
        elif self._later is None:
            self._later = self._clock.callLater(left, self._look_again)

    def _in_the_way(self) -> Iterable[Client]:
        """Return who has the places that those who wait could have, the oldest first."""
        if len(self._busy) >= self._places:
            return self._busy
        networks = {each.network for each in self._waiting}
        return (client for client in self._busy if client.network in networks)

    def _look_again(self) -> None:
        self._later = None
        self._step()
