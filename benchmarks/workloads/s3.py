"""Batches over an object store that is far away."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.trial.unittest import SkipTest

from benchmarks.peers import base
from benchmarks.peers.base import Bucket, Missing
from benchmarks.report import Case
from benchmarks.support import free_port, timed, wait_for
from benchmarks.workloads.base import Bench
from benchmarks.workloads.batch import OBJECTS, contents
from tests.support.servers import S3, find_command, versitygw

#: What is added to each answer of the store, in seconds.
LATENCY = 0.02

#: How many batches one measurement sends.
BATCHES = 5


class S3Batch:
    """How long a batch of 100 takes when each question to the store takes 20 ms."""

    name = "s3"
    about = f"batches of 100 over an S3 server whose answers take {LATENCY * 1000:.0f} ms more"
    needs = base.S3
    tools = ()

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`.

        :raises Missing: if there is no S3 server.
        """
        try:
            find_command("versitygw")
        except SkipTest as reason:
            raise Missing(f"{reason}, or 'make stores'") from None
        here = contents(bench.root, "here", OBJECTS)
        absent = contents(bench.root, "absent", OBJECTS)
        with versitygw(bench.directory("s3")) as store, _delayed(bench, store.port) as port:
            (store.buckets / "bench").mkdir()
            endpoint = f"http://127.0.0.1:{port}"
            bucket = Bucket(endpoint, "bench", S3.REGION, S3.ACCESS_KEY, S3.SECRET_KEY)
            for content in here:
                # Where each of the servers looks for it.
                for place in ("org/repo", "lfs/org/repo", "lfs/org/repo/00/00"):
                    assert content.path is not None
                    store.upload("bench", f"{place}/{content.oid}", content.path.read_bytes())
            with bench.all(bucket) as servers:
                for operation, objects in (("upload", absent), ("download", here)):
                    time = Case(f"{operation} of {OBJECTS}", "ms", more=False, digits=1)
                    trips = Case(f"{time.name}, in round trips", "", more=False, digits=2)
                    for _, server in itertools.product(range(bench.rounds), servers):
                        with bench.attempt(server.peer, time, trips):
                            reply = server.batch(operation, objects)
                            assert all(operation in item["actions"] for item in reply), reply[0]
                            seconds = statistics.median(
                                timed(lambda: server.batch(operation, objects))  # noqa: B023
                                for _ in range(BATCHES)
                            )
                            bench.add(time, server.peer, seconds * 1000)
                            bench.add(trips, server.peer, seconds / LATENCY)


@contextmanager
def _delayed(bench: Bench, target: int) -> Iterator[int]:
    """Run a proxy to a port that delays what comes back; yields its own port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.faulty", str(port), str(target), str(LATENCY)]
    log = bench.root / "delayed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield port
    finally:
        process.terminate()
        process.wait()
