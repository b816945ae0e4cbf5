"""The stock client with the transfer agent: pushes and clones in parts."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.agent.test_install import COMMAND
from tests.integration.resuming import TOLERANCE, Push, cut, kill_client, random_file
from tests.integration.sharing import SharingTestCase
from tests.integration.support import Daemon, Git, GitRepo, file_digest, oid_of
from tests.support.faulty import HANG, RESET, Fault, FaultyProxy, answer
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, installed, wait_until
from tests.support.rounds import rounds
from tests.support.servers import shared, versitygw

MIB = 1024 * 1024

#: How many parts of 1 MiB take two requests to download, of 32 MiB each.
HUGE = rounds(33, 40)

#: Files of many parts, of a few, of one, and without any object.
FILES = {
    "huge.bin": os.urandom(HUGE * MIB + 7),
    "large.bin": os.urandom(3 * MIB),
    "part.bin": os.urandom(MIB),
    "empty.bin": b"",
    **{f"{number}.bin": b"object %d" % number for number in range(12)},
}

#: What is sent in parts where it matters little how many there are.
SEVERAL = os.urandom(rounds(7, 40) * MIB + 7)

#: A configuration whose objects are in the daemon's folder, in parts of 1 MiB.
CONFIG: dict[str, Any] = {
    "storage": {"type": "local", "path": "objects", "part_size": MIB},
    "log_format": "json",
}


class AgentTestCase(SharingTestCase):
    """Has a git whose git-lfs knows the agent.

    :cvar at_once: how many agents a git-lfs starts; ``None`` for as many as it likes.
    """

    at_once: int | None = 2

    def serve(self, **config: Any) -> Daemon:
        """Share a daemon over local storage."""
        return self.share_daemon(**CONFIG, **config)

    def make_git(self, name: str = "home") -> Git:
        """Set up git and git-lfs for a user who has installed the agent."""
        git = Git(self.directory / name)
        shutil.copy(self.share("installed", _installed) / ".gitconfig", git.home)
        if self.at_once is not None:
            name = "lfs.concurrenttransfers"
            git.run(git.home, "config", "--global", name, str(self.at_once))
        return git

    def make_repo(self, url: str, name: str = "work") -> GitRepo:
        return self.make_git(f"home-{name}").create(self.directory / name, url)

    def proxy(self, port: int) -> FaultyProxy:
        """Start a proxy that counts, and can misbehave."""
        proxy = FaultyProxy(port)
        proxy.__enter__()
        self.addCleanup(proxy.__exit__)
        return proxy

    def start_push(self, repo: GitRepo, **environ: str) -> subprocess.Popen[bytes]:
        """Start a push, with all that it starts in a process group of its own."""
        push = subprocess.Popen(
            ["git", "push", "origin", "main"],
            cwd=repo.directory,
            env={**repo.commands.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.addCleanup(push.communicate)
        self.addCleanup(self.kill_group, push)
        return push

    def kill_group(self, push: subprocess.Popen[bytes]) -> None:
        """Kill a push with all that it has started (``kill -9``)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(push.pid, signal.SIGKILL)
        push.wait()

    def agents(self, push: subprocess.Popen[bytes]) -> list[int]:
        """Return the process ids of the agents of a push, without their shells."""
        return [
            pid
            for pid, command in _group(push.pid)
            if COMMAND.name in command and "python" in command.split("\0")[0]
        ]


@contextlib.contextmanager
def _installed(directory: Path) -> Iterator[Path]:
    """Install the agent, as a user does; yields the home."""
    git = Git(directory / "home")
    environ = {**installed().environ, **git.environ}
    subprocess.run([COMMAND, "install"], env=environ, check=True, capture_output=True)
    yield git.home


def _group(leader: int) -> list[tuple[int, str]]:
    """Return process ids and command lines of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == leader and fields[0] != "Z":
                found.append((int(path.name), (path / "cmdline").read_text()))
    return found


def _peak_memory(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


class RoundTripTests(AgentTestCase):
    """Push and clone through local storage."""

    def test_files_of_all_sizes_come_back(self) -> None:
        """Files of all sizes come back byte for byte; the large ones went in parts."""
        self.at_once = None
        daemon = self.serve()
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        clone = self.assert_round_trip(repo, FILES)
        for directory in (repo.directory, clone.directory):
            left = list((directory / ".git" / "lfs" / "tmp").glob("*-giftless-*"))
            self.assertEqual(left, [])
        self.assert_intact(daemon.store / self.repo)
        huge = oid_of(FILES["huge.bin"])
        self.assertEqual(len(daemon.accesses("PUT", f"{huge}/parts/")), HUGE + 1)
        self.assertEqual(len(daemon.accesses("POST", f"{huge}/parts/commit")), 1)
        self.assertEqual([access["status"] for access in daemon.accesses("GET", huge)], [206, 206])
        self.assertEqual(daemon.accesses("POST", "/storage/verify"), [])
        self.assertEqual({access["status"] for access in daemon.accesses("PUT")}, {200})

    def test_git_lfs_verifies_each_file_if_it_is_asked_to(self) -> None:
        daemon = self.serve(actions={"verify": "always"})
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        self.assert_round_trip(repo, {name: FILES[name] for name in ("large.bin", "1.bin")})
        self.assertEqual(len(daemon.accesses("POST", "/parts/commit")), 1)
        found = daemon.accesses("POST", "/storage/verify")
        self.assertEqual([access["status"] for access in found], [200] * 2)

    def test_each_push_sends_only_what_is_new(self) -> None:
        """Each push sends only what is new."""
        daemon = self.serve()
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        pushed = {}
        for number in range(3):
            name, data = f"{number}.bin", os.urandom(2 * MIB + number)
            repo.commit({name: data})
            repo.push()
            pushed[name] = data
        clone = repo.clone(self.directory / "clone")
        for name, data in pushed.items():
            self.assertEqual(clone.read(name), data)
        self.assertEqual(len(daemon.accesses("PUT")), 2 + 3 + 3)

    def test_the_agent_trusts_whom_git_trusts(self) -> None:
        """The agent trusts whom git trusts."""
        certificate = self.directory / "server.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
        command += " -nodes -days 1 -subj /CN=localhost"
        command += " -addext subjectAltName=IP:127.0.0.1"
        subprocess.run(
            [*command.split(), "-keyout", f"{certificate}.key", "-out", certificate],
            check=True,
            capture_output=True,
        )
        port = free_port()
        key = f"privateKey={certificate}.key:certKey={certificate}"
        daemon = self.start_daemon(
            config={**CONFIG, "endpoints": [f"ssl:{port}:{key}:interface=127.0.0.1"]},
            port=port,
            scheme="https",
        )
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        url = f"http.{daemon.url}/"
        repo.git("config", "--global", f"{url}.sslCAInfo", str(certificate))
        self.assert_round_trip(repo, {"a.bin": os.urandom(5 * MIB)})

    def test_git_lfs_shows_the_progress(self) -> None:
        """git-lfs shows how far it is while parts are being sent."""
        daemon = self.serve()
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        repo.commit({"a.bin": SEVERAL})
        shown = self.directory / "progress"
        push = self.start_push(repo, GIT_LFS_PROGRESS=str(shown))
        self.assertEqual(push.wait(PATIENCE), 0)
        counts = [
            int(count) for count in re.findall(r"^upload 1/1 (\d+)/", shown.read_text(), re.M)
        ]
        self.assertEqual(counts, sorted(counts))
        self.assertGreater(len(set(counts)), 1)
        self.assertEqual(counts[-1], len(SEVERAL))

    def test_two_pushes_at_once(self) -> None:
        """Two people who push the same object at the same time both succeed."""
        daemon = self.serve()
        repos = [self.make_repo(f"{daemon.url}/{self.repo}", name) for name in ("one", "two")]
        for repo in repos:
            repo.commit({"a.bin": SEVERAL})
        for push in [self.start_push(repo) for repo in repos]:
            status = push.wait(PATIENCE)
            assert push.stderr is not None
            self.assertEqual(status, 0, push.stderr.read())
        self.assert_intact(daemon.store / self.repo)
        self.assertEqual(repos[1].clone(self.directory / "clone").read("a.bin"), SEVERAL)


class OnePieceTests(AgentTestCase):
    """A file that fits one part is resumed as well."""

    size = rounds(12, 31) * MIB

    def serve(self, **config: Any) -> Daemon:
        """Share a daemon whose parts have the size that is the default."""
        storage = {"type": "local", "path": "objects"}
        return self.share_daemon(storage=storage, log_format="json", **config)

    def test_a_push_that_breaks_off_goes_on_where_it_broke(self) -> None:
        """Connections are cut, git is killed, and little is sent twice."""
        daemon = self.serve()
        proxy = self.proxy(daemon.port)
        repo = self.make_repo(f"{proxy.url}/{self.repo}")
        oid = random_file(repo.directory / "large.bin", self.size)
        repo.commit_files(["large.bin"])
        push = Push(repo, proxy, [daemon], self.size, (cut, cut, kill_client, cut))
        self.assertLess(push.run(), TOLERANCE * self.size)
        self.assertEqual(self.assert_intact(daemon.store / self.repo), [oid])
        self.assertEqual(push.offsets, sorted(push.offsets))
        self.assertEqual(len(push.offsets), 5)
        # The agent goes on by itself; the one of the second push asks again.
        self.assertEqual(len(daemon.accesses("POST", f"{oid}/parts")), 2)
        self.assertEqual(daemon.accesses("PUT"), [])

    def test_a_proxy_that_lets_nothing_but_the_usual_through(self) -> None:
        """Then it is sent as before."""
        daemon = self.serve()
        proxy = self.proxy(daemon.port)
        proxy.fault = lambda head: (
            answer("405 Method Not Allowed") if head.startswith(b"PATCH") else None
        )
        repo = self.make_repo(f"{proxy.url}/{self.repo}")
        self.assert_round_trip(repo, {"a.bin": FILES["huge.bin"][: 9 * MIB]})
        self.assertEqual(len(daemon.accesses("PUT")), 1)


class FallbackTests(AgentTestCase):
    def test_server_does_not_know_it(self) -> None:
        """A server that does not know the agent gets the objects in the basic way."""
        daemon = self.serve(transfers=["basic"])
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        files = {name: data for name, data in FILES.items() if name != "huge.bin"}
        self.assert_round_trip(repo, files)
        self.assertEqual(daemon.accesses("POST", "/parts"), [])
        self.assertEqual(len(daemon.accesses("PUT")), 14)

    def test_small_objects_do_not_start_the_agent(self) -> None:
        """Where nothing has several parts the agent is not started."""
        daemon = self.serve()
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        self.assert_round_trip(repo, {"a.bin": b"1", "b.bin": FILES["part.bin"]})
        self.assertEqual(daemon.accesses("POST", "/parts"), [])

    def test_an_uninstalled_agent_is_not_used(self) -> None:
        """After ``uninstall`` everything is as before."""
        daemon = self.serve()
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        environ = {**installed().environ, **repo.commands.environ}
        subprocess.run([COMMAND, "uninstall"], env=environ, check=True, capture_output=True)
        self.assert_round_trip(repo, {"a.bin": FILES["large.bin"]})
        self.assertEqual(daemon.accesses("POST", "/parts"), [])


class FailureTests(AgentTestCase):
    """What git users see and do not see."""

    def test_broken_connections_are_not_noticed(self) -> None:
        """Connections that break on the way up and down are not noticed."""
        daemon = self.serve()
        proxy = self.proxy(daemon.port)
        count = itertools.count(1)

        def break_some(head: bytes) -> Fault | None:
            if head.startswith(b"POST") or next(count) % 5:
                return None
            return RESET if head.startswith(b"PUT") else Fault("cut", after=3 * MIB)

        proxy.fault = break_some
        repo = self.make_repo(f"{proxy.url}/{self.repo}")
        self.assert_round_trip(repo, {"a.bin": SEVERAL})

    def test_a_refusal_is_in_the_output_of_git(self) -> None:
        """What the server refuses is in git's output, with the server's words."""
        daemon = self.start_daemon(config=CONFIG)
        proxy = self.proxy(daemon.port)

        def answer_at_once(head: bytes) -> Fault | None:
            """Pass the server's answer on, but for the half minute that it asks for."""
            if b"/parts " not in head.split(b"\r\n")[0]:
                return None
            with socket.create_connection(("127.0.0.1", daemon.port)) as connection:
                connection.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                data = b"".join(iter(lambda: connection.recv(MIB), b""))
            return Fault("answer", re.sub(rb"Retry-After: \d+", b"Retry-After: 0", data))

        proxy.fault = answer_at_once
        repo = self.make_repo(f"{proxy.url}/{self.repo}")
        # The agent's own attempts are what is counted.
        repo.git("config", "lfs.transfer.maxretries", "1")
        repo.commit({"a.bin": FILES["large.bin"]})
        parts = daemon.store / ".giftless" / "parts"
        parts.parent.mkdir(parents=True, exist_ok=True)
        parts.write_text("in the way")
        result = repo.try_push()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("the server's storage fails; try again later", result.stderr)
        self.assertIn("tried 4 times", result.stderr)

    def test_an_altered_download_leaves_nothing(self) -> None:
        """git-lfs finds an object that is not what it should be, and nothing is left of it."""
        daemon = self.serve()
        repo = self.make_repo(f"{daemon.url}/{self.repo}")
        data = FILES["large.bin"]
        repo.commit({"a.bin": data})
        repo.push()
        stored = daemon.store / self.repo / oid_of(data)
        stored.chmod(0o600)
        stored.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        git = repo.commands
        result = git.try_run(self.directory, "clone", str(repo.remote), "clone")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("invalid hash", result.stderr)
        temporary = self.directory / "clone" / ".git" / "lfs" / "tmp"
        self.assertEqual(list(temporary.glob("*-giftless-*")), [])


if TYPE_CHECKING:
    _Mixin = AgentTestCase
else:
    _Mixin = object


class _ResumeCases(_Mixin):
    """A push that is killed half-way: the same for every store.

    :ivar way: what parts pass through; it counts them.
    """

    #: The size of the file and of its parts, in bytes.
    size = rounds(10, 20) * MIB
    part_size = MIB
    way: FaultyProxy

    def part(self, head: bytes) -> bool:
        """Tell whether a request sends a part."""
        raise NotImplementedError

    def assert_stored(self, oid: str) -> None:
        """Check that the store has an object, and that it is intact."""
        raise NotImplementedError

    def prepare(self, url: str) -> GitRepo:
        """Make a repository with a large file that is not pushed yet."""
        repo = self.make_repo(f"{url}/{self.repo}")
        block = os.urandom(MIB)
        with (repo.directory / "huge.bin").open("wb") as file:
            for number in range(-(-self.size // MIB)):
                file.write(number.to_bytes(8, "big") + block[8:])
            file.truncate(self.size)
        repo.commit_files(["huge.bin"])
        self.oid = file_digest(repo.directory / "huge.bin")
        return repo

    def hang_after(self, count: int) -> tuple[list[bytes], list[bytes]]:
        """Let so many parts through and hold up all others.

        :returns: the first lines of those that go through and of the others,
            which grow.
        """
        through: list[bytes] = []
        held: list[bytes] = []

        def fault(head: bytes) -> Fault | None:
            if not self.part(head):
                return None
            line = head.split(b"\r\n")[0]
            if len(through) < count:
                through.append(line)
                return None
            held.append(line)
            return HANG

        self.way.fault = fault
        return through, held

    def half_push(self, repo: GitRepo, at_once: int = 4) -> tuple[subprocess.Popen[bytes], int]:
        """Start a push, and wait until half of the parts have arrived, and no more will.

        :returns: the push, and how many parts are left.
        """
        repo.git("config", "lfs.concurrenttransfers", str(at_once))
        count = -(-self.size // self.part_size)
        through, held = self.hang_after(count // 2)
        push = self.start_push(repo)
        # Who is held up has had an answer to all before.
        wait_until(lambda: len(held) == at_once, "parts to be held up")
        self.assertEqual(len(through), count // 2)
        return push, count - count // 2

    def assert_rest_is_sent(self, repo: GitRepo, left: int) -> None:
        """Push again, and check that nothing was sent twice."""
        again, _ = self.hang_after(10**9)
        repo.push()
        self.assertEqual(len(again), left)
        self.assertEqual(len(set(again)), left)
        self.assert_stored(self.oid)

    def test_a_killed_push_goes_on(self) -> None:
        """After ``kill -9`` of all processes the next push sends only what is missing.

        The agents are small, however much they have sent.
        """
        repo = self.start()
        push, left = self.half_push(repo)
        for pid in self.agents(push):
            self.assertLess(_peak_memory(pid), 64 * MIB)
        self.kill_group(push)
        self.assert_rest_is_sent(repo, left)

    def start(self) -> GitRepo:
        """Start what is needed, and :meth:`prepare`."""
        raise NotImplementedError


class ResumeLocalTests(_ResumeCases, AgentTestCase):
    """Over local storage: parts pass through the daemon."""

    def start(self) -> GitRepo:
        self.daemon = self.serve()
        self.way = self.proxy(self.daemon.port)
        return self.prepare(self.way.url)

    def part(self, head: bytes) -> bool:
        return re.match(rb"PUT /\S+/parts/\d+ ", head) is not None

    def assert_stored(self, oid: str) -> None:
        self.assertEqual(self.assert_intact(self.daemon.store / self.repo), [oid])

    def test_agents_are_killed(self) -> None:
        """When the agents alone are killed the push fails, and the next one goes on."""
        repo = self.start()
        push, left = self.half_push(repo)
        agents = self.agents(push)
        self.assertEqual(len(agents), 4)
        for pid in agents:
            # git-lfs may have ended it, because another one is gone.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.assertNotEqual(push.wait(PATIENCE), 0)
        self.assert_rest_is_sent(repo, left)

    def test_no_agent_outlives_git(self) -> None:
        """When git and git-lfs are killed the agents end by themselves."""
        repo = self.start()
        push, left = self.half_push(repo)
        agents = self.agents(push)
        self.assertEqual(len(agents), 4)
        for pid, _ in _group(push.pid):
            if pid not in agents:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.agents(push), "the agents to end")
        self.assert_rest_is_sent(repo, left)

    def test_an_interrupted_push_goes_on(self) -> None:
        """Ctrl-C, which every process gets, ends them all, and the next push goes on."""
        repo = self.start()
        push, left = self.half_push(repo)
        os.killpg(push.pid, signal.SIGINT)
        wait_until(lambda: not _group(push.pid), "all processes to end")
        self.assertNotEqual(push.wait(PATIENCE), 0)
        self.assert_rest_is_sent(repo, left)


class ResumeS3Tests(_ResumeCases, AgentTestCase):
    """Over S3: parts go straight to the store."""

    size = rounds(40_000_000, 500_000_000)
    part_size = rounds(5, 32) * MIB

    def setUp(self) -> None:
        self.server = shared(versitygw)
        self.bucket = "agent"
        super().setUp()

    def start(self) -> GitRepo:
        self.way = self.proxy(self.server.port)
        storage = self.server.options(
            self.bucket, part_size=self.part_size, public_endpoint_url=self.way.url
        )
        daemon = self.start_daemon(config={"storage": storage, "log_format": "json"})
        return self.prepare(daemon.url)

    def part(self, head: bytes) -> bool:
        return re.match(rb"PUT /\S+[?&]partNumber=\d+", head) is not None

    def assert_stored(self, oid: str) -> None:
        self.assertEqual(file_digest(self.server.buckets / self.bucket / self.repo / oid), oid)
