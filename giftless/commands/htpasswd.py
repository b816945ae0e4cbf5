"""``giftless htpasswd``: add a user, or change a user's password."""

from __future__ import annotations

import getpass
import sys

from twisted.python import usage

from giftless.auth.passwords.htpasswd import hash_password, set_user
from giftless.base.watched_file import FileProblem
from giftless.commands import Command, CommandError


class HtpasswdCommand(Command):
    """The command line of ``giftless htpasswd``."""

    synopsis = "[--stdin] FILE USER"
    longdesc = (
        "Add USER to FILE, for an authenticator of type basic, or replace the user's password."
        " It is asked for twice and kept as a bcrypt hash. FILE is made if it is missing,"
        " readable for its owner only; a running daemon notices the change within a second."
    )
    optFlags = [["stdin", "i", "Read the password from standard input: its first line."]]

    def parseArgs(self, *arguments: str) -> None:
        """Take the file and the user."""
        if len(arguments) != 2:
            raise usage.UsageError("give the file and the user: giftless htpasswd FILE USER")
        self["file"], self["user"] = arguments

    def run(self) -> None:
        """Change the file, and say how."""
        password = _first_line() if self["stdin"] else _ask()
        try:
            present = set_user(self["file"], self["user"], hash_password(password))
        except (ValueError, FileProblem) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{self['file']!r} cannot be changed: {error.strerror}") from None
        print(f"{'changed' if present else 'added'} {self['user']}")


def _first_line() -> str:
    return sys.stdin.readline().removesuffix("\n")


def _ask() -> str:
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise CommandError("the passwords are not the same")
    return password
