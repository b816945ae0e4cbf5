"""A world of git repositories, clients that push, and ``giftless gc``, in rounds.

What is checked does not come from giftless: the model knows what is reachable, the disk says
what is stored, and git-lfs fetches it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import math
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.histories import Commit, History
from tests.integration.support import LFS_JSON, Daemon, Git
from tests.support.commands import run_command
from tests.support.processes import PATIENCE

#: For how long offered objects stay, in seconds.
GRACE: Final = 2.0

#: A push that takes longer between its batch and its ref is not protected by the grace
#: period, in seconds.
SLOW: Final = 1.8

#: How many refs a repository has at most, and how many commits a branch grows at once.
_REFS: Final = 6

#: Prefixes: two git repositories share the first one.
_SHARED: Final = "acme/shared"
_OWN: Final = "acme/own"


#: For how long it can be noticed that claims of a killed run were ended, in seconds.
_SHAKEN: Final = 30.0

#: Which objects of a repository somebody has claimed, or which were offered since a time: as
#: those are whose claims have ended.
_CLAIMED: Final = """
    SELECT oid FROM giftless_catalogue_entries WHERE (state = 1 OR state = 0 AND offered_at >= ?2)
    AND repo = (SELECT id FROM giftless_catalogue_repos WHERE path = ?1)
"""

_ROW: Final = """
    SELECT * FROM giftless_catalogue_entries
    WHERE repo = (SELECT id FROM giftless_catalogue_repos WHERE path = ?1) AND oid = ?2
"""


class Refusal(Exception):
    """The server was not there, or did not take something: a push ends."""


@dataclass
class Landed:
    """A ref that a push has set.

    :ivar offered: what the push has offered.
    :ivar took: how long that was before, in seconds.
    """

    at: float
    offered: frozenset[str]
    took: float


@dataclass
class World:
    """Everything of one series of rounds.

    :param seed: decides on all that happens, but not when.
    :ivar counts: what has happened, for whoever reads the log of a soak test.
    """

    directory: Path
    seed: int
    daemon: Daemon
    git: Git
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        #: Objects by oid, and when each was offered last, by repository of the server.
        self.contents: dict[str, bytes] = {}
        self.touched: dict[tuple[str, str], float] = {}
        self.landed: dict[tuple[int, str], Landed] = {}
        #: Runs that were killed may have claimed objects of these repositories, which stay until
        #: a run ends well (infinity), and for another grace period since then.
        self.killed: dict[str, float] = {}
        #: Which commits were named by refs that were set, and when.
        self.named: list[tuple[float, str, Commit]] = []
        self.lock = threading.Lock()
        self.histories = [
            History(self.directory / f"{name}.git", lfs)
            for name, lfs in (("one", _SHARED), ("two", _SHARED), ("three", _OWN))
        ]
        for history in self.histories:
            history.create()
            self.push(self.random, history, "refs/heads/main", slow=0)

    # -- what clients do

    def act(self, chance: random.Random, racing: bool) -> None:
        """Do something that a client does, whatever comes of it."""
        number = chance.randrange(len(self.histories))
        history = self.histories[number]
        with self.lock:
            refs = sorted(history.refs)
        ref = chance.choice(refs) if refs else "refs/heads/main"
        name = f"refs/{chance.choice(('heads', 'tags', 'pull'))}/{chance.randrange(4)}"
        slow = chance.random() * 0.4 if racing else 0.0
        kind = chance.choices(("push", "force", "delete", "restore", "reoffer"), (4, 2, 3, 2, 1))[0]
        with contextlib.suppress(Refusal):
            if kind == "push":
                self.push(chance, history, name if len(refs) < _REFS else ref, slow=slow)
            elif kind == "force":
                self.push(chance, history, ref, slow=slow, force=True)
            elif kind == "delete" and len(refs) > 1:
                with self.lock:
                    history.update(ref, None)
            elif kind == "restore":
                # As a client does that believes the server still has all of it.
                commit = chance.choice(history.known)
                self.land(history, name, commit, frozenset(), time.time())
            elif kind == "reoffer":
                self.publish(history, name, chance.choice(history.known), slow)
            self.counts[kind] += 1

    def push(
        self,
        chance: random.Random,
        history: History,
        ref: str,
        slow: float,
        force: bool = False,
    ) -> None:
        """Commit files, new ones and old ones, and push."""
        with self.lock:
            base = history.refs.get(ref)
            old = sorted(self.contents)
        parents: list[Commit] = [] if base is None or force else [base]
        if force and chance.random() < 0.5 and history.known:
            parents = [chance.choice(history.known)]
        files: dict[str, tuple[str, int]] = {}
        for name in range(chance.randint(1, 3)):
            if old and chance.random() < 0.3:
                oid = chance.choice(old)
            else:
                data = chance.randbytes(chance.randint(1, 60))
                oid = hashlib.sha256(data).hexdigest()
                self.contents[oid] = data
            files[f"{name}.bin"] = oid, len(self.contents[oid])
        with self.lock:
            commit = history.commit(files, parents)
        self.publish(history, ref, commit, slow)

    def publish(self, history: History, ref: str, commit: Commit, slow: float) -> None:
        """Offer and upload what a commit needs, then set the ref, as git-lfs and git do."""
        began = time.time()
        offered = sorted(commit.reaches)
        self.upload(history.lfs, offered)
        if slow:
            time.sleep(slow)
        self.land(history, ref, commit, frozenset(offered), began)

    def land(
        self, history: History, ref: str, commit: Commit, offered: frozenset[str], began: float
    ) -> None:
        """Set a ref."""
        with self.lock:
            now = time.time()
            history.update(ref, commit)
            self.named.append((now, history.lfs, commit))
            number = self.histories.index(history)
            self.landed[number, ref] = Landed(now, offered, now - began)
            if now - began >= SLOW:
                self.counts["slow pushes"] += 1

    def upload(self, lfs: str, oids: Sequence[str]) -> None:
        """Offer objects, and upload those that the server asks for."""
        try:
            self.try_upload(lfs, oids)
        finally:
            # Whatever came of it, the server may have taken note.
            self.touch(lfs, oids)

    def try_upload(self, lfs: str, oids: Sequence[str]) -> None:
        """See :meth:`upload`."""
        wanted = [{"oid": oid, "size": len(self.contents[oid])} for oid in oids]
        for attempt in range(20):
            try:
                reply = self.ask(lfs, wanted)
                for item in reply["objects"]:
                    if "error" in item:
                        raise Refusal(str(item))
                    if "actions" in item:
                        self.put(item["actions"]["upload"], self.contents[item["oid"]])
                break
            except OSError:
                # A worker was killed; git-lfs tries again, too.
                self.counts["lost connections"] += 1
                time.sleep(0.05 * attempt)
        else:
            raise Refusal("the server does not answer")

    def touch(self, lfs: str, oids: Iterable[str]) -> None:
        """Note that objects were offered, or brought back."""
        now = time.time()
        with self.lock:
            for oid in oids:
                self.touched[lfs, oid] = now

    def ask(self, lfs: str, wanted: Sequence[Mapping[str, object]]) -> Any:
        """Send a batch request for an upload."""
        body = {"operation": "upload", "transfers": ["basic"], "objects": wanted}
        headers = {"Content-Type": LFS_JSON, "Accept": LFS_JSON}
        path = f"/{lfs}.git/info/lfs/objects/batch"
        reply = self.send("POST", path, json.dumps(body).encode(), headers)
        return json.loads(reply)

    def put(self, action: Mapping[str, Any], data: bytes) -> None:
        """Follow an upload's action."""
        path = action["href"].removeprefix(self.daemon.url)
        self.send("PUT", path, data, dict(action.get("header") or {}))

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Send a request.

        :raises OSError: if it gets no whole answer.
        """
        client = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=PATIENCE)
        try:
            client.request(method, path, body, dict(headers))
            reply = client.getresponse()
            data = reply.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from None
        finally:
            client.close()
        if reply.status >= 500:
            raise OSError(f"{reply.status} {data!r}")
        if reply.status != 200:
            raise Refusal(f"{reply.status} {data!r}")
        return data

    # -- what the operator does

    def collect(self, lfs: str, kill_after: float | None = None) -> dict[str, Any] | None:
        """Run ``giftless gc --really``.

        :param kill_after: when it is killed, in seconds; ``None`` to let it end.
        :returns: its report; ``None`` if it was killed.
        """
        sources = [
            word
            for history in self.histories
            if history.lfs == lfs
            for word in ("--from", str(history.path))
        ]
        arguments = ("gc", lfs, *sources, "--really", "--json", f"--grace={GRACE}")
        flags = ("--allow-empty", "--allow-shrunken", "--config=giftless.yaml")
        timers: list[threading.Timer] = []

        def started(pid: int) -> None:
            if kill_after is not None:
                timers.append(threading.Timer(kill_after, _kill, (pid,)))
                timers[0].start()

        result = run_command(
            "giftless",
            *arguments,
            *flags,
            directory=self.daemon.directory,
            environ={"HOME": str(self.git.home), "GIT_CONFIG_NOSYSTEM": "1"},
            started=started,
        )
        for timer in timers:
            timer.cancel()
            timer.join()
        if kill_after is not None and result.returncode == -signal.SIGKILL:
            self.counts["killed"] += 1
            return None
        if result.returncode != 0:
            raise AssertionError(f"gc failed: {result.stdout}{result.stderr}")
        report: dict[str, Any] = json.loads(result.stdout)["repositories"][0]
        return report

    # -- rounds

    def round(self) -> None:
        """Let clients push, collect meanwhile, kill something, and look at what is left."""
        chance = self.random
        for _ in range(chance.randint(1, 4)):
            self.act(chance, racing=False)
        lfs = chance.choice((_SHARED, _SHARED, _OWN))
        kill_after = chance.uniform(0.3, 3.0) if chance.random() < 0.4 else None
        before = time.time()
        garbage = self.garbage(lfs, before)
        with self.bringing_back(lfs), self.racing(chance):
            report = self.collect(lfs, kill_after)
        if report is None:
            self.killed[lfs] = math.inf
        else:
            self.check_trash(lfs, garbage, before)
            if self.killed.get(lfs) == math.inf:
                self.killed[lfs] = time.time()
            self.counts["trashed"] += report["trashed"]["objects"]
            self.counts["restored"] += report["restored"]["objects"]
        self.fetch_all()
        self.counts["rounds"] += 1

    @contextlib.contextmanager
    def bringing_back(self, lfs: str) -> Iterator[None]:
        """Note what something brings back out of the trash: its grace begins anew."""
        absent = self.in_place(self.trashed(lfs)) - self.in_place(self.stored(lfs))
        yield
        self.touch(lfs, absent & self.in_place(self.stored(lfs)))

    @staticmethod
    def in_place(directory: Path) -> frozenset[str]:
        """The oids of the objects in a directory."""
        return frozenset(os.listdir(directory)) if directory.exists() else frozenset()

    @contextlib.contextmanager
    def racing(self, chance: random.Random) -> Iterator[None]:
        """Let clients push, and kill a worker, while something else is done."""
        ended = threading.Event()
        failures: list[BaseException] = []

        def race(seed: int) -> None:
            own = random.Random(seed)
            try:
                while not ended.wait(own.random() * 0.3):
                    self.act(own, racing=True)
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=race, args=(chance.getrandbits(32),))
            for _ in range(chance.randint(0, 2))
        ]
        if chance.random() < 0.15:
            threads.append(threading.Timer(chance.uniform(0, 2), self.kill_worker))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        for failure in failures:
            raise failure

    def kill_worker(self) -> None:
        """Kill a worker of the daemon."""
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self.daemon.workers[-1], signal.SIGKILL)
            self.counts["killed workers"] += 1

    # -- what must be true

    def reachable(self, lfs: str) -> frozenset[str]:
        """The oids that refs of all repositories lead to that share one of the server."""
        return frozenset[str]().union(*(h.reachable for h in self.histories if h.lfs == lfs))

    def garbage(self, lfs: str, now: float) -> frozenset[str]:
        """What is stored, unreachable and past its grace when a run begins now."""
        with self.lock:
            past = {
                oid
                for (repo, oid), at in self.touched.items()
                if repo == lfs and at < now - GRACE - 0.1
            }
            return frozenset(past) - self.reachable(lfs) - self.claimed(lfs, now)

    def explain(self, lfs: str, oid: str, before: float) -> str:
        """Say what is known of an object, for whoever reads why a test failed."""
        refs = []
        for (number, ref), landed in self.landed.items():
            commit = self.histories[number].refs.get(ref)
            if commit is not None and oid in commit.reaches:
                when = f"{landed.at - before:+.1f} s, after {landed.took:.1f} s"
                refs.append(f"{ref} of {number} ({when}, offered: {oid in landed.offered})")
        touched = self.touched.get((lfs, oid), 0.0) - before
        rows = self.query(_ROW, lfs, bytes.fromhex(oid))
        return f"{oid}, touched {touched:+.1f} s, {rows} at {before}, refs {refs}"

    def query(self, statement: str, *arguments: object) -> list[Any]:
        """Ask the daemon's catalogue."""
        path = self.daemon.directory / "giftless-state" / "catalogue.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(statement, arguments).fetchall()

    def claimed(self, lfs: str, now: float) -> frozenset[str]:
        """What a killed run has claimed, or has had until a moment ago."""
        if now - self.killed.get(lfs, 0.0) > _SHAKEN:
            return frozenset()
        rows = self.query(_CLAIMED, lfs, now - GRACE - 0.1)
        return frozenset(oid.hex() for (oid,) in rows)

    def check_trash(self, lfs: str, garbage: frozenset[str], before: float) -> None:
        """Compare what is where with what refs lead to, when a run has ended well.

        What a ref leads to is stored.  Left out is what no run could know: objects that a
        client has not offered, or long before it set the ref, while the run ran.
        """
        with self.lock:
            excused: set[str] = set()
            reachable: set[str] = set()
            for number, history in enumerate(self.histories):
                for ref, commit in history.refs.items():
                    if history.lfs != lfs:
                        continue
                    reachable |= commit.reaches
                    landed = self.landed[number, ref]
                    if landed.at >= before:
                        excused |= commit.reaches - (
                            landed.offered if landed.took < SLOW else frozenset()
                        )
            touched = {
                oid for (repo, oid), at in self.touched.items() if repo == lfs and at >= before
            }
            named = {
                oid
                for at, repo, commit in self.named
                if repo == lfs and at >= before
                for oid in commit.reaches
            }
        lost = [oid for oid in reachable - excused if not self.stored(lfs).joinpath(oid).exists()]
        if lost:
            what = "; ".join(self.explain(lfs, oid, before) for oid in lost)
            raise AssertionError(f"seed {self.seed}: reachable, and not stored: {what}")
        self.counts["excused"] += len(excused & reachable)
        # What a ref has led to at some time since is not expected to have gone.
        due = garbage - touched - named
        left = [oid for oid in due if self.stored(lfs).joinpath(oid).exists()]
        if left:
            what = "; ".join(self.explain(lfs, oid, before) for oid in left)
            raise AssertionError(f"seed {self.seed}: unreachable, and still stored: {what}")
        gone = [oid for oid in due if not self.trashed(lfs).joinpath(oid).exists()]
        if gone:
            raise AssertionError(f"seed {self.seed}: deleted, and not in the trash: {gone}")
        self.counts["due"] += len(due)

    def fetch_all(self) -> None:
        """Fetch everything that each repository leads to, with git-lfs."""
        for history in self.histories:
            with self.bringing_back(history.lfs):
                self.fetch(history)

    def fetch(self, history: History) -> None:
        """Fetch everything that a repository leads to, into an empty directory."""
        storage = self.directory / "lfs"
        shutil.rmtree(storage, ignore_errors=True)
        settings = (f"lfs.url={self.daemon.url}/{history.lfs}", f"lfs.storage={storage}")
        options = [word for setting in settings for word in ("-c", setting)]
        self.git.run(history.path, *options, "lfs", "fetch", "--all")
        for oid in history.reachable:
            path = storage / "objects" / oid[:2] / oid[2:4] / oid
            if not path.exists() or path.read_bytes() != self.contents[oid]:
                raise AssertionError(f"seed {self.seed}: git-lfs did not fetch {oid}")

    def stored(self, lfs: str) -> Path:
        """Where the objects of a repository are."""
        return self.daemon.store / lfs

    def trashed(self, lfs: str) -> Path:
        """Where the trash of a repository is."""
        org, name = lfs.split("/")
        return self.daemon.store / org / ".giftless" / "trash" / name


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
