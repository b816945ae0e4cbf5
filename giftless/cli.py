"""The ``giftless`` command: what an operator does beside running the daemon.

Each subcommand stands in a module of its own below :mod:`giftless.commands`,
which is imported when the subcommand is used.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final

#: Each subcommand's name, class and purpose.
COMMANDS: Final = (
    ("setup", "giftless.commands.setup.SetupCommand", "Write a configuration, and more."),
    ("token", "giftless.commands.token.TokenCommand", "Make a token for a client."),
    ("htpasswd", "giftless.commands.htpasswd.HtpasswdCommand", "Add a user with a password."),
    ("locks", "giftless.commands.locks.LocksCommand", "List and release file locks."),
    (
        "webhooks",
        "giftless.commands.webhooks.WebhooksCommand",
        "Test and list webhooks, and retry.",
    ),
    ("ls", "giftless.commands.ls.LsCommand", "List stored objects."),
    (
        "catalogue",
        "giftless.commands.catalogue.CatalogueCommand",
        "Let the catalogue agree with the store.",
    ),
    ("usage", "giftless.commands.usage.UsageCommand", "Tell how much is stored, and whose it is."),
    ("rm", "giftless.commands.rm.RmCommand", "Move objects into the trash."),
    ("trash", "giftless.commands.trash.TrashCommand", "List and restore what was deleted."),
    ("repo", "giftless.commands.repo.RepoCommand", "Rename, copy and remove repositories."),
    ("gc", "giftless.commands.gc.command.GcCommand", "Move what no ref leads to into the trash."),
    (
        "doctor",
        "giftless.commands.doctor.command.DoctorCommand",
        "Find out why large files do not go up or come down.",
    ),
    (
        "check",
        "giftless.commands.check.command.CheckCommand",
        "Try whether the server can do its work.",
    ),
    (
        "import",
        "giftless.commands.importing.command.ImportCommand",
        "Take in what another LFS server has.",
    ),
    (
        "rescue",
        "giftless.commands.rescue.RescueCommand",
        "Push back what a server lacks and clones have.",
    ),
    (
        "migrate",
        "giftless.commands.migrate.command.MigrateCommand",
        "Move everything to another storage or database.",
    ),
    ("fsck", "giftless.commands.fsck.command.FsckCommand", "Look whether all is stored well."),
    (
        "keys",
        "giftless.commands.keys.command.KeysCommand",
        "Make, list and rotate the keys of encrypted storage.",
    ),
    (
        "encrypt",
        "giftless.commands.encrypt.EncryptCommand",
        "Encrypt what was stored before the storage was encrypted.",
    ),
    (
        "compress",
        "giftless.commands.compress.CompressCommand",
        "Compress what was stored before the storage compressed.",
    ),
    ("cache", "giftless.commands.cache.CacheCommand", "Fill and empty the cache of objects."),
    ("top", "giftless.commands.top.command.TopCommand", "Show what the server does."),
    ("health", "giftless.commands.health.HealthCommand", "Tell whether the daemon serves."),
)

#: The same of those that somebody waits for: modules with a function ``main``, which
#: import no Twisted.
QUICK_COMMANDS: Final = (
    ("ssh-serve", "giftless.openssh.serve", "Serve a user whom OpenSSH's server has let in."),
    ("ssh-keys", "giftless.openssh.keys", "Tell OpenSSH's server whose keys are."),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    :param arguments: the command line; that of the process if ``None``.
    :raises SystemExit: with one line for stderr and status 1, if it fails.
    """
    typed = sys.argv[1:] if arguments is None else list(arguments)
    for name, target, _ in QUICK_COMMANDS:
        if typed[:1] == [name]:
            importlib.import_module(target).main(typed[1:])
            return
    # It imports Twisted.
    from giftless.commands.command_line import run

    run(typed, COMMANDS, QUICK_COMMANDS)
