"""``keys: {type: file}``: key-encryption keys in a file, each with an id.

One line for each key: its id, a space, and 32 random bytes in Base64.  The last one is the
primary key, unless the configuration names another.  ``giftless keys generate`` appends one.

.. code-block:: text

    # Whoever has this file can read all objects; without it, nobody can.
    2026-03 nUDzBSyB1y8q0m6wDZwPlJYgo8QgA7DqGIQLLJkVnYw=
    2026-11 1jS0rWbPYPzmcvJUYwRk9P6Lz4d2ZcVtsDYv4f0aXn4=

A key wraps a data key with AES-256-GCM: 12 random bytes, which are the nonce, the encrypted
data key, and the tag.  So one key is good for four billion objects (NIST SP 800-38D,
section 8.3).
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.watched_file import FileProblem, WatchedFile, lines_of
from giftless.errors import ObjectCorrupt, ObjectSealed
from giftless.interfaces import Environment, IKeyWrapper, WrappedKey
from giftless.storage.encrypted.sealing import is_key_id

#: How long a key is, in bytes, and the nonce in front of what it wraps.
KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12

#: When clients try again whose object has a key that is not there, in seconds.
_RETRY_AFTER: Final = 60

_log = Logger()


class KeyFileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``keys: {type: file}``.

    :ivar path: the file, which nobody but the server's user may read.
    :ivar primary: the id of the key that is used from now on; the last one if ``None``.
    """

    path: str
    primary: str | None = None


class KeySet:
    """The keys of a file.

    :param ciphers: what wraps with each key, by its id, in the order of the file.
    :param primary: the id of the key that is used from now on.
    """

    def __init__(self, ciphers: dict[str, AESGCM], primary: str) -> None:
        self.ids = tuple(ciphers)
        self.primary = primary
        self._ciphers = ciphers

    @classmethod
    def parse(cls, content: bytes, primary: str | None = None) -> KeySet:
        """Read a file's content.

        :param primary: the id that the configuration names.
        :raises FileProblem: as :func:`read_keys` does, or if no key can be the primary one.
        """
        ciphers = read_keys(content)
        if not ciphers:
            raise FileProblem("has no key; run 'giftless keys generate'")
        if primary is not None and primary not in ciphers:
            raise FileProblem("has no key with the id that 'primary' names")
        return cls(ciphers, primary or list(ciphers)[-1])

    def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Encrypt a data key with the primary key."""
        nonce = os.urandom(_NONCE_SIZE)
        sealed = self._ciphers[self.primary].encrypt(nonce, data_key, context)
        return WrappedKey(self.primary, nonce + sealed)

    def unwrap(self, key: WrappedKey, context: bytes) -> bytes:
        """Decrypt a data key.

        :raises KeyError: if its key is not in the file.
        :raises ObjectDamaged: if that has not wrapped it, or not with this context.
        """
        nonce, sealed = key.wrapped[:_NONCE_SIZE], key.wrapped[_NONCE_SIZE:]
        cipher = self._ciphers[key.key_id]
        try:
            return cipher.decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError):  # the latter if it is too short
            raise ObjectCorrupt.because("the key in its stored head is not authentic") from None


@implementer(IKeyWrapper)
class FileKeys:
    """Wraps data keys with the keys of a file.

    :param file: the file; a change of it counts within a second.
    """

    def __init__(self, file: WatchedFile[KeySet]) -> None:
        self._file = file

    async def primary(self) -> str:
        """See :meth:`giftless.interfaces.IKeyWrapper.primary`."""
        return (await self._file.current()).primary

    async def ids(self) -> Sequence[str]:
        """See :meth:`giftless.interfaces.IKeyWrapper.ids`."""
        return (await self._file.current()).ids

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """See :meth:`giftless.interfaces.IKeyWrapper.wrap`."""
        return (await self._file.current()).wrap(data_key, context)

    async def unwrap(self, key: WrappedKey, context: bytes) -> bytes:
        """See :meth:`giftless.interfaces.IKeyWrapper.unwrap`.

        Another process may use a new key already, so the file is looked at once more for one
        that is not known.
        """
        keys = await self._file.current()
        if key.key_id not in keys.ids:
            keys = await self._file.newest()
        try:
            return keys.unwrap(key, context)
        except KeyError:
            _log.error(
                "an object cannot be read: its key {id} is not in the key file; put it back",
                id=repr(key.key_id),
            )
            raise ObjectSealed(
                f"the object is encrypted with the key {key.key_id!r}, which this server does not"
                " have; tell its operator",
                _RETRY_AFTER,
            ) from None


def read_keys(content: bytes) -> dict[str, AESGCM]:
    """Read the keys of a file, of which there may be none, by their ids, in order.

    :raises FileProblem: at the first line that cannot be used.  The text shows nothing of it,
        because that may be a key.
    """
    ciphers: dict[str, AESGCM] = {}
    for number, line in lines_of(content):
        key_id, _, text = line.partition(" ")
        if not is_key_id(key_id) or not text:
            raise FileProblem(f"line {number}: is not an id, a space and a key")
        if key_id in ciphers:
            raise FileProblem(f"line {number}: another key has the same id")
        ciphers[key_id] = AESGCM(_decode(text.strip(), number))
    return ciphers


def new_line(key_id: str) -> bytes:
    """Make a line with a fresh key."""
    return b"%b %b\n" % (key_id.encode("ascii"), base64.b64encode(os.urandom(KEY_SIZE)))


def _decode(text: str, number: int) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE:
        raise FileProblem(f"line {number}: the key is not {KEY_SIZE} bytes in Base64")
    return key


class KeyFileFactory:
    """Builds :class:`FileKeys` from :class:`KeyFileOptions`."""

    Options = KeyFileOptions

    def build(self, options: KeyFileOptions, environment: Environment) -> FileKeys:
        """See :meth:`giftless.interfaces.IKeyWrapperFactory.build`.

        :raises ConfigError: if the file cannot be read or used, or others may read it.
        """
        parse = partial(KeySet.parse, primary=options.primary)
        blocking, clock = environment.blocking, environment.reactor
        file = WatchedFile(options.path, parse, "path", blocking, clock, private=True)
        return FileKeys(file)
