"""Run a script at the terminal that is its stdin, in a session of its own, as a login does.

A script that ``tests/support/commands.py`` starts.  Its arguments are another script and the
arguments of that.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import sys
import termios

if __name__ == "__main__":
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
