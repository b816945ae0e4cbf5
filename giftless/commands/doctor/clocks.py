"""Does this machine's clock agree with the server's?"""

from __future__ import annotations

from typing import Final

from giftless.commands.doctor.reaching import Add
from giftless.commands.doctor.session import Session
from giftless.commands.findings import failed, ok, skipped, warning
from giftless.commands.units import span

#: From how many seconds on a difference is told, and from how many things break.
_NOTED: Final = 30.0
_BROKEN: Final = 300.0

_USER: Final = "compare this machine's clock with another one, and let it be set by itself:"
_HOW: Final = f"{_USER} timedatectl set-ntp true"


def look_at_clock(session: Session, add: Add) -> None:
    """Compare the clocks, by the dates of all answers up to now."""
    if not session.samples:
        add(skipped("clock", "the server tells no date"))
        return
    sample = max(session.samples, key=lambda each: abs(each.ahead))
    off = abs(sample.ahead)
    if off <= _NOTED:
        add(ok("clock", f"this machine's clock and that of {sample.host} agree"))
        return
    side = "ahead of" if sample.ahead > 0 else "behind"
    found = f"this machine's clock is {span(off)} {side} that of {sample.host}"
    operator = "do the same on the server, if its clock is the wrong one"
    if off < _BROKEN:
        add(warning("clock", found, user=_HOW, operator=operator))
        return
    broken = (
        "fresh permissions look expired, and are asked for again and again"
        if sample.ahead > 0
        else "tokens are not good yet, or seem to be good for longer than they are"
    )
    add(failed("clock", f"{found}: {broken}", user=_HOW, operator=operator))
