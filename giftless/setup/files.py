"""Read what is there, and write many files so that all of them appear whole.

All new files are written and synced beside the old ones before the first is renamed.  So a
full disk, a signal or a kill before that changes nothing.  Signals wait while files are
renamed; a kill between two of these leaves whole files, and the configuration, which
comes last, as it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import signal
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from giftless.base.files import sync_directory
from giftless.setup.plan import NewFile

#: The largest file that is read, in bytes.
MAX_BYTES: Final = 1 << 20

#: What is in the names of files that are not whole yet.
_BESIDE: Final = ".giftless-setup-"

#: What would leave some files new and others old.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class FilesProblem(Exception):
    """A file cannot be used; the text says why, and what to do."""


class WrittenInPart(Exception):
    """Some files are new and others are not; the text says why."""


@dataclass(frozen=True)
class Owners:
    """Whose files are made.

    :ivar uid: who runs this.
    :ivar service_uid: whom the daemon runs as.
    :ivar service_gid: this user's group, which may read secrets.
    """

    uid: int
    service_uid: int
    service_gid: int

    @classmethod
    def of(cls, user: str) -> Owners:
        """Return the owners of the files of a daemon that runs as ``user``.

        :raises FilesProblem: if there is no such user.
        """
        try:
            entry = pwd.getpwnam(user) if not user.isdecimal() else pwd.getpwuid(int(user))
        except KeyError:
            if user.isdecimal():  # as in a container
                uid = int(user)
                return cls(os.geteuid(), uid, os.getegid() if uid == os.geteuid() else uid)
            raise FilesProblem(f"there is no user {user!r}") from None
        return cls(os.geteuid(), entry.pw_uid, entry.pw_gid)

    def trusts(self, uid: int) -> bool:
        """Whether files of a user are as good as own ones."""
        return uid in (0, self.uid, self.service_uid)


def read(path: str) -> bytes | None:
    """Read a file.

    :returns: ``None`` if there is none.
    :raises FilesProblem: if it cannot be read, or is no file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise FilesProblem(f"{path} is no file")
            content = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FilesProblem(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise FilesProblem(f"{path} has more than {MAX_BYTES} bytes")
    return content


def write(files: Sequence[NewFile], folders: Mapping[str, int], owners: Owners) -> None:
    """Make directories, and write files; or change nothing.

    :param files: in the order in which they appear.
    :param folders: directories of the daemon's data, with their modes; made if missing.
    :raises FilesProblem: if that is impossible.
    :raises WrittenInPart: if it turned out to be so after the first file.
    """
    with contextlib.ExitStack() as locks:
        _write(files, folders, owners, locks)


def _write(
    files: Sequence[NewFile],
    folders: Mapping[str, int],
    owners: Owners,
    locks: contextlib.ExitStack,
) -> None:
    """Do what :func:`write` does; ``locks`` ends the locks of directories."""
    for path in (file.path for file in files):
        if not os.path.isabs(path):
            words = (
                "begins where the daemon is started; write its whole path into the configuration"
            )
            raise FilesProblem(f"{path} {words}")
    made: list[str] = []
    staged: list[tuple[str, str]] = []
    done = False
    try:
        for path, mode in folders.items():
            made += _make_folder(path, mode, (owners.service_uid, owners.service_gid))
        for file in files:
            made += _make_folder(os.path.dirname(file.path), 0o755, None)
        targets = [_target(file.path, owners) for file in files]
        for path in targets:
            if targets.count(path) > 1:
                raise FilesProblem(f"{path} is to be two files at once; choose another path")
        for folder in sorted({os.path.dirname(path) for path in targets}):
            _lock(folder, locks)
        for file, path in zip(files, targets, strict=True):
            staged.append((_stage(file, path, owners), path))
        with _undisturbed():
            for file in files:
                if read(file.path) != file.old:
                    raise FilesProblem(f"{file.path} was changed meanwhile; run this again")
            done = True
            for temporary, path in staged:
                os.rename(temporary, path)
            for folder in {os.path.dirname(path) for _, path in staged}:
                sync_directory(folder)
    except OSError as error:
        named = error.filename or files[min(len(staged), len(files) - 1)].path
        problem = f"cannot write {named}: {error.strerror}"
        raise (WrittenInPart if done else FilesProblem)(problem) from None
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        for folder in () if done else reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _make_folder(path: str, mode: int, owner: tuple[int, int] | None) -> list[str]:
    """Make a directory and those above it that are missing.

    :param owner: the user and the group that they belong to, if not who makes them.
    :returns: those that were made.
    """
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    made = []
    try:
        for each in reversed(missing):
            os.mkdir(each, mode)
            made.append(each)
            # Not by its name: whoever owns the one above could put a link there.
            fd = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                # Whatever the umask is.
                os.fchmod(fd, mode)
                if owner is not None and owner[0] != os.geteuid():
                    os.fchown(fd, *owner)
            finally:
                os.close(fd)
    except BaseException:
        for each in reversed(made):
            os.rmdir(each)
        raise
    return made


def _stage(file: NewFile, path: str, owners: Owners) -> str:
    """Write a file beside the one that it is to be.

    :param path: that one's path.
    :returns: its path.
    """
    folder, name = os.path.split(path)
    _forget_others(folder, name)
    temporary = os.path.join(folder, f".{name}{_BESIDE}{secrets.token_hex(8)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as stream:
            stream.write(file.content)
            stream.flush()
            uid, gid, mode = _rights(file, path, owners)
            status = os.fstat(fd)
            if (status.st_uid, status.st_gid) != (uid, gid):
                os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
            os.fsync(fd)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _target(path: str, owners: Owners) -> str:
    """Return the path of the file itself, if ``path`` is a link.

    :raises FilesProblem: if somebody else could change what is written there.
    """
    if os.path.islink(path) and not owners.trusts(os.lstat(path).st_uid):
        raise FilesProblem(f"{path} is a link that somebody else has made; remove it")
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    status = os.stat(folder)
    if not owners.trusts(status.st_uid):
        words = "belongs to somebody else, who could change what the daemon does"
        raise FilesProblem(f"{folder} {words}; chown it, or choose another directory")
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise FilesProblem(f"others can write to {folder}: chmod o-w")
    return path


def _rights(file: NewFile, path: str, owners: Owners) -> tuple[int, int, int]:
    """Return the owner, the group and the mode of a file.

    Those of the one that it replaces, but nobody else may read a secret.

    :raises FilesProblem: if that one belongs to somebody else.
    """
    group = os.getegid()
    shared = not file.own and owners.uid == 0 and owners.service_uid != 0
    uid, gid, mode = owners.uid, group, 0o600 if file.private else 0o644
    if file.private and shared:
        gid, mode = owners.service_gid, 0o640
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(path)
        if not owners.trusts(status.st_uid):
            raise FilesProblem(f"{path} belongs to somebody else; chown it, or remove it")
        uid = status.st_uid
        mode = stat.S_IMODE(status.st_mode) & ~0o022
        if not (file.private and shared):
            gid = status.st_gid
        if file.private:
            mode = (mode | (0o040 if shared else 0)) & 0o740
    return uid, gid, mode


def _lock(folder: str, locks: contextlib.ExitStack) -> None:
    """Lock a directory, so that no other run writes there.

    :param locks: end the lock.
    :raises FilesProblem: if another run has locked it.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    locks.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        words = "another giftless command writes there; run this again when it has ended"
        raise FilesProblem(f"{folder}: {words}") from None


def _forget_others(folder: str, name: str) -> None:
    """Remove what an earlier run has left that was killed."""
    for other in os.listdir(folder):
        if other.startswith(f".{name}{_BESIDE}"):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, other))
