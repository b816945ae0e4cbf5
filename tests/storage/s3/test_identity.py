"""How a bucket of S3 is recognised."""

from __future__ import annotations

import shutil

from giftless.errors import ConfigError, StorageUnavailable
from tests.storage.remote.identity_contract import ABSENT, IdentityContract
from tests.storage.s3.support import S3TestCase


class IdentityTests(IdentityContract, S3TestCase):
    """See the contract."""

    build = S3TestCase.build

    def test_a_bucket_that_is_gone_is_503(self) -> None:
        store = self.checked()
        shutil.rmtree(self.server.buckets / self.bucket)
        self.assert_fails(StorageUnavailable, self.build().sizes([ABSENT]))
        self.assert_fails(ConfigError, store.check())
