"""``catalogue: {type: none}``: a server that knows of objects what its store knows."""

from __future__ import annotations

import msgspec

from giftless.interfaces import Environment


class NoCatalogueOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There are none."""


class NoCatalogueFactory:
    """Builds nothing."""

    Options = NoCatalogueOptions

    def build(self, options: NoCatalogueOptions, environment: Environment) -> None:
        """See :meth:`giftless.interfaces.ICatalogueFactory.build`."""
