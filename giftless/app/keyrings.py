"""From the ``ssh`` section to what knows whose keys are."""

from __future__ import annotations

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.auth.keys.keyrings import Keyrings, check_keyrings
from giftless.interfaces import IKeyringFactory


def build_keyrings(options: Config, parts: PartBuilder) -> Keyrings:
    """Build the keyrings of a configuration.

    :param parts: has built the authenticators, at any depth.
    :raises ConfigError: if the configuration cannot be used.
    """
    keyrings = [
        parts.build(IKeyringFactory, section, f"ssh.keys.{index}")
        for index, section in enumerate(options.ssh.keys)
    ]
    check_keyrings(keyrings, parts.built.values())
    return Keyrings(keyrings)
