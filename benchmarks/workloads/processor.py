"""What a small request costs, beside a trivial one."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import load
from benchmarks.peers.base import HEADERS, MEMORY, PROCESSOR, Missing, Server, Transfer, batch_body
from benchmarks.report import Case
from benchmarks.support import Content
from benchmarks.workloads.base import Bench
from benchmarks.workloads.batch import check, contents

#: The server whose POST the others are measured by.
YARDSTICK = "twisted.web"

#: How large an upload is, in bytes.
SIZE = 10_000

#: How many connections send requests.
CLIENTS = 4

_BATCH, _MEMORY_BATCH, _PUT = (
    Case(name, "µs", more=False)
    for name in (
        "batch of 1, missing",
        "batch of 1, missing, store in memory",
        f"PUT of {SIZE // 1000} KB, store in memory",
    )
)


class Processor:
    """Processor time of all processes of a server for each request."""

    name = "processor"
    about = "processor time for each request, user and system, of a server on one processor"
    needs = PROCESSOR
    tools = ("wrk",)

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`.

        :raises Missing: if there is nothing to measure by.
        """
        (absent,) = contents(bench.root, "absent", 1)
        # Of another name in each round: what a server has is not uploaded again.
        sent = contents(bench.root, "sent", bench.rounds + 1, SIZE)
        bench.note(
            f"The trivial POST is a batch of one sent to {YARDSTICK} (benchmarks/trivial.py),"
            " which reads it and answers with two bytes."
        )
        for case in (_BATCH, _MEMORY_BATCH, _PUT):
            bench.arrange(case, _times(case))
        bench.note("A store in memory is a plugin of giftless: it has neither disk nor thread.")
        with ExitStack() as stack:
            servers = [stack.enter_context(bench.start(peer, cores=1)) for peer in bench.peers]
            in_memory = []
            for peer in bench.peers:
                # An earlier giftless may not know the plugin's interfaces.
                if MEMORY in peer.serves:
                    with bench.attempt(peer.name, _MEMORY_BATCH, _PUT):
                        started = bench.start(peer, cores=1, memory=True)
                        in_memory.append(stack.enter_context(started))
            yardstick = next((each for each in servers if each.peer == YARDSTICK), None)
            if yardstick is None:
                raise Missing(f"{YARDSTICK} must take part")
            servers.remove(yardstick)
            # The first round only warms the processes.
            for number, content in enumerate(sent):
                turn = Turn(bench, record=number > 0)
                turn.begin(yardstick, absent)
                for server in servers:
                    turn.batch(_BATCH, server, absent)
                for server in in_memory:
                    turn.batch(_MEMORY_BATCH, server, absent)
                    turn.put(server, content)


class Turn:
    """One round of measurements.

    :param record: whether they are noted.
    """

    def __init__(self, bench: Bench, record: bool) -> None:
        self._bench = bench
        self._record = record
        self._trivial = 0.0

    def begin(self, yardstick: Server, content: Content) -> None:
        """Measure the trivial POST."""
        self._trivial = self._cost(yardstick, *_batch(yardstick, content))
        for case in (_BATCH, _MEMORY_BATCH, _PUT):
            self._add(case, yardstick, self._trivial)

    def batch(self, case: Case, server: Server, content: Content) -> None:
        """Measure a batch of one object that is missing."""
        with self._bench.attempt(server.peer, case):
            check(server, "upload", [content])
            self._measure(case, server, *_batch(server, content))

    def put(self, server: Server, content: Content) -> None:
        """Measure an upload, which is sent again and again."""
        assert content.path is not None
        with self._bench.attempt(server.peer, _PUT):
            transfer = server.transfer("upload", content)
            self._measure(_PUT, server, transfer, content.path.read_bytes())

    def _measure(self, case: Case, server: Server, transfer: Transfer, body: bytes) -> None:
        taken = self._cost(server, transfer, body)
        self._add(case, server, taken)
        self._add(_times(case), server, taken / self._trivial)

    def _add(self, case: Case, server: Server, value: float) -> None:
        if self._record:
            self._bench.add(case, server.peer, value)

    def _cost(self, server: Server, transfer: Transfer, body: bytes) -> float:
        """Return the processor time of a request in microseconds."""
        bench = self._bench
        before = server.processor_time()
        answers = load.send(transfer, body, CLIENTS, bench.seconds, bench.root)
        return (server.processor_time() - before) / answers.requests * 1e6


def _batch(server: Server, content: Content) -> tuple[Transfer, bytes]:
    url = f"{server.lfs_url()}/objects/batch"
    return Transfer("POST", url, HEADERS), batch_body("upload", [content])


def _times(case: Case) -> Case:
    """Return the case of how many trivial POSTs another one costs."""
    return Case(f"{case.name}, in trivial POSTs", "", more=False, digits=2, ratio=False)
