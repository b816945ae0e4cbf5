"""Keys and tokens, good and forged, for every algorithm that is supported."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from giftless.interfaces import Credentials
from giftless.lfs.objects import ACTION_HEADER
from giftless.web.credentials import parse_action_token, parse_credentials

SYMMETRIC: Final = ("HS256", "HS384", "HS512")
ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)

CURVES: Final[dict[str, Any]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}


def private_key(algorithm: str, which: str = "ours") -> Any:
    """Return a private key, or a secret, that fits ``algorithm``.

    :param which: another name gives another key.
    """
    if algorithm in SYMMETRIC:
        return f"the secret of {which}: ".ljust(64, "x")
    return _generate("RSA" if algorithm[:2] in ("RS", "PS") else algorithm, which)


@cache
def _generate(kind: str, which: str) -> Any:
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ec.generate_private_key(CURVES[kind]())


@cache
def ed448_key() -> ed448.Ed448PrivateKey:
    """Return the other kind of key that EdDSA takes."""
    return ed448.Ed448PrivateKey.generate()


def private_pem(key: Any) -> str:
    """Write a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: Any) -> str:
    """Write a private key's public key as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def verification_key(algorithm: str, which: str = "ours") -> str:
    """Return what a configuration's ``key`` must be to verify."""
    key = private_key(algorithm, which)
    return key if isinstance(key, str) else public_pem(key)


def sign(
    claims: Mapping[str, Any],
    algorithm: str = "HS256",
    which: str = "ours",
    headers: Mapping[str, Any] | None = None,
) -> str:
    """Make a token that is signed as it should be."""
    return jwt.encode(dict(claims), private_key(algorithm, which), algorithm, dict(headers or {}))


def encode(data: bytes | Mapping[str, Any]) -> str:
    """Encode one part of a token: JSON, or any bytes."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(
    header: Mapping[str, Any], payload: Mapping[str, Any] | bytes, secret: bytes = b""
) -> str:
    """Make a token by hand, with whatever header, and an HMAC-SHA-256 signature.

    :param secret: signs it; with none, the signature is empty.
    """
    signed = f"{encode(header)}.{encode(payload)}"
    digest = hmac.digest(secret, signed.encode(), hashlib.sha256) if secret else b""
    return f"{signed}.{encode(digest)}"


def basic(user: str, password: str) -> str:
    """Return the value of an ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def shown(*headers: str, token: str | None = None, address: str = "") -> Credentials:
    """Return the credentials of a request with these ``Authorization`` headers.

    :param token: the ``jwt`` query parameter.
    :param address: the client's address.
    """
    return parse_credentials([header.encode() for header in headers], token, address)


def shown_action(header: Mapping[str, str] | None) -> Credentials:
    """Return the credentials of a request with an action's headers."""
    assert header is not None
    return parse_action_token([header[ACTION_HEADER].encode()], "")


def decode(part: str) -> bytes:
    """Undo :func:`encode`."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
