"""The endpoints of file locking, over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from giftless.base.database.sqlite import SQLiteOptions
from giftless.errors import ServiceUnavailable
from giftless.interfaces import Identity
from giftless.lfs.locks import Lock, LockPage, LockQuery
from giftless.locks.sqlite import SQLiteFactory
from giftless.usecases.locks import LockPolicy
from tests.support.making import admin, environment, reader, stranger, writer
from tests.support.strategies import json_values
from tests.web.support import MEDIA_TYPE, FrontTestCase, KeyAuthenticator, Response

LONG, SHORT = "/org/repo.git/info/lfs/locks", "/org/repo/locks"

PEOPLE = {
    "will": writer(),
    "wanda": writer("wanda"),
    "rita": reader(),
    "ada": admin(),
    "sam": stranger(anonymous=False, name="sam"),
}

#: An anonymous client that may write.
NOBODY = replace(writer("anonymous"), anonymous=True)


class Chain(KeyAuthenticator):
    """Knows people, and gives all others the same identity."""

    def __init__(self, nobody: Identity) -> None:
        super().__init__(PEOPLE)
        self._nobody = nobody

    async def authenticate(self, credentials: Any, repo: Any) -> Identity:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        return await super().authenticate(credentials, repo) or self._nobody


class LockTestCase(FrontTestCase):
    """A front with locks in SQLite, in memory if there is such a file system."""

    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(1_700_000_000)
        memory = "/dev/shm"
        directory = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
        self.addCleanup(shutil.rmtree, directory)
        self.path = os.path.join(directory, "locks.sqlite")
        self.store = SQLiteFactory().build(
            SQLiteOptions(path=self.path, timeout=1), environment(directory)
        )
        self.addCleanup(self.store._pool.close)
        self.serve_locks()

    def serve_locks(self, nobody: Identity | None = None, **options: Any) -> None:
        """Serve, with a policy's options or the front's."""
        names = {key: options.pop(key) for key in ("names_people", "locks") if key in options}
        usual: dict[str, Any] = {
            "locks": self.store,
            "authenticators": [Chain(nobody or stranger())],
            "lock_policy": LockPolicy(**options),
        }
        self.serve(**(usual | names))

    def ask(
        self, method: str, path: str = "", name: str = "will", body: Any = None, base: str = LONG
    ) -> Response:
        """Send a request as somebody; ``body`` is written as JSON unless it is bytes."""
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        headers = {
            "Content-Type": MEDIA_TYPE,
            **({"Authorization": f"Bearer {name}"} if name else {}),
        }
        response = self.request(method, base + path, headers, data)
        self.assertEqual(response.headers["content-type"], MEDIA_TYPE)
        if method != "HEAD":
            # A message is how clients tell that something is wrong.
            self.assertEqual("message" in response.json, response.status >= 400)
        return response

    def lock(self, path: str = "a.psd", name: str = "will") -> dict[str, Any]:
        """Lock a path, and return the lock."""
        response = self.ask("POST", "", name, {"path": path})
        self.assertEqual(response.status, 201, response.body)
        found: dict[str, Any] = response.json["lock"]
        return found

    def locks(self, query: str = "", name: str = "rita") -> list[dict[str, Any]]:
        """List locks."""
        response = self.ask("GET", query, name)
        self.assertEqual(response.status, 200, response.body)
        found: list[dict[str, Any]] = response.json["locks"]
        return found

    def assert_refused(self, status: int, response: Response, *words: str) -> None:
        """Check an error."""
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(response.json["request_id"], response.headers["x-request-id"])
        for word in words:
            self.assertIn(word, response.json["message"])


class LifeTests(LockTestCase):
    """A lock's life, as the specification has it."""

    def test_a_lock_is_created_as_specified(self) -> None:
        response = self.ask(
            "POST", "", "will", {"path": "art/ü.psd", "ref": {"name": "refs/heads/x"}}
        )
        self.assertEqual(response.status, 201)
        lock = response.json["lock"]
        self.assertEqual(
            lock,
            {
                "id": lock["id"],
                "path": "art/ü.psd",
                "locked_at": "2023-11-14T22:13:20Z",
                "owner": {"name": "will"},
            },
        )
        self.assertIsInstance(lock["id"], str)
        self.assertEqual(set(response.json), {"lock"})
        self.assertEqual(self.access[-1]["identity"], "will")

    def test_a_conflict_says_who_holds_the_lock(self) -> None:
        """The reply has the lock, and says whose it is and since when."""
        lock = self.lock()
        for name in ("wanda", "will"):
            response = self.ask("POST", "", name, {"path": "a.psd"})
            self.assert_refused(409, response, "will", "2023-11-14T22:13:20Z", "a.psd")
            self.assertEqual(response.json["lock"], lock)

    def test_locks_are_listed_and_filtered(self) -> None:
        self.assertEqual(self.locks(), [])
        first, second = self.lock("1"), self.lock("2", "wanda")
        self.assertEqual(self.locks(), [second, first])
        self.assertEqual(self.locks("?path=1"), [first])
        self.assertEqual(self.locks(f"?id={second['id']}"), [second])
        self.assertEqual(self.locks(f"?id={second['id']}&path=1"), [])
        self.assertEqual(self.locks("?path=&id=&cursor=&limit=&refspec="), [second, first])
        self.assertEqual(self.locks("?limit=0&refspec=refs%2Fheads%2Fmain"), [second, first])
        self.assertEqual(self.locks("?path=..%2F1"), [])
        self.assertEqual(self.locks("?path=1%00"), [])

    def test_paths_in_parameters(self) -> None:
        """They are decoded once, and compared exactly."""
        for path, encoded in (
            ("a b+c", "a+b%2Bc"),
            ("%2e", "%252e"),
            ("e\u0301/\u00e9", "e%CC%81%2F%C3%A9"),
            ("a&b=c#d?", "a%26b%3Dc%23d%3F"),
        ):
            lock = self.lock(path)
            self.assertEqual(self.locks(f"?path={encoded}"), [lock])
        self.assertEqual(self.locks("?path=%C3%A9%2F%C3%A9"), [])

    def test_head_answers_without_a_body(self) -> None:
        self.lock()
        response = self.ask("HEAD", "", "rita")
        self.assertEqual((response.status, response.body), (200, b""))

    def test_locks_come_in_pages(self) -> None:
        locks = [self.lock(f"{number}") for number in range(5)]
        found: list[Any] = []
        cursor = ""
        for expected in (2, 2, 1):
            response = self.ask("GET", f"?limit=2&cursor={cursor}", "rita")
            self.assertEqual(len(response.json["locks"]), expected)
            found += response.json["locks"]
            cursor = response.json.get("next_cursor", "")
        self.assertEqual((found, cursor), (locks[::-1], ""))

    def test_the_server_has_a_limit_of_its_own(self) -> None:
        self.serve_locks(page_size=3)
        for number in range(4):
            self.lock(f"{number}")
        for query in ("", "?limit=", "?limit=0"):
            self.assertEqual(len(self.locks(query)), 3)
        self.assertEqual(len(self.locks("?limit=99999999999999999999")), 4)
        verified = self.ask("POST", "/verify", "will", {})
        self.assertEqual(len(verified.json["ours"]), 3)

    def test_a_verification_divides_ours_and_theirs(self) -> None:
        self.assertEqual(self.ask("POST", "/verify", body={}).json, {"ours": [], "theirs": []})
        mine, hers = self.lock("1"), self.lock("2", "wanda")
        for body in ({}, {"ref": {"name": "refs/heads/main"}}, {"cursor": "", "limit": 0}, b""):
            response = self.ask("POST", "/verify", "will", body)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.json, {"ours": [mine], "theirs": [hers]})
        first = self.ask("POST", "/verify", "will", {"limit": 1}).json
        self.assertEqual((first["ours"], first["theirs"]), ([], [hers]))
        rest = {"limit": 1, "cursor": first["next_cursor"]}
        second = self.ask("POST", "/verify", "will", rest).json
        self.assertEqual(second, {"ours": [mine], "theirs": []})

    def test_a_lock_can_be_removed_once(self) -> None:
        lock = self.lock()
        response = self.ask("POST", f"/{lock['id']}/unlock", "will", {"force": False, "ref": {}})
        self.assertEqual((response.status, response.json), (200, {"lock": lock}))
        self.assertEqual(self.locks(), [])
        self.assert_refused(404, self.ask("POST", f"/{lock['id']}/unlock", "will", {}), lock["id"])
        self.lock(name="wanda")

    def test_unlock_by_force(self) -> None:
        lock = self.lock()
        url = f"/{lock['id']}/unlock"
        self.assert_refused(403, self.ask("POST", url, "wanda", {"force": False}), "will", "a.psd")
        response = self.ask("POST", url, "wanda", {"force": True})
        self.assertEqual((response.status, response.json), (200, {"lock": lock}))
        told = [e for e in self.events if e.get("log_namespace") == "giftless.usecases.locks"]
        self.assertEqual([event["name"] for event in told], ["wanda"])

    def test_force_for_administrators(self) -> None:
        self.serve_locks(force="admin")
        url = f"/{self.lock()['id']}/unlock"
        self.assert_refused(403, self.ask("POST", url, "wanda", {"force": True}), "admin")
        self.assertEqual(self.ask("POST", url, "ada", {"force": True}).status, 200)

    def test_both_forms_of_the_url(self) -> None:
        lock = self.ask("POST", "", "will", {"path": "a"}, SHORT).json["lock"]
        self.assertEqual(self.locks(), [lock])
        self.assertEqual(self.ask("GET", "", "rita", base=SHORT).json["locks"], [lock])
        for base in (LONG, SHORT):
            self.assertEqual(self.ask("POST", "/verify", "will", {}, base).json["ours"], [lock])
        self.assertEqual(self.ask("POST", f"/{lock['id']}/unlock", base=SHORT).status, 200)
        self.assertEqual(self.ask("GET", "", "rita", base="/org/other/locks").json["locks"], [])

    def test_repositories_with_names_of_endpoints(self) -> None:
        """A repository may be called locks, or verify, or what an id looks like."""
        for repo in ("locks", "org/locks", "org/locks/verify", "locks/locks", "org/objects"):
            base = f"/{repo}.git/info/lfs/locks"
            lock = self.ask("POST", "", "will", {"path": "a"}, base).json["lock"]
            for form in (base, f"/{repo}/locks"):
                self.assertEqual(self.ask("GET", "", "rita", base=form).json["locks"], [lock])
                verified = self.ask("POST", "/verify", "will", {}, form)
                self.assertEqual(verified.json["ours"], [lock])
            self.assertEqual(self.ask("POST", f"/{lock['id']}/unlock", base=base).status, 200)


class PermissionTests(LockTestCase):
    """Who may do what."""

    def test_reading_and_writing_need_their_permissions(self) -> None:
        """Reading takes read access, everything else write access."""
        requests = {
            "create": lambda name: self.ask("POST", "", name, {"path": f"{name}.psd"}),
            "list": lambda name: self.ask("GET", "", name),
            "verify": lambda name: self.ask("POST", "/verify", name, {}),
            "unlock": lambda name: self.ask(
                "POST", f"/{self.lock(f'of {name}', 'wanda')['id']}/unlock", name, {"force": True}
            ),
        }
        for name, expected in (
            ("", {"create": 401, "list": 401, "verify": 401, "unlock": 401}),
            ("sam", {"create": 403, "list": 403, "verify": 403, "unlock": 403}),
            ("rita", {"create": 403, "list": 200, "verify": 403, "unlock": 403}),
            ("will", {"create": 201, "list": 200, "verify": 200, "unlock": 200}),
            ("ada", {"create": 201, "list": 200, "verify": 200, "unlock": 200}),
        ):
            for request, status in expected.items():
                response = requests[request](name)
                self.assertEqual(response.status, status, (name, request))
                self.assertEqual("lfs-authenticate" in response.headers, status == 401)

    def test_anonymous_readers_are_asked_who_they_are(self) -> None:
        self.serve_locks(replace(reader("anonymous"), anonymous=True))
        self.assertEqual(self.locks("", ""), [])
        for path in ("", "/verify", "/x/unlock"):
            self.assertEqual(self.ask("POST", path, "", {"path": "a"}).status, 401)

    def test_anonymous_writers_must_say_who_they_are(self) -> None:
        """They may ask at a push, and must say who they are to lock or unlock."""
        lock = self.lock()
        for names_people, status in ((True, 401), (False, 403)):
            self.serve_locks(NOBODY, names_people=names_people)
            verified = self.ask("POST", "/verify", "", {})
            self.assertEqual((verified.status, verified.json["theirs"]), (200, [lock]))
            for path in ("", f"/{lock['id']}/unlock"):
                body = {"path": "b", "force": True}
                self.assert_refused(status, self.ask("POST", path, "", body))
        self.serve_locks(NOBODY, anonymous=True)
        self.assertEqual(self.lock("b", "")["owner"], {"name": "anonymous"})


class AbsenceTests(LockTestCase):
    """A server without locks, and one that cannot tell now."""

    REQUESTS = (("POST", ""), ("GET", ""), ("HEAD", ""), ("POST", "/verify"), ("POST", "/x/unlock"))

    def test_a_server_without_locks_answers_404(self) -> None:
        """404 for everybody, so that clients stop asking; nobody is asked for a credential."""
        self.serve_locks(locks=None)
        for method, path in self.REQUESTS:
            for name in ("", "sam", "will"):
                response = self.ask(method, path, name, {})
                self.assertEqual(response.status, 404)
                if method != "HEAD":
                    self.assert_refused(404, response, "no file locks")

    def test_a_database_that_fails(self) -> None:
        """Never 404, for which clients would switch locking off for good."""
        lock = self.lock()
        with sqlite3.connect(self.path) as database:
            database.execute("DROP TABLE giftless_locks")
        database.close()
        for method, path in (*self.REQUESTS[:-1], ("POST", f"/{lock['id']}/unlock")):
            response = self.ask(method, path, "will", {"path": "b"})
            self.assertEqual(response.status, 503)
            self.assertGreater(int(response.headers["retry-after"]), 0)
            self.assertNotIn(b"giftless_locks", response.body)

    def test_a_store_that_says_so_itself(self) -> None:
        class Away:
            async def create(self, lock: Lock) -> None:
                raise ServiceUnavailable("away", 3)

            async def page(self, query: LockQuery) -> LockPage:
                raise ServiceUnavailable("away", 3)

            async def remove(self, lock: Lock) -> bool:
                raise ServiceUnavailable("away", 3)

        self.serve_locks(locks=Away())
        for method, path in self.REQUESTS:
            response = self.ask(method, path, "will", {"path": "b"})
            self.assertEqual((response.status, response.headers["retry-after"]), (503, "3"))


class HostileTests(LockTestCase):
    """What is no request."""

    def test_malformed_bodies_are_refused(self) -> None:
        body: Any
        for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"path": "\\ud800"}', {"path": None}):
            self.assert_refused(400, self.ask("POST", "", "will", body))
        for path in ("", "/a", "a/../b", "..", "a\x00", "a\n", "x" * 5000, "a//b", "a/"):
            self.assert_refused(400, self.ask("POST", "", "will", {"path": path}))
        for body in (b"[]", b"{", {"limit": -1}, {"limit": "x"}, {"cursor": "x"}):
            self.assert_refused(400, self.ask("POST", "/verify", "will", body))
        for body in (b"[]", b"{", {"force": "yes"}):
            self.assert_refused(400, self.ask("POST", "/x/unlock", "will", body))
        self.assertEqual(self.locks(), [])

    def test_malformed_parameters_are_refused(self) -> None:
        for query in (
            "?limit=-1",
            "?limit=x",
            "?limit=1.5",
            "?cursor=x",
            "?cursor=-1",
            "?path=%ff",
        ):
            self.assert_refused(400, self.ask("GET", query, "rita"))

    def test_large_bodies_are_refused(self) -> None:
        body = b'{"path": "' + b"x" * 2**21 + b'"}'
        self.assert_refused(413, self.ask("POST", "", "will", body))

    def test_malformed_ids_name_no_lock(self) -> None:
        for lock_id in ("x", "%00", "%F0%9F%98%80", "x" * 3000, "'%20OR%201=1--"):
            self.assert_refused(404, self.ask("POST", f"/{lock_id}/unlock", "will", {}))

    def test_other_methods_are_answered_with_405(self) -> None:
        for method, path, allowed in (
            ("PUT", "", "GET, HEAD, POST"),
            ("DELETE", "", "GET, HEAD, POST"),
            ("GET", "/verify", "POST"),
            ("GET", "/x/unlock", "POST"),
            ("DELETE", "/x/unlock", "POST"),
        ):
            response = self.ask(method, path, "will")
            self.assert_refused(405, response)
            self.assertEqual(response.headers["allow"], allowed)

    @settings(suppress_health_check=[HealthCheck.differing_executors])
    @given(st.sampled_from(["", "/verify", "/x/unlock"]), json_values | st.binary())
    def test_any_request_is_answered_without_a_failure(self, path: str, value: Any) -> None:
        """Whatever comes is answered, and never with a failure of the server."""
        response = self.ask("POST", path, "will", value)
        self.assertIn(response.status, (200, 201, 400, 404, 409))

    @settings(suppress_health_check=[HealthCheck.differing_executors])
    @given(st.text(max_size=50))
    def test_any_path_comes_back_or_is_refused(self, path: str) -> None:
        """A path comes back as it was sent, or is refused."""
        response = self.ask("POST", "", "will", {"path": path})
        if response.status == 201:
            self.assertEqual(response.json["lock"]["path"], path)
            self.ask("POST", f"/{response.json['lock']['id']}/unlock", "will", {})
        else:
            self.assertEqual(response.status, 400)
