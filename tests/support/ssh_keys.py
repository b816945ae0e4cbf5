"""Keys and certificates of SSH, made by ``ssh-keygen``."""

from __future__ import annotations

import base64
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.processes import PATIENCE

#: What ``ssh-keygen -t`` takes, with the number of bits.
KINDS = (
    ("ed25519", ""),
    ("ecdsa", "256"),
    ("ecdsa", "384"),
    ("ecdsa", "521"),
    ("rsa", "2048"),
)


def keygen(*arguments: str) -> str:
    """Run ``ssh-keygen``, and return what it prints."""
    done = subprocess.run(
        ["ssh-keygen", *arguments], check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.stdout


def make_key(path: Path, kind: str = "ed25519", bits: str = "") -> Path:
    """Make a pair of keys: ``path``, and the public one beside it.

    :returns: the file of the public key.
    """
    sized = ["-b", bits] if bits else []
    keygen("-q", "-t", kind, *sized, "-N", "", "-C", "comment", "-f", str(path))
    return path.with_name(f"{path.name}.pub")


@cache
def public_key(name: str, kind: str = "ed25519", bits: str = "") -> str:
    """Return a public key, the same for the same name: its type and base64."""
    with TemporaryDirectory() as directory:
        text = make_key(Path(directory) / "key", kind, bits).read_text()
    return " ".join(text.split()[:2])


def blob_of(line: str) -> bytes:
    """Return a key as it is sent.

    :param line: a type and base64, and what may follow.
    """
    return base64.b64decode(line.split()[1])


def string(value: bytes) -> bytes:
    """Encode a string (RFC 4251 section 5)."""
    return len(value).to_bytes(4, "big") + value


#: Public keys with a security key: nobody has the private ones.
SECURITY_KEYS = tuple(
    f"{kind} {base64.b64encode(b''.join(map(string, (kind.encode(), *parts)))).decode()}"
    for kind, parts in (
        ("sk-ssh-ed25519@openssh.com", (b"p" * 32, b"ssh:")),
        ("sk-ecdsa-sha2-nistp256@openssh.com", (b"nistp256", b"\x04" + b"p" * 64, b"ssh:")),
    )
)
