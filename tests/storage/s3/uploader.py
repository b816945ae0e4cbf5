"""A process that uploads an object to a bucket bit by bit, for tests that kill it::

    python -m tests.storage.s3.uploader ENDPOINT BUCKET STATE_DIR SIZE PART_SIZE END...

It goes on where somebody else has stopped, sends one body up to each END, says after each how
much the store has acknowledged, and makes the object when all has come.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from giftless.base import schema
from giftless.base.http_client import http_client
from giftless.base.threads import Threads
from giftless.storage.s3.factory import S3Factory, S3Options
from tests.contracts.multipart import bytes_of
from tests.support.bodies import ListBody
from tests.support.making import environment, key_of, payload_of
from tests.support.servers import S3

#: How much one chunk has, in bytes.
CHUNK = 256 * 1024

#: The reactor, whose interfaces mypy does not know.
reactor: Any = installed_reactor


async def upload(
    endpoint: str, bucket: str, state_dir: str, size: int, part_size: int, ends: list[int]
) -> None:
    """Upload the object."""
    threads = Threads(reactor, 2)
    threads.startService()
    section = {
        "bucket": bucket,
        "region": S3.REGION,
        "endpoint_url": endpoint,
        "access_key_id": S3.ACCESS_KEY,
        "secret_access_key": S3.SECRET_KEY,
    }
    around = environment(state_dir, reactor, threads, http_client(reactor))
    store = S3Factory().build(schema.convert(section, S3Options, "storage"), around)
    store._context = replace(store._context, part_size=part_size)
    data = bytes_of(size)
    claimed = await store.claim(key_of(data), size)
    await claimed.begin({})
    for end in ends:
        start = claimed.offset or 0
        chunks = [data[at : min(at + CHUNK, end)] for at in range(start, end, CHUNK)]
        await claimed.append(ListBody(chunks))
        print(claimed.offset, flush=True)
    await claimed.commit(payload_of(data), {}, True)
    print("stored", flush=True)
    await claimed.release()
    threads.stopService()


def main() -> None:
    """Upload as the command line says."""
    endpoint, bucket, state_dir, *numbers = sys.argv[1:]
    size, part_size, *ends = map(int, numbers)
    react(
        lambda _: Deferred.fromCoroutine(upload(endpoint, bucket, state_dir, size, part_size, ends))
    )


if __name__ == "__main__":
    main()
