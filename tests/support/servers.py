"""Real stores on the loopback interface, for tests that a fake would not convince.

``make stores`` installs what can be installed (``.ci/stores``); where a server
is missing, :func:`versitygw` raises ``SkipTest`` and says so by name.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from twisted.trial.unittest import SkipTest

from giftless.storage.s3.signing import Credentials, Signer
from tests.support.ports import free_port
from tests.support.processes import PATIENCE

T = TypeVar("T")

#: Where ``.ci/stores`` puts the servers it builds, beside this Python's own
#: commands and the PATH.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "giftless" / "stores"


def find_command(name: str) -> str:
    """Return the path of a server's command.

    :raises SkipTest: if it is not installed.
    """
    for directory in (Path(sys.executable).parent, CACHE):
        if os.access(directory / name, os.X_OK):
            return str(directory / name)
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"{name} is not installed; 'make stores' installs it where it can")
    return found


@functools.cache
def shared(start: Callable[[Path], AbstractContextManager[T]]) -> T:
    """Start a server once, for all tests of this process.

    :param start: starts it in a directory, e.g. :func:`versitygw`.
    """
    stack = ExitStack()
    directory = Path(tempfile.mkdtemp(prefix="giftless-store-"))
    stack.callback(shutil.rmtree, directory)
    atexit.register(stack.close)
    return stack.enter_context(start(directory))


@contextmanager
def running(
    command: Sequence[str], url: str, directory: Path, environ: Mapping[str, str]
) -> Iterator[None]:
    """Run a server, from when it answers at ``url``.

    :param directory: where its output goes, to ``{command}.log``.
    :param environ: what its environment has beside this process's.
    """
    log = directory / f"{Path(command[0]).name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


#: What the name ends with of the object by which a store is recognised.
MARK = ".giftless/identity"


@dataclass(frozen=True)
class S3:
    """A versitygw over a directory.

    :ivar port: where it listens.
    :ivar buckets: each directory in it is a bucket.
    """

    port: int
    buckets: Path
    scheme: str = "http"

    ACCESS_KEY = "AKIDGIFTLESSTESTS"
    SECRET_KEY = "a secret/of+tests"
    REGION = "eu-test-1"

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def options(self, bucket: str, /, **others: object) -> dict[str, object]:
        """Return a ``storage`` section for a bucket, which is made if need be."""
        (self.buckets / bucket).mkdir(exist_ok=True)
        return {
            "type": "s3",
            "bucket": bucket,
            "region": self.REGION,
            "endpoint_url": self.url,
            "access_key_id": self.ACCESS_KEY,
            "secret_access_key": self.SECRET_KEY,
            **others,
        }

    def create(self, bucket: str) -> None:
        """Make a bucket by the API, which gives it an owner."""
        self._send("PUT", bucket, {}, {}, b"")

    def add_user(self, name: str, role: str = "user") -> dict[str, object]:
        """Make a user.

        :param role: ``user`` may do nothing yet, ``admin`` everything.
        :returns: the options of the user's key.
        """
        key = {"access_key_id": name, "secret_access_key": f"secret of {name}"}
        subprocess.run(
            [
                *(find_command("versitygw"), "admin", "--endpoint-url", self.url),
                *("--access", self.ACCESS_KEY, "--secret", self.SECRET_KEY),
                *("--region", self.REGION),
                *("create-user", "--role", role, "--access", name),
                *("--secret", key["secret_access_key"]),
            ],
            check=True,
            capture_output=True,
        )
        return dict(key)

    def upload(self, bucket: str, name: str, data: bytes) -> int:
        """Put an object into a bucket, past the daemon.

        :returns: the status.
        """
        digest = hashlib.sha256(data).digest()
        checksum = {"x-amz-checksum-sha256": base64.b64encode(digest).decode()}
        return self._send("PUT", f"{bucket}/{name}", {}, checksum, data)

    def set_policy(self, bucket: str, policy: dict[str, object]) -> None:
        """Set a bucket's policy, as its owner does."""
        self._send("PUT", bucket, {"policy": ""}, {}, json.dumps(policy).encode())

    def set_cors(self, bucket: str, rules: dict[str, list[dict[str, Any]]]) -> None:
        """Set a bucket's rules for browsers, given as AWS's command takes them."""
        names = {
            "AllowedOrigins": "AllowedOrigin",
            "AllowedMethods": "AllowedMethod",
            "AllowedHeaders": "AllowedHeader",
            "ExposeHeaders": "ExposeHeader",
        }
        text = ""
        for rule in rules["CORSRules"]:
            entries = [(names[key], value) for key in names for value in rule.get(key, [])]
            entries.append(("MaxAgeSeconds", rule["MaxAgeSeconds"]))
            inner = "".join(f"<{name}>{value}</{name}>" for name, value in entries)
            text += f"<CORSRule>{inner}</CORSRule>"
        body = f"<CORSConfiguration>{text}</CORSConfiguration>".encode()
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        self._send("PUT", bucket, {"cors": ""}, {"Content-MD5": digest}, body)

    def _send(
        self,
        method: str,
        path: str,
        parameters: dict[str, str],
        headers: dict[str, str],
        body: bytes,
    ) -> int:
        signer = Signer(Credentials(self.ACCESS_KEY, self.SECRET_KEY), self.REGION)
        payload = hashlib.sha256(body).hexdigest()
        url, signed = signer.authorize(
            method, f"{self.url}/{path}", parameters, headers, payload, time.time()
        )
        request = urllib.request.Request(url, body, signed, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            status: int = reply.status
        return status

    def names(self, bucket: str) -> set[str]:
        """Return the names of what is in a bucket but the store's mark."""
        top = self.buckets / bucket
        return {
            str(path.relative_to(top))
            for path in top.rglob("*")
            if path.is_file()
            and not path.relative_to(top).parts[0].startswith(".sgwtmp")
            and not str(path).endswith(MARK)
        }

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return what is in a bucket but the store's mark, by name, as it lies there."""
        return {name: (self.buckets / bucket / name).read_bytes() for name in self.names(bucket)}


@contextmanager
def versitygw(directory: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[S3]:
    """Run a versitygw, which verifies every signature.

    :param directory: where its buckets go.
    :param certificate: a certificate's file and its key's, to serve TLS; this
        process must trust it: ``SSL_CERT_FILE`` names it.
    :raises SkipTest: if it is not installed.
    """
    command = find_command("versitygw")
    buckets, users = directory / "buckets", directory / "users"
    buckets.mkdir(parents=True)
    users.mkdir()
    server = S3(free_port(), buckets, "https" if certificate else "http")
    tls = ["--cert", str(certificate[0]), "--key", str(certificate[1])] if certificate else []
    line = [
        command,
        *("--port", f"127.0.0.1:{server.port}"),
        *("--region", S3.REGION),
        *("--iam-dir", str(users)),
        *tls,
        "--keep-alive",
        "--quiet",
        "posix",
        str(buckets),
    ]
    secrets = {"ROOT_ACCESS_KEY": S3.ACCESS_KEY, "ROOT_SECRET_KEY": S3.SECRET_KEY}
    with running(line, server.url, directory, secrets):
        yield server
