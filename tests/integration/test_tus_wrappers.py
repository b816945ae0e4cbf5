"""Pushes with git-lfs' own ``tus`` to stores inside of stores, broken off in many ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.integration import test_s3
from tests.integration.resuming import MIB
from tests.integration.support import IntegrationTestCase
from tests.integration.test_tus_stores import LARGE, ResumingContract
from tests.storage.encrypted.support import key_file
from tests.support.rounds import rounds


class SealingContract(ResumingContract):
    """The store is encrypted; two daemons have the same keys."""

    size = rounds(12 * MIB, LARGE)

    def setUp(self) -> None:
        super().setUp()
        self.keys = key_file(self.directory / "keys", "one")

    def section(self, mode: str) -> Mapping[str, Any]:
        """See :meth:`ResumingContract.section`: each daemon has a cache of its own."""
        return {
            "type": "cache",
            "path": str(self.directory / f"cache-{mode}"),
            "limit": "2G",
            "store": {
                "type": "encrypted",
                "compression": "zstd",
                "keys": {"type": "file", "path": str(self.keys)},
                "store": self.inner(),
            },
        }

    def inner(self) -> Mapping[str, Any]:
        """Return the ``storage`` section of the store inside."""
        raise NotImplementedError

    def names(self) -> set[str]:
        """See :meth:`ResumingContract.names`.

        A worker that is killed may leave the beginning of a block, until that is old.
        """
        return {name for name in self.all_names() if not name.startswith(".giftless/sealing/")}

    def all_names(self) -> set[str]:
        """Return the names of what is in the store inside."""
        raise NotImplementedError


class LocalTests(SealingContract, IntegrationTestCase):
    """A directory that two daemons share."""

    def inner(self) -> Mapping[str, Any]:
        """See :meth:`SealingContract.inner`."""
        return {"type": "local", "path": str(self.directory / "objects")}

    def all_names(self) -> set[str]:
        """See :meth:`SealingContract.all_names`: what is the server's own is not looked at."""
        top = self.directory / "objects"
        found = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
        own = (".giftless/sealing", ".giftless/resumable")
        return {name for name in found if name.startswith(own) or ".giftless" not in name}

    def test_a_push_that_breaks_off_goes_on_where_it_broke(self) -> None:
        self.check_push("other", "proxy")


class S3Tests(SealingContract, test_s3.S3TestCase):
    """A bucket on a versitygw."""

    def inner(self) -> Mapping[str, Any]:
        """See :meth:`SealingContract.inner`."""
        return self.server.options(self.bucket, mode="proxy")

    def all_names(self) -> set[str]:
        """See :meth:`SealingContract.all_names`."""
        return self.server.names(self.bucket)

    def test_a_push_that_breaks_off_goes_on_where_it_broke(self) -> None:
        self.check_push("other", "proxy")
