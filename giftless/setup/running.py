"""Run the checks of the configuration, and make the user of the service."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import Final

from giftless.setup.files import FilesProblem

_GIFTLESS: Final = "from giftless.cli import main; main()"

#: How long making a user may take, in seconds.
_TIMEOUT: Final = 60


def check(config: str, user: str, service: bool) -> bool:
    """Run ``giftless check``, which prints what it finds.

    It is a process of its own, because it becomes another user.

    :param config: the path of the configuration.
    :param user: whom the daemon runs as.
    :param service: whether that is a service, which does not see this process's variables.
    :returns: whether they have ended, and nothing has failed.
    """
    sys.stdout.flush()
    try:
        done = subprocess.run(  # noqa: S603  # no shell, and programs of ours
            [sys.executable, "-c", _GIFTLESS, "check", "--config", config, "--user", user],
            stdin=subprocess.DEVNULL,
            cwd="/",
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath)} if service else None,
            # Ctrl-C at a terminal is for this process, which ends that one.
            start_new_session=True,
        )
    except KeyboardInterrupt:  # everything is written: what comes next is still to be said
        return False
    return done.returncode == 0


def is_user(name: str) -> bool:
    """Whether there is a user of that name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def make_user(name: str, home: str) -> None:
    """Make a user of the system, who can own files and cannot log in.

    :raises FilesProblem: if that is impossible.
    """
    program = next(
        (path for path in ("/usr/sbin/useradd", "/sbin/useradd") if os.access(path, os.X_OK)), None
    )
    if program is None:
        raise FilesProblem(f"make a system user {name}, or give --user: there is no useradd")
    command = [program, "--system", "--user-group", "--no-create-home", "--home-dir", home]
    done = subprocess.run(  # noqa: S603  # no shell, and programs of ours
        [*command, "--shell", "/usr/sbin/nologin", name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise FilesProblem(f"the user {name} cannot be made: {words}")
