"""Files that people edit while the daemon runs.

A change takes effect within a second.  A file that is broken or gone after a
change leaves in force what was read before, and the log says so.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.showing import file_name
from giftless.errors import ConfigError
from giftless.interfaces import IBlocking

T = TypeVar("T")

#: How long a file is trusted to be unchanged, in seconds.
_INTERVAL: Final = 1.0

#: What tells one state of a file from another: time of its last change, size and inode.
_Signature = tuple[int, int, int]


class _Found(NamedTuple):
    """What a file was when it was read."""

    signature: _Signature
    mode: int
    owner: int
    content: bytes


class FileProblem(Exception):
    """A file's content cannot be used; the text says where and why."""


def lines_of(content: bytes, longest: int | None = None) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that say something, with their numbers, from 1.

    Empty lines and comments (``#``) say nothing.

    :param longest: how long a line may be, in bytes; ``None`` if that does not matter.
    :raises FileProblem: at the first line that is too long or not UTF-8.
    """
    for number, raw in enumerate(content.splitlines(), 1):
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:
            raise FileProblem(f"line {number}: is not UTF-8") from None
        if longest is not None and len(raw) > longest:
            raise FileProblem(f"line {number}: is too long")
        if text and not text.startswith("#"):
            yield number, text


class WatchedFile(Generic[T]):
    """The parsed content of a file, as it is now.  Making one blocks.

    :param path: the file.
    :param parse: makes the value of the file's bytes; raises
        :class:`FileProblem`.
    :param option: the name of the option that names the file.
    :param blocking: looks at the file.
    :param clock: tells the time.
    :param private: whether nobody but its owner, who is root or runs this process, may
        have any access to it; else it cannot be used.
    :raises ConfigError: if the file cannot be read or used now.
    """

    log = Logger()

    def __init__(
        self,
        path: str,
        parse: Callable[[bytes], T],
        option: str,
        blocking: IBlocking,
        clock: IReactorTime,
        private: bool = False,
    ) -> None:
        self._path = path
        self._private = private
        self._parse = parse
        self._blocking = blocking
        self._clock = clock
        self._checking = False
        self._checked = clock.seconds()
        self._seen: _Signature | None
        try:
            found = _read(path)
            self._seen = found.signature
            self._value = self._use(found)
        except OSError as error:
            raise ConfigError(
                option, f"{file_name(path)}cannot be read: {error.strerror}"
            ) from None
        except FileProblem as wrong:
            name = file_name(path).rstrip() or "the file"
            raise ConfigError(option, f"{name}: {wrong}") from None

    async def current(self) -> T:
        """Return the value; looks for a change at most once a second."""
        if not self._checking and self._clock.seconds() - self._checked >= _INTERVAL:
            self._checking = True
            try:
                await self._check()
            finally:
                self._checking = False
                self._checked = self._clock.seconds()
        return self._value

    async def newest(self) -> T:
        """Return the value; looks for a change now."""
        await self._check()
        return self._value

    async def _check(self) -> None:
        before = self._seen
        try:
            found = await self._blocking.run(_read_if_changed, self._path, before)
            if found is not None:
                self._seen = found.signature
                self._value = await self._blocking.run(self._use, found)
                self.log.info("{path} has changed and was read again", path=self._path)
        except OSError as error:
            self._seen = None
            if before is not None:
                self._complain(error.strerror)
        except FileProblem as problem:
            self._complain(problem)

    def _use(self, found: _Found) -> T:
        if self._private:
            if found.mode & 0o077:
                raise FileProblem(
                    f"its mode is {found.mode:04o}, so others may use it; run 'chmod 600' for it"
                )
            if found.owner not in (0, os.geteuid()):
                raise FileProblem("it belongs to neither root nor the user that runs this")
        return self._parse(found.content)

    def _complain(self, problem: object) -> None:
        self.log.error(
            "{path} cannot be used, so what it said before stays in force: {problem}",
            path=self._path,
            problem=" ".join(str(problem).split()),
        )


def _read(path: str) -> _Found:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        return _Found(_signature(status), stat.S_IMODE(status.st_mode), status.st_uid, file.read())


def _read_if_changed(path: str, seen: _Signature | None) -> _Found | None:
    if seen is not None and _signature(os.stat(path)) == seen:
        return None
    return _read(path)


def _signature(status: os.stat_result) -> _Signature:
    return status.st_ctime_ns, status.st_size, status.st_ino
