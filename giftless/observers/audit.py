"""``observers: [{type: audit}]``: one line of JSON for each privileged act."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.identities import give_to_owner
from giftless.base.showing import file_name
from giftless.errors import ConfigError
from giftless.interfaces import (
    AliasChanged,
    CollectionEnded,
    ConfigurationReloaded,
    Environment,
    Event,
    IObserver,
    LockForced,
    ObjectDeleted,
    ObjectMarked,
    ObjectRestored,
    ObjectTrashed,
    Refused,
    RepositoryCopied,
    RepositoryMoved,
    TokenMinted,
)
from giftless.observers.rendering import data_of, encode, name_of, time_text

_log = Logger(namespace="giftless.audit")

#: The acts that are privileged, beside refusals of the configured causes.
_ACTS: Final = (
    AliasChanged,
    CollectionEnded,
    ConfigurationReloaded,
    LockForced,
    ObjectDeleted,
    ObjectMarked,
    ObjectRestored,
    ObjectTrashed,
    RepositoryCopied,
    RepositoryMoved,
    TokenMinted,
)


class AuditOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``observers: [{type: audit}]``.

    :ivar file: where the lines are appended; ``None`` for the daemon's log.
    :ivar refusals: the causes of the refusals that are written down.
    """

    file: str | None = None
    refusals: list[str] = msgspec.field(
        default_factory=lambda: ["bad-credential", "unfit-credential", "too-many-failures"]
    )


class AuditFile:
    """A file that several processes append lines to.  Every method blocks.

    :param path: the file; made with mode 0600 if it is missing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._torn = False

    def open(self) -> None:
        """Open the file, again if another one has its name now.

        :raises OSError: if it cannot be written, or is no regular file.
        """
        if self._fd != -1:
            if self._is_in_place():
                return
            self.close()
        # A pipe without a reader would block: it is no place for what must be kept.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(self._path, flags)
        except FileNotFoundError:
            fd = os.open(self._path, flags | os.O_CREAT, 0o600)
            # A command of root's may come before the daemon.
            give_to_owner(fd, os.path.dirname(self._path) or ".")
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(0, "it is no regular file")
        self._fd, self._torn = fd, False

    def append(self, line: bytes) -> None:
        """Append a line, whole, by one call, so that lines of processes do not mix.

        :param line: ends with a newline.
        :raises OSError: if it is not all written.
        """
        self.open()
        whole = b"\n" + line if self._torn else line
        written = os.write(self._fd, whole)
        self._torn = written < len(whole)
        if self._torn:
            raise OSError(0, "only a part of the line could be written")

    def close(self) -> None:
        """Close the file.  The next line opens it again."""
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1

    def _is_in_place(self) -> bool:
        try:
            there, held = os.stat(self._path), os.fstat(self._fd)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


@implementer(IObserver)
class Audit(Service):
    """Writes lines behind the requests that they are about, in their order.

    :param file: where to; ``None`` for the daemon's log.
    :param causes: of the refusals that are written down.
    :param environment: lends the reactor, the threads and the wall clock.
    """

    def __init__(
        self, file: AuditFile | None, causes: Collection[str], environment: Environment
    ) -> None:
        self._file = file
        self._causes = frozenset(causes)
        self._clock = environment.reactor
        self._blocking = environment.blocking
        self._wall_clock = environment.wall_clock
        self._lines: list[str] = []
        self._due: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        if isinstance(event, _ACTS) or (isinstance(event, Refused) and event.cause in self._causes):
            now = time_text(self._wall_clock())
            line = encode({"time": now, "event": name_of(event), **data_of(event)})
            if self._file is None:
                _log.info("{line}", line=line)
                return
            self._lines.append(line)
            if self._due is None and self._writing is None:
                self._due = self._clock.callLater(0, self._begin)

    async def stopService(self) -> None:
        """Write what is left, and close the file."""
        super().stopService()
        if self._due is not None:
            self._due.cancel()
            self._begin()
        if self._writing is not None:
            await self._writing
        if self._file is not None:
            await self._blocking.run(self._file.close)

    def _begin(self) -> None:
        self._due = None
        self._writing = Deferred.fromCoroutine(self._write())
        self._writing.addBoth(self._ended)

    async def _write(self) -> None:
        while self._lines:
            lines, self._lines = self._lines, []
            await self._blocking.run(self._append, lines)

    def _ended(self, result: None) -> None:
        self._writing = None
        return result

    def _append(self, lines: Sequence[str]) -> None:
        assert self._file is not None
        for line in lines:
            try:
                self._file.append(line.encode() + b"\n")
            except OSError as error:
                # The log may be on another disk: nothing is lost without a trace.
                _log.error(
                    "the audit log cannot be written: {error}; the line is {line}",
                    error=error.strerror,
                    line=line,
                )


class AuditFactory:
    """Builds an audit log from :class:`AuditOptions`."""

    Options = AuditOptions

    def build(self, options: AuditOptions, environment: Environment) -> Audit:
        """See :meth:`giftless.interfaces.IObserverFactory.build`.

        :raises ConfigError: if the file cannot be written.
        """
        file = None
        if options.file is not None:
            file = AuditFile(options.file)
            try:
                file.open()
            except OSError as error:
                raise ConfigError(
                    "file", f"{file_name(options.file)}cannot be written: {error.strerror}"
                ) from None
            file.close()
        audit = Audit(file, options.refusals, environment)
        audit.setServiceParent(environment.services)
        return audit
