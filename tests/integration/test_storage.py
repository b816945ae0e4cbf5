"""Local storage in a running daemon: full disks, crashes and crowds."""

import http.client
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

from tests.integration.sharing import SharingTestCase
from tests.integration.support import (
    Daemon,
    IntegrationTestCase,
    object_path,
    oid_of,
    read_reply,
    stored_objects,
    temporaries,
    upload_head,
)
from tests.support.bodies import altered
from tests.support.disks import small_disk
from tests.support.processes import wait_until
from tests.support.rounds import rounds

MIB = 1024 * 1024

#: How often the daemon is killed.
KILLS = rounds(3, 50)

#: How many more are made at most until one comes in the middle of an upload.
MORE_KILLS = 20


class CrowdTests(SharingTestCase):
    """Many clients at once."""

    def setUp(self) -> None:
        """Share a daemon."""
        super().setUp()
        self.daemon = self.share_daemon()
        self.store = self.daemon.store / self.repo

    def test_concurrent_uploads_of_one_object_all_succeed(self) -> None:
        """Eight concurrent uploads of one object all succeed and leave one whole object."""
        daemon = self.daemon
        data = os.urandom(16 * MIB)
        oid = oid_of(data)
        connections = [daemon.connect() for _ in range(8)]
        for connection in connections:
            self.addCleanup(connection.close)
            connection.sendall(upload_head(oid, len(data), self.repo) + data[: 8 * MIB])
        wait_until(lambda: len(temporaries(daemon.store)) == 8, "eight uploads under way")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda connection: connection.sendall(data[8 * MIB :]), connections))
        self.assertEqual([read_reply(connection)[0] for connection in connections], [200] * 8)
        self.assertEqual(self.assert_intact(self.store), [oid])
        self.assertEqual(temporaries(daemon.store), [])
        self.assertEqual(daemon.get(oid, self.repo).body, data)

    def test_an_aborted_upload_leaves_nothing(self) -> None:
        """The temporary file of an upload whose client leaves is removed at once."""
        daemon = self.daemon
        data = os.urandom(16 * MIB)
        with daemon.connect() as connection:
            head = upload_head(oid_of(data), len(data), self.repo)
            connection.sendall(head + data[: 8 * MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload's temporary file")
        wait_until(lambda: not temporaries(daemon.store), "it to be removed")
        self.assertEqual(list(stored_objects(self.store)), [])

    def test_wrong_bytes_are_refused_and_leave_nothing(self) -> None:
        """Bytes that are not the object's are refused with 400, and leave nothing."""
        data = os.urandom(4 * MIB)
        path = object_path(oid_of(data), self.repo)
        wrong = self.daemon.request("PUT", path, altered(data))
        self.assertEqual(wrong.status, 400)
        self.assertIn("SHA-256", wrong.json["message"])
        self.assertEqual(list(stored_objects(self.store)), [])
        self.assertEqual(temporaries(self.daemon.store), [])


class FullDiskTests(SharingTestCase):
    """A file system without room."""

    #: Its size in bytes.
    ROOM = 8 * MIB

    def setUp(self) -> None:
        """Serve from a small file system, which is empty."""
        super().setUp()
        disk = self.share("disk", lambda it: small_disk(it, self.ROOM))
        self.daemon = self.share_daemon(storage={"type": "local", "path": str(disk / "objects")})
        for path in stored_objects(self.daemon.store):
            path.unlink()

    def assert_nothing_left(self) -> None:
        """Check that nothing is visible, and that the room is free again."""
        self.assertEqual(list(stored_objects(self.daemon.store)), [])
        self.assertEqual(temporaries(self.daemon.store), [])
        fits = os.urandom(self.ROOM // 2)
        self.assertEqual(self.daemon.put(fits), 200)
        self.assertEqual(self.daemon.get(oid_of(fits)).body, fits)

    def test_a_too_large_upload_is_refused_beforehand(self) -> None:
        """An upload that announces too much is refused with 507."""
        self.assertEqual(self.daemon.put(os.urandom(2 * self.ROOM)), 507)
        self.assert_nothing_left()

    def test_a_chunked_upload_fails_when_the_disk_is_full(self) -> None:
        """An upload of unknown length is refused with 507 when the disk is full."""
        data = os.urandom(2 * self.ROOM)
        pieces = (data[index : index + MIB] for index in range(0, len(data), MIB))
        reply = self.daemon.request("PUT", object_path(oid_of(data)), pieces)
        self.assertEqual(reply.status, 507)
        self.assert_nothing_left()

    def test_of_uploads_together_some_get_507(self) -> None:
        """Of uploads that only fit one by one, those that fail do so with 507."""
        objects = [os.urandom(self.ROOM * 3 // 8) for _ in range(4)]
        half = len(objects[0]) // 2
        connections = [self.daemon.connect() for _ in objects]
        for connection, data in zip(connections, objects, strict=True):
            self.addCleanup(connection.close)
            connection.sendall(upload_head(oid_of(data), len(data)) + data[:half])
        wait_until(lambda: len(temporaries(self.daemon.store)) == 4, "four uploads under way")
        with ThreadPoolExecutor(4) as pool:
            ends = zip(connections, objects, strict=True)
            list(pool.map(lambda end: end[0].sendall(end[1][half:]), ends))
        statuses = [read_reply(connection)[0] for connection in connections]
        self.assertLessEqual(set(statuses), {200, 507})
        self.assertIn(507, statuses)
        whole = [
            oid_of(data) for data, status in zip(objects, statuses, strict=True) if status == 200
        ]
        self.assertEqual(sorted(self.assert_intact(self.daemon.store)), sorted(whole))
        self.assertEqual(temporaries(self.daemon.store), [])

    def test_git_says_that_the_server_is_full(self) -> None:
        """git says that the server is full, at once, and the push fails."""
        repo = self.make_git().create(self.directory / "work", f"{self.daemon.url}/acme/rocket")
        data = os.urandom(2 * self.ROOM)
        repo.commit({"large.bin": data})
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("no room for this object", result.stderr)
        # It was refused in the batch, once: not tried eight times over.
        self.daemon.settle()
        self.assertEqual(self.daemon.stdout.count("/objects/batch"), 1)
        # An upload of another test may be logged late.
        self.assertNotIn(oid_of(data), self.daemon.stdout)
        self.assert_nothing_left()


class KillTests(IntegrationTestCase):
    """``kill -9`` in the middle of uploads."""

    def test_a_killed_daemon_loses_nothing_acknowledged(self) -> None:
        """Nothing wrong is ever visible, nothing acknowledged is lost, leftovers are swept."""
        daemon = self.make_daemon()
        leftovers = 0
        for number in range(KILLS + MORE_KILLS):
            if number >= KILLS and leftovers:
                break
            daemon.start()
            self.assertEqual(temporaries(daemon.store), [])
            with ThreadPoolExecutor(4) as pool:
                uploads = [pool.submit(upload_until_killed, daemon) for _ in range(4)]
                wait_until(lambda: temporaries(daemon.store), "uploads under way")
                time.sleep(random.uniform(0, 0.2))
                daemon.kill()
                tried = [attempt for upload in uploads for attempt in upload.result()]
            leftovers += len(temporaries(daemon.store))
            visible = self.assert_intact(daemon.store)
            lost = {oid for oid, acknowledged in tried if acknowledged} - set(visible)
            self.assertEqual(lost, set())
            for path in stored_objects(daemon.store):
                path.unlink()
        daemon.start()
        self.assertEqual(temporaries(daemon.store), [])
        # Otherwise no kill came in the middle of anything.
        self.assertGreater(leftovers, 0)

    def test_upload_after_kill(self) -> None:
        """An object whose upload was killed is absent, and can be uploaded again."""
        daemon = self.start_daemon()
        data = os.urandom(8 * MIB)
        oid = oid_of(data)
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid, len(data)) + data[:-1])
            wait_until(lambda: temporaries(daemon.store), "the upload's temporary file")
            daemon.kill()
        daemon.start()
        self.assertEqual(daemon.get(oid).status, 404)
        self.assertIn(
            "upload", daemon.batch("upload", (oid, len(data))).json["objects"][0]["actions"]
        )
        self.assertEqual(daemon.put(data), 200)
        self.assertEqual(daemon.get(oid).body, data)


def upload_until_killed(daemon: Daemon) -> list[tuple[str, bool]]:
    """Upload objects one after the other, until nobody answers.

    :returns: each object's oid, and whether it was acknowledged.
    """
    tried = []
    while True:
        data = os.urandom(random.choice([1, 1000, MIB, 4 * MIB, 16 * MIB]))
        try:
            acknowledged = daemon.put(data) == 200
        except (OSError, http.client.HTTPException):
            acknowledged = False
        tried.append((oid_of(data), acknowledged))
        if not acknowledged:
            return tried
