"""Webhooks of a daemon: nothing is lost, whatever is killed, and nobody notices bad receivers."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import threading
from collections.abc import Sequence
from typing import Any

from tests.integration.locking import at_once, check, giftless
from tests.integration.support import REPO, Daemon, oid_of
from tests.integration.workers import WorkersTestCase
from tests.support.postgresql import postgresql
from tests.support.processes import ENDED, wait_until
from tests.support.receiver import Receiver, kill_one
from tests.support.rounds import rounds
from tests.support.servers import shared

#: How many events the round has that kills processes.
EVENTS = rounds(60, 1000)

#: How many workers are killed.  The supervisor replaces those that keep dying more slowly.
KILLS = rounds(2, 4)

#: How often the receiver is killed and started again.
RESTARTS = 5


class WebhooksTestCase(WorkersTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.receiver = Receiver(self.directory / "received")
        self.addCleanup(self.receiver.kill)

    def settings(self, *targets: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Return the configuration of a daemon with these targets."""
        section = {"type": "webhooks", "targets": list(targets), **options}
        return {"observers": [section]}

    def serve(self, *targets: dict[str, Any], **settings: Any) -> Daemon:
        """Start a daemon with these targets."""
        return self.start_daemon(config={**self.settings(*targets), **settings})

    def command(self, daemon: Daemon, *arguments: str) -> Any:
        """Run ``giftless webhooks``."""
        file = str(daemon.directory / "giftless.yaml")
        return giftless(daemon, "webhooks", "--config", file, *arguments)


def put_all(daemon: Daemon, objects: Sequence[bytes]) -> None:
    """Upload objects, again whenever the worker that had them is killed."""
    for data in objects:
        while True:
            try:
                assert daemon.put(data) == 200
                break
            except OSError:
                continue


class DeliveryTests(WebhooksTestCase):
    def test_nothing_is_lost_whatever_is_killed(self) -> None:
        """The receiver and a worker are killed in the middle; all arrives, in order and signed.

        A worker is killed when what it was told is in the outbox, so the order is kept.
        """
        self.receiver.start()
        daemon = self.serve(self.receiver.target(), workers=1)
        objects = [b"object %d" % number for number in range(EVENTS)]
        third = EVENTS // 3
        put_all(daemon, objects[:third])
        self.receiver.kill()
        put_all(daemon, objects[third : 2 * third])
        listed = self.command(daemon, "list").stdout.splitlines()
        self.assertGreaterEqual(len(listed), third)
        kill_one(daemon.workers)
        put_all(daemon, objects[2 * third :])
        self.receiver.start()
        arrived = list(self.receiver.wait_for(EVENTS).values())
        self.assertEqual(daemon.stop(), ENDED)
        self.assertEqual(
            [message["data"]["oid"] for message in arrived], [oid_of(data) for data in objects]
        )
        self.assertEqual({message["type"] for message in arrived}, {"object.stored"})
        first = self.receiver.requests()[0]
        self.assertEqual(first["path"], "/hooks?from=giftless")
        self.assertEqual(first["headers"]["content-type"], "application/json")
        self.assertRegex(first["headers"]["user-agent"], r"\Agiftless/")

    def test_what_clients_were_told_is_stored_is_told_whoever_is_killed_meanwhile(self) -> None:
        """Workers are killed at any moment, while several clients upload."""
        self.receiver.start()
        daemon = self.serve(self.receiver.target(), workers=2)
        objects = [b"object %d" % number for number in range(EVENTS)]
        shares = [objects[number::4] for number in range(4)]
        over = threading.Event()

        def kill() -> None:
            for _ in range(KILLS):
                if over.wait(0.3):
                    return
                for worker in daemon.workers[:1]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)

        killing = threading.Thread(target=kill)
        killing.start()
        try:
            at_once([functools.partial(put_all, daemon, share) for share in shares])
        finally:
            over.set()
            killing.join()

        wanted = {oid_of(data) for data in objects}
        wait_until(lambda: self.arrived() >= wanted, "all that was stored")
        self.receiver.verified()
        self.assertEqual(daemon.stop(), ENDED)

    def test_nothing_is_lost_while_all_of_them_are_killed_and_reloaded(self) -> None:
        """The receiver and workers are killed, and the daemon is reloaded, again and again.

        A second target takes connections and never answers: that holds nobody up.
        """
        self.receiver.start()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            hanging = self.receiver.target(name="silent", url=f"http://127.0.0.1:{port}/")
            settings = self.settings(self.receiver.target(), hanging, timeout=1)
            daemon = self.start_daemon(config={**settings, "workers": 2})
            objects = [b"object %d" % number for number in range(EVENTS)]
            shares = [objects[number::4] for number in range(4)]
            over = threading.Event()
            killed: list[str] = []

            def disturb() -> None:
                for number in range(RESTARTS):
                    self.receiver.kill()
                    killed.append("receiver")
                    if number % 2:
                        daemon.running.send_signal(signal.SIGHUP)
                    else:
                        with contextlib.suppress(ProcessLookupError, IndexError):
                            os.kill(daemon.workers[0], signal.SIGKILL)
                    over.wait(0.3)
                    self.receiver.start()
                    over.wait(0.5)

            disturbing = threading.Thread(target=disturb)
            disturbing.start()
            try:
                at_once([functools.partial(put_all, daemon, share) for share in shares])
            finally:
                disturbing.join()
            self.assertEqual(len(killed), RESTARTS)
            wanted = {oid_of(data) for data in objects}
            wait_until(lambda: self.arrived() >= wanted, "all that was stored")
            self.receiver.verified()
        daemon.kill()

    def arrived(self) -> set[str]:
        """Return the oids of which the receiver was told."""
        requests = self.receiver.requests()
        return {json.loads(request["body"])["data"]["oid"] for request in requests}

    def test_the_outbox_survives_the_whole_daemon(self) -> None:
        daemon = self.serve(self.receiver.target())
        put_all(daemon, [b"one", b"two"])
        wait_until(lambda: self.command(daemon, "list").stdout.count("\n") == 2, "the outbox")
        daemon.kill()
        self.receiver.start()
        again = self.start_daemon(name="again", config=self.kept(daemon))
        self.assertEqual(len(self.receiver.wait_for(2)), 2)
        wait_until(lambda: self.command(again, "list").stdout == "", "an empty outbox")

    def kept(self, daemon: Daemon) -> dict[str, Any]:
        """Return the configuration of a daemon that has the state of another."""
        return {
            **(daemon.config or {}),
            "state_dir": str(daemon.directory / "giftless-state"),
        }

    def test_one_of_several_workers_delivers_and_another_takes_over(self) -> None:
        self.receiver.start()
        daemon = self.serve(self.receiver.target(), workers=2)
        objects = [os.urandom(10) for _ in range(20)]
        put_all(daemon, objects[:10])
        self.receiver.wait_for(10)
        for worker in list(daemon.workers):
            os.kill(worker, signal.SIGKILL)
        put_all(daemon, objects[10:])
        self.receiver.wait_for(20)
        self.assertEqual(daemon.stop(), ENDED)
        ids = [request["headers"]["webhook-id"] for request in self.receiver.requests()]
        # Of what was being delivered when the process was killed, some may come twice.
        self.assertLessEqual(len(ids), 40)

    def test_what_a_worker_was_told_last_is_kept_when_it_is_stopped(self) -> None:
        daemon = self.serve(self.receiver.target())
        put_all(daemon, [b"last"])
        self.assertEqual(daemon.stop(), ENDED)
        self.assertIn("object.stored", self.command(daemon, "list").stdout)

    def test_a_reload_exchanges_secrets_and_targets(self) -> None:
        self.receiver.start()
        daemon = self.serve(self.receiver.target())
        put_all(daemon, [b"one"])
        self.receiver.wait_for(1)
        new = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        target = self.receiver.target()
        target["secrets"].append(new)
        daemon.config = self.settings(target)
        daemon.write_config()
        daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.stdout.count(" listens on ") == 2, "the reload")
        put_all(daemon, [b"two"])
        self.receiver.wait_for(2)
        headers = self.receiver.requests()[-1]["headers"]
        self.assertEqual(headers["webhook-signature"].count("v1,"), 2)
        self.receiver.file.write_text(json.dumps(self.receiver.requests()[-1]) + "\n")
        self.assertEqual(len(self.receiver.verified(new)), 1)
        self.assertEqual(len(self.receiver.verified()), 1)


class PostgreSQLTests(WebhooksTestCase):
    def test_daemons_share_an_outbox_and_the_database_may_go_away(self) -> None:
        server = shared(postgresql)
        options = {"conninfo": server.conninfo(server.make_database())}
        self.receiver.start()
        settings = self.settings(self.receiver.target(), **options)
        first = self.start_daemon(name="first", config=settings)
        second = self.start_daemon(name="second", config=settings)
        put_all(first, [b"one"])
        put_all(second, [b"two"])
        self.receiver.wait_for(2)
        server.stop()
        put_all(first, [b"three"])
        server.start()
        self.receiver.wait_for(3)
        second.kill()
        put_all(first, [b"four"])
        self.receiver.wait_for(4)
        self.assertEqual(first.stop(), ENDED)


class CommandTests(WebhooksTestCase):
    def test_a_test_says_what_each_target_answers(self) -> None:
        self.receiver.start()
        absent = Receiver(self.directory / "nothing")
        daemon = self.make_daemon(
            config=self.settings(self.receiver.target(), absent.target(name="absent"))
        )
        daemon.write_config()
        tested = self.command(daemon, "test")
        self.assertEqual(tested.returncode, 1)
        self.assertIn("ci\tstatus 204\n", tested.stdout)
        self.assertIn("absent\tConnection was refused by other side", tested.stdout)
        self.assertEqual(tested.stderr, "giftless: not delivered to: absent\n")
        (message,) = self.receiver.verified().values()
        self.assertEqual(message["type"], "webhooks.test")
        one = self.command(daemon, "test", "--target", "ci")
        self.assertEqual((one.returncode, one.stderr), (0, ""))

    def test_what_was_given_up_is_listed_and_tried_again(self) -> None:
        self.receiver.start()
        self.receiver.answer(400)
        settings = self.settings(self.receiver.target(), max_tries=1)
        daemon = self.start_daemon(config=settings)
        put_all(daemon, [b"one", b"two"])
        listed = ("list", "--dead")
        wait_until(lambda: self.command(daemon, *listed).stdout.count("\n") == 2, "dead letters")
        lines = [line.split("\t") for line in self.command(daemon, *listed).stdout.splitlines()]
        self.assertEqual(
            [(line[0], line[2], line[4], line[6]) for line in lines],
            [("ci", "object.stored", "dead", "status 400")] * 2,
        )
        self.receiver.answer(204)
        retried = self.command(daemon, "retry", lines[1][1], "--target", "ci")
        self.assertEqual((retried.stdout, retried.stderr), ("ci\t1\n", ""))
        retried = self.command(daemon, "retry", "--target", "ci")
        self.assertEqual((retried.stdout, retried.stderr), ("ci\t1\n", ""))
        wait_until(lambda: self.command(daemon, "list").stdout == "", "an empty outbox")
        self.assertEqual(len(self.receiver.requests()), 4)
        self.assertEqual(len(self.receiver.verified()), 2)

    def test_a_target_that_is_gone_is_listed_until_it_is_tried_again(self) -> None:
        self.receiver.start()
        self.receiver.answer(410)
        daemon = self.serve(self.receiver.target())
        put_all(daemon, [b"one"])
        wait_until(lambda: "\tgone\t" in self.command(daemon, "list").stdout, "410 to be noted")
        put_all(daemon, [b"two"])
        self.receiver.answer(200)
        self.command(daemon, "retry")
        put_all(daemon, [b"three"])
        said = self.receiver.wait_for(2)
        oids = {message["data"]["oid"] for message in said.values()}
        self.assertEqual(oids, {oid_of(b"one"), oid_of(b"three")})
        self.assertNotIn("gone", self.command(daemon, "list").stdout)

    def test_a_target_that_is_not_configured_is_refused(self) -> None:
        daemon = self.make_daemon(config=self.settings(self.receiver.target()))
        daemon.write_config()
        refused = self.command(daemon, "list", "--target", "nobody")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("there is no target 'nobody'; there are: ci", refused.stderr)
        daemon.config = {}
        daemon.write_config()
        refused = self.command(daemon, "test")
        self.assertIn("the configuration's 'observers' has no webhooks", refused.stderr)

    def test_the_check_tries_the_outbox(self) -> None:
        target = self.receiver.target()
        daemon = self.make_daemon(config=self.settings(target, path="/proc/none/outbox"))
        checked = check(daemon)
        self.assertEqual(checked.returncode, 1)
        self.assertIn("observers.0.path: ", checked.stderr)
        daemon.config = self.settings(target)
        checked = check(daemon)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_commands_put_their_own_events_into_the_outbox(self) -> None:
        auth = [{"type": "jwt", "key": "k" * 32}]
        target = self.receiver.target(events=["token.minted"])
        daemon = self.make_daemon(config={**self.settings(target), "auth": auth})
        file = str(daemon.write_config())
        minted = giftless(daemon, "token", "--config", file, "--scope", f"obj:{REPO}/*:read")
        self.assertEqual((minted.returncode, minted.stderr), (0, ""))
        listed = self.command(daemon, "list", "--json")
        (line,) = map(json.loads, listed.stdout.splitlines())
        self.assertEqual((line["event"], line["state"]), ("token.minted", "waiting"))
        self.assertNotIn(minted.stdout.strip(), listed.stdout)
