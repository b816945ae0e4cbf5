"""Algorithms and keys of signed tokens (RFC 7518 section 3, RFC 8037).

A key is loaded once, as what it is: a shared secret or a public key of some
kind.  An algorithm accepts only its own kind, so a public key can never be
taken for a secret that it is published as.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt.algorithms import HMACAlgorithm

Algorithm: TypeAlias = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]

#: What signatures are verified with.
Key: TypeAlias = bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

PrivateKey: TypeAlias = (
    RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
)

#: What signatures are made with.
SigningKey: TypeAlias = bytes | PrivateKey

#: The least that a secret must have: the length of its hash (RFC 7518 section 3.2).
_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}

#: The least that an RSA key must have (RFC 7518 section 3.3).
_RSA_BITS: Final = 2048

_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}

_jws = jwt.PyJWS()


def is_symmetric(algorithm: str) -> bool:
    """Whether who verifies could sign as well."""
    return algorithm in _SECRET_BYTES


def fits(key: object, algorithm: str) -> bool:
    """Whether ``key`` is of the kind and the strength that ``algorithm`` needs."""
    match key:
        case bytes():
            return len(key) >= _SECRET_BYTES.get(algorithm, len(key) + 1)
        case RSAPublicKey():
            return algorithm[:2] in ("RS", "PS") and key.key_size >= _RSA_BITS
        case EllipticCurvePublicKey():
            return _CURVES.get(algorithm) == key.curve.name
        case Ed25519PublicKey() | Ed448PublicKey():
            return algorithm == "EdDSA"
        case _:
            return False


def load_secret(data: bytes, algorithms: Sequence[str]) -> bytes:
    """Check a shared secret.

    :param algorithms: the symmetric algorithms that it is for.
    :raises ValueError: if it is too short, or no secret but a key that others
        may know.
    """
    for algorithm in algorithms:
        if not fits(data, algorithm):
            raise ValueError(
                f"found a secret of {len(data)} bytes, but {algorithm} needs"
                f" {_SECRET_BYTES[algorithm]} or more"
            )
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(data)
    except jwt.InvalidKeyError:
        raise ValueError(
            f"found a key for public-key algorithms, but {algorithms[0]} needs a secret"
        ) from None
    return data


def load_public_key(data: bytes, algorithms: Sequence[str]) -> Key:
    """Read a public key from PEM.

    :param algorithms: the asymmetric algorithms that it is for.
    :raises ValueError: if it is not a public key, or fits one of them not.
    """
    if b"PRIVATE KEY-----" in data:
        raise ValueError("found a private key, but tokens are verified with the public key")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            f"{algorithms[0]} needs a public key in PEM (-----BEGIN PUBLIC KEY-----)"
        ) from None
    return _fitting(key, algorithms)


def load_private_key(data: bytes, algorithm: str) -> PrivateKey:
    """Read a private key from PEM.

    :param algorithm: the asymmetric algorithm that it is for.
    :raises ValueError: if it is not an unencrypted private key that fits.
    """
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{algorithm} needs an unencrypted private key in PEM") from None
    _fitting(key.public_key(), [algorithm])
    assert isinstance(key, PrivateKey)
    return key


def _fitting(key: object, algorithms: Sequence[str]) -> Key:
    for algorithm in algorithms:
        if not fits(key, algorithm):
            raise ValueError(f"found a key of another kind, or too short a key, for {algorithm}")
    assert isinstance(key, Key)
    return key


def verify(token: str, key: Key, algorithm: str) -> bytes | None:
    """Verify a token's signature, and nothing else.

    :param key: a key that fits ``algorithm``.
    :returns: the payload; ``None`` if the signature is wrong.
    :raises ValueError: if the token is malformed.
    """
    try:
        payload: bytes = _jws.decode_complete(token, key, [algorithm])["payload"]
    except jwt.InvalidSignatureError:
        return None
    except jwt.InvalidTokenError:
        raise ValueError("the token is malformed") from None
    return payload
