"""Whether a store of this kind is ready, tried on a server."""

from __future__ import annotations

from tests.storage.remote.probe_contract import ProbeContract
from tests.storage.s3.support import S3TestCase


class ProbeTests(ProbeContract, S3TestCase):
    """See the contract."""

    build = S3TestCase.build
