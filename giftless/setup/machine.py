"""Look at this machine: where files belong, and who runs the daemon."""

from __future__ import annotations

import os
import pwd
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from giftless.setup.answers import SERVICE_DATA
from giftless.setup.asking import AskingProblem
from giftless.setup.files import read
from giftless.setup.plan import Layout
from giftless.setup.units import DROP_IN, UNIT, UNIT_USER, user_of
from giftless.setup.values import ServicePath

#: Where an operator's units are, and where those of packages are.
_UNITS: Final = "/etc/systemd/system"
_PACKAGED: Final = ("/usr/lib/systemd/system", "/lib/systemd/system")

#: Is there if systemd runs the machine (sd_booted(3)).
_BOOTED: Final = "/run/systemd/system"

#: The options that are no answers to questions.
OPTIONS: Final = ("config", "units", "user")

#: Asks for no units.
NO_UNITS: Final = "none"


def layout(given: Mapping[str, str | None], environ: Mapping[str, str], root: bool) -> Layout:
    """Decide where things are.

    :param given: what the command line says, by the names of options.
    :param root: whether this process may do everything.
    """
    home = environ.get("HOME") or "/"
    folder = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    folder = "/etc/giftless" if root else os.path.join(folder, "giftless")
    config = given.get("config") or environ.get("GIFTLESS_CONFIG")
    config = os.path.abspath(config or os.path.join(folder, "giftless.yaml"))
    if not config.isprintable():
        raise AskingProblem("--config: allowed is a path of printable characters")
    units = given.get("units")
    if units is None:
        units = _UNITS if root and os.path.isdir(_BOOTED) else NO_UNITS
    units = "" if units == NO_UNITS else os.path.abspath(units)
    if units:
        try:
            ServicePath().parse(config)
        except ValueError as error:
            raise AskingProblem(f"--config: {error}") from None
    user = given.get("user") or (_present_user(units) if root and units else own_name())
    if user == str(os.geteuid()):
        user = own_name()
    if not root and user != own_name():
        raise AskingProblem("--user: only root can have the daemon run as somebody else")
    return Layout(config, units, _unit() if units else "", user, os.path.dirname(sys.executable))


def data_folder(environ: Mapping[str, str], root: bool) -> str:
    """Return the directory of the daemon's data."""
    if root:
        return SERVICE_DATA
    home = environ.get("HOME") or "/"
    share = environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return os.path.join(share, "giftless")


def own_name() -> str:
    """Return the name of the user who runs this; the number, if there is no name."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # as in a container
        return str(uid)


def _present_user(units: str) -> str:
    """Return whom the service runs as; giftless's own user if nothing says."""
    drop_in = read(os.path.join(units, DROP_IN)) or b""
    return user_of(drop_in.decode(errors="replace")) or UNIT_USER


def _unit() -> str:
    """Return giftless's own unit; empty if a package has installed it."""
    if any(os.path.exists(os.path.join(folder, UNIT)) for folder in _PACKAGED):
        return ""
    path = Path(sysconfig.get_path("data"), "share", "giftless", "systemd", UNIT)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise AskingProblem(f"--units: {path} cannot be read: {error.strerror}") from None
