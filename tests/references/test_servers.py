"""Clones over the network: credentials, servers without filters, and dumb ones."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from giftless.references.errors import NoReferences
from giftless.references.git import Git
from tests.references.support import GitTestCase, pointer
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, wait_until

#: Who may clone, and the password.
CREDENTIAL = "olga", "s3cret"


class SmartHandler(BaseHTTPRequestHandler):
    """Serves repositories by ``git http-backend``, to whoever has the credential."""

    server: Any

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Authenticate, and run git."""
        wanted = "Basic " + base64.b64encode(":".join(CREDENTIAL).encode()).decode()
        if self.headers["Authorization"] != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "GIT_PROJECT_ROOT": str(self.server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers["Content-Type"] or "",
                "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
                "GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
                "REMOTE_USER": CREDENTIAL[0],
            },
            timeout=PATIENCE,
        )
        head, _, data = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class DumbHandler(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_: object) -> None:
        pass


class ServerTests(GitTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.repo = self.make("work")
        self.commit(self.repo, {"a.bin": pointer("a"), "large.psd": os.urandom(100_000)})
        self.commit(self.repo, {"a.bin": pointer("b")})
        self.root = self.directory / "served"
        self.root.mkdir()
        self.served = self.root / "rocket.git"
        self.git(self.directory, "clone", "--quiet", "--bare", str(self.repo), str(self.served))

    def serve(self, handler: Any) -> str:
        """Start a server of the repository.

        :returns: the URL of the repository.
        """
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.root = self.root  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}/rocket.git"

    def size_of_clone(self) -> int:
        """Return how many bytes the only clone has."""
        (clone,) = self.directory.glob("clone-*")
        return sum(path.stat().st_size for path in clone.rglob("*") if path.is_file())

    def give_credential(self, password: str = CREDENTIAL[1]) -> None:
        """Write a ``.netrc``."""
        path = self.home / ".netrc"
        path.write_text(f"machine 127.0.0.1 login {CREDENTIAL[0]} password {password}\n")

    def test_large_files_do_not_come_where_the_server_can_leave_them_out(self) -> None:
        self.give_credential()
        self.git(self.served, "config", "uploadpack.allowFilter", "true")
        url = self.serve(SmartHandler)
        clone = self.clone(url)
        clone.fetch()
        self.assertEqual(clone.complaints, [])
        self.assertLess(self.size_of_clone(), 50_000)
        self.assert_found(url, "a", "b")

    def test_all_is_cloned_where_it_cannot_and_that_is_told(self) -> None:
        self.give_credential()
        url = self.serve(SmartHandler)
        clone = self.clone(url)
        clone.fetch()
        self.assertIn("all of it was cloned", clone.complaints[0])
        self.assertGreater(self.size_of_clone(), 100_000)
        self.assert_found(url, "a", "b")

    def test_a_server_that_only_gives_out_files_will_do(self) -> None:
        self.git(self.served, "update-server-info")
        url = self.serve(partial(DumbHandler, directory=str(self.root)))
        self.assert_found(url, "a", "b")

    def test_a_wrong_credential_or_none_is_refused_with_words(self) -> None:
        url = self.serve(SmartHandler)
        for give in (lambda: None, lambda: self.give_credential("wrong")):
            give()
            with self.assertRaises(NoReferences) as caught:
                self.find(url)
            self.assertIn("credential helper", str(caught.exception))
            self.assertNotIn("wrong", str(caught.exception))

    def test_a_credential_in_the_url_works_and_is_not_shown(self) -> None:
        url = self.serve(SmartHandler).replace("//", f"//{':'.join(CREDENTIAL)}@")
        self.assert_found(url, "a", "b")
        with self.assertRaises(NoReferences) as caught:
            self.find(f"{url}-nowhere")
        self.assertNotIn(CREDENTIAL[1], str(caught.exception))
        self.assertIn("rocket.git-nowhere", str(caught.exception))

    def test_a_credential_helper_is_asked(self) -> None:
        url = self.serve(SmartHandler)
        helper = "!f() { echo username=%s; echo password=%s; }; f" % CREDENTIAL  # noqa: UP031
        self.git(self.directory, "config", "--global", "credential.helper", helper)
        self.assert_found(url, "a", "b")
        self.assertEqual(Git(PATIENCE).credential("https://example.com"), CREDENTIAL[1])

    def test_no_credential_is_none(self) -> None:
        self.assertEqual(Git(PATIENCE).credential("https://example.com"), "")

    def test_refs_that_a_server_hides_do_not_come(self) -> None:
        """Nobody can tell that there are any."""
        self.give_credential()
        commit = self.commit(self.repo, {"a.bin": pointer("hidden")})
        self.git(self.repo, "push", "--quiet", str(self.served), f"{commit}:refs/hidden/1")
        self.git(self.served, "config", "transfer.hideRefs", "refs/hidden")
        self.assert_found(self.serve(SmartHandler), "a", "b")
        self.assert_found(self.served, "a", "b", "hidden")

    def test_git_s_own_daemon_will_do(self) -> None:
        port = free_port()
        command = ["git", "daemon", "--export-all", f"--base-path={self.root}", "--reuseaddr"]
        process = subprocess.Popen(
            [*command, "--listen=127.0.0.1", f"--port={port}", str(self.root)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(_end_group, process.pid)
        url = f"git://127.0.0.1:{port}/rocket.git"
        wait_until(lambda: _answers(url), "git daemon")
        self.assert_found(url, "a", "b")


def _answers(url: str) -> bool:
    return subprocess.run(["git", "ls-remote", url], capture_output=True).returncode == 0


def _end_group(pid: int) -> None:
    os.killpg(pid, 15)
