"""How fast a command works: the options ``--jobs`` and ``--rate``."""

from __future__ import annotations

from typing import Any, Final

from twisted.python import usage

from giftless.base.units import Size

#: The most objects that are worked on at once.
MOST_JOBS: Final = 64


def read_amounts(options: dict[str, Any]) -> None:
    """Check ``jobs``, and make ``rate`` a number of bytes each second, if it is given.

    :raises UsageError: if one of them is not allowed.
    """
    if not 1 <= options["jobs"] <= MOST_JOBS:
        raise usage.UsageError(f"--jobs is from 1 to {MOST_JOBS}")
    if options["rate"] is not None:
        try:
            options["rate"] = Size.of(options["rate"])
        except ValueError as error:
            raise usage.UsageError(f"--rate: {error}") from None
        if not options["rate"]:
            raise usage.UsageError("--rate must be more than 0")
