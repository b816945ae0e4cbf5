"""``giftless ssh-keys``: tell OpenSSH's server whose keys are, as lines of ``authorized_keys``.

With arguments it is an ``AuthorizedKeysCommand`` (sshd_config(5)) and answers for one key
or certificate; without, it lists all keys that the daemon can list, for a file.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from giftless.openssh.command_line import (
    WHERE,
    Option,
    client_address,
    failure,
    parse,
    socket_path,
)
from giftless.openssh.lines import is_certificate, line_of
from giftless.openssh.server import ask

SYNOPSIS: Final = "giftless ssh-keys [OPTIONS] [LOGIN TYPE KEY [CONNECTION]]"

OPTIONS: Final = (
    *WHERE,
    Option("command", "C", "What each line runs in place of 'giftless ssh-serve --socket …'."),
)


def main(typed: Sequence[str]) -> None:
    """Run the command.

    :raises SystemExit: if the daemon cannot be asked, or cannot tell everything.
    """
    options, arguments = parse(typed, SYNOPSIS, OPTIONS)
    if len(arguments) not in (0, 3, 4):
        raise failure("ssh-keys needs no arguments, or %u %t %k [%C] of AuthorizedKeysCommand")
    path = os.path.abspath(socket_path(options, os.environ))
    serve = _words(options.get("command")) or [_giftless(), "ssh-serve", "--socket", path]
    if arguments:
        found, problem = _owner(path, *arguments)
    else:
        found, problem = _all(path)
    for owned in found:
        try:
            print(line_of(serve, *owned))
        except ValueError as error:
            print(f"giftless: left out: {error}", file=sys.stderr)
    if problem:
        raise failure(problem)


def _owner(
    path: str, login: str, kind: str, key: str, connection: str = ""
) -> tuple[Sequence[Sequence[str]], str]:
    """Ask whose one key is.

    :param connection: see :func:`client_address`.
    :returns: user, realm and key, if it is anybody's; and why that cannot be told.
    """
    address = client_address(connection)
    answer = ask(path, {"ask": "owner", "blob": key, "login": login, "address": address}).answer
    user = str(answer.get("user", ""))
    found = [(user, str(answer.get("realm", "")), f"{kind} {key}")] if user else []
    return found, str(answer.get("problem", ""))


def _all(path: str) -> tuple[Sequence[Sequence[str]], str]:
    """Ask for all keys.

    :returns: user, realm and key of each; and why some are missing.
    """
    answer = ask(path, {"ask": "keys"}).answer
    listed: Sequence[Mapping[str, Any]] = answer.get("keys", ())
    found = [(each["user"], each["realm"], each["line"]) for each in listed]
    return [each for each in found if not is_certificate(each[2])], str(answer.get("problem", ""))


def _giftless() -> str:
    """Return what ``giftless`` was called as: sshd knows no other place for it."""
    called = os.path.abspath(sys.argv[0])
    return called if os.path.basename(called) == "giftless" else "giftless"


def _words(command: str | None) -> Sequence[str]:
    """Divide a command into words, as a shell does."""
    try:
        return shlex.split(command or "")
    except ValueError as error:
        raise failure(f"--command: {error}") from None
