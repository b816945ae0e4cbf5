"""``locks: {type: none}``: a server without file locks."""

from __future__ import annotations

import msgspec

from giftless.interfaces import Environment


class NoLocksOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There are none."""


class NoLocksFactory:
    """Builds nothing."""

    Options = NoLocksOptions

    def build(self, options: NoLocksOptions, environment: Environment) -> None:
        """See :meth:`giftless.interfaces.ILockStoreFactory.build`."""
