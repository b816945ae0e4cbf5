"""Keys in a file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from giftless.base.watched_file import FileProblem, WatchedFile
from giftless.errors import ConfigError, ObjectSealed
from giftless.interfaces import WrappedKey
from giftless.storage.encrypted.keyfile import FileKeys, KeyFileFactory, KeySet, new_line
from tests.contracts.keywrappers import CONTEXT, KeyWrapperContract
from tests.support.blocking import InlineBlocking
from tests.support.logs import observe
from tests.support.making import environment


class FileKeysTests(KeyWrapperContract, TestCase):
    async def make_wrapper(self) -> FileKeys:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"# mine\n\n" + new_line("first"))
        self.path.chmod(0o600)
        parse: Any = KeySet.parse
        return FileKeys(
            WatchedFile(str(self.path), parse, "path", InlineBlocking(), self.clock, private=True)
        )

    async def make_new_primary(self) -> None:
        with self.path.open("ab") as file:
            file.write(new_line("second"))
        self.clock.advance(1)

    async def test_what_another_process_has_sealed_already_can_be_read_at_once(self) -> None:
        """It has seen the new key, and this one will only look in a second."""
        with self.path.open("ab") as file:
            file.write(new_line("second"))
        key = KeySet.parse(self.path.read_bytes()).wrap(self.data_key, CONTEXT)
        self.assertEqual(await self.unwrap(key), self.data_key)

    async def test_a_lost_key_is_told_to_operators(self) -> None:
        logged: list[Any] = []
        observe(self, logged.append)
        wrapped = (await self.wrap()).wrapped
        self.path.write_bytes(new_line("another"))
        await self.refuse(ObjectSealed, WrappedKey("first\n", wrapped))
        (event,) = [event for event in logged if "id" in event]
        self.assertIn("put it back", event["log_format"])
        self.assertEqual(event["id"], "'first\\n'")

    async def test_keys_stay_while_others_may_read_the_file(self) -> None:
        key = await self.wrap()
        self.path.chmod(0o644)
        self.clock.advance(1)
        self.assertEqual(await self.unwrap(key), self.data_key)


class KeySetTests(SynchronousTestCase):
    def test_the_last_key_is_the_primary_one(self) -> None:
        keys = KeySet.parse(new_line("b") + new_line("a"))
        self.assertEqual((keys.ids, keys.primary), (("b", "a"), "a"))

    def test_the_configuration_can_name_another(self) -> None:
        content = new_line("b") + new_line("a")
        self.assertEqual(KeySet.parse(content, "b").primary, "b")
        error = self.assertRaises(FileProblem, KeySet.parse, content, "c")
        self.assertIn("'primary'", str(error))

    def test_what_cannot_be_used_is_named_and_not_shown(self) -> None:
        secret = base64.b64encode(b"s" * 31).decode()
        good = new_line("one").decode()
        for text in (
            "",
            "# nothing\n",
            secret,
            f"one {secret}",
            f"one  {secret}=",
            f"one {secret} more",
            "one " + "!" * 44,
            good + good,
            f"{'a' * 65} {good.split()[1]}",
            f"\u00e9 {good.split()[1]}",
        ):
            error = self.assertRaises(FileProblem, KeySet.parse, text.encode())
            self.assertNotIn(secret[:8], str(error))
            self.assertNotIn(good.split()[1][:8], str(error))

    @given(st.binary(max_size=300))
    def test_any_file_is_read_or_refused(self, content: bytes) -> None:
        try:
            KeySet.parse(content)
        except FileProblem as problem:
            self.assertTrue(str(problem))


class FactoryTests(SynchronousTestCase):
    def build(self, **options: Any) -> FileKeys:
        """Build it from options."""
        factory = KeyFileFactory()
        return factory.build(factory.Options(**options), environment())

    def test_a_file_that_cannot_be_used_is_an_error_at_the_start(self) -> None:
        path = Path(self.mktemp())
        error = self.assertRaises(ConfigError, self.build, path=str(path))
        self.assertEqual(error.path, "path")
        path.write_bytes(new_line("one"))
        for mode in (0o644, 0o640, 0o660, 0o602):
            path.chmod(mode)
            error = self.assertRaises(ConfigError, self.build, path=str(path))
            self.assertIn("chmod 600", error.problem)
        path.chmod(0o600)
        self.build(path=str(path))
        self.assertRaises(ConfigError, self.build, path=str(path), primary="two")
        path.write_bytes(b"")
        error = self.assertRaises(ConfigError, self.build, path=str(path))
        self.assertIn("giftless keys generate", error.problem)
