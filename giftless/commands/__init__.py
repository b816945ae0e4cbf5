"""The subcommands of ``giftless``, one module each."""

from __future__ import annotations

from twisted.python import usage

from giftless import __version__


class BaseOptions(usage.Options):
    """A command line that knows whose it is."""

    def opt_version(self) -> None:
        """Show the version of giftless and exit."""
        print(f"giftless {__version__}")
        raise SystemExit(0)


class Command(BaseOptions):
    """A subcommand: its options, and what it does with them."""

    def run(self) -> None:
        """Do it.

        :raises CommandError: if that is impossible.
        :raises ConfigError: if the configuration is the reason.
        """
        raise NotImplementedError


class CommandError(Exception):
    """A command cannot do what it is asked to.  The text says why, in one line."""
