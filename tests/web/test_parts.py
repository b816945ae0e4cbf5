"""Uploads in parts over HTTP: the endpoints, and who may use them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from giftless.auth.actions import ActionOptions
from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.errors import Unprocessable
from giftless.interfaces import IResumableStore, PartUpload, Ticket
from giftless.lfs.multipart import PartPlan
from giftless.storage.local.store import LocalStore
from giftless.storage.wrapping import lend
from tests.support.blocking import InlineBlocking
from tests.support.making import action_of, key_of, oid_of, writer
from tests.support.memory import ExternalStore, MemoryStore
from tests.web.support import MEDIA_TYPE, FrontTestCase, Response, batch_body, chunked, storage_url

DATA = b"aaaabbbbcc"
SMALL = b"tiny"
LARGE = bytes(1024 * 1024)
OID = oid_of(DATA)
SHORT = "/org/repo/objects/batch"
LONG = "/org/repo.git/info/lfs/objects/batch"
GIT = {"User-Agent": "git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)"}


class PartsTestCase(FrontTestCase):
    """Speaks ``multipart-basic``, in parts of four bytes."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(part_size=4)

    def batch(
        self,
        *objects: bytes,
        operation: str = "upload",
        transfers: tuple[str, ...] = ("multipart-basic", "basic"),
        url: str = SHORT,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        members = [{"oid": oid_of(data), "size": len(data)} for data in objects]
        body = batch_body(operation, *members, transfers=transfers)
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, **(headers or {})}
        return self.request("POST", url, headers, body)

    def actions(self, data: bytes = DATA, **options: Any) -> dict[str, Any]:
        """Return the actions for one object."""
        (entry,) = self.batch(data, **options).json["objects"]
        actions: dict[str, Any] = entry["actions"]
        return actions

    def act(
        self, action: Mapping[str, Any], body: bytes = b"", method: str = "POST", **headers: str
    ) -> Response:
        """Do what an action says."""
        path = urlsplit(action["href"]).path
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, path, {**(action.get("header") or {}), **headers}, body)

    def send(self, part: Mapping[str, Any], data: bytes = DATA, **headers: str) -> Response:
        """Send a part."""
        body = data[part["pos"] : part["pos"] + part["size"]]
        return self.act(part, body, "PUT", **headers)

    def stored(self) -> dict[str, bytes]:
        """Return all objects."""
        return {
            path: data for path, data in self.front.objects().items() if ".giftless" not in path
        }


class UploadTests(PartsTestCase):
    def test_an_object_in_parts(self) -> None:
        for url in (SHORT, LONG):
            self.serve(part_size=4)
            reply = self.batch(DATA, url=url).json
            self.assertEqual(reply["transfer"], "multipart-basic")
            (entry,) = reply["objects"]
            self.assertIs(entry["authenticated"], True)
            for part in reversed(entry["actions"]["parts"]):
                self.assertEqual(self.send(part).status, 200)
            self.assertEqual(self.stored(), {})
            self.assertEqual(self.act(entry["actions"]["commit"]).status, 200)
            self.assertEqual(self.stored(), {f"org/repo/{OID}": DATA})
            self.assertEqual(set(entry["actions"]), {"parts", "commit", "abort"})
            # Again: it is harmless, and there is nothing to do.
            self.assertEqual(self.act(entry["actions"]["commit"]).status, 200)
            self.assertNotIn("actions", self.batch(DATA, url=url).json["objects"][0])

    def test_sizes_that_are_mixed(self) -> None:
        """Each object's actions are right for it."""
        reply = self.batch(DATA, SMALL, b"").json
        self.assertEqual(reply["transfer"], "multipart-basic")
        large, small, empty = (entry["actions"] for entry in reply["objects"])
        self.assertEqual(len(large["parts"]), 3)
        for actions, data in ((small, SMALL), (empty, b"")):
            self.assertEqual(set(actions), {"parts"})
            (part,) = actions["parts"]
            self.assertEqual((part["pos"], part["size"]), (0, len(data)))
            self.assertEqual(self.send(part, data).status, 200)
        self.assertEqual(len(self.stored()), 2)

    def test_small_objects_are_basic(self) -> None:
        reply = self.batch(SMALL, b"").json
        self.assertEqual(reply["transfer"], "basic")
        for entry in reply["objects"]:
            self.assertEqual(set(entry["actions"]), {"upload"})

    def test_small_objects_of_a_client_that_knows_nothing_else(self) -> None:
        reply = self.batch(SMALL, transfers=("multipart-basic",)).json
        self.assertEqual(reply["transfer"], "multipart-basic")

    def test_the_stock_client_never_gets_parts(self) -> None:
        self.assertEqual(self.batch(DATA, headers=GIT).json["transfer"], "basic")
        only = self.batch(DATA, headers=GIT, transfers=("multipart-basic",))
        self.assert_error(only, 422)

    def test_downloads_are_basic(self) -> None:
        self.front.put(DATA)
        for transfers, name in (
            (("multipart-basic", "basic"), "basic"),
            (("multipart-basic",), "multipart-basic"),
        ):
            reply = self.batch(DATA, operation="download", transfers=transfers).json
            self.assertEqual(reply["transfer"], name)
            action = reply["objects"][0]["actions"]["download"]
            self.assertEqual(self.act(action, method="GET").body, DATA)

    def test_an_upload_goes_on_with_what_is_missing(self) -> None:
        """After a restart as well."""
        parts = self.actions()["parts"]
        self.send(parts[1])
        self.serve(part_size=4, store=self.front.store)
        parts = self.actions()["parts"]
        self.assertEqual([part["pos"] for part in parts], [0, 8])

    def test_missing_parts_are_409_and_named(self) -> None:
        actions = self.actions()
        self.send(actions["parts"][0])
        response = self.act(actions["commit"])
        self.assert_error(response, 409)
        self.assertIn("parts 2, 3 are missing", response.json["message"])
        self.assertEqual(self.stored(), {})

    def test_altered_parts_are_409_and_nothing_appears(self) -> None:
        actions = self.actions()
        for part in actions["parts"]:
            self.send(part, b"aaaaBBBBcc")
        response = self.act(actions["commit"])
        self.assert_error(response, 409)
        self.assertIn("SHA-256", response.json["message"])
        self.assertEqual(self.front.objects(), {})

    def test_an_upload_can_be_aborted_twice(self) -> None:
        actions = self.actions()
        self.send(actions["parts"][0])
        for _ in range(2):
            self.assertEqual(self.act(actions["abort"]).status, 200)
        self.assertEqual(self.front.objects(), {})
        self.assertEqual(len(self.actions()["parts"]), 3)

    def test_a_digest_is_checked(self) -> None:
        part = self.actions()["parts"][0]
        self.assertEqual(part["want_digest"], "contentMD5")
        right = base64.b64encode(hashlib.md5(b"aaaa").digest()).decode()
        wrong = base64.b64encode(hashlib.md5(b"aaab").digest()).decode()
        response = self.send(part, content_md5=wrong)
        self.assert_error(response, 400)
        self.assertIn("Content-MD5", response.json["message"])
        self.assertEqual(self.front.objects(), {})
        for malformed in ("", "x", "AAAA", "=" * 24, "\xff", right + right):
            self.assert_error(self.send(part, content_md5=malformed), 400)
        self.assertEqual(self.send(part, content_md5=right).status, 200)

    def test_bodies_that_are_not_the_part(self) -> None:
        part = self.actions()["parts"][0]
        for body in (b"", b"aaa", b"aaaaa", b"a" * 100_000):
            self.assert_error(self.act(part, body, "PUT"), 400)
        self.assert_error(self.send(part, content_range="bytes 0-3/10"), 400)
        self.assert_error(self.send(part, content_encoding="gzip"), 400)
        self.assertEqual(self.front.objects(), {})

    def test_a_part_in_chunks(self) -> None:
        part = self.actions()["parts"][0]
        path = urlsplit(part["href"]).path
        for body, status in (([b"aa", b"aa"], 200), ([b"aa"], 400), ([b"aaaa", b"a"], 400)):
            connection = self.connect()
            headers = "".join(f"{name}: {value}\r\n" for name, value in part["header"].items())
            connection.send(
                f"PUT {path} HTTP/1.1\r\nHost: lfs.example\r\n{headers}"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
                + chunked(*body)
            )
            self.assertEqual(connection.response().status, status)

    def test_parts_that_there_are_not(self) -> None:
        part = self.actions()["parts"][0]
        for number in ("0", "4", "-1", "01x", "1.0", "1" * 50, "%D9%A1", "x", "%2e%2e"):
            url = storage_url(f"{OID}/parts/{number}", "/org/repo")
            response = self.request("PUT", url, part["header"], b"aaaa")
            self.assert_error(response, 404)


class AgentTests(PartsTestCase):
    """What the agent is told that asks an upload's URL."""

    def plan(self, **options: Any) -> Response:
        actions = self.actions(transfers=("giftless", "basic"), headers=GIT, **options)
        return self.act(actions["upload"])

    def test_large_objects_are_its_business(self) -> None:
        reply = self.batch(DATA, transfers=("basic", "giftless"), headers=GIT).json
        self.assertEqual(reply["transfer"], "giftless")
        self.assertEqual(set(reply["objects"][0]["actions"]), {"upload"})
        reply = self.batch(SMALL, transfers=("basic", "giftless"), headers=GIT).json
        self.assertEqual(reply["transfer"], "basic")

    def test_it_is_told_what_a_batch_would_say(self) -> None:
        answer = self.plan()
        self.assertEqual(answer.status, 200)
        self.assertEqual(set(answer.json), {"oid", "size", "authenticated", "actions"})
        self.assertEqual(answer.json["oid"], OID)
        actions = answer.json["actions"]
        self.assertEqual([part["pos"] for part in actions["parts"]], [0, 4, 8])
        for part in actions["parts"]:
            self.send(part)
        self.assertEqual(self.act(actions["commit"]).status, 200)
        self.assertEqual(self.stored(), {f"org/repo/{OID}": DATA})

    def test_it_is_told_that_nothing_is_left_to_do(self) -> None:
        upload = self.actions(transfers=("giftless",), headers=GIT)["upload"]
        self.front.put(DATA)
        self.assertEqual(
            self.act(upload).json, {"oid": OID, "size": len(DATA), "authenticated": True}
        )

    def test_a_small_object_in_a_mixed_batch(self) -> None:
        reply = self.batch(DATA, SMALL, transfers=("giftless",), headers=GIT).json
        answer = self.act(reply["objects"][1]["actions"]["upload"]).json
        self.assertEqual(set(answer["actions"]), {"parts"})
        self.assertEqual(self.send(answer["actions"]["parts"][0], SMALL).status, 200)
        self.assertEqual(self.stored(), {f"org/repo/{oid_of(SMALL)}": SMALL})

    def test_an_object_of_one_piece_is_resumed(self) -> None:
        """If the agent says that it can; its extras come along."""
        directory = self.mktemp()
        os.makedirs(directory)
        store = LocalStore(directory, "", InlineBlocking(), 2 * len(LARGE))
        lend(store, store.resumable(1000, self.clock), IResumableStore)
        self.serve(store=store)
        members = {"oid": oid_of(LARGE), "size": len(LARGE), "x-filename": "x.bin"}
        body = batch_body("upload", members, transfers=["giftless"])
        (entry,) = self.request("POST", SHORT, GIT, body).json["objects"]
        upload = entry["actions"]["upload"]
        for version in ("", "0.2.2"):
            plan = self.act(upload, Tus_Resumable=version).json
            self.assertEqual(set(plan["actions"]), {"parts"})
        plan = self.act(upload, Tus_Resumable="1.0.0").json
        self.assertEqual(set(plan), {"oid", "size", "authenticated", "actions"})
        self.assertEqual(set(plan["actions"]), {"resume"})
        resume = plan["actions"]["resume"]
        half = len(LARGE) // 2
        for offset, data in ((0, LARGE[:half]), (half, LARGE[half:])):
            told = self.act(resume, method="HEAD", Tus_Resumable="1.0.0")
            self.assertEqual(told.headers["upload-offset"], str(offset))
            headers = {
                "Tus_Resumable": "1.0.0",
                "Upload_Offset": str(offset),
                "Content_Type": "application/offset+octet-stream",
            }
            self.assertEqual(self.act(resume, data, "PATCH", **headers).status, 204)
        response = self.request("GET", storage_url(oid_of(LARGE)))
        self.assertEqual(response.body, LARGE)
        self.assertIn("x.bin", response.headers["content-disposition"])

    def test_extras_come_along(self) -> None:
        members = {"oid": OID, "size": len(DATA), "x-filename": "x.bin"}
        body = batch_body("upload", members, transfers=["giftless"])
        (entry,) = self.request("POST", SHORT, GIT, body).json["objects"]
        actions = self.act(entry["actions"]["upload"]).json["actions"]
        for part in actions["parts"]:
            self.send(part)
        self.act(actions["commit"])
        response = self.request("GET", storage_url(OID))
        self.assertIn("x.bin", response.headers["content-disposition"])

    def test_a_store_that_takes_no_parts(self) -> None:
        """As after a change of the configuration."""
        self.serve(store=MemoryStore())
        ticket = Ticket("parts", len(DATA))
        action = action_of(self.front.tokens, ticket, key_of(DATA), "http://x/", writer())
        url = storage_url(f"{OID}/parts", "/org/repo")
        self.assert_error(self.request("POST", url, action.header or {}), 404)


class TokenTests(PartsTestCase):
    """Only the token of the right action opens an endpoint."""

    def url(self, step: str = "", oid: str = OID) -> str:
        return storage_url(f"{oid}/parts{step}", "/org/repo")

    def bearer(
        self,
        operation: str,
        upload: PartUpload | None = PartUpload("", PartPlan(10, 4)),  # noqa: B008
        path: str = "org/repo",
    ) -> Any:
        ticket = Ticket(operation, len(DATA), {}, upload)
        key = key_of(DATA, path)
        return action_of(self.front.tokens, ticket, key, "http://x/", writer()).header

    STEPS = (
        ("parts", "POST", "", b""),
        ("part", "PUT", "/1", b"aaaa"),
        ("commit", "POST", "/commit", b""),
        ("abort", "POST", "/abort", b""),
    )

    def test_the_right_one(self) -> None:
        for operation, method, step, body in self.STEPS:
            response = self.request(method, self.url(step), self.bearer(operation), body)
            self.assertEqual(response.status, 409 if operation == "commit" else 200)

    def test_those_of_other_operations(self) -> None:
        operations = ("upload", "download", "verify", *(step[0] for step in self.STEPS))
        for wanted, method, step, body in self.STEPS:
            for operation in operations:
                if operation != wanted:
                    response = self.request(method, self.url(step), self.bearer(operation), body)
                    self.assert_error(response, 403)
        self.assertEqual(self.front.objects(), {})

    def test_no_step_opens_the_other_endpoints(self) -> None:
        for operation, _, _, _ in self.STEPS:
            header = self.bearer(operation)
            self.assert_error(self.request("PUT", storage_url(OID), header, DATA), 403)
            self.assert_error(self.request("GET", storage_url(OID), header), 403)
            body = json.dumps({"oid": OID, "size": len(DATA)}).encode()
            self.assert_error(self.request("POST", storage_url("verify"), header, body), 403)
        self.assertEqual(self.front.objects(), {})

    def test_those_of_other_objects_and_repositories(self) -> None:
        for operation, method, step, body in self.STEPS:
            other = self.url(step, oid_of(b"x"))
            response = self.request(method, other, self.bearer(operation), body)
            self.assert_error(response, 403)
            header = self.bearer(operation, path="org/other")
            self.assert_error(self.request(method, self.url(step), header, body), 403)

    def test_one_that_belongs_to_no_upload(self) -> None:
        for operation, method, step, body in self.STEPS[1:]:
            response = self.request(method, self.url(step), self.bearer(operation, None), body)
            self.assert_error(response, 403)

    def test_a_credential_is_not_enough(self) -> None:
        """It does not say which upload is meant."""
        for _, method, step, body in self.STEPS:
            self.assert_error(self.request(method, self.url(step), {}, body), 403)

    def test_somebody_who_may_only_read(self) -> None:
        self.serve(authenticators=[AnonymousAuthenticator("read")])
        for _, method, step, body in self.STEPS:
            self.assert_error(self.request(method, self.url(step), {}, body), 401)

    def test_an_expired_token_is_answered_with_403(self) -> None:
        """403, never 401, which clients would answer by trying again for ever."""
        self.serve(actions=ActionOptions(multipart_lifetime=100, verify_lifetime=200, leeway=0))
        headers = {step[0]: self.bearer(step[0]) for step in self.STEPS}
        self.clock.advance(101)
        for operation, method, step, body in self.STEPS:
            response = self.request(method, self.url(step), headers[operation], body)
            expected = 403 if operation in ("parts", "part") else response.status
            self.assertEqual(response.status, expected)
            self.assertNotEqual(response.status, 401)
        self.clock.advance(100)
        for operation, method, step, body in self.STEPS:
            response = self.request(method, self.url(step), headers[operation], body)
            self.assert_error(response, 403)

    def test_other_methods_are_not_served(self) -> None:
        for operation, method, step, _ in self.STEPS:
            for other in ("GET", "DELETE", "PATCH", {"PUT": "POST", "POST": "PUT"}[method]):
                response = self.request(other, self.url(step), self.bearer(operation))
                # A number is a step as well, and so is any word in its place.
                self.assertIn(response.status, (404, 405))

    def test_oids_that_are_none(self) -> None:
        for operation, method, step, body in self.STEPS:
            for oid in ("x", OID.upper(), OID[:-1], "verify"):
                response = self.request(method, self.url(step, oid), self.bearer(operation), body)
                self.assert_error(response, 400)

    def test_large_bodies_of_steps(self) -> None:
        for operation, method, step, _ in self.STEPS[2:]:
            body = b"x" * (self.front.limits.request_body + 1)
            response = self.request(method, self.url(step), self.bearer(operation), body)
            self.assert_error(response, 413)

    def test_parts_that_are_not_received_here(self) -> None:
        self.serve(store=ExternalStore())
        response = self.request("PUT", self.url("/1"), self.bearer("part"), b"aaaa")
        self.assert_error(response, 404)
        for operation in ("commit", "abort"):
            response = self.request("POST", self.url(f"/{operation}"), self.bearer(operation))
            self.assert_error(response, 404)


class Fussy(LocalStore):
    """Refuses everything with a status that would lose objects."""

    async def commit(self, *arguments: Any) -> None:
        raise Unprocessable("no")

    put_part = abort = begin = commit  # type: ignore[assignment]


class StatusTests(PartsTestCase):
    def test_no_answer_has_status_422(self) -> None:
        """The stock client takes it for success."""
        os.makedirs(path := self.mktemp())
        self.serve(store=Fussy(path, "", InlineBlocking(), 4))
        for step in TokenTests.STEPS:
            operation, method, path, body = step
            ticket = Ticket(operation, len(DATA), {}, PartUpload("", PartPlan(10, 4)))
            header = action_of(self.front.tokens, ticket, key_of(DATA), "x", writer()).header
            url = storage_url(f"{OID}/parts{path}", "/org/repo")
            self.assert_error(self.request(method, url, header or {}, body), 400)


class ShortUrlTests(PartsTestCase):
    """giftless-client looks at a batch's status alone; other clients read each error."""

    #: What other clients send to the short URL: of another transfer, or none.
    OTHERS: ClassVar[tuple[dict[str, Any], ...]] = (
        {"transfers": ["basic"]},
        {"transfers": ["lfs-standalone-file", "basic", "ssh"]},
        {"ref": {"name": "refs/heads/main"}},
        {},
    )

    def ask(self, *objects: dict[str, Any], operation: str, **members: Any) -> Response:
        """Send a batch, of giftless-client unless ``transfers`` says otherwise."""
        members = members or {"transfers": ["multipart-basic", "basic"]}
        body = batch_body(operation, *objects, **members)
        return self.request("POST", SHORT, {}, body)

    def test_a_refused_object_of_giftless_client_is_the_status(self) -> None:
        for status, operation, object_ in (
            (404, "download", {"oid": OID, "size": 10}),
            (422, "upload", {"oid": "x", "size": 1}),
            (422, "upload", {"oid": OID, "size": -1}),
            (413, "upload", {"oid": OID, "size": 2**60}),
        ):
            response = self.ask(object_, operation=operation)
            self.assert_error(response, status)

    def test_several_refused_objects_are_a_batch(self) -> None:
        """Nothing of a batch is lost because all of its objects are refused."""
        objects = ({"oid": "x", "size": 1}, {"oid": OID, "size": 10})
        response = self.ask(*objects, operation="download")
        self.assertEqual(response.status, 200)
        errors = [entry["error"]["code"] for entry in response.json["objects"]]
        self.assertEqual(errors, [422, 404])

    def test_other_clients_get_an_error_for_each_object(self) -> None:
        for members in self.OTHERS:
            for objects in (
                ({"oid": OID, "size": 10},),
                ({"oid": OID, "size": 10}, {"oid": oid_of(SMALL), "size": 4}),
            ):
                body = batch_body("download", *objects, **members)
                response = self.request("POST", SHORT, {}, body)
                self.assertEqual(response.status, 200, members)
                for entry in response.json["objects"]:
                    self.assertEqual(entry["error"]["code"], 404)

    def test_the_stock_client_and_long_urls_get_a_batch(self) -> None:
        """The stock client would stop at another status."""
        for url, headers in ((SHORT, GIT), (LONG, {}), (LONG, GIT)):
            response = self.batch(DATA, operation="download", url=url, headers=headers)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.json["objects"][0]["error"]["code"], 404)
