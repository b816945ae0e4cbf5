"""Keys in one file: the transit engine of HashiCorp Vault or OpenBao wraps data keys.

The server never sees the keys that wrap.  Put this file into a ``twisted/plugins/`` folder, or
into a directory that ``plugin_path`` names, and configure::

    storage:
      type: encrypted
      keys:
        type: transit
        url: https://vault.example:8200
        key: giftless
        token_file: /etc/giftless/vault-token
      store: {type: local, path: /srv/giftless}

Make the key, and a policy for the token, which lets it do no more than is needed::

    vault write -f transit/keys/giftless
    path "transit/encrypt/giftless" { capabilities = ["update"] }
    path "transit/decrypt/giftless" { capabilities = ["update"] }
    path "transit/keys/giftless"    { capabilities = ["read"] }

``vault write -f transit/keys/giftless/rotate`` makes a new version of the key, and ``giftless
keys rotate`` lets all objects use it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from zope.interface import implementer

from giftless.base.files import read_file
from giftless.base.http_client import ask
from giftless.errors import ConfigError, ObjectDamaged, StorageUnavailable
from giftless.interfaces import Environment, IKeyWrapper, IKeyWrapperFactory, WrappedKey

if TYPE_CHECKING:
    from treq.client import HTTPClient
    from twisted.internet.interfaces import IReactorTime

#: How long an answer may take, in seconds, and how long it may be, in bytes.
TIMEOUT = 10.0
MAX_ANSWER = 256 * 1024

#: How long clients wait before they ask again, in seconds.
RETRY_AFTER = 10

#: What the engine makes of a data key: its version, and Base64.
CIPHERTEXT = re.compile(r"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/=]+")


class TransitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that may stand beside ``type: transit``.

    :ivar url: where Vault is.
    :ivar key: the name of the key, at most 40 characters.
    :ivar token_file: a file that holds a token; read once.
    :ivar mount: where the engine is mounted.
    """

    url: str
    key: str
    token_file: str
    mount: str = "transit"


@implementer(IKeyWrapper)
class TransitKeys:
    """Wraps data keys by asking Vault.

    :param url: the URL of the engine.
    :param key: the name of the key.
    :param token: the token; in no ``repr``, log or error.
    """

    def __init__(
        self, url: str, key: str, token: str, http: HTTPClient, clock: IReactorTime
    ) -> None:
        self._url = url
        self._key = key
        self._headers = {"X-Vault-Token": token, "Content-Type": "application/json"}
        self._http = http
        self._clock = clock

    async def primary(self) -> str:
        """See ``IKeyWrapper.primary``."""
        return self._id((await self._versions())[-1])

    async def ids(self) -> Sequence[str]:
        """See ``IKeyWrapper.ids``."""
        return [self._id(version) for version in await self._versions()]

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """See ``IKeyWrapper.wrap``."""
        question = {"plaintext": _encode(data_key), "associated_data": _encode(context)}
        status, data = await self._ask("POST", f"encrypt/{self._key}", question)
        wrapped = str(data.get("ciphertext"))
        match = CIPHERTEXT.fullmatch(wrapped)
        if status != 200 or match is None:
            raise _unavailable(f"it does not encrypt with {self._key!r} (status {status})")
        return WrappedKey(self._id(int(match[1])), wrapped.encode())

    async def unwrap(self, key: WrappedKey, context: bytes) -> bytes:
        """See ``IKeyWrapper.unwrap``."""
        name, _, version = key.key_id.rpartition(":v")
        if name != self._key:
            raise _unavailable(f"an object needs the key {key.key_id!r}, which is not configured")
        wrapped = key.wrapped.decode("ascii", "replace")
        match = CIPHERTEXT.fullmatch(wrapped)
        if match is None or match[1] != version:
            raise ObjectDamaged.because("the key in its stored head is not one of Vault's")
        question = {"ciphertext": wrapped, "associated_data": _encode(context)}
        status, data = await self._ask("POST", f"decrypt/{self._key}", question)
        if status == 200:
            return base64.b64decode(str(data.get("plaintext")))
        if status == 400 and int(version) in await self._versions():
            raise ObjectDamaged.because("the key in its stored head is not authentic")
        raise _unavailable(f"it does not decrypt with {key.key_id!r} (status {status})")

    async def _versions(self) -> Sequence[int]:
        """Return the versions of the key that can decrypt, in order."""
        status, data = await self._ask("GET", f"keys/{self._key}", None)
        latest, least = data.get("latest_version"), data.get("min_decryption_version", 1)
        if status != 200 or not isinstance(latest, int) or not isinstance(least, int):
            raise _unavailable(f"it does not tell the versions of {self._key!r} (status {status})")
        return range(max(1, least), latest + 1)

    async def _ask(
        self, method: str, path: str, question: dict[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        """Send a question; returns the status, and the ``data`` of the answer."""
        body = None if question is None else msgspec.json.encode(question)
        url = f"{self._url}/{path}"
        try:
            answer = await ask(
                self._http, method, url, self._headers, body, MAX_ANSWER, TIMEOUT, self._clock
            )
            found = msgspec.json.decode(answer.body, type=dict[str, Any]) if answer.body else {}
        except Exception as error:  # whatever keeps an answer away
            raise _unavailable(f"it does not answer ({type(error).__name__})") from None
        data = found.get("data")
        return answer.status, data if isinstance(data, dict) else {}

    def _id(self, version: int) -> str:
        return f"{self._key}:v{version}"


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unavailable(problem: str) -> StorageUnavailable:
    return StorageUnavailable(
        f"the service that keeps this server's keys fails: {problem}; try again later", RETRY_AFTER
    )


@implementer(IKeyWrapperFactory)
class TransitFactory:
    """What giftless finds in this file: builds what asks Vault."""

    name = "transit"
    Options = TransitOptions

    def build(self, options: TransitOptions, environment: Environment) -> TransitKeys:
        """See ``IKeyWrapperFactory.build``.

        :raises ConfigError: if the options cannot work.
        """
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", options.key):
            raise ConfigError("key", "allowed are 1 to 40 letters, digits, '_', '.' and '-'")
        if not options.url.startswith(("https://", "http://")):
            raise ConfigError("url", "allowed is a URL that begins with https://")
        token = read_file(options.token_file, "token_file").decode("ascii", "replace").strip()
        url = f"{options.url.rstrip('/')}/v1/{options.mount.strip('/')}"
        return TransitKeys(url, options.key, token, environment.http, environment.reactor)


transit = TransitFactory()
