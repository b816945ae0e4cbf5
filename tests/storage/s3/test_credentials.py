"""Credentials from everywhere that botocore looks, without ever blocking."""

from __future__ import annotations

import importlib
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote

from botocore.utils import ContainerMetadataFetcher
from twisted.internet.task import Clock, LoopingCall

from giftless.base import schema
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.credentials import LOOK_AGAIN, RETRY_DELAY, unchanging
from giftless.storage.s3.credentials import EARLY, WHAT, botocore_chain, found
from giftless.storage.s3.factory import S3Factory, S3Options
from giftless.storage.s3.signing import Credentials
from tests.support.blocking import InlineBlocking
from tests.support.making import key_of
from tests.support.metadata import FakeMetadata
from tests.support.run import CoroutineTestCase
from tests.support.spinning import SpinningTestCase


class ChainTests(SpinningTestCase):
    """The environment, files, containers and instances."""

    def setUp(self) -> None:
        super().setUp()
        self.metadata = FakeMetadata()
        self.metadata.__enter__()
        self.addCleanup(self.metadata.__exit__)
        # botocore tries again, and waits for a second in between.
        self.patch(ContainerMetadataFetcher, "SLEEP_TIME", 0.01)
        self.files = Path(self.mktemp())
        self.files.mkdir(parents=True)

    def set_environment(self, **variables: str) -> None:
        """Let only these variables speak of AWS."""
        clean = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
        clean |= {
            "AWS_SHARED_CREDENTIALS_FILE": str(self.files / "credentials"),
            "AWS_CONFIG_FILE": str(self.files / "config"),
            "AWS_METADATA_SERVICE_TIMEOUT": "5",
            "AWS_EC2_METADATA_DISABLED": "true",
            **variables,
        }
        patcher = mock.patch.dict(os.environ, clean, clear=True)
        patcher.start()
        self.addCleanup(patcher.stop)

    def find(self, profile: str | None = None) -> tuple[Credentials, float | None]:
        return botocore_chain(profile)()

    def assert_temporary(self) -> None:
        credentials, expiry = self.find()
        self.assertEqual(
            credentials, Credentials("ASIAFIRST", "secret of ASIAFIRST", "token of ASIAFIRST")
        )
        assert expiry is not None
        self.assertLess(abs(expiry - time.time() - 3600), 60)

    def test_the_environment_gives_credentials(self) -> None:
        self.set_environment(AWS_ACCESS_KEY_ID="AKID", AWS_SECRET_ACCESS_KEY="s")
        self.assertEqual(self.find(), (Credentials("AKID", "s"), None))

    def test_environment_with_a_session(self) -> None:
        self.set_environment(
            AWS_ACCESS_KEY_ID="ASIA", AWS_SECRET_ACCESS_KEY="s", AWS_SESSION_TOKEN="t"
        )
        self.assertEqual(self.find(), (Credentials("ASIA", "s", "t"), None))

    def test_files_and_profiles(self) -> None:
        self.set_environment()
        (self.files / "credentials").write_text(
            "[default]\naws_access_key_id = A\naws_secret_access_key = B\n"
            "[work]\naws_access_key_id = C\naws_secret_access_key = D\n"
        )
        self.assertEqual(self.find()[0], Credentials("A", "B"))
        self.assertEqual(self.find("work")[0], Credentials("C", "D"))
        with self.assertRaises(StoreError) as caught:
            self.find("play")
        # What stands there may be a secret.
        self.assertEqual(caught.exception.problem, "AWS's configuration files have no such profile")

    def test_a_file_that_changes_is_read_again(self) -> None:
        self.set_environment()
        chain = botocore_chain(None)
        for key in ("A", "B"):
            (self.files / "credentials").write_text(
                f"[default]\naws_access_key_id = {key}\naws_secret_access_key = x\n"
            )
            self.assertEqual(chain()[0].access_key_id, key)

    def test_a_container_gives_credentials(self) -> None:
        self.set_environment(**self.metadata.container())
        self.assert_temporary()

    def test_an_instance_gives_credentials(self) -> None:
        self.set_environment(**self.metadata.instance(), AWS_EC2_METADATA_DISABLED="false")
        self.assert_temporary()

    def test_missing_credentials_are_one_line(self) -> None:
        self.set_environment()
        with self.assertRaises(StoreError) as caught:
            self.find()
        self.assertIn("no AWS credentials found", caught.exception.problem)

    def test_a_broken_service(self) -> None:
        self.set_environment(**self.metadata.container())
        self.metadata.broken = True
        with self.assertRaises(StoreError) as caught:
            self.find()
        self.assertIn("cannot be had", caught.exception.problem)

    # -- the whole store

    def build(self) -> Any:
        options = schema.convert({"bucket": "b"}, S3Options, "storage")
        return S3Factory().build(options, self.environment())

    def test_many_requests_share_one_lookup_and_the_reactor_turns(self) -> None:
        self.set_environment(**self.metadata.container())
        self.metadata.delay = 1.5
        # The first import of all this holds Python's lock for a while.
        importlib.import_module("botocore.session")
        importlib.import_module("botocore.credentials")
        store = self.build()
        turns: list[float] = []
        ticking = LoopingCall(lambda: turns.append(time.monotonic()))
        ticking.start(0.02)
        signed = [
            self.start(store.download_action(key_of(b"%d" % n), 1, 600, {})) for n in range(20)
        ]
        actions = [self.successResultOf(one) for one in signed]
        ticking.stop()
        self.assertEqual(self.metadata.paths, ["/creds"])
        for action in actions:
            self.assertIn("X-Amz-Security-Token=token of ASIAFIRST", unquote(action.href))
        self.assertLess(max(b - a for a, b in pairwise(turns)), 1.4)
        self.assertGreater(len(turns), 10)

    def test_urls_die_with_the_credentials(self) -> None:
        self.set_environment(**self.metadata.container())
        self.metadata.lifetime = 1200
        action = self.run_now(self.build().download_action(key_of(b"x"), 1, 3600, {}))
        self.assertLessEqual(action.expires_in, 1200)
        self.assertGreater(action.expires_in, 1100)

    def test_an_outage_is_503_and_does_not_last(self) -> None:
        self.set_environment(**self.metadata.container())
        self.metadata.broken = True
        store = self.build()
        self.assert_fails(ServiceUnavailable, store.download_action(key_of(b"x"), 1, 60, {}))
        self.assert_fails(ServiceUnavailable, store.sizes([key_of(b"x")]))
        error = self.assert_fails(ConfigError, store.check())
        self.assertEqual(error.path, "access_key_id")
        self.metadata.broken = False
        self.run_now(store.download_action(key_of(b"x"), 1, 60, {}))


class FreshnessTests(CoroutineTestCase):
    """When credentials are looked up again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.found: tuple[Credentials, float | None] = (Credentials("A", "s"), None)
        self.lookups = 0
        self.failing = False
        self.cache = found(self.find, InlineBlocking(), self.clock, self.clock.seconds)

    def find(self) -> tuple[Credentials, float | None]:
        self.lookups += 1
        if self.failing:
            raise StoreError("no metadata service")
        return self.found

    def key(self) -> str:
        return self.run_now(self.cache.get()).value.access_key_id

    def test_temporary_credentials_are_renewed_before_they_expire(self) -> None:
        self.found = (Credentials("A", "s", "t"), self.clock.seconds() + 3600)
        self.assertEqual(self.key(), "A")
        self.clock.advance(3600 - EARLY - 1)
        self.assertEqual(self.key(), "A")
        self.assertEqual(self.lookups, 1)
        self.found = (Credentials("B", "s", "t"), self.clock.seconds() + 3600)
        self.clock.advance(1)
        self.key()
        self.assertEqual(self.lookups, 2)
        self.assertEqual(self.key(), "B")

    def test_short_lived_ones_are_not_renewed_all_the_time(self) -> None:
        self.found = (Credentials("A", "s", "t"), self.clock.seconds() + 300)
        for _ in range(5):
            self.key()
        self.assertEqual(self.lookups, 1)
        self.clock.advance(150)
        self.key()
        self.assertEqual(self.lookups, 2)

    def test_an_outage_is_survived_until_they_expire(self) -> None:
        self.found = (Credentials("A", "s", "t"), self.clock.seconds() + 3600)
        self.key()
        self.failing = True
        while self.clock.seconds() < 1_700_003_599:
            self.clock.advance(min(RETRY_DELAY, 1_700_003_599 - self.clock.seconds()))
            self.assertEqual(self.key(), "A")
        self.assertGreater(self.lookups, 10)
        self.clock.advance(1)
        self.assert_fails(StoreError, self.cache.get())

    def test_lasting_ones_are_looked_up_now_and_then(self) -> None:
        self.key()
        self.found = (Credentials("B", "s"), None)
        self.clock.advance(LOOK_AGAIN)
        self.key()
        self.assertEqual(self.key(), "B")

    def test_those_of_the_configuration_stay(self) -> None:
        cache = unchanging(Credentials("A", "s"), self.clock, WHAT)
        for _ in range(3):
            self.assertEqual(self.run_now(cache.get()).value, Credentials("A", "s"))
            self.clock.advance(1e9)
