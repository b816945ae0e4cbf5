"""The subcommands of ``giftless``, one module each."""

from __future__ import annotations

import os
import pwd
from typing import Final

from twisted.python import usage

from giftless import __version__

#: The option of commands that read the daemon's configuration.
CONFIG: Final = ["config", "c", None, "The daemon's configuration file; or set GIFTLESS_CONFIG."]


class BaseOptions(usage.Options):
    """A command line with ``--version``."""

    def opt_version(self) -> None:
        """Show the version of giftless and exit."""
        print(f"giftless {__version__}")
        raise SystemExit(0)


class Command(BaseOptions):
    """A subcommand: its options, and the method that runs it."""

    def run(self) -> None:
        """Run the subcommand.

        :raises CommandError: if that is impossible.
        :raises ConfigError: if the configuration is the reason.
        """
        raise NotImplementedError


class CommandError(Exception):
    """A command fails; the text says why, in one line."""


def who(command: str) -> str:
    """Return the name by which observers know who has typed a command.

    :param command: such as ``giftless locks``.
    """
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # as in a container
        user = str(uid)
    return f"{command} ({user})"
