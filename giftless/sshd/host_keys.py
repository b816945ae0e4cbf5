"""The keys by which clients know the server: read, or made once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.conch.ssh.keys import EncryptedKeyError, Key

from giftless.base.files import ensure_private_file, read_file
from giftless.base.showing import file_name
from giftless.errors import ConfigError
from giftless.sshd.algorithms import HOST_SIGNATURES
from giftless.sshd.public_keys import MIN_RSA, fingerprint

#: The name of the key in the state directory that is made if no other is given.
MADE: Final = "ssh_host_ed25519_key"


class HostKeys:
    """The host keys, one of each kind.

    :param keys: private keys by their kinds; at least one.
    """

    def __init__(self, keys: Mapping[bytes, Key]) -> None:
        self.private = dict(keys)
        self.public = {kind: key.public() for kind, key in keys.items()}

    @property
    def signatures(self) -> list[bytes]:
        """The names of the signatures that they can make, best first."""
        return [name for kind in self.private for name in HOST_SIGNATURES[kind]]

    @property
    def fingerprints(self) -> list[str]:
        """What users are asked to compare when they connect for the first time."""
        return [f"{kind.decode()} {fingerprint(key.blob())}" for kind, key in self.public.items()]


def load_host_keys(files: Sequence[str], state_dir: str) -> HostKeys:
    """Read the host keys, or make one.  Blocks.

    :param files: the files that the configuration names.
    :param state_dir: where the key is if there are none; made if missing.
    :raises ConfigError: if one cannot be read or made, or is unsuitable.
    """
    named = {f"ssh.host_keys.{index}": file for index, file in enumerate(files)}
    if not named:
        named["state_dir"] = ensure_private_file(state_dir, MADE, _make_key)
    keys: dict[bytes, Key] = {}
    for path, file in named.items():
        key = _read(path, file)
        kind = key.sshType()
        if kind in keys:
            raise ConfigError(path, f"{file_name(file)}is another key of the kind {kind.decode()}")
        keys[kind] = key
    # In the order in which they are best, whatever the configuration says.
    return HostKeys({kind: keys[kind] for kind in HOST_SIGNATURES if kind in keys})


def _read(path: str, file: str) -> Key:
    text = read_file(file, path)
    key: Key | None
    try:
        key = Key.fromString(text)
    except EncryptedKeyError:
        raise ConfigError(path, f"{file_name(file)}has a passphrase; give a key without") from None
    except Exception:
        # Conch and cryptography raise whatever comes.
        key = None
    if key is None or key.isPublic() or key.sshType() not in HOST_SIGNATURES:
        raise ConfigError(
            path,
            f"{file_name(file)}is no private key that can be used; make one with"
            " ssh-keygen -t ed25519 -N '' -f FILE",
        )
    if key.type() == "RSA" and key.size() < MIN_RSA:
        raise ConfigError(path, f"{file_name(file)}has {key.size()} bits, but needs {MIN_RSA}")
    return key


def _make_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
