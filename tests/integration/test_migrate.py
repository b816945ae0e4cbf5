"""``giftless migrate`` through four kinds of storage, beside clients, killed again and again.

``TESTS_OBJECTS``, ``TESTS_BYTES``, ``TESTS_KILLS`` and ``TESTS_SEED`` change how much of it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from typing import Any

from tests.integration.chains import Clients, Known, batch, killing_workers, migrate, pull
from tests.integration.workers import WorkersTestCase
from tests.support.azurite import azurite
from tests.support.commands import run_command
from tests.support.gcs import google
from tests.support.rounds import rounds
from tests.support.servers import shared, versitygw

#: How many objects there are before, how many bytes they have together, and how often the
#: command is killed.
OBJECTS = int(os.environ.get("TESTS_OBJECTS") or rounds(24, 10_000))
BYTES = int(os.environ.get("TESTS_BYTES") or rounds(2_000_000, 20_000_000_000))
KILLS = int(os.environ.get("TESTS_KILLS") or rounds(1, 50))

#: How long clients rest, and how often a worker is killed, in seconds.
PAUSE, WORKER_PAUSE = rounds(0.5, 0.1), 10.0

#: The longest time that the command copies until it is killed, in seconds.
KILLED_AFTER = rounds(1.0, 6.0)


class ChainTests(WorkersTestCase):
    """From a disk to S3, Cloud Storage, Azure, and back to a disk."""

    def setUp(self) -> None:
        super().setUp()
        bucket = f"chain-{os.getpid()}-{random.SystemRandom().getrandbits(32):x}"
        s3, gcs, azure = shared(versitygw), shared(google), shared(azurite)
        #: Deletes what stores have on the disk, which has no room for all of them.
        self.empty: dict[str, Callable[[], object]] = {
            "local": lambda: shutil.rmtree(self.daemon.directory / "first"),
            "s3": lambda: shutil.rmtree(s3.buckets / bucket),
        }
        gcs.create(bucket)
        azure.create(bucket)
        self.stores: list[dict[str, Any]] = [
            {"type": "local", "path": "first"},
            s3.options(bucket, mode="proxy"),
            gcs.hmac_options(bucket, mode="proxy", prefix="in/gcs"),
            azure.options(bucket, mode="proxy", prefix="in/azure"),
            {"type": "local", "path": "last", "prefix": "a"},
        ]
        self.seed = int(os.environ.get("TESTS_SEED") or random.SystemRandom().getrandbits(32))
        self.known = Known(self.seed)
        self.daemon = self.start_daemon(
            config={"storage": self.stores[0], "workers": rounds(1, 2), "log_format": "json"}
        )
        self.known.fill(self.daemon.directory / "first", OBJECTS, BYTES)

    def test_no_object_is_lost_and_no_client_sees_an_error(self) -> None:
        daemon, known, chance = self.daemon, self.known, random.Random(self.seed)
        kills, removed = 0, []
        with Clients(daemon, known, PAUSE) as clients:
            for number, (old, new) in enumerate(zip(self.stores, self.stores[1:], strict=False)):
                # While workers change, the earlier ones read what the later ones store.
                self.use({"type": "moving", "to": old, "from": new})
                self.use({"type": "moving", "to": new, "from": old})
                with killing_workers(daemon, self.seed + number, WORKER_PAUSE) as killed:
                    wanted = KILLS * (number + 1) // (len(self.stores) - 1)
                    while kills < wanted:
                        done = migrate(daemon, kill_after=KILLED_AFTER * chance.random())
                        kills += done.returncode == -signal.SIGKILL
                        if done.returncode == 0:
                            # It was too quick: there must be something to do.
                            self.lose_journal()
                    removed.append(self.remove())
                    done = migrate(daemon)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                summary = json.loads(done.stdout.splitlines()[-1])["summary"]
                self.assertTrue(summary["complete"])
                self.use(new)
                self.assertEqual(clients.failures, [])
                if old["type"] in self.empty:
                    self.empty[old["type"]]()
                print(f"{old['type']} to {new['type']}: {summary}; {len(killed)} workers killed")
        self.assertEqual(clients.failures, [])
        print(
            f"seed {self.seed}: {len(known.objects)} objects, {kills} kills,"
            f" {clients.pushed} pushed and {clients.pulled} pulled meanwhile"
        )
        for each in known.objects:
            pull(daemon, *each)
        for repo, oid, size in removed:
            (answer,) = batch(daemon, "download", repo, oid, size)
            # Who may write gets it back, out of the trash: so it is there, and only there.
            self.assertIn("actions", answer)
        self.assertEqual(kills, KILLS)
        self.assertGreater(clients.pushed, 0)
        self.assertNotIn("Traceback", daemon.stdout)

    def use(self, storage: dict[str, Any]) -> None:
        """Let the daemon use another storage."""
        self.change(self.daemon, storage=storage)
        self.hup(self.daemon)

    def lose_journal(self) -> None:
        """Let the next run verify everything once more."""
        shutil.rmtree(self.daemon.directory / "giftless-state" / "migration")

    def remove(self) -> tuple[str, str, int]:
        """Move an object into the trash; returns it."""
        repo, oid, size = self.known.forget()
        command = ("rm", "--config", "giftless.yaml", repo, oid)
        done = run_command("giftless", *command, directory=self.daemon.directory)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return repo, oid, size
