"""Downloads: several ranges of an object at once, into one file."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from giftless.agent.errors import Again, TransferError
from giftless.agent.http import BLOCK_SIZE, Client
from giftless.agent.progress import Progress
from giftless.agent.protocol import Action, Download
from giftless.agent.retrying import Retries
from giftless.agent.workers import Crew, Workers

#: The size of ranges, in bytes.
RANGE_SIZE: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes.

    :ivar start: the offset of the first.
    :ivar end: the offset behind the last.
    """

    start: int
    end: int


def divide(size: int, range_size: int = RANGE_SIZE) -> list[Span]:
    """Divide an object of ``size`` bytes into ranges."""
    return [
        Span(start, min(start + range_size, size)) for start in range(0, max(size, 1), range_size)
    ]


class RangesIgnored(Exception):
    """The server sends all of an object when it is asked for a range."""


class Downloader:
    """Downloads one object.

    :param request: what git-lfs wants.
    :param action: where the object is.
    :param client: sends requests.
    :param workers: fetch ranges.
    :param progress: is told of every byte.
    :param range_size: the size of ranges, in bytes.
    """

    def __init__(
        self,
        request: Download,
        action: Action,
        client: Client,
        workers: Workers,
        progress: Progress,
        range_size: int = RANGE_SIZE,
    ) -> None:
        self._size = request.size
        self._action = action
        self._client = client
        self._workers = workers
        self._progress = progress
        self._range_size = range_size

    def run(self, path: Path) -> None:
        """Download into a file, which is there and empty.

        The digest is left to git-lfs, which checks it.

        :raises TransferError: if it does not succeed.
        """
        with _writing(path):
            os.truncate(path, self._size)
        try:
            self._fetch_all(path, divide(self._size, self._range_size))
        except RangesIgnored:
            self._progress.begin(0)
            self._fetch_all(path, [Span(0, self._size)])

    def _fetch_all(self, path: Path, spans: list[Span]) -> None:
        self._workers.run(spans, lambda span, crew: self._fetch(path, span, crew))

    def _fetch(self, path: Path, span: Span, crew: Crew[Span]) -> None:
        position = furthest = span.start
        retries = Retries(crew.pause)
        while True:
            try:
                for position in self._read(path, span, position, crew):  # noqa: B020
                    if position > furthest:
                        furthest = position
                        retries.reset()
            except Again as error:
                retries.wait(error)
            except TransferError as error:
                if error.code not in (401, 403):
                    raise
                raise TransferError(
                    f"{error.message}; if this took very long, try again", error.code
                ) from None
            else:
                return

    def _read(self, path: Path, span: Span, position: int, crew: Crew[Span]) -> Iterator[int]:
        """Send one request, and write what comes.

        :param position: how far the range is there already.
        :yields: how far it is now.
        :raises Again: if the connection ends early.
        """
        whole = span.start == 0 and span.end == self._size
        header = dict(self._action.header or {})
        if not whole or position > 0:
            header["Range"] = f"bytes={position}-{span.end - 1}"
        with self._client.fetch(self._action.href, header) as response:
            if response.status != 206:
                if not whole:
                    raise RangesIgnored
                self._progress.add(-position)
                position = 0
                yield position
            else:
                _check_range(response.headers.get("Content-Range"), position, span, self._size)
            with _writing(path), path.open("r+b") as file:
                file.seek(position)
                # What has come is written even if it is less, and nothing follows.
                while data := response.read1(BLOCK_SIZE):
                    crew.check()
                    if position + len(data) > span.end:
                        raise TransferError("the server sends more bytes than the object has")
                    file.write(data)
                    position += len(data)
                    self._progress.add(len(data))
                    crew.under_way()
                    yield position
        if position < span.end:
            raise Again("the server ended the download early")


def _check_range(value: str | None, position: int, span: Span, size: int) -> None:
    """Check a ``Content-Range`` header (RFC 9110 section 14.4)."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", value or "")
    if found is None or (int(found[1]), int(found[2])) != (position, span.end - 1):
        raise TransferError(
            f"the server was asked for bytes {position} to {span.end - 1} and sent {value}"
        )
    if found[3] not in ("*", str(size)):
        raise TransferError(f"the object should have {size} bytes, but the server has {found[3]}")


class Temporary:
    """A temporary file that becomes git-lfs's, or is removed.

    :param folder: where it is made.
    :param oid: begins its name, so that git-lfs can see what it is.
    """

    def __init__(self, folder: Path, oid: str) -> None:
        self.path = folder / f"{oid}-giftless-{os.getpid()}-{secrets.token_hex(4)}"
        with _writing(self.path):
            # As a file of the user's: git-lfs moves it to its place as it is.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))

    def remove(self) -> None:
        """Remove it, if it is there."""
        with contextlib.suppress(OSError):
            self.path.unlink()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell what is wrong with the disk."""
    try:
        yield
    except OSError as error:
        raise TransferError(f"cannot write {path}: {error.strerror}") from None
