"""Lines of ``authorized_keys`` files (sshd(8), "AUTHORIZED_KEYS FILE FORMAT")."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

#: What the types of certificates end with (PROTOCOL.certkeys of OpenSSH).
_CERTIFICATE: Final = "-cert-v01@openssh.com"

#: How many strings the public key itself has in a certificate, by the type of it.
_KEY_STRINGS: Final = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}


def line_of(serve: Sequence[str], user: str, realm: str, key: str) -> str:
    """Return the line that lets the owner of a key run one command, and nothing else.

    :param serve: the command that serves users, as words.
    :param key: the key, as such files have it, or an OpenSSH certificate, for which the
        line has the key of who has signed it.
    :raises ValueError: if that cannot be one line, or if it is no certificate that names
        anybody.
    """
    options = ["restrict"]
    if is_certificate(key):
        key, principals = _signer(key)
        options += ["cert-authority", f"principals={_quoted(','.join(principals))}"]
    command = shlex.join([*serve, "--realm", realm, "--", user])
    line = f"{','.join([*options, f'command={_quoted(command)}'])} {key}"
    if not line.isprintable():
        raise ValueError(f"{user!r} and the command do not fit into one line")
    return line


def is_certificate(key: str) -> bool:
    """Whether a key is a certificate."""
    return key.partition(" ")[0].endswith(_CERTIFICATE)


def _quoted(value: str) -> str:
    # The only escape that there is; all other backslashes stand for themselves.
    return '"{}"'.format(value.replace('"', '\\"'))


def _signer(certificate: str) -> tuple[str, Sequence[str]]:
    """Return who has signed a certificate, and whom it names.

    Whether it is good is for the daemon to say.

    :raises ValueError: if it is malformed, or names nobody.
    """
    kind, _, encoded = certificate.partition(" ")
    try:
        blob = base64.b64decode(encoded.split()[0], validate=True)
        plain = kind.removesuffix(_CERTIFICATE)
        fields = _Fields(blob)
        if fields.string() != kind.encode():
            raise ValueError
        fields.skip(1 + _KEY_STRINGS[plain])
        fields.number(8)  # the serial number
        fields.number(4)  # whether it is a user's or a host's
        fields.skip(1)  # its name
        principals = [each.decode() for each in _Fields(fields.string())]
        fields.number(8)  # from when
        fields.number(8)  # to when
        fields.skip(3)  # critical options, extensions, reserved
        signer = fields.string()
        signer_kind = _Fields(signer).string().decode("ascii")
    except (ValueError, LookupError):
        raise ValueError("the certificate is malformed") from None
    if not principals or any("," in each or not each for each in principals):
        raise ValueError("the certificate names nobody, or not so that sshd can compare it")
    return f"{signer_kind} {base64.b64encode(signer).decode()}", principals


class _Fields:
    """The fields of a blob (RFC 4251 section 5), one after the other."""

    def __init__(self, blob: bytes) -> None:
        self._rest = blob

    def __iter__(self) -> Iterator[bytes]:
        """Yield all the strings that are left."""
        while self._rest:
            yield self.string()

    def number(self, size: int) -> int:
        """Take a number of so many bytes."""
        taken, self._rest = self._rest[:size], self._rest[size:]
        if len(taken) < size:
            raise ValueError
        return int.from_bytes(taken)

    def string(self) -> bytes:
        """Take a string."""
        length = self.number(4)
        taken, self._rest = self._rest[:length], self._rest[length:]
        if len(taken) < length:
            raise ValueError
        return taken

    def skip(self, strings: int) -> None:
        """Pass over some strings."""
        for _ in range(strings):
            self.string()
