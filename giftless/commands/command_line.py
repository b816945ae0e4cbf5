"""The command line of ``giftless``, as Twisted reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Never

from twisted.python import usage

from giftless.commands import BaseOptions, CommandError, lazily
from giftless.errors import ConfigError


class Options(BaseOptions):
    """The command line of ``giftless``.

    :param commands: the name, the dotted name of the class, and the purpose of each command.
    :param quick: the same of those that :mod:`giftless.cli` runs without Twisted, if their
        name is the first word.
    """

    longdesc = "The daemon itself is started by: twistd giftless"

    def __init__(
        self,
        commands: Sequence[tuple[str, str, str]],
        quick: Sequence[tuple[str, str, str]],
    ) -> None:
        self._names = [name for name, _, _ in (*commands, *quick)]
        # Per instance, since each loads the command's module when it is called.
        self.subCommands = [
            *([name, None, lazily(target), purpose] for name, target, purpose in commands),
            *([name, None, _not_first(name), purpose] for name, _, purpose in quick),
        ]
        super().__init__()

    def getSynopsis(self) -> str:
        """Say how the command, or the beginning of a subcommand, is written."""
        return "Usage: giftless" if self.subCommand else "Usage: giftless COMMAND [OPTIONS]"

    def postOptions(self) -> None:
        """Insist on a command."""
        if self.subCommand is None:
            names = ", ".join(self._names)
            raise usage.UsageError(f"which command? There are: {names} (see --help)")


def _not_first(name: str) -> Callable[[], Never]:
    """Return what refuses a command that must be the first word."""

    def refuse() -> Never:
        raise usage.UsageError(f"write: giftless {name}, and its options behind that")

    return refuse


def run(
    typed: Sequence[str],
    commands: Sequence[tuple[str, str, str]],
    quick: Sequence[tuple[str, str, str]],
) -> None:
    """Run a command; see :class:`Options`.

    :param typed: the command line.
    :raises SystemExit: with one line for stderr and status 1, if it fails.
    """
    options = Options(commands, quick)
    try:
        options.parseOptions(list(typed))
        options.subOptions.run()
    except (usage.UsageError, CommandError, ConfigError) as error:
        raise SystemExit(f"giftless: {error}") from None
