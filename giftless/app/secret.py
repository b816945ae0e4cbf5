"""The daemon's secret: given by the operator, or made once and kept.

There is no default value.  Several processes may start at once and still
agree, because the file appears whole and is never replaced.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

from giftless.base.files import create_private_file, read_file
from giftless.base.showing import file_name
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
    path = os.path.join(state_dir, "secret")
    try:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        if not os.path.exists(path):
            create_private_file(path, secrets.token_hex(MIN_BYTES).encode() + b"\n")
    except OSError as error:
        raise ConfigError(
            "state_dir",
            f"{file_name(state_dir)}cannot be used: {error.strerror};"
            " give a directory that the daemon may write to",
        ) from None
    return _long_enough(read_file(path, "state_dir").strip(), "state_dir")


def _long_enough(secret: bytes, key: str) -> bytes:
    if len(secret) < MIN_BYTES:
        raise ConfigError(key, f"the secret has {len(secret)} bytes, but needs {MIN_BYTES} or more")
    return secret
