"""A mirror of another server: real clients before it, behind it a server that may be hostile."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from typing import Any

from giftless.lfs.objects import ACTION_HEADER
from tests.agent.server import Answer, Asked, Server
from tests.client.support import SmallServer
from tests.integration.support import Daemon, Git, IntegrationTestCase, Response, oid_of
from tests.support.processes import ENDED, wait_until
from tests.support.tokens import basic

#: Who the server knows.
USER = "ray:secret word"
RAY = {"Authorization": basic("ray", "secret word")}
EVE = {"Authorization": basic("eve", "guess")}

REPO = "up/acme/rocket"

DATA = b"some bytes of an object" * 1000


class MirrorTestCase(IntegrationTestCase):
    """Tests with a server that does what they tell it, and a mirror of it."""

    def setUp(self) -> None:
        super().setUp()
        self.upstream = SmallServer(self, [DATA])
        self.upstream.user = USER

    def mirror(self, name: str = "mirror", **options: Any) -> Daemon:
        """Start a mirror.

        :param options: of the storage, beside or instead of those that it has here; and
            ``daemon``: keys of the configuration.
        """
        config = options.pop("daemon", {})
        storage = {
            "type": "mirror",
            "path": "kept",
            "limit": "1G",
            "upstreams": [{"prefix": "up", "url": self.upstream.http.url}],
            "timeout": 5,
            **options,
        }
        config = {"log_format": "json", "auth": [{"type": "mirror"}], **config}
        return self.start_daemon(name, config={**config, "storage": storage})

    def action(self, reply: Response, name: str = "download") -> tuple[str, dict[str, str]]:
        """Return URL and headers of the action of a batch's only object."""
        self.assertEqual(reply.status, 200, reply.body)
        (item,) = reply.json["objects"]
        self.assertIn("actions", item, item)
        return item["actions"][name]["href"], item["actions"][name]["header"]

    def answer(self, answer: Answer, where: str = "") -> None:
        """Let the server answer requests to paths with some text in them, and no others."""

        def fault(asked: Asked) -> Answer | None:
            return answer if where in asked.path else None

        self.upstream.fault = fault

    def recover(self) -> None:
        """Let the server work again."""
        self.upstream.fault = lambda asked: None

    def batch(
        self, daemon: Daemon, data: bytes = DATA, operation: str = "download", **more: Any
    ) -> Response:
        """Ask for one object, as ray."""
        more = {"repo": REPO, "headers": RAY, **more}
        return daemon.batch(operation, (oid_of(data), len(data)), **more)

    def fetch(self, daemon: Daemon, data: bytes = DATA) -> Response:
        """Download an object, as ray."""
        href, header = self.action(self.batch(daemon, data))
        return daemon.request("GET", href, headers=header)

    def transfers(self, data: bytes = DATA) -> int:
        """Tell how often an object's bytes were asked of the server."""
        return len(self.upstream.asked("GET", oid_of(data)))


class Flood:
    """A server that answers everything with the same bytes, again and again.

    :param begins: what it sends first.
    :param goes_on: what it sends after that until it is left.
    """

    def __init__(self, case: IntegrationTestCase, begins: bytes, goes_on: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        thread = threading.Thread(target=self._serve, args=(begins, goes_on), daemon=True)
        thread.start()
        case.addCleanup(self._listener.close)

    def _serve(self, begins: bytes, goes_on: bytes) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with contextlib.suppress(OSError), connection:
                    connection.recv(65536)
                    connection.sendall(begins)
                    while True:
                        connection.sendall(goes_on)


class DownloadTests(MirrorTestCase):
    """Bytes that come through the mirror."""

    def test_an_object_is_fetched_once_and_permission_is_asked_each_time(self) -> None:
        daemon = self.mirror()
        for _ in range(3):
            self.assertEqual(self.fetch(daemon).body, DATA)
        self.assertEqual(self.transfers(), 1)
        batches = self.upstream.asked("POST", "/objects/batch")
        self.assertEqual(len(batches), 3)
        self.assertEqual({a.path for a in batches}, {"/acme/rocket.git/info/lfs/objects/batch"})
        self.assertEqual({a.headers["authorization"] for a in batches}, {RAY["Authorization"]})
        # Neither the credential nor what the server gave out is logged.
        self.assertNotIn("secret", daemon.stdout + daemon.stderr)
        self.assertEqual(daemon.stop(), ENDED)

    def test_what_a_token_opens_is_one_object_of_one_repository(self) -> None:
        daemon = self.mirror()
        href, header = self.action(self.batch(daemon))
        other = b"another object"
        self.upstream.objects[oid_of(other)] = other
        for path in (
            href.replace(oid_of(DATA), oid_of(other)),
            href.replace("rocket", "sonde"),
        ):
            self.assertEqual(daemon.request("GET", path, headers=header).status, 403, path)
        self.assertEqual(daemon.request("GET", href, headers=header).status, 200)
        self.assertEqual(self.transfers(), 1)

    def test_who_is_not_known_gets_nothing_though_it_is_kept(self) -> None:
        daemon = self.mirror()
        self.fetch(daemon)
        for headers in ({}, EVE):
            reply = self.batch(daemon, headers=headers)
            self.assertEqual(reply.status, 401)
            self.assertIn("lfs-authenticate", reply.headers)
            path = f"/{REPO}/objects/storage/{oid_of(DATA)}"
            self.assertEqual(daemon.request("GET", path, headers=headers).status, 401)
        # Who comes with a credential is asked for, without a batch.
        self.assertEqual(daemon.request("GET", path, headers=RAY).body, DATA)
        self.assertEqual(self.transfers(), 1)

    def test_who_is_revoked_is_refused_at_the_next_batch(self) -> None:
        daemon = self.mirror(offline="serve")
        self.fetch(daemon)
        self.upstream.user = "ray:a new word"
        self.assertEqual(self.batch(daemon).status, 401)
        for status in (403, 404):
            self.answer(Answer(status, b'{"message": "no"}'))
            reply = self.batch(daemon)
            self.assertEqual(reply.status, status)
            self.assertIn("no", reply.json["message"])
        # And stays refused while the server cannot be asked.
        self.answer(Answer(502))
        self.assertEqual(self.batch(daemon).status, 503)

    def test_a_token_of_giftless_is_shown_to_nobody(self) -> None:
        daemon = self.mirror()
        _, header = self.action(self.batch(daemon))
        token = header[ACTION_HEADER]
        before = len(self.upstream.http.asked)
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"Authorization": basic("_jwt", token)},
            {"Authorization": basic(token, "")},
        ):
            self.assertEqual(self.batch(daemon, headers=headers).status, 401)
        path = f"/{REPO}.git/info/lfs/objects/batch?jwt=abc"
        body = json.dumps({"operation": "download", "objects": [{"oid": oid_of(DATA), "size": 1}]})
        self.assertEqual(daemon.request("POST", path, body.encode()).status, 401)
        self.assertEqual(len(self.upstream.http.asked), before)

    def test_errors_of_the_server_keep_their_meaning(self) -> None:
        daemon = self.mirror()
        for answer, status in (
            (Answer(422, b'{"message": "odd"}'), 422),
            (Answer(429, b"{}", {"Retry-After": "7"}), 429),
            (Answer(500, b"<html>secret word"), 503),
            (Answer(302, b"", {"Location": "ftp://example.com/"}), 503),
            (Answer(302, b"", {"Location": "http://169.254.169.254/latest/"}), 503),
            (Answer(302, b"", {"Location": "http://user:word@127.0.0.1/"}), 503),
            (Answer(200, b"<html>log in, please</html>"), 503),
            (Answer(200, b'{"objects": null}'), 503),
            (Answer(200, b"[" * 100_000), 503),
            (Answer(200, b" " * 3_000_000), 503),
            (Answer(200, b'{"transfer": "tus", "objects": []}'), 503),
        ):
            self.answer(answer)
            reply = self.batch(daemon)
            self.assertEqual(reply.status, status, (answer.status, answer.body[:40], reply.body))
            self.assertTrue(reply.json["message"])
            self.assertNotIn("Traceback", reply.json["message"])
        self.answer(Answer(429, b"{}", {"Retry-After": "7"}))
        self.assertEqual(self.batch(daemon).headers["retry-after"], "7")
        self.answer(Answer(200, b'{"objects": []}'))
        (item,) = self.batch(daemon).json["objects"]
        self.assertEqual(item["oid"], oid_of(DATA))
        self.assertIn("error", item)

    def test_sizes_and_times_that_cannot_be_are_borne(self) -> None:
        daemon = self.mirror()
        item: dict[str, Any] = {"oid": oid_of(DATA), "size": len(DATA)}
        action: dict[str, Any] = {"href": f"{self.upstream.http.url}/data/{oid_of(DATA)}"}
        for strange, more in (
            ({"size": 2**63}, {}),
            ({"size": 2**80}, {}),
            ({"size": -1}, {}),
            ({"size": len(DATA) + 1}, {}),
            ({}, {"expires_in": 10**300}),
            ({}, {"expires_in": -5}),
            ({}, {"expires_at": "0002-01-01T00:00:00Z"}),
            ({}, {"expires_at": "9999-12-31T23:59:59-23:59"}),
            ({}, {"header": {"Content-Length": "5", "Host": "evil", "Range": "bytes=0-0"}}),
            ({}, {"header": {"X-Long": "x" * 9000}}),
            ({}, {"header": {"X": "a\r\nb: c"}}),
            ({"error": {"code": "x", "message": 5}}, {}),
            ({"error": {"code": 401, "message": "no"}}, {}),
        ):
            entry = {**item, "actions": {"download": {**action, **more}}, **strange}
            body = json.dumps({"objects": [entry]}).encode()
            self.answer(Answer(200, body), "/batch")
            reply = self.batch(daemon)
            self.assertEqual(reply.status, 200, (strange, more, reply.body))
            (told,) = reply.json["objects"]
            self.assertEqual(told["size"], len(DATA))
            if "actions" in told:
                header = told["actions"]["download"]["header"]
                reply = daemon.request("GET", told["actions"]["download"]["href"], headers=header)
                self.assertIn(reply.status, (200, 403), (strange, more))

    def test_a_server_that_sends_headers_without_end_is_given_up(self) -> None:
        flood = Flood(self, b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"x" * 8000 + b"\r\n")
        daemon = self.mirror(upstreams=[{"url": flood.url}])
        before = daemon.memory("VmHWM")
        self.assertEqual(self.batch(daemon).status, 503)
        self.assertLess(daemon.memory("VmHWM") - before, 50_000_000)

    def test_actions_that_lead_astray_are_not_followed(self) -> None:
        daemon = self.mirror()
        for href in (
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "/relative",
            "http://[::ffff:169.254.169.254]/",
            "gopher://127.0.0.1/",
            "http://127.0.0.1:0/",
        ):
            self.upstream.extra = {"href": href}
            href, header = self.action(self.batch(daemon))
            reply = daemon.request("GET", href, headers=header)
            self.assertEqual(reply.status, 503, href)
            self.assertNotIn("etag", reply.headers)

    def test_a_redirect_to_another_host_shows_it_no_secret(self) -> None:
        other = Server(self, lambda asked: Answer(200, DATA))
        self.upstream.extra = {"header": {"Authorization": "Basic c2VjcmV0", "X-Token": "secret"}}

        def redirect(asked: Asked) -> Answer | None:
            if "/data/" in asked.path:
                return Answer(302, b"", {"Location": f"{other.url}/elsewhere"})
            return None

        self.upstream.fault = redirect
        daemon = self.mirror()
        self.assertEqual(self.fetch(daemon).body, DATA)
        (first,) = self.upstream.asked("GET", oid_of(DATA))
        self.assertEqual(first.headers["x-token"], "secret")
        (seen,) = other.asked
        self.assertNotIn("authorization", seen.headers)
        self.assertNotIn("x-token", seen.headers)
        self.assertNotIn("secret", str(seen.headers))

    def test_a_batch_that_is_redirected_elsewhere_goes_there_without_the_credential(self) -> None:
        other = Server(self, lambda asked: Answer(401, b"{}"))
        self.answer(Answer(307, b"", {"Location": f"{other.url}/b"}))
        daemon = self.mirror()
        self.assertEqual(self.batch(daemon).status, 401)
        self.assertTrue(other.asked)
        for asked in other.asked:
            self.assertNotIn("authorization", asked.headers)

    def test_wrong_bytes_reach_nobody_whole(self) -> None:
        daemon = self.mirror()
        for body in (b"x" * len(DATA), DATA[:-1], DATA + b"x", b""):
            self.answer(Answer(200, body), "/data/")
            href, header = self.action(self.batch(daemon))
            with contextlib.suppress(http.client.IncompleteRead, ConnectionResetError):
                self.assertNotEqual(daemon.request("GET", href, headers=header).status, 200)
        self.recover()
        self.assertEqual(self.fetch(daemon).body, DATA)

    def test_an_action_that_the_server_takes_no_more_wants_a_new_batch(self) -> None:
        daemon = self.mirror()
        for status in (401, 403, 404, 410):
            self.answer(Answer(status), "/data/")
            self.assertEqual(self.fetch(daemon).status, 403)
        self.recover()
        self.upstream.extra = {"expires_in": 1}
        reply = self.batch(daemon)
        self.assertLessEqual(reply.json["objects"][0]["actions"]["download"]["expires_in"], 1)
        href, header = self.action(reply)
        wait_until(
            lambda: daemon.request("GET", href, headers=header).status == 403, "it to expire"
        )

    def test_a_transfer_that_breaks_off_goes_on(self) -> None:
        data = os.urandom(3_000_000)
        self.upstream.objects[oid_of(data)] = data
        cuts = [len(data)]

        def cut(asked: Asked) -> Answer | None:
            if "/data/" in asked.path and cuts:
                return Answer(200, data[:1_000_000], length=cuts.pop())
            return None

        self.upstream.fault = cut
        daemon = self.mirror()
        self.assertEqual(self.fetch(daemon, data).body, data)
        first, second = self.upstream.asked("GET", oid_of(data))
        self.assertNotIn("range", first.headers)
        self.assertTrue(second.headers["range"].startswith("bytes="))

    def test_several_servers_by_the_longest_prefix(self) -> None:
        other = SmallServer(self, [b"theirs"])
        upstreams = [
            {"prefix": "up", "url": self.upstream.http.url},
            {"prefix": "up/acme", "url": other.http.url, "path": "api/{repo}/lfs"},
        ]
        daemon = self.mirror(upstreams=upstreams)
        reply = self.batch(daemon, b"theirs")
        self.action(reply)
        self.assertEqual(other.http.paths("POST"), ["/api/rocket/lfs/objects/batch"])
        self.action(self.batch(daemon, repo="up/else/where"))
        self.assertEqual(self.batch(daemon, repo="nobody/knows").status, 404)
        self.assertEqual(self.batch(daemon, repo="up").status, 404)


class OfflineTests(MirrorTestCase):
    """The server cannot be reached."""

    def test_nothing_is_served_unless_that_is_wanted(self) -> None:
        daemon = self.mirror()
        self.fetch(daemon)
        self.answer(Answer(502))
        reply = self.batch(daemon)
        self.assertEqual(reply.status, 503)
        self.assertIn(self.upstream.http.url, reply.json["message"])

    def test_who_was_let_in_is_served_what_is_kept(self) -> None:
        daemon = self.mirror(offline="serve", remember=3600)
        self.fetch(daemon)
        self.answer(Answer(503))
        more = b"never seen"
        for _ in range(2):
            self.assertEqual(self.fetch(daemon).body, DATA)
            self.assertEqual(self.batch(daemon, headers=EVE).status, 503)
            asks = self.batch(daemon, headers={})
            self.assertEqual(asks.status, 401)
            self.assertIn("lfs-authenticate", asks.headers)
            self.assertIn("does not work now", asks.json["message"])
            self.assertEqual(self.batch(daemon, repo="up/acme/other").status, 503)
            error = self.batch(daemon, more).json["objects"][0]["error"]
            self.assertEqual(error["code"], 503)
            self.assertEqual(error["message"].count(self.upstream.http.url), 1, error)
            self.assertEqual(self.batch(daemon, more, "upload").status, 503)
            # It is remembered when the daemon starts again.
            daemon.stop()
            daemon.start()
        self.answer(Answer(200, b"nonsense"))
        self.assertEqual(self.batch(daemon).status, 503)

    def test_what_is_remembered_ends(self) -> None:
        daemon = self.mirror(offline="serve", remember=1)
        self.fetch(daemon)
        self.answer(Answer(503))
        wait_until(lambda: self.batch(daemon).status == 503, "the permission to end")


class UploadTests(MirrorTestCase):
    """Bytes that go through the mirror."""

    def test_an_upload_is_taken_when_the_server_has_verified_it(self) -> None:
        daemon = self.mirror()
        data = os.urandom(2_000_000)
        href, header = self.action(self.batch(daemon, data, "upload"), "upload")
        self.assertEqual(daemon.request("PUT", href, data, header).status, 200)
        self.assertEqual(self.upstream.objects[oid_of(data)], data)
        self.assertEqual(self.upstream.verified, [oid_of(data)])
        (item,) = self.batch(daemon, data, "upload").json["objects"]
        self.assertNotIn("actions", item)

    def test_wrong_bytes_do_not_reach_the_server_whole(self) -> None:
        daemon = self.mirror()
        data = os.urandom(1_000_000)
        href, header = self.action(self.batch(daemon, data, "upload"), "upload")
        wrong = data[:-1] + bytes([data[-1] ^ 1])
        self.assertEqual(daemon.request("PUT", href, wrong, header).status, 400)
        wait_until(lambda: bool(self.upstream.asked("PUT", oid_of(data))), "the upload")
        for asked in self.upstream.asked("PUT", oid_of(data)):
            self.assertNotEqual(len(asked.body), len(data))
        self.assertEqual(self.upstream.verified, [])

    def test_what_the_server_refuses_is_refused(self) -> None:
        daemon = self.mirror()
        data = b"not wanted"
        for where, status, expected in (
            ("/data/", 403, 403),
            ("/data/", 422, 400),
            ("/data/", 500, 503),
            ("/data/", 507, 507),
            ("/verify", 404, 403),
            ("/verify", 422, 400),
            ("/verify", 500, 503),
        ):
            self.answer(Answer(status, b'{"message": "no"}'), where)
            self.upstream.objects.pop(oid_of(data), None)
            href, header = self.action(self.batch(daemon, data, "upload"), "upload")
            self.assertEqual(daemon.request("PUT", href, data, header).status, expected)
        # A token for an upload downloads nothing.
        self.assertEqual(daemon.request("GET", href, headers=header).status, 403)

    def test_a_verification_that_is_wanted_later_is_asked_for_again(self) -> None:
        daemon = self.mirror()
        data = b"taken already"
        answers = [Answer(429, b"{}", {"Retry-After": "1"})]

        def limit(asked: Asked) -> Answer | None:
            return answers.pop() if asked.path.endswith("/verify") and answers else None

        self.upstream.fault = limit
        href, header = self.action(self.batch(daemon, data, "upload"), "upload")
        self.assertEqual(daemon.request("PUT", href, data, header).status, 200)
        self.assertEqual(self.upstream.verified, [oid_of(data)])

    def test_a_push_without_a_batch(self) -> None:
        daemon = self.mirror()
        for data in (b"directly", DATA, b""):
            path = f"/{REPO}/objects/storage/{oid_of(data)}"
            self.assertEqual(daemon.request("PUT", path, data, RAY).status, 200)
            self.assertEqual(self.upstream.objects[oid_of(data)], data)
            self.assertEqual(daemon.request("PUT", path, data, EVE).status, 401)


class RedirectedUploadTests(MirrorTestCase):
    """Bytes that the server wants to have elsewhere, as git-lfs sends them there."""

    def setUp(self) -> None:
        super().setUp()
        self.other = Server(self, self.take)
        self.upstream.extra = {"header": {**RAY, "X-Token": "secret"}}
        self.daemon = self.mirror()

    def take(self, asked: Asked) -> Answer:
        """Take an object at the other host."""
        self.upstream.objects[asked.path.rpartition("/")[2]] = asked.body
        return Answer(200)

    def redirect(self, asked: Asked) -> Answer | None:
        """Redirect an upload there."""
        oid = asked.path.rpartition("/")[2]
        moved = Answer(307, b"elsewhere", {"Location": f"{self.other.url}/{oid}"})
        return moved if "/data/" in asked.path else None

    def upload(self, data: bytes) -> Response:
        """Send an object to the mirror."""
        href, header = self.action(self.batch(self.daemon, data, "upload"), "upload")
        return self.daemon.request("PUT", href, data, header)

    def assert_taken(self, data: bytes) -> None:
        """Check that the other host has an object, and was shown no secret."""
        reply = self.upload(data)
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(self.upstream.objects[oid_of(data)], data)
        self.assertEqual(self.upstream.verified[-1], oid_of(data))
        first, seen = self.upstream.asked("PUT", oid_of(data))[-1], self.other.asked[-1]
        self.assertEqual(first.headers["x-token"], "secret")
        for name in ("authorization", "x-token"):
            self.assertNotIn(name, seen.headers)
        self.assertNotIn("secret", str(seen.headers))

    def test_a_small_object_is_sent_again(self) -> None:
        self.upstream.fault = self.redirect
        for size in (1, 1000, 65_536):
            self.assert_taken(os.urandom(size))

    def test_a_large_object_is_sent_once(self) -> None:
        self.upstream.http.early = self.redirect
        for size in (65_537, 3_000_000):
            data = os.urandom(size)
            self.assert_taken(data)
            (first,) = self.upstream.asked("PUT", oid_of(data))
            self.assertEqual(first.body, b"")

    def test_a_server_that_does_not_say_what_it_wants_gets_it(self) -> None:
        self.upstream.http.continues = False
        data = os.urandom(300_000)
        self.assertEqual(self.upload(data).status, 200)
        self.assertEqual(self.upstream.objects[oid_of(data)], data)

    def test_from_host_to_host(self) -> None:
        third = Server(self, self.take)
        self.upstream.http.early = self.redirect
        self.other.early = lambda asked: Answer(308, b"", {"Location": third.url + asked.path})
        data = os.urandom(300_000)
        self.assertEqual(self.upload(data).status, 200)
        self.assertEqual(self.upstream.objects[oid_of(data)], data)
        self.assertNotIn("secret", str(third.asked[0].headers))
        self.other.early = lambda asked: Answer(308, b"", {"Location": self.other.url})
        reply = self.upload(os.urandom(300_000))
        self.assertEqual(reply.status, 503)
        self.assertIn("redirects more than", reply.json["message"])

    def test_wrong_bytes_reach_nobody_whole(self) -> None:
        self.upstream.http.early = self.redirect
        data = os.urandom(300_000)
        href, header = self.action(self.batch(self.daemon, data, "upload"), "upload")
        wrong = data[:-1] + bytes([data[-1] ^ 1])
        self.assertEqual(self.daemon.request("PUT", href, wrong, header).status, 400)
        wait_until(lambda: bool(self.other.asked), "the upload")
        self.assertNotEqual(len(self.other.asked[0].body), len(data))

    def test_a_large_object_that_was_taken_before_is_refused(self) -> None:
        """The mirror has no copy of it."""
        self.upstream.fault = self.redirect
        reply = self.upload(os.urandom(300_000))
        self.assertEqual(reply.status, 503)
        self.assertIn("after it has taken", reply.json["message"])
        self.assertEqual(self.other.asked, [])

    def test_a_refusal_before_the_bytes_is_passed_on(self) -> None:
        self.upstream.http.early = lambda asked: Answer(
            429, b'{"message": "later"}', {"Retry-After": "7"}
        )
        data = os.urandom(3_000_000)
        reply = self.upload(data)
        self.assertEqual((reply.status, reply.headers["retry-after"]), (429, "7"))
        self.assertIn("later", reply.json["message"])
        self.assertEqual(self.upstream.asked("PUT", oid_of(data))[0].body, b"")


class ClientTests(MirrorTestCase):
    """The stock client."""

    def git_of_ray(self, daemon: Daemon) -> Git:
        """Set up git for ray, who has shown a credential nowhere yet."""
        git = self.make_git()
        credentials = self.directory / "credentials"
        credentials.write_text(f"http://ray:secret%20word@127.0.0.1:{daemon.port}\n")
        helper = f"store --file={credentials}"
        git.run(git.home, "config", "--global", "credential.helper", helper)
        return git

    def test_a_new_clone_is_served_while_the_server_is_away(self) -> None:
        """git-lfs first asks without its credential, and shows it if it is told to."""
        daemon = self.mirror(offline="serve")
        git = self.git_of_ray(daemon)
        repo = git.create(self.directory / "work", f"{daemon.url}/{REPO}.git/info/lfs")
        self.assert_round_trip(repo, {"one.bin": DATA})
        self.answer(Answer(503))
        self.assertEqual(repo.clone(self.directory / "away").read("one.bin"), DATA)

    def test_git_lfs_pushes_clones_and_is_refused(self) -> None:
        daemon = self.mirror(daemon={"actions": {"verify": "always"}})
        git = self.git_of_ray(daemon)
        repo = git.create(self.directory / "work", f"{daemon.url}/{REPO}.git/info/lfs")
        # Who would rather send it bit by bit is served as well.
        repo.git("config", "lfs.tustransfers", "true")
        files = {"empty.bin": b"", "one.bin": b"1", "three.bin": os.urandom(3_000_000)}
        self.assert_round_trip(repo, files)
        repo.clone(self.directory / "again")
        self.assertEqual(self.transfers(files["three.bin"]), 1)
        self.assertEqual(set(self.upstream.verified), {oid_of(d) for d in files.values() if d})
        ref = json.loads(self.upstream.asked("POST", "/objects/batch")[0].body)["ref"]
        self.assertEqual(ref, {"name": "refs/heads/main"})
        self.upstream.user = "ray:another word"
        result = git.try_run(self.directory, "clone", "--quiet", str(repo.remote), "refused")
        self.assertNotEqual(result.returncode, 0)
