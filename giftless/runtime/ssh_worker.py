"""The program that becomes a process which serves SSH."""

from __future__ import annotations

import sys

from giftless.runtime import lean


def main() -> int:
    """Serve until the parent says otherwise.

    :returns: the exit status.
    """
    lean.import_twisted()
    # Not before: it imports Twisted.
    from giftless.runtime.ssh_process import work

    return work()


if __name__ == "__main__":
    sys.exit(main())
