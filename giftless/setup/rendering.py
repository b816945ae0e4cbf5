"""Write a new configuration: only what matters, with comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from giftless.setup.yaml_text import in_block

_HEAD: Final = """\
# The configuration of giftless, as "giftless setup" has written it.
#
# Change it here, or run "giftless setup" again: it keeps whatever it does not ask for.
# Every other key has a default that is good for most; the reference explains all of them
# (docs/configuration.rst, and share/giftless/giftless.yaml where giftless is installed).
# Check an edited file before a reload:
#
#     giftless check --config FILE
"""

#: What is said in front of each key.
_COMMENTS: Final[Mapping[str, str]] = {
    "endpoints": "Where giftless listens.",
    "public_url": "What clients are told as the server's address.",
    "trusted_proxies": "Whose X-Forwarded-* headers are believed: the proxy's.",
    "storage": "Where objects are kept.",
    "auth": "Who may do what: asked in this order. Whoever shows no credential is the last.",
    "state_dir": "The daemon's own state: its secret, locks, and what is known of objects.",
    "workers": "How many processes serve. More of them need a higher MemoryMax= in the unit.",
}


def new_text(keys: Mapping[str, Any]) -> str:
    """Write a configuration.

    :param keys: its keys; those that are empty are left out.
    """
    return _HEAD + "".join(
        f"\n{commented(key, value)}" for key, value in keys.items() if value not in ("", [])
    )


def commented(key: str, value: Any) -> str:
    """Write one key, with a comment in front of it."""
    return f"# {_COMMENTS[key]}\n{in_block(key, value)}"
