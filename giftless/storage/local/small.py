"""Small files that are stored at the same time are stored together.

What storing 10 KB costs is going to another thread and back, and waiting for
the disk.  So files that come while others are being stored wait, and then share
both: one job writes them all, and those that come meanwhile, syncs all of them at the same
time, and syncs each directory once, after the last of them has got its name there.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Sequence
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
from giftless.storage.local.syncing import Syncs

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
        self._syncs = Syncs()
        self._disks: dict[Root, Groups[SmallFile, None]] = {}

    def store(self, file: SmallFile) -> Deferred[None]:
        """Store a file; it is durable, with its name, when what is returned fires.

        :raises OSError: from the file system, for instance when it is full.
            Nothing is stored then, or nobody can tell.
        """
        groups = self._disks.get(file.place.root)
        if groups is None:
            work = partial(store_together, syncs=self._syncs)
            groups = Groups(self._blocking, work, _TOGETHER, _JOBS, PATIENCE, self._clock)
            self._disks[file.place.root] = groups
        return groups.add(file)


def store_together(files: Iterable[SmallFile], syncs: Syncs) -> list[Failure | None]:
    """Store files, each whole and durable or not at all.  Blocks.

    :param files: may come while others are written.
    :param syncs: makes their bytes durable.
    :returns: for each file why it may not be stored; ``None`` if it is.
    """
    uploads: list[Upload] = []
    places: list[bytes] = []
    problems: list[Failure | None] = []
    names: list[Name] = []
    enter = functools.cache(Root.enter)

    def move(number: int) -> None:
        names.append(uploads[number].move(places[number]))

    with contextlib.ExitStack() as stack:
        for place, chunks in files:
            # They go to the disk together, when all are written.
            upload = Upload(partial(enter, place.root), early=False)
            uploads.append(stack.enter_context(contextlib.closing(upload)))
            places.append(place.path)
            problems.append(_problem(upload.write, chunks))
        written = _good(problems)
        # A journal takes all of them at once, if no name comes between.
        errors = syncs.sync_all([uploads[number].fileno() for number in written])
        for number, error in zip(written, errors, strict=True):
            problems[number] = None if error is None else Failure(error)
        for number in _good(problems):
            problems[number] = _problem(move, number)
        if problem := _problem(sync_names, names):
            problems = [it or problem for it in problems]
        damage.clear(names)
    return hand_over(problems)


def _good(problems: Sequence[object]) -> list[int]:
    """Return the numbers of those for which nothing has failed."""
    return [number for number, problem in enumerate(problems) if problem is None]


def _problem(step: Callable[..., None], *arguments: object) -> Failure | None:
    try:
        step(*arguments)
    except Exception:
        return Failure()
    return None
