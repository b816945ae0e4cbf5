"""The keys that tokens are signed with, so that tokens work on.

The Flask giftless took a secret of any length, with all white space around it.  Ours must
have as many bytes as its hash, and white space does not count.  HMAC itself fills a secret
up with zero bytes to the length of a block, so a secret with zero bytes behind it signs the
same: that is how a short one is carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from giftless.auth.tokens.signatures import load_public_key, load_secret
from giftless.importing.flask.keys import Keys, Notes

#: How long a secret must be, and how long a block of the hash is, in bytes.
_SIZES: Final = {"HS256": (32, 64), "HS384": (48, 128), "HS512": (64, 128)}

#: The other algorithms that both know.
_PUBLIC: Final = frozenset(
    {"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
)


def translate_keys(options: Keys, notes: Notes, to: str) -> dict[str, Any] | None:
    """Translate the algorithm and the keys of a ``jwt`` provider.

    :param to: where they go: the path of the section.
    :returns: what the section says; ``None`` if no token could be verified.
    """
    algorithm = options.text("algorithm")
    if algorithm is not None:
        notes.translated(options.at("algorithm"), f"{to}.algorithms")
    algorithm = algorithm or "HS256"
    if algorithm in _SIZES:
        options.unneeded("secrets have no public key", "public_key", "public_key_file")
        section = _secret(options, algorithm, notes, to)
    elif algorithm in _PUBLIC:
        section = _public_key(options, algorithm, notes, to)
    else:
        notes.refused(options.at("algorithm"), "is no algorithm that can be used")
        return None
    return None if section is None else {"algorithms": [algorithm], **section}


def carried(secret: bytes, algorithm: str) -> bytes | None:
    """Return a secret that signs as this one does, and is taken here; ``None`` if none is.

    :param algorithm: one of ``HS256``, ``HS384`` and ``HS512``.
    """
    least, block = _SIZES[algorithm]
    if not secret:
        return None
    if len(secret) < least or (secret.isascii() and secret.strip() != secret):
        if len(secret) >= block or secret.lstrip() != secret:
            return None
        secret = secret.ljust(max(least, len(secret) + 1), b"\0")
    try:
        return load_secret(secret, [algorithm])
    except ValueError:
        return None


def _secret(options: Keys, algorithm: str, notes: Notes, to: str) -> Mapping[str, Any] | None:
    file, text = options.text("private_key_file"), options.text("private_key")
    if file is None and text is None:
        notes.refused(options.at("private_key"), "is missing: no token could be verified")
        return None
    if file is None:
        data: bytes | None = (text or "").encode()
        key = options.at("private_key")
    else:
        data, key = _read(file), options.at("private_key_file")
        if text is not None:
            notes.unneeded(options.at("private_key"), "private_key_file was used instead")
    least = _SIZES[algorithm][0]
    if data is None:
        notes.changed(
            key,
            f"{to}.key_file",
            "the file cannot be read here, so it was not checked: the secret must have"
            f" {least} bytes or more, and none of its white space counts",
        )
        return {"key_file": file}
    # It was read as text, in which all ends of lines are alike.
    secret = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if file else data
    good = carried(secret, algorithm)
    try:
        inline = (good or b"").decode()
    except UnicodeDecodeError:
        good = None
    if good is None:
        notes.refused(key, "cannot be used as a secret here; make a new one, and new tokens")
        return None
    if good == data:
        notes.translated(key, f"{to}.key_file" if file else f"{to}.key")
        return {"key_file": file} if file else {"key": inline}
    what = "ends with white space, which counts"
    if len(secret) < least:
        what = f"has {len(secret)} bytes, and {algorithm} needs {least}"
    notes.changed(
        key,
        f"{to}.key",
        f"the secret {what}: it is filled up with zero bytes, which changes no signature, so"
        " that its tokens work on; make a new one soon",
    )
    return {"key": inline}


def _public_key(options: Keys, algorithm: str, notes: Notes, to: str) -> Mapping[str, Any] | None:
    section: dict[str, Any] = {}
    file, text = options.text("public_key_file"), options.text("public_key")
    if file is not None:
        section["key_file"] = file
        key, data = options.at("public_key_file"), _read(file)
        if text is not None:
            notes.unneeded(options.at("public_key"), "public_key_file was used instead")
        if data is None:
            words = "the file cannot be read here, so it was not checked"
            notes.changed(key, f"{to}.key_file", words)
        else:
            _check(data, algorithm, key, f"{to}.key_file", notes)
    elif text is not None:
        section["key"] = text
        _check(text.encode(), algorithm, options.at("public_key"), f"{to}.key", notes)
    if (private := options.text("private_key_file")) is not None:
        section["private_key_file"] = private
        notes.translated(options.at("private_key_file"), f"{to}.private_key_file")
    if options.text("private_key") is not None:
        notes.refused(
            options.at("private_key"),
            "put it into a file, and name that by private_key_file: 'giftless token' needs it,"
            " and the daemon does not",
        )
    if "key" in section or "key_file" in section:
        return section
    notes.refused(options.at("public_key"), "is missing: no token could be verified")
    return None


def _read(path: str) -> bytes | None:
    """Read a file; ``None`` if that is not possible here."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _check(data: bytes, algorithm: str, key: str, to: str, notes: Notes) -> None:
    """Note whether a public key can be used."""
    try:
        load_public_key(data, [algorithm])
    except ValueError as error:
        notes.refused(key, f"{error}: make a new pair of keys, and new tokens")
    else:
        notes.translated(key, to)
