"""Keep files of the daemon from everybody who is neither its user nor of its group."""

from __future__ import annotations

import os
from typing import Final

#: What no file that a process of ours makes may have: anything for others, and
#: writing for the group.
UMASK: Final = 0o027


def limit_modes() -> None:
    """Let files that this process makes be 0640 at most, and directories 0750."""
    os.umask(os.umask(UMASK) | UMASK)
