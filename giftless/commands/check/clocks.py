"""Compare this machine's clock with those of the stores that judge signatures by theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from giftless.commands.findings import Finding, failed, ok, skipped, warning
from giftless.commands.units import span
from giftless.errors import LFSError
from giftless.interfaces import IDated, WallClock

#: By how many seconds clocks may differ, and from when on stores refuse what is signed.
_SKEW: Final = 30.0
_REFUSED: Final = 15 * 60.0

_CLOCK: Final = "let this machine take the time from a server (chrony, systemd-timesyncd)"


async def look_at_stores(parts: Mapping[str, object], clock: WallClock) -> list[Finding]:
    """Ask the stores among the parts of a configuration for the time.

    :param parts: by the dotted paths of their sections.
    :param clock: this machine's.
    """
    return [
        await _look_at_store(path, part, clock)
        for path, part in parts.items()
        if IDated.providedBy(part)
    ]


async def _look_at_store(path: str, store: IDated, clock: WallClock) -> Finding:
    began = clock()
    try:
        told = await store.time()
    except LFSError as error:
        return skipped("time", f"{path} does not say what time it is: {error.message}")
    # A date has whole seconds, and the answer was on its way for a while.
    ended = clock()
    differs = max(began - told - 1, told - ended, 0.0)
    which = "behind" if told > ended else "ahead of"
    found = f"this machine's clock is {span(differs)} {which} that of {path}"
    if differs >= _REFUSED:
        return failed("time", f"{found}, which refuses all that is signed", operator=_CLOCK)
    if differs > _SKEW:
        return warning("time", f"{found}: what is signed expires at wrong times", operator=_CLOCK)
    return ok("time", f"this machine's clock agrees with that of {path}")
