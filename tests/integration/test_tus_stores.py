"""Pushes with git-lfs' own ``tus`` to each kind of cloud, broken off in many ways.

Two daemons have the store in common, each with a state of its own: clients send objects
straight to the store of one (``mode: direct``) unless they go with ``tus``, and through the
other (``mode: proxy``).
"""

from __future__ import annotations

import hashlib
import http.client
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from giftless.storage.remote.resumable.staging import Piece, Staging
from tests.integration import test_azure, test_gcs, test_s3
from tests.integration.resuming import (
    MIB,
    TOLERANCE,
    Mishap,
    Push,
    cut,
    hand_over,
    kill_client,
    kill_workers,
    random_file,
    restart,
)
from tests.integration.support import REPO, Daemon, IntegrationTestCase, object_path
from tests.support.faulty import FaultyProxy
from tests.support.processes import PATIENCE
from tests.support.rounds import rounds

if TYPE_CHECKING:
    _Mixin = IntegrationTestCase
else:
    _Mixin = object

#: How often the connection is cut, and what else happens, each once.
CUTS = rounds(3, 20)
MISHAPS: tuple[Mishap, ...] = rounds(
    (kill_client, kill_workers, hand_over),
    (kill_client, kill_workers, hand_over, restart, hand_over),
)

#: How many bytes may be lost beside: what a worker that is killed takes with it, a part that is
#: being sent and the next one, and what one daemon saves while the other is asked already.
LOST = 2 * 16 * MIB

#: The size of an object that may lose that much within the tolerance.
LARGE = 1024 * MIB


class ResumingContract(_Mixin):
    """A large object arrives whole, and little of it is sent twice.

    :cvar size: of the object, in bytes: three parts in ``make test``.
    """

    size = rounds(20 * MIB, LARGE)

    def section(self, mode: str) -> Mapping[str, Any]:
        """Return the ``storage`` section of a daemon."""
        raise NotImplementedError

    def names(self) -> set[str]:
        """Return the names of what is in the store."""
        raise NotImplementedError

    def check_push(self, *modes: str) -> None:
        """Push, with all that happens.

        :param modes: of the daemons, in turn.
        """
        daemons = [
            self.start_daemon(
                f"daemon-{number}",
                config={
                    "storage": self.section(mode),
                    "log_format": "json",
                    "shutdown_timeout": 1,
                    "workers": 2,
                },
                spare=2,
            )
            for number, mode in enumerate(modes)
        ]
        proxy = self.enterContext(FaultyProxy(daemons[0].port))
        repo = self.make_git().create(self.directory / "work", f"{proxy.url}/{REPO}")
        for key, value in (
            ("tustransfers", "true"),
            ("transfer.maxretries", "100"),
            ("transfer.maxretrydelay", "1"),
        ):
            repo.git("config", f"lfs.{key}", value)
        oid = random_file(repo.directory / "large.bin", self.size)
        repo.commit_files(["large.bin"])
        mishaps = [*MISHAPS, *[cut] * CUTS]
        random.shuffle(mishaps)
        push = Push(repo, proxy, daemons, self.size, mishaps)
        self.addCleanup(push.kill)
        sent = push.run()
        told = f"{sent / self.size:.4f} of the object were sent, from {push.offsets}"
        if push.given_up:
            told += f"; git has given up {push.given_up} times"
        lost = 0 if self.size >= LARGE else LOST
        self.assertLessEqual(sent, TOLERANCE * self.size + lost, told)
        self.assertEqual(self.digest(daemons[modes.index("proxy")], oid), oid)
        left = self.names() - {f"{REPO}/{oid}"}
        # What a process that was killed had sent to the store may get there after the commit.
        self.assertEqual({each for each in left if not self.is_piece(each)}, set())
        for daemon in daemons:
            self.assertNotIn("Traceback", daemon.stdout)

    def is_piece(self, name: str) -> bool:
        """Return whether what has this name is removed when uploads expire: bytes of one."""
        found = Staging.of_path(name)
        return found is not None and Piece.of_name(str(found[1])) is not None

    def digest(self, daemon: Daemon, oid: str) -> str:
        """Return the SHA-256 of an object that passes through a daemon, in constant memory."""
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        try:
            connection.request("GET", object_path(oid))
            reply = connection.getresponse()
            self.assertEqual(reply.status, 200)
            return hashlib.file_digest(reply, "sha256").hexdigest()
        finally:
            connection.close()


class S3Tests(ResumingContract, test_s3.S3TestCase):
    """``type: s3``, on a versitygw."""

    def section(self, mode: str) -> Mapping[str, Any]:
        """See :meth:`ResumingContract.section`."""
        return self.server.options(self.bucket, mode=mode)

    def names(self) -> set[str]:
        """See :meth:`ResumingContract.names`."""
        return self.server.names(self.bucket)

    def test_a_push_that_breaks_off_goes_on_where_it_broke(self) -> None:
        self.check_push("proxy", "direct")


class GCSTests(ResumingContract, test_gcs.GCSTestCase):
    """``type: gcs``, on a stand-in."""

    def section(self, mode: str) -> Mapping[str, Any]:
        """See :meth:`ResumingContract.section`."""
        return self.google.options(self.bucket, mode=mode)

    def names(self) -> set[str]:
        """See :meth:`ResumingContract.names`."""
        return self.google.names(self.bucket)

    def test_a_push_that_breaks_off_goes_on_where_it_broke(self) -> None:
        self.check_push("direct", "proxy")


class AzureTests(ResumingContract, test_azure.AzureTestCase):
    """``type: azure``, on an Azurite.

    Before that copies a blob, it reads it into one string, which may have 512 MiB.
    """

    size = rounds(20 * MIB, 256 * MIB)

    def section(self, mode: str) -> Mapping[str, Any]:
        """See :meth:`ResumingContract.section`."""
        # It takes its time for that.
        return self.server.options(self.container, mode=mode, timeout=120)

    def names(self) -> set[str]:
        """See :meth:`ResumingContract.names`."""
        return self.server.names(self.container)

    def test_a_push_that_breaks_off_goes_on_where_it_broke(self) -> None:
        self.check_push("proxy", "direct")
