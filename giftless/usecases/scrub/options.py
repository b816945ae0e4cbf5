"""The ``scrub`` section: whether and how fast everything that is stored is read again."""

from __future__ import annotations

from typing import Final

import msgspec

from giftless.base.units import Duration, Size
from giftless.errors import ConfigError

#: The shortest period, in seconds.
SHORTEST: Final = 60.0


class ScrubOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``scrub`` section.

    :ivar period: in which time every object is examined once; ``None`` for never.
    :ivar rate: how many bytes are read in a second at most.
    :ivar quarantine: whether an object with wrong bytes is marked as damaged.
    """

    period: Duration | None = None
    rate: Size = Size(50_000_000)
    quarantine: bool = False

    def check(self) -> None:
        """Check what types cannot say.

        :raises ConfigError: if a value cannot work.
        """
        if self.period is not None and self.period < SHORTEST:
            raise ConfigError(
                "scrub.period",
                f"found {self.period:g} seconds, allowed is a minute or more, or null for never",
            )
        if not self.rate:
            raise ConfigError("scrub.rate", "found 0, allowed is a byte or more each second")
