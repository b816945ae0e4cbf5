"""What a workload gets to work with."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.error import URLError

from benchmarks.peers.base import Bucket, Peer, Place, Server
from benchmarks.report import Case, Row


@dataclass(slots=True)
class Bench:
    """Servers to measure, and a place for what is found.

    :ivar peers: the servers, in the order in which they take turns.
    :ivar root: a directory for everything.
    :ivar cores: how many processors each server gets.
    :ivar rounds: how often everything is measured.
    :ivar seconds: how long one measurement under load takes.
    :ivar quick: whether the run only shows that everything works.
    :ivar size: of a large object, in bytes.
    """

    peers: Sequence[Peer]
    root: Path
    cores: int
    rounds: int
    seconds: float
    quick: bool
    size: int
    rows: dict[str, Row] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def directory(self, name: str) -> Path:
        """Make a new directory."""
        path = self.root / f"{name}-{next(self._numbers)}"
        path.mkdir()
        return path

    @contextmanager
    def start(
        self, peer: Peer, bucket: Bucket | None = None, cores: int = 0, memory: bool = False
    ) -> Iterator[Server]:
        """Run a server over an empty store, until the block ends.

        :param cores: how many processors it gets; 0 for as many as others.
        :param memory: whether it keeps objects in its memory.
        """
        place = Place(self.directory(peer.name), cores or self.cores, bucket, memory)
        with peer.start(place) as server:
            yield server

    @contextmanager
    def all(self, bucket: Bucket | None = None) -> Iterator[list[Server]]:
        """Run all servers at once; those that do not take part in a turn are idle."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.start(peer, bucket)) for peer in self.peers]

    def add(self, case: Case, server: str, value: float) -> None:
        """Note one value."""
        self._row(case).values.setdefault(server, []).append(value)
        print(f"  {case.name}: {server} {value:.{case.digits}f} {case.unit}", file=sys.stderr)

    def arrange(self, *cases: Case) -> None:
        """Put cases into the table in this order, whatever is measured first."""
        for case in cases:
            self._row(case)

    def note(self, text: str) -> None:
        """Note something that a reader should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, case: Case, server: str, reason: object) -> None:
        """Note that a server cannot do something."""
        text = " ".join(str(reason).split())
        # What a program says before it ends stands at the end.
        shortened = text if len(text) <= 200 else f"{text[:60]} … {text[-137:]}"
        self._row(case).failures.setdefault(server, shortened)
        print(f"  {case.name}: {server} fails: {reason}", file=sys.stderr)

    @contextmanager
    def attempt(self, server: str, *cases: Case) -> Iterator[None]:
        """Note that a server fails in some cases, instead of ending everything."""
        try:
            yield
        except (RuntimeError, AssertionError, URLError, OSError, KeyError, ValueError) as error:
            for case in cases:
                self.fail(case, server, f"{type(error).__name__}: {error}")

    def _row(self, case: Case) -> Row:
        return self.rows.setdefault(case.name, Row(case, {}, {}))


class Workload(Protocol):
    """Something that is measured.

    :ivar name: its name on the command line and of its results.
    :ivar about: what it does, in words.
    :ivar needs: what a server must do to take part.
    :ivar tools: the commands that make the load; see :func:`benchmarks.suite.main`.
    """

    name: str
    about: str
    needs: str

    @property
    def tools(self) -> Sequence[str]:
        """See above."""
        ...

    def run(self, bench: Bench) -> None:
        """Measure every server of ``bench`` in turn."""
        ...
