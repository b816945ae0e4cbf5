"""A daemon, a git repository and a raw HTTP client, as processes and sockets.

``IntegrationTestCase`` hands them out in a temporary directory and takes them
away again.  The daemon is the installed one: whatever ``giftless`` the Python
that runs the tests finds from a foreign directory, else the checkout's.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.support.commands import Forked, start_twistd
from tests.support.forking import WAITING
from tests.support.ports import free_port
from tests.support.processes import (
    PATIENCE,
    Installation,
    base_environ,
    installed,
    is_running,
    wait_until,
)

#: What a daemon runs as.
Process = subprocess.Popen[bytes] | Forked

#: A repository for tests that need only one.
REPO = "acme/rocket"


#: What git is told beside what git-lfs has told it.  It need not tidy up what lives so short.
GIT_CONFIG = """
[user]
    name = Tess Ter
    email = tess@example.com
[init]
    defaultBranch = main
    templateDir =
[advice]
    detachedHead = false
[protocol "file"]
    allow = always
[gc]
    auto = 0
[maintenance]
    auto = false
[receive]
    autogc = false
"""

#: What a repository knows of its remote.
ORIGIN = """
[remote "origin"]
    url = {url}
    fetch = +refs/heads/*:refs/remotes/origin/*
"""

#: When files were written that are committed, in seconds since 1970.  git and git-lfs read
#: those again that are as young as git's index, and none that seems to be what it was.
WRITTEN = itertools.count(1_000_000_000)

#: The media type of the Git LFS API.
LFS_JSON = "application/vnd.git-lfs+json"


def oid_of(data: bytes) -> str:
    """Return the oid of an object."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class Response:
    """An HTTP response.

    :ivar headers: by lower-case name.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Daemon:
    """``twistd -n giftless`` in a directory of its own.

    :ivar directory: where it runs and keeps everything.
    :ivar config: what the configuration file says beyond the defaults of these
        tests; ``None`` to start without a file.
    :ivar environ: additional variables of its environment.
    :ivar scheme: ``http``, or ``https`` if the endpoint is ``ssl:``.
    :ivar wrapper: a command in front of the daemon's own.
    :ivar pass_fds: descriptors that it inherits.
    :ivar unix: the socket that it listens on, instead of the port.
    :ivar forked: whether the parent and its first workers may be forked from a Python that
        has imported giftless, which saves most of the start; not where their imports or
        their memory matter.
    :ivar spare: how many workers that replace others may be forked, too.
    """

    directory: Path
    config: Mapping[str, Any] | None = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    installation: Installation = field(default_factory=installed)
    scheme: str = "http"
    wrapper: Sequence[str] = ()
    pass_fds: Sequence[int] = ()
    port: int = field(default_factory=free_port)
    unix: Path | None = None
    forked: bool = True
    spare: int = 0
    process: Process | None = None
    _logged_before: int = 0

    # -- the process

    def start(self) -> Daemon:
        """Start, and wait until it serves."""
        arguments = ["-n", "--pidfile=", "giftless"]
        if self.config is not None:
            arguments += ["--config", str(self.write_config())]
        with (
            (self.directory / "stdout").open("ab") as stdout,
            (self.directory / "stderr").open("ab") as stderr,
        ):
            self._logged_before = stdout.tell()
            environ = {**self.installation.environ, **self.environ}
            self.process = (
                start_twistd(
                    self.installation,
                    arguments,
                    self.directory,
                    environ,
                    stdout.fileno(),
                    stderr.fileno(),
                    self.spare,
                )
                if self._can_fork
                else subprocess.Popen(
                    [*self.wrapper, *self.installation.command(*arguments)],
                    cwd=self.directory,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=self.pass_fds,
                )
            )
        self._wait_until_ready()
        return self

    @property
    def _can_fork(self) -> bool:
        """Whether nothing demands that Python itself starts."""
        return (
            self.forked
            and not self.wrapper
            and not self.pass_fds
            and "COVERAGE_PROCESS_CONFIG" not in self.installation.environ
            and not any(name.startswith(("PYTHON", "LD_")) for name in self.environ)
        )

    def write_config(self) -> Path:
        """Write the configuration file and return its path."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "giftless.yaml"
        settings = {
            "endpoints": [f"tcp:{self.port}:interface=127.0.0.1"],
            "storage": {"type": "local", "path": str(self.store)},
            "auth": [{"type": "anonymous", "access": "read-write"}],
            **(self.config or {}),
        }
        # It may hold a secret.
        path.touch(0o600)
        path.write_text(yaml.safe_dump(settings))
        return path

    def _wait_until_ready(self) -> None:
        wait_until(self._ended_or_serves, "the daemon to serve")
        if self.running.poll() is not None:
            raise AssertionError(f"the daemon ended: {self.stderr}{self.stdout}")

    def _ended_or_serves(self) -> bool:
        # Connections are taken as soon as the sockets are bound; this is
        # logged when all workers are ready.
        return (
            self.running.poll() is not None or " listens on " in self.stdout[self._logged_before :]
        )

    @property
    def running(self) -> Process:
        """The process."""
        assert self.process is not None, "the daemon was not started"
        return self.process

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        self.running.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until it has ended.

        :returns: its exit status.
        """
        return self.running.wait(PATIENCE)

    def stop(self) -> int:
        """Stop it as an operator does.

        :returns: its exit status.
        """
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """Kill all its processes (``kill -9``), if they still run."""
        if self.process is not None and self.process.poll() is None:
            workers = self.workers
            # Whoever would replace the others goes first.
            self.process.kill()
            self.process.wait()
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            wait_until(lambda: not any(map(is_running, workers)), "the workers to be gone")

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, those that are on their way included."""
        pid = self.running.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if not _waits(child)]

    def listens(self, port: int | None = None) -> bool:
        """Whether one of its processes takes connections.

        Its own sockets are looked at: somebody else may take the port after it.

        :param port: the port to look at; ``None`` for its own.
        """
        try:
            processes = [self.running.pid, *self.workers]
        except FileNotFoundError:
            return False
        return bool(_listeners(port or self.port) & set().union(*map(_sockets, processes)))

    # -- what it leaves to see

    def settle(self) -> None:
        """Wait until the log of its only worker has a line for each request up to now."""
        (_,) = self.workers
        path = f"/settled/{uuid.uuid4()}"
        self.request("DELETE", path)
        wait_until(lambda: path in self.stdout, "the access lines")

    def forget(self) -> None:
        """Empty its log of what has happened up to now."""
        self.settle()
        # It appends, so that it goes on at the new end.
        for name in ("stdout", "stderr"):
            os.truncate(self.directory / name, 0)

    @property
    def store(self) -> Path:
        """The root of its local storage."""
        storage = (self.config or {}).get("storage", {})
        return self.directory / storage.get("path", "objects")

    @property
    def ssh_socket(self) -> Path:
        """The Unix socket by which sessions of SSH reach it."""
        return self.directory / "giftless-state" / "ssh.sock"

    @property
    def stdout(self) -> str:
        """What it has printed, its log above all."""
        return (self.directory / "stdout").read_text()

    @property
    def stderr(self) -> str:
        """What it has complained about."""
        return (self.directory / "stderr").read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log, with ``log_format: json``."""
        # The last line may be half written.
        *lines, _ = self.stdout.split("\n")
        return [json.loads(line) for line in lines]

    def accesses(self, method: str, path: str = "") -> list[dict[str, Any]]:
        """Return the access lines of a method, on paths that contain ``path``.

        With one worker that runs, of all requests up to now.
        """
        if self.running.poll() is None and len(self.workers) == 1:
            self.settle()
        return [
            event
            for event in self.events
            if event["source"] == "giftless.access"
            and event["method"] == method
            and path in event["path"]
        ]

    def memory(self, name: str) -> int:
        """Return a figure of its worker's ``/proc/PID/status`` such as ``VmHWM``, in bytes."""
        (worker,) = self.workers
        for line in Path(f"/proc/{worker}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"there is no {name}")

    # -- talking to it

    @property
    def url(self) -> str:
        """Its root, without a slash at the end."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Open a connection.

        :param source: the address that it comes from.
        """
        if self.unix is not None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE)
            connection.connect(str(self.unix))
            return connection
        connection = socket.create_connection(
            ("127.0.0.1", self.port), timeout=PATIENCE, source_address=(source, 0)
        )
        if self.scheme == "https":
            # Without the certificates of the system, which take long to load.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context.wrap_socket(connection)
        return connection

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Response:
        """Send one request on a connection of its own.

        :param path: with its query; or a whole URL of this daemon.
        :param body: bytes, or pieces of them that are sent chunked.
        """
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        client.sock = self.connect(source)
        try:
            # A refusal may come, and the connection go, before all is sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.request(
                    method,
                    path.removeprefix(self.url),
                    body,
                    dict(headers or {}),
                    encode_chunked=not isinstance(body, bytes | None),
                )
            reply = client.getresponse()
            named = {name.lower(): value for name, value in reply.getheaders()}
            return Response(reply.status, named, reply.read())
        finally:
            client.close()

    def put(self, data: bytes, repo: str = REPO, headers: Mapping[str, str] | None = None) -> int:
        """Upload an object without a batch.

        :returns: the status.
        """
        return self.request("PUT", object_path(oid_of(data), repo), data, headers).status

    def get(self, oid: str, repo: str = REPO) -> Response:
        """Download an object without a batch."""
        return self.request("GET", object_path(oid, repo))

    def batch(
        self,
        operation: str,
        *objects: tuple[str, int],
        repo: str = REPO,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Response:
        """Send a batch request for objects given as oid and size."""
        body = {
            "operation": operation,
            "transfers": ["basic"],
            "objects": [{"oid": oid, "size": size} for oid, size in objects],
        }
        return self.request(
            "POST",
            f"/{repo}.git/info/lfs/objects/batch",
            json.dumps(body).encode(),
            {"Content-Type": LFS_JSON, "Accept": LFS_JSON, **(headers or {})},
            source,
        )


def _waits(pid: str) -> bool:
    """Whether a process is no worker yet (``tests/support/forking.py``)."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == WAITING
    except OSError:
        return False


def _listeners(port: int) -> set[str]:
    """Find the sockets that listen on a TCP port, as ``/proc/PID/fd`` names them."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
        if state == "0A" and int(local.partition(":")[2], 16) == port:
            found.add(f"socket:[{inode}]")
    return found


def _sockets(pid: int) -> set[str]:
    """Find what is open in a process; nothing, if it has ended."""
    found = set()
    # It may end, or close one, meanwhile.
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(descriptor))
    return found


def object_path(oid: str, repo: str = REPO) -> str:
    """Return the path of an object's storage endpoint."""
    return f"/{repo}/objects/storage/{oid}"


def upload_head(oid: str, size: int, repo: str = REPO) -> bytes:
    """Return the head of an upload, to be sent by hand."""
    return (
        f"PUT {object_path(oid, repo)} HTTP/1.1\r\nHost: lfs.example\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()


def download_head(oid: str, repo: str = REPO) -> bytes:
    """Return a whole download request, to be sent by hand."""
    return f"GET {object_path(oid, repo)} HTTP/1.1\r\nHost: lfs.example\r\n\r\n".encode()


def read_reply(connection: socket.socket) -> tuple[int, bytes]:
    """Read one response with a Content-Length.

    :returns: its status and its body, which is short if the connection ended.
    """
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    try:
        return reply.status, reply.read()
    except http.client.IncompleteRead as error:
        return reply.status, error.partial


def stored_objects(store: Path) -> Iterator[Path]:
    """Find every object file of a local store, whole or not."""
    for directory, names, files in os.walk(store):
        names[:] = [name for name in names if name != ".giftless"]
        yield from (Path(directory, file) for file in files)


def temporaries(store: Path) -> list[Path]:
    """Find the temporary files of a local store's running or killed uploads."""
    directory = store / ".giftless" / "tmp"
    return sorted(directory.iterdir()) if directory.is_dir() else []


@functools.cache
def _template() -> Path:
    """Make what each git of a test begins with, once; it takes a dozen processes.

    :returns: a directory with a home that git-lfs is installed in, an empty ``remote.git``,
        and a working tree ``work``, whose ``.gitattributes`` are yet to be committed.
    """
    template = Path(tempfile.mkdtemp(prefix="giftless-git-"))
    atexit.register(shutil.rmtree, template, ignore_errors=True)
    home, work = template / "home", template / "work"
    home.mkdir()
    environ = _git_environ(home)

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], env=environ, check=True, capture_output=True)

    git("lfs", "install", "--skip-repo")
    with (home / ".gitconfig").open("a") as file:
        file.write(GIT_CONFIG)
    git("init", "--quiet", "--bare", str(template / "remote.git"))
    git("init", "--quiet", str(work))
    # git-lfs installs its hooks, too.
    git("-C", str(work), "lfs", "track", "*.bin")
    git("-C", str(work), "add", ".gitattributes")
    return template


def _git_environ(home: Path) -> dict[str, str]:
    return {
        **base_environ(),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "xdg"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


@dataclass
class Git:
    """git and git-lfs, with a home and a configuration of their own.

    :ivar home: an empty directory.
    :ivar within: what enters where git is to run, in front of its command line.
    """

    home: Path
    within: Sequence[str] = ()

    def __post_init__(self) -> None:
        if shutil.which("git-lfs") is None:
            raise AssertionError(
                "git-lfs is not installed; run 'make test', which installs it,"
                " or 'apt-get install git-lfs'"
            )
        self.home.mkdir()
        shutil.copy(_template() / "home" / ".gitconfig", self.home)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of git."""
        return _git_environ(self.home)

    def try_run(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run git, whatever comes of it."""
        return subprocess.run(
            [*self.within, "git", *arguments],
            cwd=directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def run(self, directory: Path, *arguments: str) -> str:
        """Run git, which must succeed.

        :returns: what it printed.
        """
        result = self.try_run(directory, *arguments)
        if result.returncode != 0:
            raise AssertionError(f"git {' '.join(arguments)} failed: {result.stderr}")
        return result.stdout

    def create(self, directory: Path, lfs_url: str) -> GitRepo:
        """Make a repository with a bare remote beside it.

        :param lfs_url: where ``.lfsconfig`` sends git-lfs to.
        """
        remote = directory.with_suffix(".git")
        shutil.copytree(_template() / "remote.git", remote)
        repo = self.track(directory, str(remote))
        (directory / ".lfsconfig").write_text(f'[lfs]\n\turl = "{lfs_url}"\n')
        repo.commit_files([".lfsconfig"])
        return repo

    def track(self, directory: Path, remote: str) -> GitRepo:
        """Make a repository whose first commit is yet to come, and tracks large files.

        :param remote: the path or URL of ``origin``.
        """
        shutil.copytree(_template() / "work", directory)
        with (directory / ".git" / "config").open("a") as file:
            file.write(ORIGIN.format(url=remote))
        return GitRepo(self, directory, Path(remote))


@dataclass
class GitRepo:
    """A working tree whose ``*.bin`` files are Git LFS objects.

    :ivar remote: what ``origin`` is; only LFS objects pass through the daemon.
    """

    commands: Git
    directory: Path
    remote: Path

    def git(self, *arguments: str) -> str:
        """Run git in the working tree, which must succeed."""
        return self.commands.run(self.directory, *arguments)

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Write and commit files."""
        for name, data in files.items():
            (self.directory / name).write_bytes(data)
            os.utime(self.directory / name, (next(WRITTEN),) * 2)
        self.commit_files(files)

    def commit_files(self, names: Iterable[str]) -> None:
        """Commit files that stand in the working tree."""
        self.git("add", *names)
        # The hook is for files that can be locked only.
        self.git("-c", f"core.hooksPath={os.devnull}", "commit", "--quiet", "-m", "Add files")

    def push(self) -> str:
        """Push the branch and its objects."""
        return self.git("push", "--quiet", "origin", "main")

    def try_push(self) -> subprocess.CompletedProcess[str]:
        """Push, whatever comes of it."""
        return self.commands.try_run(self.directory, "push", "origin", "main")

    def clone(self, directory: Path, *options: str) -> GitRepo:
        """Clone the remote, with its objects."""
        self.commands.run(
            self.commands.home, "clone", "--quiet", *options, str(self.remote), str(directory)
        )
        return GitRepo(self.commands, directory, self.remote)

    def read(self, name: str) -> bytes:
        """Return a file of the working tree."""
        return (self.directory / name).read_bytes()

    def objects(self) -> list[str]:
        """Return the oids of the objects that this clone has at hand."""
        found = (self.directory / ".git" / "lfs" / "objects").rglob("*")
        return sorted(path.name for path in found if path.is_file())


class IntegrationTestCase(SynchronousTestCase):
    """A test with a temporary directory and processes that it leaves behind."""

    def setUp(self) -> None:
        """Make the directory."""
        self.directory = Path(tempfile.mkdtemp(prefix="giftless-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def make_daemon(self, name: str = "daemon", **fields: Any) -> Daemon:
        """Prepare a daemon that is not started yet."""
        directory = self.directory / name
        directory.mkdir()
        daemon = Daemon(directory, **fields)
        self.addCleanup(daemon.kill)
        return daemon

    def start_daemon(self, name: str = "daemon", **fields: Any) -> Daemon:
        """Start a daemon, to be killed after the test."""
        return self.make_daemon(name, **fields).start()

    def make_git(self) -> Git:
        """Set up git and git-lfs."""
        return Git(self.directory / "home")

    def assert_round_trip(self, repo: GitRepo, files: Mapping[str, bytes]) -> GitRepo:
        """Check that files come back byte for byte by commit, push and clone.

        :returns: the clone.
        """
        repo.commit(files)
        repo.push()
        clone = repo.clone(self.directory / f"{repo.directory.name}-clone")
        for name, data in files.items():
            self.assertEqual(clone.read(name), data, name)
        # Nothing was left a pointer, and everything came through git-lfs.
        self.assertEqual(clone.objects(), sorted({oid_of(data) for data in files.values() if data}))
        return clone

    def assert_intact(self, store: Path) -> list[str]:
        """Check that every object in a local store is what its name says.

        :returns: the oids.
        """
        names = []
        for path in stored_objects(store):
            self.assertEqual(file_digest(path), path.name)
            names.append(path.name)
        return names
