"""The subcommands of ``giftless``, one module each."""

from __future__ import annotations

import getopt
import os
import pwd
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.python.reflect import namedAny
from twisted.python.usage import Options, UsageError

from giftless import __version__

#: The option of commands that read the daemon's configuration.
CONFIG: Final = ["config", "c", None, "The daemon's configuration file; or set GIFTLESS_CONFIG."]


class BaseOptions(Options):
    """A command line with ``--version``."""

    def opt_version(self) -> None:
        """Show the version of giftless and exit."""
        print(f"giftless {__version__}")
        raise SystemExit(0)


class Command(BaseOptions):
    """A subcommand: its options, and the method that runs it.

    Options may stand behind the arguments, unless it has subcommands itself.
    """

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """See :meth:`twisted.python.usage.Options.parseOptions`."""
        typed = list(sys.argv[1:] if options is None else options)
        known: Any = self
        if not hasattr(self, "subCommands"):
            typed = _options_first(typed, known.shortOpt, known.longOpt)
        super().parseOptions(typed)

    def run(self) -> None:
        """Run the subcommand.

        :raises CommandError: if that is impossible.
        :raises ConfigError: if the configuration is the reason.
        """
        raise NotImplementedError


class CommandError(Exception):
    """A command fails; the text says why, in one line."""


def lazily(target: str) -> Callable[[], Command]:
    """Return what makes a command, whose module is imported only then.

    :param target: the dotted name of its class.
    """

    def make() -> Command:
        command: Command = namedAny(target)()
        return command

    return make


def _options_first(typed: list[str], short: str, long: list[str]) -> list[str]:
    """Put options in front of arguments.

    :raises UsageError: if there is an unknown one: Twisted would take it for an argument.
    """
    try:
        options, arguments = getopt.gnu_getopt(typed, short, long)
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None
    first: list[str] = []
    for name, value in options:
        takes_value = f"{name[2:]}=" in long if name.startswith("--") else f"{name[1:]}:" in short
        first += [name, value] if takes_value else [name]
    return [*first, "--", *arguments]


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
