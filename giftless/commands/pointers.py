"""Tell which objects git repositories name, and how large these are.  Blocks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from giftless.client.clone import Clone as LocalClone
from giftless.client.errors import ServerError
from giftless.references.clones import Clone
from giftless.references.errors import NoReferences
from giftless.references.git import Git
from giftless.references.pointers import Pointer
from giftless.references.sources import Source
from giftless.references.trees import pointers_of_refs


def pointers_of(git: Git, source: Source) -> Iterator[Pointer]:
    """Yield what the refs of a git repository lead to; one may come more than once.

    :raises NoReferences: if it cannot be read.
    """
    if source.local is not None:
        try:
            yield from LocalClone(source.local).needed(git)
        except ServerError as error:
            raise NoReferences(error.problem) from None
        return
    directory = Path(tempfile.mkdtemp(prefix="giftless-clone-"))
    try:
        clone = Clone(git, source, directory / "0")
        clone.fetch()
        if not clone.empty:
            yield from pointers_of_refs(git, directory / "0")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
