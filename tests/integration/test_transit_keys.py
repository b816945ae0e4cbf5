"""The example of keys that a service has, against a server that speaks as Vault does."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from giftless.base.schema import convert
from giftless.errors import ConfigError, StorageUnavailable
from giftless.interfaces import IKeyWrapperFactory, WrappedKey
from tests.contracts.keywrappers import CONTEXT, KeyWrapperContract
from tests.support.examples import load
from tests.support.making import environment

transit_keys = load("transit_keys")

TOKEN = "hvs.a-token-that-nobody-may-see"


class Vault(Resource):
    """The transit engine, with one key."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.versions = [AESGCM(os.urandom(32))]
        self.least = 1

    def render(self, request: Any) -> bytes:
        """Answer a question."""
        status, answer = self.answer(request)
        request.setResponseCode(status)
        return json.dumps(answer).encode()

    def answer(self, request: Any) -> tuple[int, dict[str, Any]]:
        """Return a status, and a body."""
        if request.getHeader("X-Vault-Token") != TOKEN:
            return 403, {"errors": ["permission denied"]}
        path = request.path.decode()
        if request.method == b"GET" and path == "/v1/transit/keys/giftless":
            latest = len(self.versions)
            return 200, {"data": {"latest_version": latest, "min_decryption_version": self.least}}
        question = json.loads(request.content.read())
        context = base64.b64decode(question["associated_data"])
        if path == "/v1/transit/encrypt/giftless":
            nonce, data = os.urandom(12), base64.b64decode(question["plaintext"])
            sealed = nonce + self.versions[-1].encrypt(nonce, data, context)
            text = base64.b64encode(sealed).decode()
            return 200, {"data": {"ciphertext": f"vault:v{len(self.versions)}:{text}"}}
        _, version, text = question["ciphertext"].split(":")
        number = int(version[1:])
        if not self.least <= number <= len(self.versions):
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy"]}
        try:
            sealed = base64.b64decode(text, validate=True)
            data = self.versions[number - 1].decrypt(sealed[:12], sealed[12:], context)
        except (InvalidTag, ValueError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(data).decode()}}


class TransitKeysTests(KeyWrapperContract, TestCase):
    async def make_wrapper(self) -> Any:
        self.vault = Vault()
        clock = cast(Any, reactor)
        self.port = clock.listenTCP(0, Site(self.vault), interface="127.0.0.1")
        pool = HTTPConnectionPool(clock)
        self.client = HTTPClient(Agent(clock, pool))
        self.addCleanup(self.port.stopListening)
        self.addCleanup(pool.closeCachedConnections)
        self.token = Path(self.mktemp())
        self.token.write_text(TOKEN + "\n")
        return self.build()

    def build(self, **options: str) -> Any:
        """Build it from options."""
        section = {
            "url": f"http://127.0.0.1:{self.port.getHost().port}/",
            "key": "giftless",
            "token_file": str(self.token),
            **options,
        }
        factory = transit_keys.transit
        made = convert(section, factory.Options, "")
        return factory.build(made, environment(reactor=reactor, http=self.client))

    async def make_new_primary(self) -> None:
        self.vault.versions.append(AESGCM(os.urandom(32)))

    def test_the_factory_provides_its_interface(self) -> None:
        verifyObject(IKeyWrapperFactory, transit_keys.transit)

    async def test_a_version_that_is_retired_is_no_damage(self) -> None:
        key = await self.wrap()
        await self.make_new_primary()
        self.vault.least = 2
        await self.refuse(StorageUnavailable, key)
        self.vault.least = 1
        self.assertEqual(await self.unwrap(key), self.data_key)

    async def test_a_service_that_fails_is_no_damage(self) -> None:
        key = await self.wrap()
        self.token.write_text("another")
        self.wrapper = self.build()
        error = await self.refuse(StorageUnavailable, key)
        self.assertNotIn("another", error.message)
        stopped = self.port.stopListening()
        if isinstance(stopped, Deferred):
            await stopped
        error = await self.refuse(StorageUnavailable, key)
        self.assertNotIn(TOKEN, error.message + repr(self.wrapper))

    async def test_a_wrong_answer_is_no_damage(self) -> None:
        def answer(request: Any) -> tuple[int, dict[str, Any]]:
            return 200, {"data": {"ciphertext": "vault:v0:AAAA"}}

        self.patch(self.vault, "answer", answer)
        try:
            await self.wrapper.wrap(self.data_key, CONTEXT)
        except StorageUnavailable as error:
            self.assertIn("does not encrypt", error.message)
        else:
            self.fail("it was taken")

    def test_options_that_cannot_work_are_refused(self) -> None:
        for option, value in (("key", "a/b"), ("url", "vault"), ("token_file", "/nowhere")):
            error = self.assertRaises(ConfigError, self.build, **{option: value})
            self.assertEqual(error.path, option)

    async def test_a_key_of_another_name_is_not_asked_for(self) -> None:
        await self.refuse(StorageUnavailable, WrappedKey("other:v1", b"vault:v1:AAAA"))
