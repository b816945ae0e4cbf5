"""The eight rules whose breach costs data or hangs the stock client.

Each class stands for one rule; together they are what real clients of several
years taught those who run Git LFS servers.
"""

from __future__ import annotations

import json
from typing import Any

from giftless.auth.actions import ActionOptions
from giftless.errors import LFSError, Unprocessable
from giftless.interfaces import Identity, Ticket
from giftless.lfs.objects import ACTION_HEADER
from giftless.web.limits import Limits
from tests.support.blocking import ManualBlocking
from tests.support.making import action_of, key_of, oid_of, partial, reader, writer
from tests.support.memory import BoundedMemoryStore, MemoryStore
from tests.web.support import (
    GIT_LFS,
    Connection,
    FrontTestCase,
    KeyAuthenticator,
    Response,
    batch_body,
    chunked,
    render_request,
    storage_url,
)

DATA = b"some bytes"
OID = oid_of(DATA)
URL = storage_url(OID)
BATCH = "/org/repo.git/info/lfs/objects/batch"
VERIFY = "/org/repo.git/info/lfs/objects/storage/verify"


class RuleTestCase(FrontTestCase):
    """Speaks as the stock client does."""

    def batch(self, operation: str, *objects: Any, headers: Any = None, **members: Any) -> Response:
        return self.request("POST", BATCH, headers, batch_body(operation, *objects, **members))

    def entries(self, operation: str, *objects: Any, **members: Any) -> list[dict[str, Any]]:
        response = self.batch(operation, *objects, **members)
        self.assertEqual(response.status, 200, response)
        found: list[dict[str, Any]] = response.json["objects"]
        return found


class Rule1Tests(RuleTestCase):
    """Never 422 to an upload or a verification: the client takes it for success."""

    def assert_refused(self, response: Response) -> None:
        self.assertGreaterEqual(response.status, 400)
        self.assertNotEqual(response.status, 422)
        self.assert_error(response, response.status)

    def test_uploads_of_wrong_bytes(self) -> None:
        self.serve()
        for body in (b"", b"x", DATA[:-1], DATA + b"x", b"other data"):
            self.assert_refused(self.request("PUT", URL, {}, body))
            connection = self.connect()
            connection.send(
                render_request("PUT", URL, {"Transfer-Encoding": "chunked"})
                + (chunked(body) if body else b"0\r\n\r\n")
            )
            self.assert_refused(connection.response())
        self.assertEqual(self.front.objects(), {})

    def test_uploads_with_wrong_headers(self) -> None:
        self.serve(limits=Limits(object_size=1000))
        for headers in (
            {"Content-Length": "1001"},
            {"Content-Length": "x"},
            {"Content-Encoding": "gzip"},
            {"Content-Range": "bytes 0-9/20"},
            {"Expect": "x"},
            {"Host": "a b"},
            {"Authorization": "Bearer x"},
        ):
            connection = self.connect()
            connection.send(render_request("PUT", URL, headers, DATA[:9]))
            self.assert_refused(connection.response())

    def test_uploads_to_wrong_urls(self) -> None:
        self.serve()
        for url in (
            storage_url("x"),
            storage_url(OID.upper()),
            storage_url(OID, "/a/../b"),
            storage_url(OID, "/a//b"),
            f"{URL}?jwt=x.y.z%ff",
            VERIFY,
        ):
            self.assert_refused(self.request("PUT", url, {}, DATA))

    def test_uploads_with_wrong_tokens(self) -> None:
        self.serve()
        for operation, data in (("download", DATA), ("verify", DATA), ("upload", b"other")):
            ticket = Ticket(operation, len(data))
            action = action_of(self.front.tokens, ticket, key_of(data), "http://x/", writer())
            self.assert_refused(self.request("PUT", URL, action.header, DATA))

    def test_a_bad_verification_is_never_answered_with_422(self) -> None:
        self.serve()
        self.front.put(DATA)
        for body in (
            b"",
            b"{}",
            b"[]",
            b"null",
            b"\xff",
            b'{"oid": null, "size": 1}',
            *(
                json.dumps({"oid": oid, "size": size}).encode()
                for oid, size in (
                    (OID, 9),
                    (OID, -1),
                    (OID, 1.5),
                    (OID, "10"),
                    (OID, 2**63),
                    (OID, 2**64),
                    (OID, 10**30),
                    (OID[:-1], 10),
                    (oid_of(b"absent"), 10),
                )
            ),
        ):
            self.assert_refused(self.request("POST", VERIFY, {}, body))

    def test_a_store_that_raises_it(self) -> None:
        """Not even a plugin can make the daemon say it."""
        store = MemoryStore()
        store.failure = Unprocessable("I cannot process this")
        self.serve(store=store)
        verification = json.dumps({"oid": OID, "size": 10}).encode()
        for response in (
            self.request("PUT", URL, {}, DATA),
            self.request("POST", VERIFY, {}, verification),
        ):
            self.assert_error(response, 400)
            self.assertEqual(response.json["message"], "I cannot process this")

    def test_an_authenticator_that_raises_it(self) -> None:
        class Odd:
            async def authenticate(self, credentials: object, repo: object) -> Identity | None:
                raise Unprocessable("I cannot process you")

        self.serve(authenticators=[Odd()])
        self.assert_error(self.request("PUT", URL, {}, DATA), 400)
        self.assert_error(self.request("POST", VERIFY, {}, b"{}"), 400)


class Rule2Tests(RuleTestCase):
    """Never 401 to an action of an ``authenticated`` object: the client would loop."""

    WILL = {"Authorization": "Bearer wills-token"}

    def setUp(self) -> None:
        super().setUp()
        self.serve(
            authenticators=[KeyAuthenticator({"wills-token": writer()})],
            actions=ActionOptions(lifetime=100, verify_lifetime=100, leeway=0, verify="always"),
        )

    def actions(self) -> dict[str, Any]:
        self.front.put(b"present")
        (missing,) = self.entries("upload", {"oid": OID, "size": 10}, headers=self.WILL)
        (present,) = self.entries(
            "download", {"oid": oid_of(b"present"), "size": 7}, headers=self.WILL
        )
        self.assertTrue(missing["authenticated"])
        self.assertTrue(present["authenticated"])
        return {**missing["actions"], **present["actions"]}

    def act(self, name: str, action: dict[str, Any]) -> Response:
        method = {"upload": "PUT", "verify": "POST", "download": "GET"}[name]
        target = action["href"].removeprefix("http://lfs.example")
        body = {"upload": DATA, "verify": json.dumps({"oid": OID, "size": 10}).encode()}
        return self.request(method, target, action["header"], body.get(name, b""))

    def test_every_action_has_its_token(self) -> None:
        actions = self.actions()
        self.assertEqual(set(actions), {"upload", "verify", "download"})
        for action in actions.values():
            self.assertTrue(action["header"]["Giftless-Action"].startswith("ey"))

    def test_it_is_enough(self) -> None:
        for name, action in self.actions().items():
            self.assertEqual(self.act(name, action).status, 200)

    def test_when_it_has_expired(self) -> None:
        actions = self.actions()
        self.clock.advance(101)
        for name, action in actions.items():
            self.assert_error(self.act(name, action), 403)

    def test_when_it_is_damaged(self) -> None:
        for name, action in self.actions().items():
            action["header"]["Giftless-Action"] += "x"
            self.assert_error(self.act(name, action), 403)

    def test_when_the_daemon_has_another_secret(self) -> None:
        """As after a restart that lost it."""
        actions = self.actions()
        self.serve(authenticators=[], secret=b"another secret, as long as it must be")
        for name, action in actions.items():
            self.assert_error(self.act(name, action), 403)

    def test_when_another_credential_is_wrong(self) -> None:
        """CI runners add theirs to the action's."""
        for name, action in self.actions().items():
            action["header"] = {
                "X-First": "yes\r\nAuthorization: Basic d3Jvbmc=",
                **action["header"],
            }
            self.assertEqual(self.act(name, action).status, 200)


class Rule3Tests(RuleTestCase):
    """Exactly one entry per oid, in order, with oid and size as they were sent."""

    def setUp(self) -> None:
        super().setUp()
        self.serve()
        self.present = [b"present %d" % n for n in range(5)]
        for data in self.present:
            self.front.put(data)
        self.wanted = [
            {"oid": oid_of(data), "size": len(data)}
            for pair in zip(self.present, [b"absent %d" % n for n in range(5)], strict=True)
            for data in pair
        ]

    def assert_echoed(self, operation: str, objects: list[dict[str, Any]]) -> None:
        found = self.entries(operation, *objects)
        self.assertEqual(
            [(entry["oid"], entry["size"]) for entry in found],
            [(entry["oid"], entry["size"]) for entry in objects],
        )

    def test_some_there_and_some_not(self) -> None:
        for operation in ("upload", "download"):
            self.assert_echoed(operation, self.wanted)
            self.assert_echoed(operation, self.wanted[::-1])

    def test_every_entry_says_something(self) -> None:
        """A download with neither action nor error is skipped silently."""
        for entry in self.entries("download", *self.wanted):
            self.assertNotEqual("actions" in entry, "error" in entry)

    def test_malformed_objects_are_echoed(self) -> None:
        self.assert_echoed(
            "upload",
            [
                {"oid": "abc", "size": 3},
                {"oid": OID, "size": -1},
                {"oid": oid_of(b"x"), "size": 2**63 - 1},
                {"oid": OID[:-1] + "G", "size": 0},
                {"oid": OID * 2, "size": 0},
                {"oid": "ü \x00\n", "size": 1},
                {"oid": "", "size": 1},
                *self.wanted,
            ],
        )

    def test_sizes_that_contradict_what_is_there(self) -> None:
        for operation in ("upload", "download"):
            self.assert_echoed(
                operation, [{"oid": oid_of(data), "size": 99} for data in self.present]
            )

    def test_duplicates_get_one_entry(self) -> None:
        """The client panics at a second entry."""
        for operation in ("upload", "download"):
            found = self.entries(operation, *self.wanted, *self.wanted, self.wanted[3])
            self.assertEqual(
                [entry["oid"] for entry in found], [entry["oid"] for entry in self.wanted]
            )

    def test_duplicates_that_differ(self) -> None:
        found = self.entries("upload", {"oid": OID, "size": 10}, {"oid": OID, "size": 11})
        self.assertEqual([entry["oid"] for entry in found], [OID])
        self.assertEqual(found[0]["size"], 10)

    def test_a_hundred_objects_are_echoed(self) -> None:
        self.assert_echoed("upload", [{"oid": oid_of(b"%d" % n), "size": n} for n in range(100)])

    def test_no_objects_are_an_error(self) -> None:
        """Never an empty list, at which the client hangs: it is an error."""
        objects: Any
        for objects in ([], None):
            body = json.dumps({"operation": "upload", "objects": objects}).encode()
            self.assert_error(self.request("POST", BATCH, {}, body), 422)
        self.assert_error(self.request("POST", BATCH, {}, b'{"operation": "upload"}'), 422)


#: The headers of a client that bears interim responses.
PATIENT = {"User-Agent": GIT_LFS}


class Rule4Tests(RuleTestCase):
    """A sign of life within 30 s of the last byte, or the client gives up."""

    def setUp(self) -> None:
        super().setUp()
        self.blocking = ManualBlocking()
        self.addCleanup(self.finish)
        self.serve(blocking=self.blocking)

    def assert_patience(self, connection: Connection, seconds: int) -> None:
        """Let time pass while nothing is done; never 30 s without a byte."""
        silent = 0
        for _ in range(seconds):
            self.clock.advance(1)
            silent += 1
            while connection.received:
                self.assertEqual(connection.response().status, 102)
                silent = 0
            self.assertLess(silent, 30)

    def finish(self) -> None:
        while self.blocking.waiting:
            self.blocking.do_next()

    def test_upload_whose_commit_takes_65_seconds(self) -> None:
        connection = self.connect()
        connection.send(render_request("PUT", URL, PATIENT, DATA))
        self.assertGreater(self.blocking.waiting, 0)
        self.assert_patience(connection, 65)
        self.finish()
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})

    def test_old_clients_take_five_signs_and_no_more(self) -> None:
        """So they are not wasted, and the sixth does not end the connection."""
        connection = self.connect()
        old = {"User-Agent": "git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)"}
        connection.send(render_request("PUT", URL, old, DATA))
        signs = 0
        for _ in range(300):
            self.clock.advance(1)
            while connection.received:
                self.assertEqual(connection.response().status, 102)
                signs += 1
        self.assertEqual(signs, 5)

    def test_a_slow_batch_shows_signs_of_life(self) -> None:
        connection = self.connect()
        connection.send(
            render_request("POST", BATCH, PATIENT, batch_body("upload", {"oid": OID, "size": 10}))
        )
        self.assert_patience(connection, 100)
        self.finish()
        self.assertEqual(connection.response().status, 200)

    def test_a_slow_verification_shows_signs_of_life(self) -> None:
        self.front.put(DATA)
        connection = self.connect()
        body = json.dumps({"oid": OID, "size": 10}).encode()
        connection.send(render_request("POST", VERIFY, PATIENT, body))
        self.assert_patience(connection, 100)
        self.finish()
        self.assertEqual(connection.response().status, 200)

    def test_a_slow_download_shows_signs_of_life(self) -> None:
        self.front.put(DATA)
        connection = self.connect()
        connection.send(render_request("GET", URL, PATIENT))
        self.assert_patience(connection, 100)
        self.finish()
        self.clock.advance(0)
        self.finish()
        self.assertEqual(connection.response().body, DATA)

    def test_a_slow_error_shows_signs_of_life(self) -> None:
        connection = self.connect()
        connection.send(render_request("GET", URL, PATIENT))
        self.assert_patience(connection, 100)
        self.finish()
        self.assert_error(connection.response(), 404)


class Rule5Tests(RuleTestCase):
    """Every lock needs an owner.  There are no locks yet, so never a list of them."""

    def test_verification_of_locks(self) -> None:
        self.serve()
        body = json.dumps({"ref": {"name": "refs/heads/main"}}).encode()
        for repo in ("/org/repo.git/info/lfs", "/org/repo"):
            response = self.request("POST", f"{repo}/locks/verify", {}, body)
            self.assert_error(response, 404)

    def test_other_calls_about_locks_are_answered_with_404(self) -> None:
        self.serve()
        for method, path in (
            ("GET", "locks"),
            ("GET", "locks?path=a.bin&limit=1"),
            ("POST", "locks"),
            ("POST", "locks/1/unlock"),
        ):
            response = self.request(method, f"/org/repo.git/info/lfs/{path}", {}, b"")
            self.assert_error(response, 404)


class Rule6Tests(RuleTestCase):
    """Failures carry a message: the client crashes without one.

    The rule is about SSH, which is not there yet; the errors that it will
    report are.
    """

    def test_there_is_no_error_without_a_message(self) -> None:
        self.assertRaises(ValueError, LFSError, "")
        self.assertRaises(ValueError, Unprocessable, "")

    def test_locks_over_http(self) -> None:
        self.serve()
        response = self.request("POST", "/org/repo/locks", {}, b'{"path": "a.bin"}')
        self.assert_error(response, 404)

    def test_objects_in_a_batch(self) -> None:
        self.serve()
        for entry in self.entries(
            "download", {"oid": OID, "size": 10}, {"oid": "x", "size": 1}, {"oid": "y", "size": -1}
        ):
            self.assertTrue(entry["error"]["message"])
            self.assertIsInstance(entry["error"]["code"], int)


class Rule7Tests(RuleTestCase):
    """``transfer`` is there for each client that knows it, and never ``ssh``."""

    OFFERS: tuple[Any, ...] = (
        None,
        [],
        ["basic"],
        ["basic", "ssh", "lfs-standalone-file"],
        ["ssh", "basic"],
        ["lfs-standalone-file", "tus", "ssh", "multipart-basic", "basic"],
    )

    def test_the_transfer_is_always_basic_or_offered(self) -> None:
        self.serve()
        self.front.put(DATA)
        for operation in ("upload", "download"):
            for offer in self.OFFERS:
                # git-lfs since 2.4 offers nothing if it has basic only, and sends a ref.
                members = {"ref": {}} if offer is None else {"transfers": offer}
                reply = self.batch(operation, {"oid": OID, "size": 10}, **members).json
                self.assertEqual(reply["transfer"], "basic", offer)

    def test_a_null_offer_means_basic(self) -> None:
        self.serve()
        reply = self.batch("upload", {"oid": OID, "size": 10}, transfers=None).json
        self.assertEqual(reply["transfer"], "basic")

    def test_nothing_but_ssh(self) -> None:
        self.serve()
        response = self.batch("upload", {"oid": OID, "size": 10}, transfers=["ssh"])
        self.assert_error(response, 422)

    def test_when_every_object_fails(self) -> None:
        self.serve()
        reply = self.batch("download", {"oid": "x", "size": 1}, hash_algo="sha256").json
        self.assertEqual((reply["transfer"], reply["hash_algo"]), ("basic", "sha256"))

    def test_git_lfs_before_2_0_gets_its_tokens_as_authorization(self) -> None:
        """It asks its user for a credential, when it verifies, unless there is one."""
        self.serve()
        self.front.put(DATA)
        other = {"oid": oid_of(b"other"), "size": 5}
        for version, name in (
            *(("0.6.0", "Authorization"), ("1.2.1", "Authorization"), ("1.5.6", "Authorization")),
            *(("2.0.0", ACTION_HEADER), ("3.8.1", ACTION_HEADER)),
        ):
            headers = {"User-Agent": f"git-lfs/{version} (GitHub; linux amd64; go 1.7.4)"}
            for operation, member in (("upload", other), ("download", {"oid": OID, "size": 10})):
                reply = self.batch(operation, member, headers=headers).json
                for kind, action in reply["objects"][0]["actions"].items():
                    self.assertIn(name, action["header"], (version, kind))
                if operation == "download":
                    action = reply["objects"][0]["actions"]["download"]
                    self.assertEqual(self.request("GET", URL, action["header"]).body, DATA)

    def test_the_first_version_of_the_api_has_no_transfers(self) -> None:
        """git-lfs 1.2 takes every member of a reply for a list of objects."""
        self.serve()
        self.front.put(DATA)
        for operation in ("upload", "download"):
            for headers in ({}, {"User-Agent": "git-lfs/1.2.1 (GitHub; linux amd64; go 1.6.2)"}):
                response = self.batch(operation, {"oid": OID, "size": 10}, headers=headers)
                self.assertEqual(set(response.json), {"objects"})


class Rule8Tests(RuleTestCase):
    """What fails for good fails in the batch, before nine uploads do."""

    def assert_refused(self, code: int, *objects: Any, **options: Any) -> None:
        for entry in self.entries("upload", *objects, **options):
            self.assertEqual(entry["error"]["code"], code)
            self.assertNotIn("actions", entry)

    def test_a_too_large_object_fails_in_the_batch(self) -> None:
        self.serve(limits=Limits(object_size=9))
        self.assert_refused(413, {"oid": OID, "size": 10})

    def test_an_object_without_room_fails_in_the_batch(self) -> None:
        self.serve(store=BoundedMemoryStore(capacity=9))
        self.assert_refused(507, {"oid": OID, "size": 10})

    def test_room_for_some(self) -> None:
        """Each fits alone; together they do not."""
        self.serve(store=BoundedMemoryStore(capacity=15))
        first, second = self.entries(
            "upload", {"oid": OID, "size": 10}, {"oid": oid_of(b"x" * 9), "size": 9}
        )
        self.assertIn("upload", first["actions"])
        self.assertEqual(second["error"]["code"], 507)

    def test_a_forbidden_object_fails_in_the_batch(self) -> None:
        self.serve(authenticators=[KeyAuthenticator({"pauls-token": partial(oid_of(b"other"))})])
        headers = {"Authorization": "Bearer pauls-token"}
        mine, theirs = self.entries(
            "upload",
            {"oid": oid_of(b"other"), "size": 5},
            {"oid": OID, "size": 10},
            headers=headers,
        )
        self.assertIn("upload", mine["actions"])
        self.assertEqual(theirs["error"]["code"], 403)

    def test_not_allowed_at_all(self) -> None:
        """Then the whole batch is refused, which the client does not repeat either."""
        self.serve(authenticators=[KeyAuthenticator({"ritas-token": reader()})])
        response = self.batch(
            "upload", {"oid": OID, "size": 10}, headers={"Authorization": "Bearer ritas-token"}
        )
        self.assert_error(response, 403)

    def test_a_malformed_object_fails_in_the_batch(self) -> None:
        self.serve()
        self.assert_refused(
            422, {"oid": "x", "size": 1}, {"oid": OID, "size": -1}, {"oid": "a" * 63, "size": 1}
        )

    def test_another_hash_fails_in_the_batch(self) -> None:
        self.serve()
        self.assert_refused(409, {"oid": OID, "size": 10}, hash_algo="sha512")

    def test_a_repository_that_cannot_be(self) -> None:
        self.serve()
        response = self.request(
            "POST", "/a/../b/objects/batch", {}, batch_body("upload", {"oid": OID, "size": 10})
        )
        self.assert_error(response, 400)
