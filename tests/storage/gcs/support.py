"""Stores over the buckets of a fake Google."""

from __future__ import annotations

import itertools
from typing import Any

from giftless.base import schema
from giftless.storage.gcs.factory import GCSFactory, GCSOptions
from tests.support.gcs import google
from tests.support.servers import shared
from tests.support.spinning import SpinningTestCase


class GCSTestCase(SpinningTestCase):
    """Has a bucket of its own; is skipped where fake-gcs-server is missing.

    :ivar google: the server, shared by all tests.
    :ivar bucket: the bucket's name.
    """

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.google = shared(google)
        self.bucket = f"bucket-{next(self._numbers)}"
        self.google.create(self.bucket)
        self.google.denied.clear()
        self.google.requests.clear()
        super().setUp()

    def build(self, **options: Any) -> Any:
        """Build a store over the bucket, with a key file and these options."""
        return self.build_section(self.google.options(self.bucket, **options))

    def build_section(self, section: dict[str, Any]) -> Any:
        """Build a store."""
        rest = {name: value for name, value in section.items() if name != "type"}
        options = schema.convert(rest, GCSOptions, "storage")
        return GCSFactory().build(options, self.environment())
