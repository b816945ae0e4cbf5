"""A store is recognised by its mark: a disk that is away is no empty store."""

from __future__ import annotations

import errno
import gc
import os
import shutil
from pathlib import Path
from typing import Any

from twisted.logger import LogLevel

from giftless.base.schema import convert
from giftless.errors import ConfigError, InsufficientStorage, StorageUnavailable
from giftless.interfaces import PartUpload
from giftless.lfs.multipart import Part
from giftless.storage.local import cached, root
from giftless.storage.local.factory import LocalFactory
from giftless.storage.local.store import LocalStore
from tests.support.bodies import ListBody
from tests.support.logs import observe
from tests.support.making import environment, key_of, payload_of, put_object, repo_of
from tests.support.run import CoroutineTestCase

KEY = key_of(b"abc")


class RootTestCase(CoroutineTestCase):
    """Builds stores as the daemon does, with a state directory that remembers."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir()
        self.top = self.base / "objects"
        self.state = self.base / "state"
        self.events: list[Any] = []
        observe(self, self.events.append)

    def build(self, **options: object) -> LocalStore:
        """Build a store, as a start or ``--check`` does."""
        section = {"path": str(self.top), **options}
        parsed = convert(section, LocalFactory.Options, "storage")
        return LocalFactory().build(parsed, environment(str(self.state)))

    def put(self, store: LocalStore, data: bytes = b"abc") -> None:
        """Upload an object."""
        self.run_now(put_object(store, key_of(data), len(data), ListBody([data]), {}))

    def mark(self) -> str:
        """Return the store's identity."""
        return (self.top / ".giftless" / "identity").read_text().strip()

    def remembered(self) -> Path:
        """Return the one file that remembers."""
        (file,) = (self.state / "stores").iterdir()
        return file

    def unmount(self) -> Path:
        """Take the disk away, so that its empty mount point is there.

        :returns: where the disk is now.
        """
        away = self.base / "away"
        self.top.rename(away)
        self.top.mkdir()
        return away

    def remount(self, away: Path) -> None:
        """Bring the disk back."""
        self.top.rmdir()
        away.rename(self.top)

    def refusal(self) -> str:
        """Return why the daemon does not start."""
        error: ConfigError = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "path")
        self.assertNotIn("\n", str(error))
        return error.problem

    def logged(self, level: LogLevel) -> list[str]:
        """Return what was logged at a level since the last call, without tracebacks."""
        events, self.events[:] = list(self.events), []
        for event in events:
            self.assertNotIn("log_failure", event)
        return [
            event["log_format"].format_map(event)
            for event in events
            if event.get("log_level") is level
        ]


class StartTests(RootTestCase):
    def test_a_new_store_is_made_marked_and_remembered(self) -> None:
        self.build()
        self.assertRegex(self.mark(), "[0-9a-f]{32}")
        self.assertEqual(self.remembered().read_text(), f"{self.mark()} local {self.top}\n")
        self.assertEqual(self.remembered().stat().st_mode & 0o777, 0o600)

    def test_a_store_of_an_earlier_giftless_is_marked(self) -> None:
        (self.top / "org" / "repo").mkdir(parents=True)
        (self.top / KEY.path).write_bytes(b"abc")
        store = self.build()
        self.assertEqual(self.run_now(store.sizes([KEY])), [3])
        self.assertIn(self.mark(), self.remembered().read_text())

    def test_another_start_finds_all_as_it_was(self) -> None:
        self.build()
        before = self.mark()
        self.build(prefix="a/b")
        self.assertEqual(self.mark(), before)

    def test_an_empty_directory_in_the_place_of_a_disk_is_refused(self) -> None:
        self.put(self.build())
        away = self.unmount()
        problem = self.refusal()
        self.assertIn("lacks the mark", problem)
        self.assertIn("mount the right disk", problem)
        self.assertIn(str(self.remembered()), problem)
        self.assertEqual(list(self.top.iterdir()), [])
        self.remount(away)
        self.assertEqual(self.run_now(self.build().sizes([KEY])), [3])

    def test_a_missing_directory_is_refused_and_not_made(self) -> None:
        self.build()
        shutil.rmtree(self.top)
        self.assertIn("is missing", self.refusal())
        self.assertFalse(self.top.exists())

    def test_another_disk_is_refused(self) -> None:
        self.build()
        (self.top / ".giftless" / "identity").write_text("0" * 32 + "\n")
        self.assertIn("mark of another store", self.refusal())

    def test_a_broken_mark_is_refused(self) -> None:
        self.build()
        for broken in ("", "no identity", "\u00fc" * 40):
            (self.top / ".giftless" / "identity").write_text(broken)
            self.assertIn("mark of another store", self.refusal())

    def test_removing_the_named_file_lets_a_new_store_begin(self) -> None:
        self.build()
        shutil.rmtree(self.top)
        self.assertIn(str(self.remembered()), self.refusal())
        self.remembered().unlink()
        self.build()
        self.assertIn(self.mark(), self.remembered().read_text())

    def test_a_daemon_that_has_moved_adopts_the_store(self) -> None:
        self.build()
        before = self.mark()
        shutil.rmtree(self.state)
        self.build()
        self.assertEqual(self.mark(), before)
        self.assertIn(before, self.remembered().read_text())

    def test_two_stores_are_remembered_apart(self) -> None:
        self.build()
        self.top = self.base / "other"
        self.build()
        self.assertEqual(len(list((self.state / "stores").iterdir())), 2)

    def test_a_read_only_disk_is_served_with_one_warning(self) -> None:
        (self.top / "org" / "repo").mkdir(parents=True)
        (self.top / KEY.path).write_bytes(b"abc")

        def refuse(*_: object) -> Any:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        self.patch(root, "write_mark", refuse)
        store = self.build()
        (warning,) = self.logged(LogLevel.warn)
        self.assertIn("cannot be marked: Read-only file system", warning)
        self.assertEqual(self.run_now(store.sizes([KEY])), [3])
        # And its empty mount point is refused all the same.
        self.unmount()
        self.assertIn("lacks the mark", self.refusal())

    def test_a_state_directory_that_cannot_be_written_is_a_warning(self) -> None:
        self.state.write_bytes(b"a file")
        self.build()
        (warning,) = self.logged(LogLevel.warn)
        self.assertIn("cannot be remembered", warning)

    def test_what_root_makes_belongs_to_the_owner_of_the_store(self) -> None:
        """``--check`` may be run by root, and the daemon as somebody else."""
        if os.geteuid() != 0:
            self.skipTest("only root can make files of others")
        for directory in (self.top, self.state):
            directory.mkdir()
            os.chown(directory, 12345, 12345)
        self.build()
        own = self.top / ".giftless"
        for path in (own, own / "identity", self.remembered(), self.remembered().parent):
            self.assertEqual(path.stat().st_uid, 12345)

    def test_without_hard_links_the_mark_is_renamed(self) -> None:
        def refuse(*_: object, **options: object) -> Any:
            raise OSError(errno.EPERM, "no hard links here")

        self.patch(os, "link", refuse)
        self.build()
        self.assertEqual(os.listdir(self.top / ".giftless"), ["identity"])
        self.build()

    def test_a_mark_that_another_process_makes_meanwhile_counts(self) -> None:
        real = os.link

        def late(source: bytes, target: bytes, **options: Any) -> None:
            (self.top / ".giftless" / "identity").write_text("a" * 32)
            real(source, target, **options)

        self.patch(os, "link", late)
        self.build()
        self.assertEqual(self.mark(), "a" * 32)
        self.assertIn("a" * 32, self.remembered().read_text())
        self.assertEqual(os.listdir(self.top / ".giftless"), ["identity"])

    def test_a_link_to_the_store_may_lead_to_a_copy_of_it(self) -> None:
        self.build()
        shutil.copytree(self.top, self.base / "copy")
        shutil.rmtree(self.top)
        self.top.symlink_to(self.base / "copy")
        self.build()


class ServingTests(RootTestCase):
    """The disk goes away, and comes back, while the daemon serves."""

    def assert_unavailable(self, store: LocalStore) -> None:
        """Fail unless everything that is asked is answered with 503 and one line."""
        key, other = KEY, key_of(b"other")
        upload = PartUpload("", store.plan(3))
        big = bytes(300_000)
        asked = {
            "sizes": lambda: store.sizes([key, other]),
            "room": lambda: store.room(repo_of()),
            "both": lambda: store.sizes_and_room([key], repo_of()),
            "open": lambda: store.open(key),
            "put": lambda: put_object(store, other, 5, ListBody([b"other"]), {}),
            "put extras": lambda: put_object(store, other, 5, ListBody([b"other"]), {"n": 1}),
            "put large": lambda: put_object(store, key_of(big), len(big), ListBody([big]), {}),
            "begin": lambda: store.begin(key, upload.plan, {}),
            "part": lambda: store.put_part(key, upload, Part(1, 0, 3), ListBody([b"abc"])),
            "commit": lambda: store.commit(key, upload, payload_of(b"abc"), {}),
            "abort": lambda: store.abort(key, upload),
            "list": lambda: store.list(None),
            "delete": lambda: store.delete(key),
            "mark": lambda: store.mark(key, "broken"),
        }
        self.logged(LogLevel.error)
        for name, ask in asked.items():
            error = self.assert_fails(StorageUnavailable, ask())
            self.assertGreater(error.retry_after, 0, name)
            self.assertIn("not there", error.message)
            self.assertEqual(len(self.logged(LogLevel.error)), 1, name)

    def test_a_disk_that_is_gone_is_503_and_takes_nothing(self) -> None:
        store = self.build()
        self.put(store)
        away = self.unmount()
        self.assert_unavailable(store)
        self.assertEqual(list(self.top.iterdir()), [])
        self.remount(away)
        self.assertEqual(self.run_now(store.sizes([KEY])), [3])
        self.put(store, b"other")
        self.assertTrue((self.top / key_of(b"other").path).exists())

    def test_a_missing_directory_is_503_and_is_not_made(self) -> None:
        store = self.build()
        self.put(store)
        self.top.rename(self.base / "away")
        self.assert_unavailable(store)
        self.assertFalse(self.top.exists())

    def test_another_store_in_its_place_is_503(self) -> None:
        store = self.build()
        self.unmount()
        (self.top / ".giftless").mkdir()
        (self.top / ".giftless" / "identity").write_text("0" * 32)
        self.assert_unavailable(store)

    def test_a_copy_with_the_mark_takes_over(self) -> None:
        """As when a store is moved to another disk."""
        store = self.build()
        self.put(store)
        shutil.copytree(self.top, self.base / "copy")
        self.unmount()
        self.top.rmdir()
        (self.base / "copy").rename(self.top)
        self.assertEqual(self.run_now(store.sizes([KEY])), [3])
        self.assertIn("is there again", "".join(self.logged(LogLevel.info)))

    def test_a_link_that_is_turned_is_noticed(self) -> None:
        self.build()
        self.top.rename(self.base / "real")
        self.top.symlink_to("real")
        store = self.build()
        self.put(store)
        self.top.unlink()
        (self.base / "empty").mkdir()
        self.top.symlink_to("empty")
        self.assert_unavailable(store)

    def test_a_store_without_a_mark_must_stay_the_directory_that_it_is(self) -> None:
        def refuse(*_: object) -> Any:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        self.patch(root, "write_mark", refuse)
        store = self.build()
        self.put(store)
        away = self.unmount()
        self.assert_unavailable(store)
        self.remount(away)
        self.assertEqual(self.run_now(store.sizes([KEY])), [3])

    def test_an_upload_that_has_begun_is_not_diverted(self) -> None:
        """Its bytes go where they began, whatever is at the path when it ends."""
        store = self.build()
        rename = os.rename
        moved: list[Path] = []

        def moving(source: bytes, target: bytes, **options: int) -> None:
            if not moved:
                moved.append(self.base / "away")
                rename(self.top, moved[0])
                self.top.mkdir()
            rename(source, target, **options)

        self.patch(os, "rename", moving)
        self.put(store)
        self.assertEqual((moved[0] / KEY.path).read_bytes(), b"abc")
        self.assertEqual(list(self.top.iterdir()), [])

    def test_a_server_of_files_that_has_forgotten_the_directory(self) -> None:
        """NFS: the descriptor is stale, and the path leads to the store again."""
        self.patch(cached, "can_ask", lambda directory: False)
        store = self.build()
        self.put(store)
        lstat = os.lstat

        def stale(path: object, **options: int) -> Any:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

        self.patch(os, "lstat", stale)
        self.assert_fails(StorageUnavailable, store.sizes([KEY]))
        self.patch(os, "lstat", lstat)
        before = store._disks.main._held
        self.assertEqual(self.run_now(store.sizes([KEY])), [3])
        self.assertIsNot(store._disks.main._held, before)

    def test_a_disk_that_is_away_costs_no_descriptors(self) -> None:
        """Whatever keeps the errors."""
        store = self.build()
        self.put(store)
        self.unmount()
        before = len(os.listdir("/proc/self/fd"))
        errors = [self.assert_fails(StorageUnavailable, store.sizes([KEY])) for _ in range(5)]
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertEqual(len(errors), 5)

    def test_a_descriptor_is_held_and_freed(self) -> None:
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        store = self.build()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before + 1)
        del store
        gc.collect()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class FailureTests(RootTestCase):
    """Errors of the disk are 503 with one line, whichever they are."""

    def setUp(self) -> None:
        super().setUp()
        # What the kernel has in memory is not read from the disk.
        self.patch(cached, "can_ask", lambda directory: False)

    ERRORS = (
        errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOTCONN,
        errno.ESTALE, errno.EPERM, errno.ENOMEM,
    )  # fmt: skip

    def check(self, call: str, *asks: Any) -> None:
        """Fail unless each ends with 503 and one line while a system call fails."""
        real = getattr(os, call)
        for number in self.ERRORS:

            def fail(*_: object, number: int = number, **options: object) -> Any:
                raise OSError(number, os.strerror(number))

            for ask in asks:
                self.logged(LogLevel.error)
                self.patch(os, call, fail)
                try:
                    error = self.assert_fails(StorageUnavailable, ask())
                finally:
                    self.patch(os, call, real)
                self.assertEqual(error.headers["Retry-After"], "30")
                lines = self.logged(LogLevel.error)
                self.assertEqual(len(lines), 1, lines)
                self.assertIn(os.strerror(number), lines[0])

    def test_a_look_that_fails_is_503(self) -> None:
        store = self.build()
        self.put(store)
        self.check("lstat", lambda: store.sizes([KEY]))
        self.check("lstat", lambda: store.sizes_and_room([KEY], repo_of()))
        self.check("statvfs", lambda: store.room(repo_of()))
        self.check("stat", lambda: store.sizes([KEY]), lambda: store.open(KEY))

    def test_a_read_that_fails_is_503(self) -> None:
        store = self.build()
        self.run_now(put_object(store, KEY, 3, ListBody([b"abc"]), {"filename": "x"}))
        self.check("open", lambda: store.open(KEY))
        self.check("fstat", lambda: store.open(KEY))
        stored = self.run_now(store.open(KEY))
        assert stored is not None
        self.addCleanup(stored.close)
        self.check("pread", lambda: stored.read(0, 3).read())
        # What was said of it is not forgotten because it cannot be read now.
        real = os.open

        def fail(path: bytes, *rest: Any, **options: Any) -> Any:
            if b"extras" in path:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real(path, *rest, **options)

        self.patch(os, "open", fail)
        self.assert_fails(StorageUnavailable, store.open(KEY))

    def test_a_write_that_fails_is_503(self) -> None:
        store = self.build()
        big = bytes(300_000)
        puts = (
            lambda: put_object(store, KEY, 3, ListBody([b"abc"]), {}),
            lambda: put_object(store, KEY, 3, ListBody([b"abc"]), {"n": 1}),
            lambda: put_object(store, key_of(big), len(big), ListBody([big]), {}),
        )
        for call in ("open", "writev", "fsync", "rename", "stat"):
            self.check(call, *puts)
        self.assertEqual(os.listdir(self.top / ".giftless" / "tmp"), [])

    def test_a_file_that_cannot_be_removed_hides_no_failure(self) -> None:
        store = self.build()

        def fail(*_: object, **options: object) -> Any:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        self.patch(os, "unlink", fail)
        self.patch(os, "fsync", fail)
        self.assert_fails(
            StorageUnavailable, put_object(store, KEY, 3, ListBody([b"abc"]), {"n": 1})
        )

    def test_a_failure_with_parts_is_503(self) -> None:
        store = self.build(part_size=2)
        upload = PartUpload("", store.plan(3))
        part = Part(1, 0, 2)
        for call in ("open", "writev", "fsync", "rename"):
            self.check(call, lambda: store.put_part(KEY, upload, part, ListBody([b"ab"])))
        self.run_now(store.put_part(KEY, upload, part, ListBody([b"ab"])))
        self.check("open", lambda: store.begin(KEY, upload.plan, {}))
        self.check("scandir", lambda: store.begin(KEY, upload.plan, {}))
        self.check("unlink", lambda: store.abort(KEY, upload))
        self.run_now(store.put_part(KEY, upload, Part(2, 2, 1), ListBody([b"c"])))
        for call in ("open", "read", "fsync"):
            self.check(call, lambda: store.commit(KEY, upload, payload_of(b"abc"), {}))
        self.run_now(store.commit(KEY, upload, payload_of(b"abc"), {}))
        self.assertEqual(self.run_now(store.sizes([KEY])), [3])

    def test_a_deletion_a_list_or_a_mark_that_fails_is_503(self) -> None:
        store = self.build()
        self.put(store)
        self.check("unlink", lambda: store.delete(KEY))
        self.check("scandir", lambda: store.list(None))
        self.check("fsync", lambda: store.mark(KEY, "broken"))

    def test_a_full_disk_is_507_still(self) -> None:
        store = self.build()

        def full(*_: object) -> Any:
            raise OSError(errno.ENOSPC, "full")

        self.patch(os, "writev", full)
        self.assert_fails(
            InsufficientStorage, put_object(store, KEY, 3, ListBody([b"abc"]), {"n": 1})
        )
        self.assertEqual(self.logged(LogLevel.error), [])
