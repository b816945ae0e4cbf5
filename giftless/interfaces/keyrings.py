"""The interface of keyrings, which know whose the keys of SSH clients are."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import msgspec
from zope.interface import Attribute, Interface


class OfferedKey(msgspec.Struct, frozen=True):
    """A public key or a certificate that a client of SSH offers (RFC 4252 section 7).

    Whether the client holds the private key is checked by whoever asks.

    :ivar blob: the key as it is sent (RFC 4253 section 6.6), or an OpenSSH certificate.
    :ivar login: the user name that the client logs in with: often ``git``.
    :ivar address: the client's IP address; empty if unknown.
    """

    blob: bytes
    login: str = ""
    address: str = ""


class KeyOwner(msgspec.Struct, frozen=True):
    """Whose a key is.

    :ivar user: the user.
    :ivar realm: the text of the :class:`IRealm` that the user is in: the authenticator of
        this realm says what the user may do.
    """

    user: str
    realm: str


class KnownKey(msgspec.Struct, frozen=True):
    """A key that a keyring knows, and whose it is.

    :ivar owner: whose it is.
    :ivar line: the key as ``authorized_keys`` files have it, without options and comment.
    """

    owner: KeyOwner
    line: str


class IKeyring(Interface):
    """Knows whose keys are."""

    realm: str = Attribute(
        "The text of the realm that all its users are in.  The server does not start unless an"
        " authenticator has it."
    )

    def owner(offered: OfferedKey) -> Awaitable[KeyOwner | None]:
        """Find out whose a key is.

        :returns: an awaitable of the owner; ``None`` if this keyring does not know the
            key, so that the next is asked.
        :raises giftless.errors.ServiceUnavailable: if it cannot find out now.
        """

    def keys() -> Awaitable[Sequence[KnownKey]]:
        """Tell all keys that can be listed, for ``authorized_keys`` files.

        :returns: an awaitable of the keys; of none, if they cannot be listed.
        :raises giftless.errors.ServiceUnavailable: if it cannot find out now.
        """
