"""Stores over the buckets of a versitygw."""

from __future__ import annotations

import itertools
from typing import Any

from giftless.base import schema
from giftless.storage.s3.factory import S3Factory, S3Options
from tests.support.servers import shared, versitygw
from tests.support.spinning import SpinningTestCase


class S3TestCase(SpinningTestCase):
    """Has a bucket of its own; is skipped where versitygw is missing.

    :ivar server: the server, shared by all tests.
    :ivar bucket: the bucket's name.
    """

    _numbers = itertools.count()

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = f"bucket-{next(self._numbers)}"
        super().setUp()

    def build(self, **options: Any) -> Any:
        """Build a store over the bucket, with these options beside the usual ones."""
        section = self.server.options(self.bucket, **options)
        del section["type"]
        return S3Factory().build(schema.convert(section, S3Options, "storage"), self.environment())
