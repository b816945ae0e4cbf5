"""Small files that are stored at the same time are stored together.

What storing 10 KB costs is going to another thread and back, and waiting for
the disk.  So files that come while others are being stored wait, and then share
both: one job writes them all, and syncs each directory once, after the last of
them has got its name there.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from giftless.base.together import Groups, hand_over
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
#: are more when the disk is slow.
_JOBS: Final = 4

#: How long files wait for the job that began last, in seconds.  A few clients, each of which
#: sends its next file when it knows that the last one is stored, never have as many waiting
#: as one job takes: while the disk is slow, what they send goes by jobs at the same time.
PATIENCE: Final = 0.002


class SmallFile(NamedTuple):
    """A file to be stored.

    :ivar place: where it is to be.
    :ivar chunks: its bytes.
    """

    place: Place
    chunks: Sequence[bytes]


class SmallFiles:
    """Stores small files, together with others that come to the same disk meanwhile.

    :param blocking: does it.
    :param clock: tells the time, in seconds from any beginning.
    """

    def __init__(self, blocking: IBlocking, clock: Callable[[], float] = time.monotonic) -> None:
        self._blocking = blocking
        self._clock = clock
        self._disks: dict[Root, Groups[SmallFile, None]] = {}

    def store(self, file: SmallFile) -> Deferred[None]:
        """Store a file; it is durable, with its name, when what is returned fires.

        :raises OSError: from the file system, for instance when it is full.
            Nothing is stored then, or nobody can tell.
        """
        groups = self._disks.get(file.place.root)
        if groups is None:
            groups = Groups(self._blocking, store_together, _TOGETHER, _JOBS, PATIENCE, self._clock)
            self._disks[file.place.root] = groups
        return groups.add(file)


def store_together(files: Sequence[SmallFile]) -> list[Failure | None]:
    """Store files, each whole and durable or not at all.  Blocks.

    :returns: for each file why it may not be stored; ``None`` if it is.
    """
    problems: list[Failure | None] = [None] * len(files)
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
    return hand_over(problems)


def _problem(step: Callable[..., None], *arguments: object) -> Failure | None:
    try:
        step(*arguments)
    except Exception:
        return Failure()
    return None
