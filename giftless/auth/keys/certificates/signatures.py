"""Whether an authority has signed a certificate.

Signatures with SHA-1 are refused; OpenSSH does not make them any more.  Those of security
keys are refused, too: they sign flags and a counter as well, which nothing here judges.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from giftless.auth.keys.public_keys import PublicKey
from giftless.base.ssh_wire import Reader

#: The hash of each kind of signature with RSA (RFC 8332).
_RSA: Final = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}

#: The hash of each kind of signature with ECDSA (RFC 5656 section 6.2.1).
_ECDSA: Final = {
    "ecdsa-sha2-nistp256": hashes.SHA256(),
    "ecdsa-sha2-nistp384": hashes.SHA384(),
    "ecdsa-sha2-nistp521": hashes.SHA512(),
}

#: The types of keys whose signatures are known.
SIGNING: Final = ("ssh-ed25519", "ssh-rsa", *_ECDSA)


def is_signed(authority: PublicKey, signed: bytes, signature: bytes) -> bool:
    """Verify a signature.

    :param authority: whose it should be.
    :param signed: what is signed.
    :param signature: the signature as it is sent: its kind, and what that consists of.
    """
    try:
        reader = Reader(signature)
        kind, value = reader.text(), reader.string()
        if not reader.ended:
            return False
        _verify(authority, kind, value, signed)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _verify(authority: PublicKey, kind: str, value: bytes, signed: bytes) -> None:
    """Raise unless a signature is good."""
    key = load_ssh_public_key(authority.line.encode())
    if isinstance(key, rsa.RSAPublicKey) and kind in _RSA:
        key.verify(value, signed, padding.PKCS1v15(), _RSA[kind])
    elif isinstance(key, ec.EllipticCurvePublicKey) and kind == authority.type:
        inner = Reader(value)
        pair = encode_dss_signature(inner.mpint(), inner.mpint())
        if not inner.ended:
            raise ValueError("the signature goes on after its end")
        key.verify(pair, signed, ec.ECDSA(_ECDSA[kind]))
    elif isinstance(key, ed25519.Ed25519PublicKey) and kind == authority.type:
        key.verify(value, signed)
    else:
        raise ValueError("the signature is of another kind than the key")
