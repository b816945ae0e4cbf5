"""Lists of objects to keep: the output of git-lfs, or plain oids.

``git lfs ls-files --all --long`` writes ``OID - NAME``, with ``*`` instead of ``-`` for what
is checked out.
"""

from __future__ import annotations

import re
from typing import BinaryIO, Final

from giftless.references.errors import NoReferences
from giftless.references.keepset import KeepSet

#: The longest line, in bytes: an oid and a path.
_MAX_LINE: Final = 65_536

_LINE: Final = re.compile(rb"([0-9a-f]{64})(?: [*-] .*)?\r?\n?", re.DOTALL)


def read_list(stream: BinaryIO, name: str, keep: KeepSet) -> int:
    """Add the objects of a list to what is kept.

    :param name: what the list is called in errors.
    :returns: how many different ones it names.
    :raises NoReferences: if there is a line that is no oid, and not what git-lfs writes, or if
        it cannot be read.
    """
    named = KeepSet()
    number = 0
    try:
        while line := stream.readline(_MAX_LINE):
            number += 1
            if line.strip():
                found = _LINE.fullmatch(line)
                if found is None:
                    raise NoReferences(
                        f"line {number} of {name} is neither an oid nor what 'git lfs ls-files"
                        " --all --long' writes"
                    )
                digest = bytes.fromhex(found[1].decode())
                named.add(digest)
                keep.add(digest)
    except OSError as error:
        raise NoReferences(f"{name} cannot be read: {error.strerror}") from None
    return len(named)
