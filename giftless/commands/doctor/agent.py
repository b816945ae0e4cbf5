"""Is the transfer agent there that git-lfs is told to start, and would one help?"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from giftless.client.errors import ServerError
from giftless.commands.doctor.reaching import Add
from giftless.commands.doctor.session import Session
from giftless.commands.findings import failed, ok, skipped, warning
from giftless.commands.units import size
from giftless.lfs.objects import Operation

#: The setting of git that names the agent's program, and what git-lfs then offers.
PATH: Final = "lfs.customtransfer.giftless.path"
TRANSFER: Final = "giftless"

#: How long the agent may take to tell its version, in seconds.
_TIMEOUT: Final = 60

_INSTALL: Final = "giftless-transfer-agent install"


async def look_at_agent(session: Session, add: Add) -> None:
    """Try to start the agent, and ask the server whether it would be used."""
    program = session.clone.setting(PATH)
    helps = await _helps(session)
    if program is None:
        if helps:
            assert session.largest is not None, "it was asked for"
            add(
                warning(
                    "agent",
                    "the transfer agent is not installed: files as large as yours"
                    f" ({size(session.largest[1])}) go in one piece and begin again if the"
                    " connection breaks",
                    user=f"install it: pipx install giftless --include-deps, then {_INSTALL}",
                )
            )
        else:
            add(ok("agent", "the transfer agent is not installed, and would not be used here"))
        return
    problem = await session.blocking.run(_try, program)
    if problem:
        add(
            failed(
                "agent",
                f"git-lfs is told to start the transfer agent {program}, which {problem}: every"
                " push that the server wants it for fails",
                user=f"install it again ({_INSTALL}), or take the setting out: git config --global"
                " --remove-section lfs.customtransfer.giftless",
            )
        )
    elif helps:
        add(ok("agent", f"the transfer agent {program} starts, and the server uses it"))
    elif helps is None:
        add(ok("agent", f"the transfer agent {program} starts"))
    else:
        add(
            skipped(
                "agent", f"the transfer agent {program} starts, but nothing here is large enough"
            )
        )


async def _helps(session: Session) -> bool | None:
    """Ask whether the server would choose the agent for the largest object.

    :returns: ``None`` if there is no object to ask for.
    """
    if session.largest is None:
        return None
    oid, length = session.largest
    try:
        reply = await session.batch(Operation.DOWNLOAD, {oid: length}, (TRANSFER, "basic"))
    except ServerError:
        return None
    return reply.transfer == TRANSFER


def _try(program: str) -> str:
    """Start a program; blocks.

    :returns: what is wrong with it; empty if nothing is.
    """
    found = shutil.which(os.path.expanduser(program))
    if found is None:
        return "is not there" if not os.path.exists(program) else "cannot be run"
    try:
        done = subprocess.run(  # noqa: S603
            [found, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not start ({type(error).__name__})"
    return "" if done.returncode == 0 else f"ends with status {done.returncode}"
