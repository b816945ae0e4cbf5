"""Interfaces of encryption at rest: keys that wrap data keys, and heads that can be replaced."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec
from zope.interface import Attribute, Interface

from giftless.errors import LFSError
from giftless.interfaces.coded import ICodedStore
from giftless.interfaces.environment import Environment, IBuilder
from giftless.interfaces.storage import IReadableStore
from giftless.lfs.objects import ObjectKey


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key, encrypted.

    :ivar key_id: the id of the key that it is encrypted with: 1 to 64 characters of ASCII,
        none of them a space.  It is shown to operators.
    :ivar wrapped: the encrypted data key, at most 300 bytes.
    """

    key_id: str
    wrapped: bytes


class IKeyWrapper(Interface):
    """Encrypts data keys with keys of its own, which it need not show: a file, or a server.

    Nothing here is a secret but data keys; these are in no ``repr``, log or error.
    """

    def primary() -> Awaitable[str]:
        """Return the id of the key that data keys are wrapped with from now on.

        ``giftless keys rotate`` wraps those anew that are wrapped with another.

        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """

    def ids() -> Awaitable[Sequence[str]]:
        """Return the ids of all keys that :meth:`unwrap` can use, the oldest first.

        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """

    def wrap(data_key: bytes, context: bytes) -> Awaitable[WrappedKey]:
        """Encrypt a data key with the primary key.

        :param data_key: 32 bytes.
        :param context: what it belongs to; it is authenticated, and not kept.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done now.
        """

    def unwrap(key: WrappedKey, context: bytes) -> Awaitable[bytes]:
        """Decrypt a data key.

        :param context: what :meth:`wrap` was given.
        :returns: an awaitable of 32 bytes.
        :raises giftless.errors.ObjectDamaged: if it is certain that this key did not wrap
            it, or not with this context.
        :raises giftless.errors.ServiceUnavailable: if there is no such key, in words that
            name its id; or if that cannot be done now.
        """


class IKeyWrapperFactory(IBuilder):
    """Builds what wraps data keys: ``keys`` of ``storage: {type: encrypted}``."""

    def build(options: Any, environment: Environment) -> IKeyWrapper:
        """Build it.  See :meth:`IBuilder.build`."""


class IHeading(IReadableStore):
    """A store that can replace the beginning of an object, and leave the rest as it is."""

    def replace_head(key: ObjectKey, before: bytes, after: bytes) -> Awaitable[bool]:
        """Replace an object's first bytes, durably, if they are what they are thought to be.

        A reader sees the old bytes or the new ones; in an unlucky moment some of both, so
        whoever reads something that is not authentic reads it once more.  When the object
        was stored last does not change.  Where several objects are one file, all of them
        change: give them the same beginning.

        :param before: the bytes that are there, at most 512.
        :param after: as many others.
        :returns: an awaitable of whether they were replaced; ``False`` if others are there,
            or no object.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done now.
        """


class IEncryptedStore(ICodedStore):
    """A store that seals what it stores, each object with a data key of its own."""

    keys: IKeyWrapper = Attribute("What wraps the data keys.")

    rewraps_in_place: bool = Attribute(
        "Whether :meth:`rewrap` changes some bytes; otherwise it copies whole objects."
    )

    anyhow: IReadableStore = Attribute(
        "The same store, which also reads what is not encrypted, whatever is served: for"
        " ``giftless encrypt``."
    )

    def seals(keys: Sequence[ObjectKey]) -> Awaitable[Sequence[str | LFSError | None]]:
        """Tell which keys have wrapped the data keys of objects.

        :returns: an awaitable of one entry per key, in order: the id of the key that the
            object's head names, which is not known to be authentic; empty if the object is
            stored as it is; ``None`` if it is certainly absent; or an error (not raised).
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """

    def rewrap(key: ObjectKey) -> Awaitable[bool]:
        """Wrap the data key of an object with the primary key, durably.

        Its content stays as it is.  Clients may read it meanwhile, or replace or delete it.

        :returns: an awaitable of whether that was done; ``False`` if there is nothing to do.
        :raises giftless.errors.ObjectDamaged: if its head is not authentic.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done now, or a key is
            missing.
        """
