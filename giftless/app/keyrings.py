"""From the ``ssh`` section to what knows whose keys are."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.auth.keys.keyrings import Keyrings, check_keyrings
from giftless.interfaces import IAuthenticator, IKeyringFactory


def build_keyrings(
    options: Config, parts: PartBuilder, authenticators: Sequence[IAuthenticator]
) -> Keyrings:
    """Build the keyrings of a configuration.

    :param authenticators: the server's own, as they were built.
    :raises ConfigError: if the configuration cannot be used.
    """
    keyrings = [
        parts.build(IKeyringFactory, section, f"ssh.keys.{index}")
        for index, section in enumerate(options.ssh.keys)
    ]
    check_keyrings(keyrings, authenticators)
    return Keyrings(keyrings)
