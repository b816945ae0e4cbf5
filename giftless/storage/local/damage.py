"""Objects that are not to be trusted: set apart until they are uploaded again.

A damaged object is moved to ``.giftless/damaged/{its path}/object``, with the reason in
``reason`` beside it.  So it is absent where it was, and neither served nor listed.  What
is absent is looked for here; a good upload makes it present, whatever is left here.
Everything here blocks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

from giftless.errors import ObjectDamaged
from giftless.storage.local import cached
from giftless.storage.local.files import ABSENT, Name, Upload, size_of, sync_names
from giftless.storage.local.own import OWN
from giftless.storage.local.root import Held, Root

#: The directory of damaged objects, below a root.
DAMAGED: Final = OWN + b"/damaged"

#: The most that is read of a reason, in bytes.
_MAX_REASON: Final = 4096


def set_apart(root: Root, path: bytes, reason: str) -> None:
    """Set an object apart, durably; harmless if it is absent.

    :param path: the object's path below the root.
    """
    held = root.enter()
    if size_of(path, held.fd) is None:
        return
    directory = os.path.join(DAMAGED, path)
    note = Upload(root.enter)
    try:
        note.write([reason.encode()])
        note.rename(os.path.join(directory, b"reason"))
    finally:
        note.close()
    aside = os.path.join(directory, b"object")
    try:
        os.rename(path, aside, src_dir_fd=held.fd, dst_dir_fd=held.fd)
    except FileNotFoundError:
        # Somebody has deleted it meanwhile.
        clear([(held, path)])
        return
    sync_names([(held, aside), (held, path)])


def is_empty(held: Held) -> bool:
    """Whether no object of a root has ever been set apart."""
    try:
        os.lstat(DAMAGED, dir_fd=held.fd)
    except FileNotFoundError:
        return True
    return False


def check_empty_cached(held: Held) -> None:
    """Make sure, without ever waiting, that no object of a root has ever been set apart.

    :raises NotCached: if one has, or nobody can tell at once.
    """
    if cached.size_of(DAMAGED, held.fd) is not None:
        raise cached.NotCached


def look_for(held: Held, path: bytes) -> ObjectDamaged | None:
    """Look whether an object that is absent has been set apart.

    :param path: the object's path below the root.
    :returns: what clients are told of it.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(os.path.join(DAMAGED, path, b"reason"), flags, dir_fd=held.fd)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    try:
        return ObjectDamaged.because(os.read(fd, _MAX_REASON).decode("utf-8", "replace"))
    finally:
        os.close(fd)


def clear(names: Iterable[Name]) -> None:
    """Throw away what has been set apart of objects, which are present or deleted."""
    names = list(names)
    marked = {held for held in {held for held, _ in names} if not is_empty(held)}
    for held, path in names:
        if held not in marked:
            continue
        directory = os.path.join(DAMAGED, path)
        # What stays behind means nothing while the object is present.
        with contextlib.suppress(OSError):
            for file in (b"object", b"reason"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, file), dir_fd=held.fd)
            while directory != DAMAGED:
                os.rmdir(directory, dir_fd=held.fd)
                directory = os.path.dirname(directory)
