"""giftless beside other LFS servers, on this machine, in one run.

Servers take turns in each measurement (A B C A B C …), on equal numbers of
processors, so that whatever else the machine does cancels out.  What is
reported is how many times as good giftless is: the median of the rounds, and
from where to where they go.

    python -m benchmarks.suite [--workload NAME,…] [--servers NAME,…] [--quick]

Results go to ``benchmarks/results/{workload}.json`` and ``.rst``, which the
documentation includes; those of ``--quick`` to ``benchmarks/results/quick``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks import report
from benchmarks.peers import PEERS, Peer
from benchmarks.peers.base import Missing, output
from benchmarks.workloads import WORKLOADS, Workload
from benchmarks.workloads.base import Bench

RESULTS = Path(__file__).with_name("results")

Named = TypeVar("Named", Peer, Workload)


def main() -> None:
    """Run the workloads and print their tables."""
    options = parse(sys.argv[1:])
    peers, missing = available(choose(PEERS, options.servers))
    if not peers or peers[0].name != report.OWN:
        raise SystemExit(f"nothing can be compared with {report.OWN}: it must take part")
    for workload in choose(WORKLOADS, options.workload):
        try:
            results = run(workload, peers, missing, options)
        except Missing as reason:
            print(f"\n{workload.name}: not measured: {reason}", flush=True)
            continue
        report.write(results, RESULTS / "quick" if options.quick else RESULTS)
        print(report.text(results), flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.suite", description=(__doc__ or "").split("\n", 1)[0]
    )
    names = ", ".join(workload.name for workload in WORKLOADS)
    parser.add_argument("--workload", default="", help=f"some of: {names}")
    names = ", ".join(peer.name for peer in PEERS)
    parser.add_argument("--servers", default="", help=f"some of: {names}")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of each server")
    parser.add_argument("--rounds", type=int, help="of each measurement (7; 2 if quick)")
    parser.add_argument("--seconds", type=float, default=2, help="of one measurement under load")
    parser.add_argument("--size", type=int, help="of a large object, in MiB (512; 128 if quick)")
    parser.add_argument(
        "--directory",
        default=tempfile.gettempdir(),
        help="where servers keep objects; a memory file system shows what the disk hides",
    )
    parser.add_argument("--quick", action="store_true", help="only show that everything works")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 7)
    options.size = options.size or (128 if options.quick else 512)
    return options


def choose(everything: Sequence[Named], names: str) -> list[Named]:
    """Return what a list of names, with commas, chooses; an empty one chooses everything."""
    known = {thing.name: thing for thing in everything}
    wanted = [name for name in names.split(",") if name]
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"there is no {unknown[0]}; there are: {', '.join(known)}")
    return [thing for name, thing in known.items() if not wanted or name in wanted]


def available(peers: Sequence[Peer]) -> tuple[list[Peer], dict[str, str]]:
    """Return the servers that are installed, and why the others are not."""
    found, missing = [], {}
    for peer in peers:
        try:
            peer.version()
        except Missing as reason:
            missing[peer.name] = str(reason)
        else:
            found.append(peer)
    return found, missing


def run(
    workload: Workload, peers: Sequence[Peer], missing: dict[str, str], options: argparse.Namespace
) -> report.Results:
    """Measure one workload.

    :raises Missing: if it needs what is not installed.
    """
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    able = [peer for peer in peers if workload.needs in peer.serves]
    unable = {
        peer.name: reason
        for peer in PEERS
        if workload.needs in peer.serves and (reason := missing.get(peer.name))
    }
    root = Path(tempfile.mkdtemp(prefix="giftless-bench-", dir=options.directory))
    try:
        bench = Bench(
            able,
            root,
            options.cores,
            options.rounds,
            options.seconds,
            options.quick,
            options.size << 20,
        )
        workload.run(bench)
    finally:
        shutil.rmtree(root)
    facts = {
        "processors": f"{os.cpu_count()}, {options.cores} for each server, shared with the load",
        "objects on": output("findmnt", "-n", "-o", "FSTYPE", "-T", options.directory),
        "Python": sys.version.split()[0],
    }
    command = f'make bench BENCH=suite ARGS="{shlex.join(arguments(workload, options))}"'
    return report.Results(
        workload.name,
        workload.about,
        command,
        date,
        report.machine(facts),
        {peer.name: peer.version() for peer in able},
        unable,
        {tool: version(tool) for tool in workload.tools},
        bench.notes,
        list(bench.rows.values()),
        {peer.name: list(peer.promises) for peer in able},
    )


def arguments(workload: Workload, options: argparse.Namespace) -> list[str]:
    """Return the arguments that run one workload again."""
    given = ["--workload", workload.name, "--rounds", str(options.rounds)]
    given += ["--cores", str(options.cores), "--seconds", f"{options.seconds:g}"]
    given += ["--size", str(options.size)]
    if options.directory != tempfile.gettempdir():
        given += ["--directory", options.directory]
    if options.servers:
        given += ["--servers", options.servers]
    return [*given, "--quick"] if options.quick else given


def version(tool: str) -> str:
    """Return what a tool says about its version."""
    return output(tool, "-v" if tool == "wrk" else "--version").splitlines()[0]


if __name__ == "__main__":
    main()
