"""``giftless import``: the command whose subcommands know other servers, one each."""

from __future__ import annotations

from typing import Any

from giftless.commands import lazily
from giftless.commands.object_commands import GroupCommand

_HERE = "giftless.commands.importing"


class ImportCommand(GroupCommand):
    """The command line of ``giftless import``."""

    longdesc = (
        "Nothing changes where the objects come from.  The daemon may run meanwhile, and what"
        " is here already is left alone: run it again to take in what has come since."
    )
    subCommands: Any = [
        [
            "server",
            None,
            lazily(f"{_HERE}.server.ImportServer"),
            "Import what an LFS server has, over the network.",
        ],
        [
            "directory",
            None,
            lazily(f"{_HERE}.directory.ImportDirectory"),
            "Import the directory of a server.",
        ],
        [
            "database",
            None,
            lazily(f"{_HERE}.database.ImportDatabase"),
            "Import what the database of lfs-test-server knows.",
        ],
        [
            "config",
            None,
            lazily(f"{_HERE}.configuration.ImportConfig"),
            "Translate a configuration of the Flask giftless.",
        ],
    ]
