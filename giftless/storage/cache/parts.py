"""The files that are being filled, by one process at a time.  All blocks.

Whoever fills a file holds a lock on it.  Others read it while it grows; its last byte comes
only when the digest of all of it was found to be good, so a file of full length is good.
The kernel takes the lock from a process that dies; then another one fills on, where the
file ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Sequence
from typing import Final

from giftless.lfs.objects import ObjectKey
from giftless.storage.cache.entries import DIGEST, Entries, name_of
from giftless.storage.coded.head import MAGIC

#: How the name of such a file looks: the oid, and how long the file will be.
PART: Final = re.compile(r"([0-9a-f]{64})\.([0-9]{1,19})\.part", re.ASCII)

#: How much of a file that is gone on with is read at once, in bytes.
SLICE: Final = 8 * 1024 * 1024

#: How often it is tried to make a file in a directory that somebody else removes.
_ATTEMPTS: Final = 5

_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class WrongDigest(Exception):
    """What has come is not the object.

    :param digest: what its SHA-256 is.
    """

    def __init__(self, digest: str) -> None:
        super().__init__(f"its SHA-256 is {digest}")


class Part:
    """A file that is being filled: by this process, if it :meth:`claims` it.

    :param entries: the directory.
    :param key: whose bytes they are.
    :param size: how many there will be.
    :ivar place: where it is, below the entries.
    :ivar fd: the file's descriptor; its owner closes it by :meth:`close`.
    :ivar reached: how many bytes may be read, as far as is known.
    :ivar may_be_coded: whether it may have another digest than the oid, if it begins like a
        coded object.
    :ivar orphaned: whether nobody fills the file any more, nor can: it has no name.
    """

    def __init__(self, entries: Entries, key: ObjectKey, size: int) -> None:
        self._entries = entries
        self._key = key
        self._size = size
        self._name = f"{key.oid}.{size}.part"
        self.place = f"{name_of(key.repo)}/{self._name}"
        self._digest = hashlib.sha256()
        self._last = b""
        self._head = b""
        self._owned = False
        self.fd = -1
        self.reached = 0
        self.may_be_coded = True
        self.orphaned = False

    def open(self) -> bool | None:
        """Open the file, and make it if it is missing.

        :returns: whether this process is to fill it; ``None`` if it is full, because the
            entry is there: :attr:`fd` is that one's then.
        :raises OSError: if that cannot be done.
        """
        for _ in range(_ATTEMPTS):
            with (
                contextlib.suppress(FileNotFoundError),
                self._entries.enter(self._key.repo, make=True) as directory,
            ):
                self.fd = os.open(self._name, _OPEN, 0o600, dir_fd=directory)
                if not self._lock():
                    return False
                if self.claims() and not os.fstat(self.fd).st_size:
                    return None if self._is_entry() else True
                # It was removed between the two; or a process has left it that ended before
                # this one looked, perhaps with the machine: who knows what is in it.
                self.close()
        raise FileNotFoundError(f"{self._name} is removed each time that it is made")

    def _is_entry(self) -> bool:
        """Take the entry instead, if another process has just made it."""
        entry = self._entries.open(self._key, self._size)
        if entry is None:
            return False
        self.close()
        self.fd, self.reached = entry, self._size
        return True

    def claims(self) -> bool:
        """Take the file over, if nobody fills it; it must be there under its name.

        :returns: whether this process fills it from now on.
        """
        if not self._owned and not self._lock():
            return False
        try:
            with self._entries.enter(self._key.repo) as directory:
                found = os.stat(self._name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return False
        self._owned = os.path.samestat(found, os.fstat(self.fd))
        return self._owned

    def look(self) -> bool:
        """Look how far another process has filled the file; take over if it has ended.

        If the entry is there instead, :attr:`fd` is that one's then.

        :returns: whether this process is to fill it from now on.
        :raises WrongDigest: if the other one has found the bytes to be wrong.
        """
        ended = self._lock()
        # It may have written until then.
        status = os.fstat(self.fd)
        if status.st_size < self.reached:
            raise WrongDigest("not the oid, as another process has found")
        self.reached = min(status.st_size, self._size)
        if not ended or self.reached == self._size:
            return False
        if self.claims():
            return True
        # Whoever had an empty one may have found the entry beside it, as this one does now.
        self.orphaned = bool(self.reached) or not self._is_entry()
        return False

    def hash_slice(self) -> bool:
        """Hash some of what another process had filled when this one took over.

        :returns: whether there may be more.
        """
        # A file of full length has a last byte that nobody has vouched for, if it is here.
        wanted = min(SLICE, self._size - 1 - self.reached)
        data = os.pread(self.fd, wanted, self.reached) if wanted > 0 else b""
        self._take(data)
        self.reached += len(data)
        if data:
            return True
        os.ftruncate(self.fd, self.reached)
        return False

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append bytes; the last one of the object is held back.

        :raises WrongDigest: if there are more than the object has.
        :raises OSError: if the disk does not take them.
        """
        data = b"".join(chunks)
        room = max(self._size - 1 - self.reached, 0)
        self._last += data[room:]
        if len(self._last) > 1:
            raise WrongDigest("that of a longer object")
        self._take(memoryview(data)[:room])
        view = memoryview(data)[:room]
        while view:
            count = os.pwrite(self.fd, view, self.reached)
            self.reached += count
            view = view[count:]

    def forget_last(self) -> None:
        """Forget the byte that is held back: it comes again."""
        self._last = b""

    def finish(self) -> bool:
        """Compare the digest, and let the file be found as an entry.

        :returns: whether the digest is the oid, and not recorded beside the entry.
        :raises WrongDigest: if it is not the object.
        :raises OSError: if the disk does not take the rest.
        """
        self._take(self._last)
        digest = self._digest.hexdigest()
        plain = digest == self._key.oid
        coded = self.may_be_coded and self._head == MAGIC
        if len(self._last) != 1 or not (plain or coded):
            raise WrongDigest(digest)
        os.pwrite(self.fd, self._last, self.reached)
        self.reached = self._size
        with self._entries.enter(self._key.repo) as directory:
            if not plain:
                note = os.open(self._key.oid + DIGEST, _OPEN | os.O_TRUNC, 0o600, dir_fd=directory)
                with open(note, "w", encoding="ascii") as file:
                    file.write(digest)
            os.rename(self._name, self._key.oid, src_dir_fd=directory, dst_dir_fd=directory)
        self._owned = False
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return plain

    def is_plain(self) -> bool:
        """Whether the digest of a full file is its oid for certain: it is not coded."""
        return os.pread(self.fd, len(MAGIC), 0) != MAGIC

    def give_up(self, wrong: bool) -> None:
        """Take the file off the disk, if this process has begun to fill it.

        :param wrong: whether nobody may read it any more.
        """
        if not self._owned:
            return
        self._owned = False
        with contextlib.suppress(OSError), self._entries.enter(self._key.repo) as directory:
            os.unlink(self._name, dir_fd=directory)
        if wrong:
            # Other processes see by the length that it was wrong.
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, 0)
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; one that this process has begun to fill goes.  Harmless when repeated."""
        if self.fd >= 0:
            self.give_up(wrong=False)
            os.close(self.fd)
            self.fd = -1

    def _lock(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _take(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        if len(self._head) < len(MAGIC):
            self._head = (self._head + bytes(data[: len(MAGIC)]))[: len(MAGIC)]
