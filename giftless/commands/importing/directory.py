"""``giftless import directory``: import the objects that another server keeps in a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from twisted.python import usage

from giftless.commands.arguments import repository
from giftless.commands.importing.choosing import ChoosingCommand, in_order
from giftless.commands.importing.objects import FLAGS
from giftless.commands.output import counted
from giftless.importing.assignments import Assignment
from giftless.importing.files import Directory
from giftless.importing.gitea import read_gitea
from giftless.importing.layouts import LAYOUTS, Walk, detect
from giftless.importing.offers import NoSource, in_pages
from giftless.importing.pool import count_others, offer_all, offer_some
from giftless.interfaces import Environment

#: The layout that is found out.
_AUTO: Final = "auto"

#: How rudolfs writes its key.
_KEY: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)

#: The variable that rudolfs takes its key from.
_KEY_VARIABLE: Final = "RUDOLFS_KEY"

#: How many problems of the walk are told.
_TOLD: Final = 20


class ImportDirectory(ChoosingCommand):
    """The command line of ``giftless import directory``."""

    synopsis = (
        "[--config FILE] [--layout NAME] [--database FILE | --list FILE | --from URL...]"
        " [--key FILE] [--rate SIZE] [--jobs NUMBER] [--dry-run] [--json] PATH [REPO]"
    )
    longdesc = (
        "Store the objects of the directory PATH, and verify each.  They go to REPO, or without"
        " it to the repositories that their paths name.  Where all repositories share the"
        " objects, as with Gitea and GitLab, a database, a list or the refs of a git repository"
        " tell which belong where.  Exits with 2 if an object could not be imported."
    )
    optParameters: Any = [
        *ChoosingCommand.optParameters,
        ["layout", None, _AUTO, f"One of {_AUTO}, {', '.join(LAYOUTS)}."],
        ["database", None, None, "The SQLite database of Gitea or Forgejo: import what it has."],
        ["key", None, None, f"A file with the key of rudolfs; or set {_KEY_VARIABLE}."],
    ]
    optFlags: Any = FLAGS

    def parseArgs(self, *arguments: str) -> None:
        """Take the directory and the repository."""
        if not 1 <= len(arguments) <= 2:
            raise usage.UsageError("say which directory, and where it goes: PATH [REPO]")
        self["path"] = arguments[0]
        self.repo = repository(arguments[1]) if arguments[1:] else None

    def postOptions(self) -> None:
        """Check the layout, and what belongs together."""
        super().postOptions()
        if self["layout"] not in (_AUTO, *LAYOUTS):
            raise usage.UsageError(f"--layout is one of {_AUTO}, {', '.join(LAYOUTS)}")
        if self["database"] is not None and (self.repo is not None or self.chooses):
            raise usage.UsageError(
                "--database says where objects belong; leave out REPO, --list and --from"
            )

    async def work(self, environment: Environment) -> None:
        """Import the directory."""
        run, root, named = environment.blocking.run, self["path"], self["layout"]
        # A malformed key is found before anything is looked at.
        opener = Directory(root, environment.blocking, self._key()).open
        layout = await run(detect, root) if named == _AUTO else LAYOUTS[named]
        chosen: Sequence[Assignment] | None = None
        if self["database"] is not None:
            chosen = in_order(await run(_read_database, self["database"]))
        elif self.chooses:
            chosen = await self.chosen(environment)
        if chosen is None:
            offers = partial(offer_all, root, layout, self.repo)
        elif layout.depth == 0:
            offers = partial(offer_some, root, layout, chosen)
        else:
            raise NoSource(
                "the paths in this directory name repositories; to import a part, name the"
                " directory of one"
            )
        notes = partial(_notes, Walk(root, layout), chosen)
        await self.take_in(environment, lambda: in_pages(offers()), opener, notes)

    def _key(self) -> bytes | None:
        """Return the key of an encrypted store; ``None`` if it is not encrypted.

        :raises NoSource: if it cannot be read, or is malformed.
        """
        text, name = os.environ.get(_KEY_VARIABLE, ""), _KEY_VARIABLE
        if self["key"] is not None:
            name = self["key"]
            try:
                with open(name, encoding="ascii") as file:
                    text = file.read(200).strip()
            except OSError as error:
                raise NoSource(f"{name} cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                text = "?"
        elif not text:
            return None
        if not _KEY.fullmatch(text):
            raise NoSource(f"{name} holds no key of rudolfs: 64 hexadecimal digits")
        return bytes.fromhex(text)


def _read_database(path: str) -> list[Assignment]:
    return list(read_gitea(path))


def _notes(walk: Walk, chosen: Sequence[Assignment] | None) -> Sequence[str]:
    """Look once more at the directory, for what was not offered; blocks."""
    others = count_others(walk, chosen or ())
    notes = []
    if chosen is not None and others:
        notes.append(f"{counted(others, 'object')} of the directory belong to nothing chosen.")
    if walk.strays:
        notes.append(f"{counted(walk.strays, 'file')} of the directory are no objects.")
    notes += walk.problems[:_TOLD]
    if len(walk.problems) > _TOLD:
        notes.append(f"{len(walk.problems) - _TOLD:,} more directories cannot be read.")
    return notes
