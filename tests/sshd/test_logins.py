"""Places for those who log in: by count, by address, and in time."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.sshd.logins import MAX_WAITING, PATIENCE, Logins

PLACES = 100
TIMEOUT = 60.0


class Client:
    """A connection that notes what happens to it."""

    def __init__(self, logins: Logins, network: str) -> None:
        self.logins = logins
        self.network = network
        self.state = "waiting"

    def begin(self) -> None:
        self.state = "busy"

    def turn_away(self, reason: str) -> None:
        self.state = reason
        self.logins.leave(self)

    def log_in(self) -> None:
        self.state = "in"
        self.logins.leave(self)


class LoginsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.logins = Logins(self.clock, PLACES, TIMEOUT)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def enter(self, number: int, network: str = "10.0.0.1") -> list[Client]:
        clients = [Client(self.logins, network) for _ in range(number)]
        for client in clients:
            self.logins.enter(client)
        for client in clients:
            self.addCleanup(client.log_in)
        return clients

    def states(self, clients: list[Client], state: str) -> int:
        return sum(client.state == state for client in clients)

    def test_an_office_of_50_gets_in_at_once(self) -> None:
        self.assertEqual(self.states(self.enter(50), "busy"), 50)

    def test_an_office_of_400_gets_in_one_after_the_other(self) -> None:
        clients = self.enter(400)
        self.assertEqual(self.states(clients, "busy"), PLACES // 2)
        while busy := [client for client in clients if client.state == "busy"]:
            busy[0].log_in()
        self.assertEqual(self.states(clients, "in"), 400)

    def test_one_address_leaves_half_of_the_places_to_others(self) -> None:
        self.enter(300)
        self.assertEqual(self.states(self.enter(50, "10.0.0.2"), "busy"), 50)

    def test_whoever_waits_for_a_full_server_comes_before_the_greedy(self) -> None:
        greedy = [*self.enter(200, "10.0.0.1"), *self.enter(100, "10.0.0.2")]
        (late,) = self.enter(1, "10.0.0.3")
        self.assertEqual(late.state, "waiting")
        next(client for client in greedy if client.state == "busy").log_in()
        self.assertEqual(late.state, "busy")

    def test_whoever_keeps_others_waiting_for_long_is_turned_away(self) -> None:
        idle = self.enter(50)
        (late,) = self.enter(1)
        self.clock.advance(PATIENCE - 1)
        self.assertEqual(late.state, "waiting")
        self.clock.advance(1)
        self.assertEqual(late.state, "busy")
        self.assertEqual(self.states(idle, "busy"), 49)

    def test_nobody_else_makes_room_for_a_greedy_address(self) -> None:
        slow = self.enter(1, "10.0.0.2")
        self.enter(60)
        self.clock.advance(PATIENCE + 1)
        self.assertEqual(slow[0].state, "busy")

    def test_whoever_keeps_nobody_waiting_has_time(self) -> None:
        slow = self.enter(50)
        self.clock.advance(TIMEOUT - 1)
        self.assertEqual(self.states(slow, "busy"), 50)

    def test_a_login_ends_in_time(self) -> None:
        (slow,) = self.enter(1)
        self.clock.advance(TIMEOUT)
        self.assertIn("too long", slow.state)

    def test_idle_connections_of_one_address_shut_nobody_out(self) -> None:
        """Thousands are opened, and opened again as soon as they are closed."""
        for _ in range(10):
            self.enter(200)
            (other,) = self.enter(1, "10.0.0.2")
            self.assertEqual(other.state, "busy")
            other.log_in()
            self.clock.advance(1)

    def test_an_office_with_idle_connections_gets_in(self) -> None:
        self.enter(50)
        office = self.enter(50)
        for _ in range(int(PATIENCE) + 1):
            self.clock.advance(1)
            for client in office:
                if client.state == "busy":
                    client.log_in()
        self.assertEqual(self.states(office, "in"), 50)

    def test_idle_connections_that_wait_do_not_stand_before_users(self) -> None:
        self.enter(50 + 300)
        (user,) = self.enter(1)
        self.clock.advance(PATIENCE)
        self.assertEqual(user.state, "busy")

    def test_those_who_wait_are_bounded_and_the_greediest_loses(self) -> None:
        modest = self.enter(51, "10.0.0.2")
        greedy = self.enter(2 * MAX_WAITING * PLACES)
        self.assertEqual(self.states(greedy, "waiting"), MAX_WAITING * PLACES - 1)
        self.assertEqual(self.states(modest, "busy"), 50)
        self.assertEqual(modest[-1].state, "waiting")

    def test_one_place_is_enough_for_one_after_the_other(self) -> None:
        logins = Logins(self.clock, 1, TIMEOUT)
        first, second = (Client(logins, "10.0.0.1") for _ in range(2))
        logins.enter(first)
        logins.enter(second)
        self.assertEqual((first.state, second.state), ("busy", "waiting"))
        first.log_in()
        self.assertEqual(second.state, "busy")
        second.log_in()
