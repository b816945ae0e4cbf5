"""Batches over an object store that is far away."""

from __future__ import annotations

import itertools
import statistics

from twisted.trial.unittest import SkipTest

from benchmarks.peers import base
from benchmarks.peers.base import Bucket, Missing
from benchmarks.report import Case
from benchmarks.support import timed
from benchmarks.workloads.base import Bench
from benchmarks.workloads.batch import OBJECTS, contents
from tests.support.faulty import FaultyProxy
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
        bench.note("rudolfs is left out: its S3 client does not connect to a store without TLS")
        here = contents(bench.root, "here", OBJECTS)
        absent = contents(bench.root, "absent", OBJECTS)
        with versitygw(bench.directory("s3")) as store, FaultyProxy(store.port, LATENCY) as far:
            (store.buckets / "bench").mkdir()
            bucket = Bucket(far.url, "bench", S3.REGION, S3.ACCESS_KEY, S3.SECRET_KEY)
            for content in here:
                # Where both servers look for it.
                assert content.path is not None
                store.upload("bench", f"org/repo/{content.oid}", content.path.read_bytes())
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
