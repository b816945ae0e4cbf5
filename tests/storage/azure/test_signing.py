"""Signatures against those of Microsoft's own library."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.storage.azure.signing import (
    VERSION,
    AccountKey,
    DelegationKey,
    Grant,
    sign_access,
    stamp,
)

try:
    from azure.storage.blob import UserDelegationKey
    from azure.storage.blob import _shared_access_signature as theirs
    from azure.storage.blob._shared import shared_access_signature as shared
except ImportError:
    missing = "azure-storage-blob is not installed"
else:
    missing = ""

#: What can be in a name, a file name or a type.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
GRANTS = st.builds(Grant, st.sampled_from(["r", "c", "cw", "w", "d"]), TEXT, TEXT)
KEYS = st.binary(min_size=1, max_size=64)
EXPIRIES = st.integers(0, 4_000_000_000)

#: The lines of what is signed with a delegation key that versions later than
#: ours have added; all of them are empty.
ADDED = ("skdutid", "sduoid", "srh", "srq")


def library_query(
    key: bytes, blob: str, grant: Grant, expiry: float, https: bool, delegation: Any = None
) -> dict[str, str]:
    """Return the query that Microsoft's library makes for a blob, with our version."""
    encoded = base64.b64encode(key).decode()
    arguments: dict[str, Any] = {"user_delegation_key": delegation} if delegation else {}
    with (
        patch.object(theirs, "X_MS_VERSION", VERSION),
        patch.object(shared, "X_MS_VERSION", VERSION),
    ):
        token = theirs.generate_blob_sas(
            "account",
            "container",
            blob,
            account_key=None if delegation else encoded,
            permission=grant.permissions,
            expiry=datetime.fromtimestamp(expiry, UTC),
            protocol="https" if https else None,
            content_disposition=grant.disposition or None,
            content_type=grant.content_type or None,
            **arguments,
        )
    return dict(parse_qsl(token))


class AccountKeyTests(SynchronousTestCase):
    """Signatures of an account's key."""

    if missing:
        skip = missing

    @given(KEYS, NAMES, GRANTS, EXPIRIES, st.booleans())
    def test_like_the_library(
        self, key: bytes, blob: str, grant: Grant, expiry: int, https: bool
    ) -> None:
        """Every parameter is the library's, the signature among them."""
        query = sign_access(AccountKey(key), "account", f"container/{blob}", grant, expiry, https)
        self.assertEqual(dict(parse_qsl(query)), library_query(key, blob, grant, expiry, https))


class DelegationKeyTests(SynchronousTestCase):
    """Signatures of a key that an identity is lent."""

    if missing:
        skip = missing

    @given(KEYS, NAMES, GRANTS, EXPIRIES, st.booleans())
    def test_like_the_library(
        self, key: bytes, blob: str, grant: Grant, expiry: int, https: bool
    ) -> None:
        """The signature is the library's, without the lines that later versions have."""
        lent = UserDelegationKey()
        lent.signed_oid, lent.signed_tid = "object", "tenant"
        lent.signed_start, lent.signed_expiry = stamp(0), stamp(10_000)
        lent.signed_service, lent.signed_version = "b", VERSION
        lent.signed_delegated_user_tid = None
        lent.value = base64.b64encode(key).decode()
        signed: list[str] = []

        def sign(key: str, text: str) -> str:
            lines = text.split("\n")
            # After the correlation id, and after the encryption scope.
            self.assertEqual(lines[13:15] + lines[21:23], [""] * len(ADDED))
            signed.append("\n".join(lines[:13] + lines[15:21] + lines[23:]))
            return original(key, signed[-1])

        original: Any = vars(theirs)["sign_string"]
        with patch.object(theirs, "sign_string", sign):
            expected = library_query(key, blob, grant, expiry, https, lent)
        ours = DelegationKey(key, "object", "tenant", stamp(0), stamp(10_000), "b", VERSION)
        query = sign_access(ours, "account", f"container/{blob}", grant, expiry, https)
        self.assertEqual(dict(parse_qsl(query)), expected)
        self.assertEqual(len(signed), 1)


class SecrecyTests(SynchronousTestCase):
    """Keys do not get into logs."""

    def test_keys_are_not_shown(self) -> None:
        secret = b"secret"
        for key in (AccountKey(secret), DelegationKey(secret, "o", "t", "s", "e", "b", "v")):
            self.assertNotIn("secret", f"{key!r} {key}")
