"""Move, name, rename and delete objects of a configuration, as commands do.

    python tests/support/trashing.py CONFIG discard|restore|purge REPO OID ...
    python tests/support/trashing.py CONFIG rename REPO REPO
    python tests/support/trashing.py CONFIG discard-named < LIST

A script that ``tests/support/commands.py`` starts.  It prints with how many objects it
has done so.  The list is JSON: objects with ``repo``, ``oid``, and the ``filename``, the
``reason`` and the person (``who``) that each is to have.
"""

from __future__ import annotations

import json
import os
import sys

import msgspec

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.app.space import build_space
from giftless.commands.parts import use_parts
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.runtime.space_answers import key_at
from giftless.usecases.locks import By
from giftless.usecases.trash import Trash


async def work(settings: Config, parts: PartBuilder) -> None:
    """Do what the command line says."""
    what, *arguments = sys.argv[2:]
    by = By("a test")
    if what == "discard-named":
        # Each says by whom: nobody is told of it.
        space = build_space(settings, parts, publishes=False)
        parts.environment.services.startService()
        print(await discard_named(space.required_trash))
        return
    space = build_space(settings, parts)
    parts.environment.services.startService()
    trash, repos = space.required_trash, space.repositories
    assert repos is not None, "there is a trash"
    here, *rest = arguments
    repo = Repo.parse(here.split("/"))
    if what == "rename":
        (there,) = rest
        print((await repos.rename(repo, Repo.parse(there.split("/")), by)).objects)
        return
    keys = [ObjectKey(repo, Oid(oid)) for oid in rest]
    if what == "discard":
        print(len((await trash.discard(keys, "it was a test", by)).moved))
    elif what == "restore":
        print(len((await trash.restore(keys, by)).restored))
    else:
        print(await trash.purge(keys, by))


async def discard_named(trash: Trash) -> int:
    """Name the objects of the list on stdin, and move each into the trash.

    :returns: how many there are.
    """
    listed = json.load(sys.stdin)
    for wanted in listed:
        key = key_at(wanted["repo"], wanted["oid"])
        (entry,) = await trash.catalogue.look([key])
        assert entry is not None, wanted
        await trash.catalogue.record([msgspec.structs.replace(entry, filename=wanted["filename"])])
        done = await trash.discard([key], wanted["reason"], By(wanted["who"]))
        assert done.moved == [key], done
    return len(listed)


if __name__ == "__main__":
    use_parts(config.load(sys.argv[1], os.environ), work)
