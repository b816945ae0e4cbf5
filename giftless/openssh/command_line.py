"""The options of the commands that OpenSSH runs, and where the daemon's socket is."""

from __future__ import annotations

import getopt
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from giftless import __version__

#: The variables that say what the daemon's configuration may say, too.
_SOCKET: Final = "GIFTLESS_SSH__SOCKET"
_STATE_DIR: Final = "GIFTLESS_STATE_DIR"
_CONFIG: Final = "GIFTLESS_CONFIG"

#: The daemon's own directory, unless its configuration says another.
DEFAULT_STATE_DIR: Final = "giftless-state"

#: The socket's name in that directory.
SOCKET_NAME: Final = "ssh.sock"

#: What an IP address consists of.
_OF_ADDRESS: Final = frozenset("0123456789abcdefABCDEF.:")


class Option(NamedTuple):
    """An option that takes a value.

    :ivar name: the name, without its hyphens.
    :ivar letter: the short name.
    :ivar purpose: what it is for.
    """

    name: str
    letter: str
    purpose: str


#: The options that tell where the socket is.
WHERE: Final = (
    Option("socket", "s", "The daemon's Unix socket (ssh.socket of its configuration)."),
    Option(
        "config", "c", "The daemon's configuration file, which tells it; or set GIFTLESS_CONFIG."
    ),
)


class Parsed(NamedTuple):
    """A command line that was read.

    :ivar options: the values of options, by their names.
    """

    options: Mapping[str, str]
    arguments: Sequence[str]


def failure(message: str) -> SystemExit:
    """Return what ends the process with one line on stderr and status 1."""
    return SystemExit(f"giftless: {message}")


def parse(typed: Sequence[str], synopsis: str, options: Sequence[Option]) -> Parsed:
    """Read a command line.

    :param synopsis: how it is written, after "Usage: ".
    :raises SystemExit: if it is wrong, or asks for the help or the version.
    """
    long = ["help", "version", *(f"{option.name}=" for option in options)]
    short = "h" + "".join(f"{option.letter}:" for option in options)
    try:
        given, arguments = getopt.gnu_getopt(list(typed), short, long)
    except getopt.GetoptError as error:
        raise failure(str(error)) from None
    names = {f"-{option.letter}": option.name for option in options}
    values = {}
    for name, value in given:
        if name in ("-h", "--help"):
            print(f"Usage: {synopsis}\nOptions:")
            for option in options:
                print(f"  -{option.letter}, --{option.name}=  {option.purpose}")
            raise SystemExit(0)
        if name == "--version":
            print(f"giftless {__version__}")
            raise SystemExit(0)
        values[names.get(name, name[2:])] = value
    return Parsed(values, arguments)


def socket_path(options: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Return where the daemon's Unix socket is.

    The environment counts more than the configuration file, as it does for the daemon.

    :param options: the values of :data:`WHERE`, as far as they are given.
    :raises SystemExit: if the configuration file cannot be read.
    """
    if named := options.get("socket") or environ.get(_SOCKET):
        return named
    file = options.get("config") or environ.get(_CONFIG)
    settings = _settings(file) if file else {}
    ssh = settings.get("ssh")
    if isinstance(ssh, dict) and (named := ssh.get("socket")):
        return str(named)
    directory = environ.get(_STATE_DIR) or settings.get("state_dir") or DEFAULT_STATE_DIR
    return os.path.join(str(directory), SOCKET_NAME)


def client_address(connection: str) -> str:
    """Return where a client comes from; empty if that is unknown.

    :param connection: what sshd says of the connection: the client's address comes first.
    """
    address = connection.partition(" ")[0].partition("%")[0]
    return address if _OF_ADDRESS.issuperset(address) else ""


def _settings(file: str) -> dict[Any, Any]:
    """Read the daemon's configuration, without judging it."""
    # A third of the time of a start; whoever names the socket does without.
    from giftless.base.safe_yaml import load_yaml

    try:
        with open(file, encoding="utf-8") as stream:
            settings = load_yaml(stream)
    except OSError as error:
        raise failure(f"{file} cannot be read: {error.strerror}; give --socket instead") from None
    except ValueError as error:
        raise failure(f"{file} is not valid YAML: {error}") from None
    return settings if isinstance(settings, dict) else {}
