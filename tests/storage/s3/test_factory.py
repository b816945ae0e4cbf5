"""The options of ``storage: {type: s3}``."""

from __future__ import annotations

import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.app import plugins
from giftless.base import schema
from giftless.errors import ConfigError
from giftless.interfaces import IExternalStore, IStorageFactory, IStreamingStore
from giftless.storage.s3.factory import S3Factory, S3Options
from tests.support.making import environment

KEY = {"access_key_id": "AKID", "secret_access_key": "hush"}


def build(**options: Any) -> Any:
    section = {"bucket": "assets", **KEY, **options}
    section = {name: value for name, value in section.items() if value is not None}
    return S3Factory().build(schema.convert(section, S3Options, "storage"), environment())


def urls(**options: Any) -> tuple[str, str]:
    """Return where the daemon and where clients find the bucket."""
    place = build(**options).container._place
    return place.url, place.public_url


class FactoryTests(SynchronousTestCase):
    def assert_refused(self, path: str, words: str, **options: Any) -> None:
        with self.assertRaises(ConfigError) as caught:
            build(**options)
        self.assertEqual(caught.exception.path, path)
        self.assertIn(words, caught.exception.problem)

    def test_it_is_registered(self) -> None:
        verifyObject(IStorageFactory, plugins.find(IStorageFactory)["s3"])

    def test_the_mode_decides_what_the_store_can_do(self) -> None:
        self.assertTrue(IExternalStore.providedBy(build()))
        self.assertFalse(IStreamingStore.providedBy(build()))
        self.assertTrue(IStreamingStore.providedBy(build(mode="proxy")))
        self.assertFalse(IExternalStore.providedBy(build(mode="proxy")))

    def test_where_a_bucket_is(self) -> None:
        for options, expected in (
            ({}, "https://assets.s3.us-east-1.amazonaws.com"),
            ({"region": "eu-west-1"}, "https://assets.s3.eu-west-1.amazonaws.com"),
            ({"region": "cn-north-1"}, "https://assets.s3.cn-north-1.amazonaws.com.cn"),
            ({"addressing": "path"}, "https://s3.us-east-1.amazonaws.com/assets"),
            ({"bucket": "my.assets"}, "https://s3.us-east-1.amazonaws.com/my.assets"),
            ({"bucket": "Old_Name"}, "https://s3.us-east-1.amazonaws.com/Old_Name"),
            ({"endpoint_url": "https://minio:9000"}, "https://minio:9000/assets"),
            ({"endpoint_url": "HTTPS://Minio:443/"}, "https://minio/assets"),
            ({"endpoint_url": "http://minio:80/s3/"}, "http://minio/s3/assets"),
            (
                {"endpoint_url": "https://s3.example.com", "addressing": "virtual"},
                "https://assets.s3.example.com",
            ),
            (
                {"endpoint_url": "https://h/s3", "addressing": "virtual"},
                "https://assets.h/s3",
            ),
        ):
            self.assertEqual(urls(**options), (expected, expected))

    def test_clients_may_be_sent_elsewhere(self) -> None:
        self.assertEqual(
            urls(endpoint_url="http://minio:9000", public_endpoint_url="https://s3.example.com/"),
            ("http://minio:9000/assets", "https://s3.example.com/assets"),
        )

    def test_what_cannot_work_is_refused(self) -> None:
        self.assert_refused("storage.bucket", "is missing", bucket=None)
        self.assert_refused("storage.bucket", "text of 1 or more", bucket="")
        self.assert_refused("secret_access_key", "both halves", secret_access_key=None)
        self.assert_refused("access_key_id", "both halves", access_key_id=None)
        self.assert_refused("profile", "beside 'access_key_id'", profile="work")
        self.assert_refused("prefix", "relative path", prefix="../x")
        self.assert_refused("endpoint_url", "http(s)://", endpoint_url="minio:9000")
        self.assert_refused("public_endpoint_url", "http(s)://", public_endpoint_url="x")
        self.assert_refused("addressing", "part of a host's", addressing="virtual", bucket="a.b")
        self.assert_refused("storage.mode", "direct", mode="both")
        self.assert_refused("storage.timeout", "from 1 to 600", timeout=0)
        self.assert_refused("storage.concurrency", "from 1 to 1000", concurrency=0)
        self.assert_refused("storage.buckets", "did you mean 'bucket'", buckets="x")

    def test_the_secret_is_in_no_message(self) -> None:
        options = schema.convert({"bucket": "b", **KEY}, S3Options, "storage")
        self.assertNotIn("hush", repr(options))

    def test_without_botocore_a_key_is_needed(self) -> None:
        for module in ("botocore", "botocore.session", "botocore.exceptions"):
            self.patch_module(module)
        build()
        self.assert_refused(
            "access_key_id", "install giftless[s3]", access_key_id=None, secret_access_key=None
        )

    def patch_module(self, name: str) -> None:
        """Let a module be impossible to import."""
        before = sys.modules.get(name)
        sys.modules[name] = None  # type: ignore[assignment]

        def restore() -> None:
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before

        self.addCleanup(restore)

    def test_building_asks_nobody(self) -> None:
        """Credentials are looked for when they are first needed."""
        build(access_key_id=None, secret_access_key=None, profile="no-such-profile")
