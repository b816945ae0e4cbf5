"""Objects on a real file system: what is visible when, and what is left behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from giftless.base.identities import remembered_in
from giftless.base.schema import convert
from giftless.base.together import Together
from giftless.errors import (
    BadRequest,
    ConfigError,
    Disconnected,
    InsufficientStorage,
    StorageUnavailable,
)
from giftless.interfaces import IStorageFactory
from giftless.lfs.objects import MAX_PATH_BYTES, ObjectKey
from giftless.storage.local import cached, lookups, opened_object, root
from giftless.storage.local.factory import LocalFactory, LocalOptions
from giftless.storage.local.root import Root
from giftless.storage.local.store import LocalStore
from tests.contracts.marking import MarkingContract
from tests.contracts.stores import DATA, FusedCapacityContract, StreamingStoreContract
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.making import environment, key_of, oid_of, put_object, repo_of
from tests.support.run import CoroutineTestCase


class LocalStoreContractTests(
    MarkingContract, StreamingStoreContract, FusedCapacityContract, CoroutineTestCase
):
    def make_store(self) -> LocalStore:
        os.makedirs(path := self.mktemp())
        return LocalStore(path, "", InlineBlocking())


class LocalStoreInThreadsContractTests(
    MarkingContract, StreamingStoreContract, FusedCapacityContract, CoroutineTestCase
):
    """As on a server of files: nothing can be told without waiting."""

    def make_store(self) -> LocalStore:
        self.patch(cached, "can_ask", lambda directory: False)
        os.makedirs(path := self.mktemp())
        return LocalStore(path, "", InlineBlocking())


class LocalStoreWithPrefixContractTests(
    MarkingContract, StreamingStoreContract, FusedCapacityContract, CoroutineTestCase
):
    def make_store(self) -> LocalStore:
        os.makedirs(path := self.mktemp())
        return LocalStore(path, "team/a", InlineBlocking())


class LocalTestCase(CoroutineTestCase):
    """A test case with a store in an empty directory."""

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.blocking = InlineBlocking()
        self.store = self.open_store()
        self.blocking.jobs.clear()

    def open_store(self) -> LocalStore:
        """Return the store anew."""
        store = LocalStore(str(self.top), "", self.blocking)
        # The root is held open from the first use on.
        self.run_now(store.sizes([]))
        return store

    def wait_for_disks(self) -> None:
        """Let the store ask in threads, as for what the kernel has not in memory."""
        self.patch(cached, "can_ask", lambda directory: False)
        self.store = self.open_store()

    def put(self, data: bytes, extras: dict[str, Any] | None = None) -> ObjectKey:
        """Upload an object."""
        key = key_of(data)
        self.run_now(put_object(self.store, key, len(data), ListBody([data]), extras or {}))
        return key

    def temporary_files(self) -> list[str]:
        """List the files of unfinished uploads."""
        directory = self.top / ".giftless" / "tmp"
        return sorted(os.listdir(directory)) if directory.exists() else []

    def files(self) -> list[str]:
        """List every file below the top, but none of the server's own."""
        return sorted(
            str(path.relative_to(self.top))
            for path in self.top.rglob("*")
            if path.is_file() and ".giftless" not in path.parts
        )


class LayoutTests(LocalTestCase):
    def test_an_object_lies_at_org_repo_oid(self) -> None:
        key = self.put(b"abc")
        self.assertEqual((self.top / "org" / "repo" / key.oid).read_bytes(), b"abc")
        self.assertEqual(self.files(), [f"org/repo/{key.oid}"])

    def test_a_prefix_goes_in_front(self) -> None:
        store = LocalStore(str(self.top), "team/a", self.blocking)
        self.run_now(put_object(store, key_of(b"abc"), 3, ListBody([b"abc"]), {}))
        self.assertEqual(self.files(), [f"team/a/org/repo/{oid_of(b'abc')}"])

    def test_stores_with_other_prefixes_share_nothing(self) -> None:
        """Not even the extras, which lie elsewhere."""
        other = LocalStore(str(self.top), "team", self.blocking)
        key = self.put(b"abc", {"filename": "x"})
        self.assertEqual(self.run_now(other.sizes([key])), [None])
        self.run_now(put_object(other, key, 3, ListBody([b"abc"]), {}))
        stored = self.run_now(other.open(key))
        assert stored is not None
        self.addCleanup(stored.close)
        self.assertEqual(stored.extras, {})

    def test_an_existing_store_is_served_in_place(self) -> None:
        """Files that another server has put there are objects."""
        directory = self.top / "gr\u00f6\u00dfe" / "sub" / "repo"
        directory.mkdir(parents=True)
        (directory / oid_of(b"abc")).write_bytes(b"abc")
        key = ObjectKey(repo_of("gr\u00f6\u00dfe/sub/repo"), oid_of(b"abc"))
        self.assertEqual(self.run_now(self.store.sizes([key])), [3])
        stored = self.run_now(self.store.open(key))
        assert stored is not None
        self.addCleanup(stored.close)
        self.assertEqual(self.run_now(read_all(stored.read(0, 3))), b"abc")
        self.assertEqual(stored.extras, {})

    def test_a_relative_path_is_meant_from_where_the_store_was_made(self) -> None:
        """The daemon changes its directory later."""
        base = Path(self.mktemp()).absolute()
        base.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(base)
        (base / "data").mkdir()
        store = LocalStore("data", "", self.blocking)
        os.chdir("/")
        self.run_now(put_object(store, key_of(b"abc"), 3, ListBody([b"abc"]), {}))
        self.assertTrue((base / "data" / key_of(b"abc").path).exists())

    def test_a_whole_batch_of_sizes_is_one_piece_of_blocking_work(self) -> None:
        keys = [key_of(bytes([n])) for n in range(100)]
        self.run_now(self.store.sizes(keys))
        self.assertEqual(len(self.blocking.jobs), 1)

    def test_the_longest_path_can_be_stored(self) -> None:
        segments = ["a" * 127] * (MAX_PATH_BYTES // 128)
        key = key_of(b"abc", "/".join(segments))
        self.run_now(put_object(self.store, key, 3, ListBody([b"abc"]), {"filename": "x"}))
        self.assertEqual(self.run_now(self.store.sizes([key])), [3])

    def test_what_is_no_regular_file_is_absent(self) -> None:
        """A directory, a pipe, a socket, or a link of any kind at an object's place."""
        directory = self.top / "org" / "repo"
        directory.mkdir(parents=True)
        (directory / "target").write_bytes(b"abc")
        (directory / "loop").symlink_to("loop")

        def bind(path: Path) -> None:
            server = socket.socket(socket.AF_UNIX)
            self.addCleanup(server.close)
            # Socket addresses are short: bind from within the directory.
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(path.parent)
            server.bind(path.name)

        kinds: list[Callable[[Path], object]] = [
            Path.mkdir,
            os.mkfifo,
            bind,
            lambda path: path.symlink_to("target"),
            lambda path: path.symlink_to("/etc/passwd"),
            lambda path: path.symlink_to("missing"),
            lambda path: path.symlink_to("loop"),
            lambda path: path.symlink_to("."),
        ]
        for number, make in enumerate(kinds):
            key = key_of(bytes([number]))
            make(directory / key.oid)
            self.assertEqual(self.run_now(self.store.sizes([key])), [None])
            self.assertIsNone(self.run_now(self.store.open(key)))

    def test_a_link_at_an_objects_place_is_replaced_and_not_followed(self) -> None:
        directory = self.top / "org" / "repo"
        directory.mkdir(parents=True)
        (directory / "target").write_bytes(b"precious")
        (directory / oid_of(b"abc")).symlink_to("target")
        self.put(b"abc")
        self.assertEqual((directory / "target").read_bytes(), b"precious")
        self.assertFalse((directory / oid_of(b"abc")).is_symlink())

    def test_a_file_in_the_place_of_a_repository_makes_its_objects_absent(self) -> None:
        (self.top / "org").write_bytes(b"")
        self.assertEqual(self.run_now(self.store.sizes([key_of(b"abc")])), [None])
        self.assertIsNone(self.run_now(self.store.open(key_of(b"abc"))))

    def test_what_cannot_be_read_is_an_error_and_not_absent(self) -> None:
        """A client that is told 'absent' may delete its own copy's last twin."""
        self.wait_for_disks()
        key = self.put(b"abc")

        def refuse(*args: object, **options: object) -> Any:
            raise OSError(errno.EIO, "broken disk")

        self.patch(os, "lstat", refuse)
        self.assert_fails(StorageUnavailable, self.store.sizes([key]))
        self.patch(os, "open", refuse)
        self.assert_fails(StorageUnavailable, self.store.open(key))


class LookupTests(LocalTestCase):
    """Lookups of several requests share a thread's turn."""

    def setUp(self) -> None:
        super().setUp()
        self.keys = [self.put(b"%d" % number) for number in range(20)]
        self.manual = ManualBlocking()
        # However slow the machine is just now: smaller groups would go.
        self.patch(lookups, "Together", partial(Together, clock=lambda: 0.0))
        self.store = LocalStore(str(self.top), "", self.manual)

    def test_those_that_come_until_a_thread_begins_go_together(self) -> None:
        absent = key_of(b"absent")
        one = self.start(self.store.sizes(self.keys[:1]))
        size = self.start(self.store.sizes([*self.keys[:7], absent]))
        both = self.start(self.store.sizes_and_room([absent], repo_of()))
        opened = self.start(self.store.open(self.keys[1]))
        missing = self.start(self.store.open(absent))
        self.assertEqual(self.manual.waiting, 1)
        self.manual.do_next()
        self.assertEqual(self.successResultOf(one), [1])
        self.assertEqual(self.successResultOf(size), [1] * 7 + [None])
        self.assertEqual(self.successResultOf(both)[0], [None])
        stored = self.successResultOf(opened)
        assert stored is not None
        self.addCleanup(stored.close)
        self.assertEqual(stored.size, 1)
        self.assertIsNone(self.successResultOf(missing))

    def test_a_large_batch_goes_alone(self) -> None:
        """The small ones shall not wait for all of its objects."""
        self.start(self.store.sizes(self.keys[:1]))
        many = self.start(self.store.sizes(self.keys))
        self.assertEqual(self.manual.waiting, 2)
        self.manual.do_next()
        self.manual.do_next()
        self.assertEqual(self.successResultOf(many), [1] * 10 + [2] * 10)

    def test_an_object_that_cannot_be_opened_disturbs_no_other(self) -> None:
        real = os.open

        def fail(path: Any, *args: Any, **options: Any) -> int:
            if os.fsencode(path).endswith(self.keys[1].oid.encode()):
                raise OSError(errno.EIO, "broken disk")
            return real(path, *args, **options)

        self.patch(os, "open", fail)
        self.start(self.store.sizes([]))
        self.start(self.store.sizes(self.keys[:1]))
        broken, whole = (self.start(self.store.open(key)) for key in self.keys[1:3])
        while self.manual.waiting:
            self.manual.do_next()
        self.failureResultOf(broken, StorageUnavailable)
        stored = self.successResultOf(whole)
        assert stored is not None
        stored.close()


class ReadingTests(LocalTestCase):
    def open(self, data: bytes, extras: dict[str, Any] | None = None) -> Any:
        """Store an object and open it."""
        stored = self.run_now(self.store.open(self.put(data, extras)))
        assert stored is not None
        self.addCleanup(stored.close)
        return stored

    def test_an_open_object_is_a_file(self) -> None:
        stored = self.open(b"abc")
        self.assertEqual(os.pread(stored.fileno(), 10, 0), b"abc")

    def test_closing_frees_the_file(self) -> None:
        stored = self.open(b"abc")
        fd = stored.fileno()
        stored.close()
        self.assertRaises(OSError, os.fstat, fd)

    def test_a_long_read_comes_in_bounded_pieces(self) -> None:
        data = b"x" * (opened_object.READ_SIZE * 2 + 1)
        body = self.open(data).read(0, len(data))
        lengths = []
        while chunks := self.run_now(body.read()):
            lengths.append(sum(map(len, chunks)))
        self.assertEqual(lengths, [opened_object.READ_SIZE, opened_object.READ_SIZE, 1])

    def test_a_file_that_became_shorter_is_an_error(self) -> None:
        """A download that ends early must never look complete."""
        stored = self.open(b"abcdef")
        os.truncate(self.top / key_of(b"abcdef").path, 2)
        body = stored.read(0, 6)
        self.assertEqual(self.run_now(body.read()), [b"ab"])
        error = self.assert_fails(StorageUnavailable, body.read())
        self.assertEqual(error.__cause__.errno, errno.EIO)

    def test_damaged_extras_do_not_hide_the_object(self) -> None:
        for text in (b"", b"{", b"[]", b"\xff", b'{"x": ' + b"[" * 100_000):
            stored = self.open(b"abc", {"filename": "x"})
            stored.close()
            note = self.top / ".giftless" / "extras" / key_of(b"abc").path
            self.assertEqual(json.loads(note.read_bytes()), {"filename": "x"})
            note.write_bytes(text)
            stored = self.run_now(self.store.open(key_of(b"abc")))
            assert stored is not None
            self.addCleanup(stored.close)
            self.assertEqual(stored.extras, {})

    def test_nothing_stays_open_if_opening_fails_half_way(self) -> None:
        self.wait_for_disks()
        key = self.put(b"abc")
        opened: list[int] = []
        real = os.open

        def record(*args: Any, **options: Any) -> int:
            opened.append(real(*args, **options))
            return opened[-1]

        def refuse(fd: int) -> Any:
            raise OSError(errno.EIO, "broken disk")

        self.patch(os, "open", record)
        self.patch(os, "fstat", refuse)
        self.assert_fails(StorageUnavailable, self.store.open(key))
        self.assertEqual(len(opened), 1)
        self.assertRaises(OSError, os.read, opened[0], 1)

    @given(st.binary(max_size=64), st.data())
    def test_any_part_of_any_object_can_be_read(self, data: bytes, draw: st.DataObject) -> None:
        self.patch(opened_object, "READ_SIZE", 7)
        start = draw.draw(st.integers(0, len(data)))
        end = draw.draw(st.integers(start, len(data)))
        stored = self.open(data)
        self.assertEqual(self.run_now(read_all(stored.read(start, end))), data[start:end])
        stored.close()


class DurabilityTests(LocalTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.calls: list[tuple[str, str]] = []
        real_fsync, real_rename, real_mkdir = os.fsync, os.rename, os.mkdir

        def fsync(fd: int) -> None:
            self.calls.append(("fsync", self._name(os.readlink(f"/proc/self/fd/{fd}"))))
            real_fsync(fd)

        def rename(source: bytes, target: bytes, **options: int) -> None:
            real_rename(source, target, **options)
            self.calls.append(("rename", os.fsdecode(target)))

        def mkdir(path: bytes, mode: int = 0o777, **options: int) -> None:
            real_mkdir(path, mode, **options)
            self.calls.append(("mkdir", os.fsdecode(path)))

        self.patch(os, "fsync", fsync)
        self.patch(os, "rename", rename)
        self.patch(os, "mkdir", mkdir)

    def _name(self, path: str) -> str:
        relative = os.path.relpath(path, self.top)
        own, _, name = relative.rpartition("/")
        return "temporary" if own == ".giftless/tmp" and len(name) == 32 else relative

    def calls_of(self, data: bytes, extras: dict[str, Any] | None = None) -> list[tuple[str, str]]:
        """Return what an upload does to the disk, beside writing."""
        self.calls.clear()
        self.put(data, extras)
        return [call for call in self.calls if not call[1].startswith(".giftless")]

    def test_bytes_are_on_disk_before_the_name_and_the_name_before_the_end(self) -> None:
        self.put(b"first")  # makes the directories
        self.assertEqual(
            self.calls_of(b"abc"),
            [
                ("fsync", "temporary"),
                ("rename", f"org/repo/{oid_of(b'abc')}"),
                ("fsync", "org/repo"),
            ],
        )

    def test_new_directories_are_on_disk_too(self) -> None:
        """Each is synced into its parent before the object is named in it."""
        self.assertEqual(
            self.calls_of(b"abc"),
            [
                ("fsync", "temporary"),
                ("mkdir", "org"),
                ("fsync", "."),
                ("mkdir", "org/repo"),
                ("fsync", "org"),
                ("rename", f"org/repo/{oid_of(b'abc')}"),
                ("fsync", "org/repo"),
            ],
        )

    def test_extras_are_on_disk_before_the_object_is_visible(self) -> None:
        self.calls.clear()
        self.put(b"abc", {"filename": "x"})
        renamed = [name for call, name in self.calls if call == "rename"]
        place = key_of(b"abc").path
        self.assertEqual(renamed, [f".giftless/extras/{place}", place])
        note = self.calls.index(("rename", f".giftless/extras/{place}"))
        self.assertEqual(self.calls[note + 1], ("fsync", ".giftless/extras/org/repo"))

    def test_an_upload_that_cannot_be_synced_is_not_stored(self) -> None:
        def fail(fd: int) -> None:
            raise OSError(errno.EIO, "broken disk")

        self.patch(os, "fsync", fail)
        put = put_object(self.store, key_of(b"abc"), 3, ListBody([b"abc"]), {})
        error = self.assert_fails(StorageUnavailable, put)
        self.assertEqual(error.__cause__.errno, errno.EIO)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.temporary_files(), [])

    def test_directories_that_somebody_else_has_made_are_synced_too(self) -> None:
        """Who made them may have been killed before their names were on the disk."""
        (self.top / "org" / "repo").mkdir(parents=True)
        self.assertEqual(
            self.calls_of(b"abc"),
            [
                ("fsync", "temporary"),
                ("fsync", "."),
                ("fsync", "org"),
                ("rename", f"org/repo/{oid_of(b'abc')}"),
                ("fsync", "org/repo"),
            ],
        )

    def test_a_directory_is_synced_once_in_the_life_of_a_process(self) -> None:
        (self.top / "org" / "repo").mkdir(parents=True)
        self.put(b"first")
        self.assertEqual(
            [name for call, name in self.calls_of(b"abc") if call == "fsync"],
            ["temporary", "org/repo"],
        )
        # Another process knows nothing of that.
        self.store = LocalStore(str(self.top), "", self.blocking)
        self.assertIn(("fsync", "org"), self.calls_of(b"def"))

    def test_a_directory_that_was_removed_and_made_again_is_synced_again(self) -> None:
        self.put(b"first")
        shutil.rmtree(self.top / "org")
        self.assertEqual(
            [call for call in self.calls_of(b"abc") if call[0] != "rename"],
            [
                ("fsync", "temporary"),
                ("mkdir", "org"),
                ("fsync", "."),
                ("mkdir", "org/repo"),
                ("fsync", "org"),
                ("fsync", "org/repo"),
            ],
        )

    def test_what_is_remembered_of_synced_directories_is_bounded(self) -> None:
        self.patch(root, "_MAX_SYNCED", 4)
        for number in range(10):
            data = b"%d" % number
            key = key_of(data, f"org/repo{number}")
            self.run_now(put_object(self.store, key, 1, ListBody([data]), {}))
        held = self.store._disks.main.enter()
        self.assertLessEqual(len(held._synced), 4)

    def test_the_top_itself_and_what_is_above_it_are_synced_at_the_start(self) -> None:
        path = self.top / "new" / "store"
        remembered = remembered_in(str(self.top / "state"), "local")
        Root(os.fsencode(path), remembered).open(make=True)
        synced = [name for call, name in self.calls if call == "fsync"]
        self.assertEqual(synced[:3], ["new", ".", ".."])

    def test_a_directory_that_another_upload_makes_meanwhile_is_used(self) -> None:
        real = os.mkdir

        def too_late(path: bytes, mode: int = 0o777, **options: int) -> None:
            real(path, mode, **options)
            raise FileExistsError(errno.EEXIST, "somebody was faster")

        (self.top / ".giftless" / "tmp").mkdir(parents=True)
        self.patch(os, "mkdir", too_late)
        self.put(b"abc")
        self.assertEqual(self.files(), [key_of(b"abc").path])


class FailureTests(LocalTestCase):
    def test_a_failed_upload_leaves_no_temporary_file(self) -> None:
        for error in (BadRequest("wrong bytes"), Disconnected("gone"), ValueError("a bug")):
            body = ListBody([DATA, DATA], error)
            self.assert_fails(
                type(error), put_object(self.store, key_of(DATA), None, body, {"n": 1})
            )
            self.assertEqual(self.temporary_files(), [])
            self.assertEqual(self.files(), [])

    def test_a_finished_upload_leaves_no_temporary_file(self) -> None:
        self.put(DATA, {"filename": "x"})
        self.assertEqual(self.temporary_files(), [])

    def test_an_upload_frees_its_files(self) -> None:
        self.put(b"first")
        before = os.listdir("/proc/self/fd")
        self.put(DATA, {"filename": "x"})
        body = ListBody([DATA], BadRequest("wrong"))
        self.assert_fails(BadRequest, put_object(self.store, key_of(b"x"), None, body, {}))
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_a_client_that_sends_no_body_costs_no_file(self) -> None:
        body = HeldBody()
        upload = self.start(put_object(self.store, key_of(b"abc"), 3, body, {}))
        self.assertEqual(list(self.top.rglob("*")), [])
        body.fail(Disconnected("gone"))
        self.failureResultOf(upload, Disconnected)
        self.assertEqual(list(self.top.rglob("*")), [])

    def test_a_client_that_leaves_while_its_bytes_are_written_leaves_no_file(self) -> None:
        """The file goes when the write that runs has ended, not during it."""
        blocking = ManualBlocking()
        store = LocalStore(str(self.top), "", blocking)
        body = HeldBody()
        upload = self.start(put_object(store, key_of(b"abc"), None, body, {}))
        body.provide(b"ab")
        self.assertEqual(blocking.waiting, 1)
        self.assertFalse(body.wanted)
        blocking.do_next()
        self.assertEqual(len(self.temporary_files()), 1)
        body.fail(Disconnected("gone"))
        self.assertNoResult(upload)
        blocking.do_next()
        self.failureResultOf(upload, Disconnected)
        self.assertEqual(self.temporary_files(), [])

    def test_while_bytes_are_written_no_more_are_read(self) -> None:
        blocking = ManualBlocking()
        store = LocalStore(str(self.top), "", blocking)
        body = ListBody([b"a", b"b"])
        upload = self.start(put_object(store, key_of(b"ab"), None, body, {}))
        self.assertEqual(body.reads, 1)
        blocking.do_next()
        self.assertEqual(body.reads, 2)
        while blocking.waiting:
            blocking.do_next()
        self.successResultOf(upload)

    def test_a_full_disk_is_507_and_leaves_nothing(self) -> None:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):

            def full(fd: int, buffers: object, number: int = number) -> int:
                raise OSError(number, os.strerror(number))

            self.patch(os, "writev", full)
            put = put_object(self.store, key_of(b"abc"), 3, ListBody([b"abc"]), {})
            error = self.assert_fails(InsufficientStorage, put)
            self.assertEqual(error.code, 507)
            self.assertEqual(self.temporary_files(), [])
            self.assertEqual(self.files(), [])

    def test_a_disk_that_fills_up_at_the_very_end_is_507(self) -> None:
        def full(fd: int) -> None:
            raise OSError(errno.ENOSPC, "full")

        self.patch(os, "fsync", full)
        put = put_object(self.store, key_of(b"abc"), 3, ListBody([b"abc"]), {})
        self.assert_fails(InsufficientStorage, put)
        self.assertEqual(self.files(), [])

    def test_an_upload_larger_than_the_disk_is_507_before_it_is_written(self) -> None:
        available = int(self.run_now(self.store.room(repo_of())).bytes)
        body = HeldBody()
        upload = self.start(put_object(self.store, key_of(b"abc"), available * 2, body, {}))
        body.provide(b"a")
        self.failureResultOf(upload, InsufficientStorage)
        self.assertEqual(self.temporary_files(), [])

    def test_another_error_of_the_disk_is_no_507(self) -> None:
        def broken(fd: int, buffers: object) -> int:
            raise OSError(errno.EIO, "broken disk")

        self.patch(os, "writev", broken)
        put = put_object(self.store, key_of(b"abc"), 3, ListBody([b"abc"]), {})
        error = self.assert_fails(StorageUnavailable, put)
        self.assertEqual(error.__cause__.errno, errno.EIO)
        self.assertEqual(self.temporary_files(), [])

    def test_writes_that_are_cut_short_are_continued(self) -> None:
        """As by a signal, or a file system that takes what it likes."""
        real = os.writev
        for most in (1, 2, 3, 1000):

            def short(fd: int, buffers: list[memoryview], most: int = most) -> int:
                taken, pieces = most, []
                for buffer in buffers:
                    pieces.append(buffer[:taken])
                    taken -= len(pieces[-1])
                return real(fd, pieces)

            self.patch(os, "writev", short)
            chunks = [b"", b"abc", b"d", b"", b"efgh", b"i" * 300, b""]
            data = b"".join(chunks)
            body = HeldBody()
            upload = self.start(put_object(self.store, key_of(data), len(data), body, {}))
            body.provide(*chunks)
            body.provide()
            self.successResultOf(upload)
            self.assertEqual((self.top / key_of(data).path).read_bytes(), data)

    def test_more_chunks_than_one_write_takes_are_all_written(self) -> None:
        chunks = [bytes([n % 251]) for n in range(os.sysconf("SC_IOV_MAX") * 2 + 1)]
        data = b"".join(chunks)
        body = HeldBody()
        upload = self.start(put_object(self.store, key_of(data), len(data), body, {}))
        body.provide(*chunks)
        body.provide()
        self.successResultOf(upload)
        self.assertEqual((self.top / key_of(data).path).read_bytes(), data)


class SweepTests(LocalTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tmp = self.top / ".giftless" / "tmp"

    def test_what_a_killed_upload_left_is_removed(self) -> None:
        self.tmp.mkdir(parents=True)
        (self.tmp / "one").write_bytes(b"half")
        (self.tmp / "two").write_bytes(b"")
        before = os.listdir("/proc/self/fd")
        self.assertEqual(self.store.sweep(), 2)
        self.assertEqual(self.temporary_files(), [])
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_there_may_be_nothing_to_sweep(self) -> None:
        self.assertEqual(self.store.sweep(), 0)

    def test_an_upload_that_runs_now_is_left_alone(self) -> None:
        """It may be another process's, too: workers share a directory."""
        body = HeldBody()
        upload = self.start(put_object(self.store, key_of(b"abc"), None, body, {}))
        body.provide(b"ab")
        (self.tmp / "stale").write_bytes(b"half")
        self.assertEqual(len(self.temporary_files()), 2)
        self.assertEqual(self.store.sweep(), 1)
        self.assertEqual(len(self.temporary_files()), 1)
        body.provide(b"c")
        body.provide()
        self.successResultOf(upload)
        self.assertEqual(self.files(), [key_of(b"abc").path])

    def test_objects_and_extras_are_not_swept(self) -> None:
        key = self.put(b"abc", {"filename": "x"})
        self.store.sweep()
        stored = self.run_now(self.store.open(key))
        assert stored is not None
        self.addCleanup(stored.close)
        self.assertEqual(stored.extras, {"filename": "x"})

    def test_what_cannot_be_removed_is_left(self) -> None:
        (self.tmp / "directory").mkdir(parents=True)
        self.assertEqual(self.store.sweep(), 0)
        self.assertEqual(self.temporary_files(), ["directory"])

    def test_a_file_that_another_sweeper_removed_is_no_error(self) -> None:
        self.tmp.mkdir(parents=True)
        (self.tmp / "stale").write_bytes(b"")

        def gone(path: object, **options: int) -> None:
            raise FileNotFoundError(errno.ENOENT, "gone")

        self.patch(os, "unlink", gone)
        self.assertEqual(self.store.sweep(), 0)


class FactoryTests(CoroutineTestCase):
    def build(self, **options: str) -> LocalStore:
        """Build a store as the daemon does."""
        factory = LocalFactory()
        parsed = convert(options, factory.Options, "storage")
        return factory.build(parsed, environment())

    def refusal(self, **options: str) -> ConfigError:
        """Return why a store cannot be built."""
        error: ConfigError = self.assertRaises(ConfigError, self.build, **options)
        return error

    def test_it_makes_a_factory_with_a_name(self) -> None:
        """The name is the plugin's; the rest of the interface is here."""
        factory: Any = LocalFactory()
        factory.name = "local"
        verifyObject(IStorageFactory, factory, tentative=True)

    def test_the_defaults_are_for_trying_out(self) -> None:
        self.assertEqual(LocalOptions(), LocalOptions(path="giftless-data", prefix=""))

    def test_the_directory_is_made(self) -> None:
        path = os.path.join(self.mktemp(), "deep", "data")
        self.build(path=path)
        self.assertTrue(os.path.isdir(path))

    def test_building_removes_stale_temporary_files(self) -> None:
        path = self.mktemp()
        tmp = Path(path, ".giftless", "tmp")
        tmp.mkdir(parents=True)
        (tmp / "stale").write_bytes(b"")
        self.build(path=path)
        self.assertEqual(os.listdir(tmp), [])

    def test_what_cannot_be_swept_is_refused(self) -> None:
        """In one line, as for the directory itself."""
        path = self.mktemp()
        os.makedirs(f"{path}/.giftless")
        Path(path, ".giftless", "tmp").touch()
        self.assertEqual(self.refusal(path=path).path, "path")

    def test_slashes_around_a_prefix_mean_nothing(self) -> None:
        path = self.mktemp()
        store = self.build(path=path, prefix="/team/a/")
        self.run_now(put_object(store, key_of(b"abc"), 3, ListBody([b"abc"]), {}))
        self.assertTrue(os.path.exists(f"{path}/team/a/{key_of(b'abc').path}"))

    def test_a_prefix_that_leads_elsewhere_is_refused(self) -> None:
        for prefix in ("..", "a/../b", "a//b", ".", ".giftless", "a/.giftless/tmp", "a\x00b"):
            error = self.refusal(path=self.mktemp(), prefix=prefix)
            self.assertEqual(error.path, "prefix")
            self.assertIn("is not a plain relative path", error.problem)

    def test_a_directory_that_cannot_be_used_is_refused(self) -> None:
        path = self.mktemp()
        Path(path).write_bytes(b"a file")
        for wrong in (path, f"{path}/below"):
            error = self.refusal(path=wrong)
            self.assertEqual(error.path, "path")
            self.assertIn(repr(wrong), error.problem)
            self.assertIn("may write to", error.problem)
