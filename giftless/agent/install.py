"""The commands for users: ``giftless-transfer-agent install`` and ``uninstall``."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from giftless import __version__

NAME: Final = "giftless-transfer-agent"

#: The section of git's configuration that makes git-lfs offer the transfer.
SECTION: Final = "lfs.customtransfer.giftless"

_DESCRIPTION: Final = (
    "Transfers large files of Git LFS in parts. git-lfs starts it without arguments"
    " once it is installed."
)


def run(arguments: Sequence[str]) -> None:
    """Do what the command line says.

    :raises SystemExit: with a line for stderr and status 1, if it fails.
    """
    options = _parser().parse_args(arguments)
    if options.command == "install":
        install(options.scope, command())
    else:
        uninstall(options.scope)


def install(scope: str, path: str) -> None:
    """Write the two settings.

    :param scope: ``local``, ``global`` or ``system``.
    :param path: the agent's.
    """
    for name, value in (("path", path), ("concurrent", "true")):
        done = _config(scope, f"{SECTION}.{name}", value)
        if done.returncode:
            raise SystemExit(f"{NAME}: {done.stderr.strip()}")
    print(f"git-lfs now offers servers to transfer with {path}")


def uninstall(scope: str) -> None:
    """Remove them, and whatever else is in their section."""
    if _config(scope, "--get-regexp", f"^{re.escape(SECTION)}[.]").returncode:
        print(f"it is not installed: the {scope} configuration of git does not name it")
        return
    done = _config(scope, "--remove-section", SECTION)
    if done.returncode:
        raise SystemExit(f"{NAME}: {done.stderr.strip()}")
    print("git-lfs no longer offers it")


def command() -> str:
    """Return the absolute path of this command.

    Programs that run git do not always have the user's PATH.  A link to the
    command is kept as it is: what it leads to may move with an upgrade.

    :raises SystemExit: if it was not started as a command.
    """
    found = shutil.which(sys.argv[0])
    if found is None or os.path.basename(found) != NAME:
        raise SystemExit(f"{NAME}: cannot tell where the command is; start it by its path")
    return os.path.abspath(found)


def _config(scope: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            ["git", "config", f"--{scope}", *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise SystemExit(f"{NAME}: git is not installed, or not in PATH") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=NAME, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in (
        ("install", "let git-lfs offer servers this way of transfer"),
        ("uninstall", "let it do so no longer"),
    ):
        chosen = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        scopes = chosen.add_mutually_exclusive_group()
        for scope, whose in (
            ("global", "in all repositories of this user (the default)"),
            ("local", "in the repository of the current folder"),
            ("system", "for all users of this computer"),
        ):
            scopes.add_argument(
                f"--{scope}", dest="scope", action="store_const", const=scope, help=whose
            )
        chosen.set_defaults(scope="global")
    return parser
