"""Small files that are stored at the same time are stored together.

What storing 10 KB costs is going to another thread and back, and waiting for
the disk.  So files that come while others are being stored wait, and then share
both: one job writes them all, and syncs each directory once, after the last of
them has got its name there.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from giftless.interfaces import IBlocking
from giftless.storage.local import damage
from giftless.storage.local.disks import Place
from giftless.storage.local.files import Name, Upload, sync_names
from giftless.storage.local.root import Root

#: The largest file that is small, in bytes.
SMALL_BYTES: Final = 256 * 1024

#: The most files of one job: nobody shall wait for too many others.
_TOGETHER: Final = 8

#: The most jobs that run at once.  One is fastest as long as it keeps up; there
#: are more when the disk is slow, so that as many files wait as one job takes.
_JOBS: Final = 4


class SmallFile(NamedTuple):
    """A file to be stored.

    :ivar place: where it is to be.
    :ivar chunks: its bytes.
    """

    place: Place
    chunks: Sequence[bytes]


class SmallFiles:
    """Stores small files, together with others that come at the same time.

    :param blocking: does it.
    """

    def __init__(self, blocking: IBlocking) -> None:
        self._blocking = blocking
        self._waiting: list[tuple[SmallFile, Deferred[None]]] = []
        self._jobs = 0

    async def store(self, file: SmallFile) -> None:
        """Store a file; it is durable, with its name, when this returns.

        :raises OSError: from the file system, for instance when it is full.
            Nothing is stored then, or nobody can tell.
        """
        stored: Deferred[None] = Deferred()
        self._waiting.append((file, stored))
        if self._jobs == 0 or (len(self._waiting) >= _TOGETHER and self._jobs < _JOBS):
            Deferred.fromCoroutine(self._store_all())
        await stored

    async def _store_all(self) -> None:
        self._jobs += 1
        while self._waiting:
            batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            files = [file for file, _ in batch]
            try:
                problems = await self._blocking.run(store_together, files)
            except Exception as error:
                problems = [error] * len(batch)
            for (_, stored), problem in zip(batch, problems, strict=True):
                if problem is None:
                    stored.callback(None)
                else:
                    stored.errback(Failure(problem))
        self._jobs -= 1


def store_together(files: Sequence[SmallFile]) -> list[Exception | None]:
    """Store files, each whole and durable or not at all.  Blocks.

    :returns: for each file why it may not be stored; ``None`` if it is.
    """
    problems: list[Exception | None] = [None] * len(files)
    names: list[Name] = []
    enter = functools.cache(Root.enter)

    def each(step: Callable[[Upload, SmallFile], None]) -> None:
        """Take a step with every file for which no step has failed."""
        for number, (upload, file) in enumerate(zip(uploads, files, strict=True)):
            if problems[number] is None:
                problems[number] = _problem(step, upload, file)

    with contextlib.ExitStack() as stack:
        uploads = [
            # The disk begins with all of them at once, and so ends with them sooner.
            stack.enter_context(
                contextlib.closing(Upload(partial(enter, file.place.root), early=len(files) > 1))
            )
            for file in files
        ]
        each(lambda upload, file: upload.write(file.chunks))
        # A journal takes all of them at the first sync, if no name comes between.
        each(lambda upload, file: upload.sync())
        each(lambda upload, file: names.append(upload.move(file.place.path)))
        if problem := _problem(sync_names, names):
            problems = [it or problem for it in problems]
        damage.clear(names)
    return problems


def _problem(step: Callable[..., None], *arguments: object) -> Exception | None:
    try:
        step(*arguments)
    except Exception as error:
        return error
    return None
