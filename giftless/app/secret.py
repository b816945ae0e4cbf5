"""The daemon's secret: given by the operator, or made once and kept.

There is no default value.  Several processes may start at once and still
agree, because the file appears whole and is never replaced.
"""

from __future__ import annotations

import secrets
from typing import Final

from giftless.base.files import ensure_private_file, read_file
from giftless.errors import ConfigError

#: The least that a secret must have, in bytes.
MIN_BYTES: Final = 32


def load_secret(secret: str | None, secret_file: str | None, state_dir: str) -> bytes:
    """Return the secret, from wherever the configuration says.  Blocks.

    :param secret: the secret itself, from the environment.
    :param secret_file: a file that holds it.
    :param state_dir: where it is kept if neither is given; made if missing.
    :raises ConfigError: if it cannot be read, made, or is too short.
    """
    if secret is not None:
        return _long_enough(secret.encode(), "secret")
    if secret_file is not None:
        return _long_enough(read_file(secret_file, "secret_file").strip(), "secret_file")
    path = ensure_private_file(state_dir, "secret", _make_secret)
    return _long_enough(read_file(path, "state_dir").strip(), "state_dir")


def _make_secret() -> bytes:
    return secrets.token_hex(MIN_BYTES).encode() + b"\n"


def _long_enough(secret: bytes, key: str) -> bytes:
    if len(secret) < MIN_BYTES:
        raise ConfigError(key, f"the secret has {len(secret)} bytes, but needs {MIN_BYTES} or more")
    return secret
