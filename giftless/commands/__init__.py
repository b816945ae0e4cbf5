"""The subcommands of ``giftless``, one module each."""

from __future__ import annotations

from twisted.python import usage

from giftless import __version__


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
