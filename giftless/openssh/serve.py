"""``giftless ssh-serve USER``: serve a user whom OpenSSH's server has let in.

It stands behind ``command="…"`` of an ``authorized_keys`` line, or in a script of a forge
or of gitolite.  What the user wants comes in ``SSH_ORIGINAL_COMMAND``; the daemon decides
about all of it.
"""

from __future__ import annotations

import os
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
from giftless.openssh.relay import relay, write
from giftless.openssh.server import ask

#: The realm of ``auth: {type: basic}``.
DEFAULT_REALM: Final = "basic"

OPTIONS: Final = (
    *WHERE,
    Option("realm", "r", f"Whose user USER is, if not those of {DEFAULT_REALM}."),
)


def main(typed: Sequence[str]) -> None:
    """Run the command.

    :raises SystemExit: with the status that the session has.
    """
    options, arguments = parse(typed, "giftless ssh-serve [OPTIONS] USER", OPTIONS)
    if len(arguments) != 1 or not arguments[0]:
        raise failure("ssh-serve needs one argument: the user")
    question = {
        "ask": "session",
        "user": _text(arguments[0], "the user's name"),
        "realm": _text(options.get("realm") or DEFAULT_REALM, "the realm"),
        "command": _text(os.environ.get("SSH_ORIGINAL_COMMAND", ""), "the command"),
        "address": client_address(os.environ.get("SSH_CONNECTION", "")),
    }
    answered = ask(socket_path(options, os.environ), question)
    try:
        if answered.answer.get("open"):
            relay(answered.connection, answered.begun)
            raise SystemExit(0)
        _tell(answered.answer)
    except OSError as error:
        raise failure(f"the session is cut: {error.strerror}") from None


def _tell(answer: Mapping[str, Any]) -> None:
    """Write what the daemon says, and end as it says.

    :raises SystemExit: always.
    """
    # Whatever a terminal or a client is: the daemon speaks UTF-8.
    write(1, str(answer.get("stdout", "")).encode())
    if words := str(answer.get("stderr", "")):
        write(2, words.encode() if words.endswith("\n") else f"{words}\n".encode())
    raise SystemExit(int(answer.get("status", 0)))


def _text(value: str, what: str) -> str:
    """Check that bytes of the command line or the environment are UTF-8.

    :raises SystemExit: if they are not.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise failure(f"{what} is not UTF-8") from None
    return value
