"""``docs/openapi.yaml`` against a running daemon.

Every operation is asked for every status that the file documents for it; what
comes back must have the documented headers, media type and schema.  What the
file does not have, the server must not have either.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from twisted.internet.task import Clock

from giftless.app.assembly import build_resource, protected_resource
from giftless.app.backends import build_backends
from giftless.app.config import AdminOptions, Config
from giftless.app.services import build_services
from giftless.auth.actions import ActionOptions, ActionTokens
from giftless.interfaces import PartUpload, Ticket
from giftless.lfs.multipart import PartPlan
from giftless.transfer.kinds import BUILT_IN
from giftless.usecases.events import NO_EVENTS
from giftless.web.routes import LFSResource
from tests.docs.pages import DOCS, code
from tests.integration.sharing import SharingTestCase
from tests.integration.support import LFS_JSON, Response, oid_of
from tests.support.making import action_of, key_of, part_builder, writer
from tests.support.processes import wait_until

SPEC: dict[str, Any] = yaml.safe_load((DOCS / "openapi.yaml").read_text())

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

#: The repository's root in both forms that the file documents.
LONG, SHORT = "/my-org/demo.git/info/lfs", "/my-org/demo"

DATA = b"an object that is there"
OID = oid_of(DATA)
#: The oid of an object that is marked as damaged.
DAMAGED = oid_of(b"damaged")

ABSENT = oid_of(b"an object that is not there")
OBJECT = f"{LONG}/objects/storage/{OID}"
VERIFY = f"{LONG}/objects/storage/verify"
BATCH = f"{LONG}/objects/batch"
LOCKS = f"{LONG}/locks"

#: The largest object that the daemon takes here: more than any disk has.
LARGEST = 2**62

Exchanges = dict[str, Response]


def resolved(node: Any) -> Any:
    """Follow a ``$ref`` of the file, if ``node`` is one."""
    while "$ref" in node:
        steps = node["$ref"].removeprefix("#/").split("/")
        node = SPEC
        for step in steps:
            node = node[step]
    return node


def validate(value: object, schema: Mapping[str, Any]) -> None:
    """Raise unless ``value`` is what a schema of the file describes."""
    # The whole file is around the schema, so that its references lead somewhere.
    Draft202012Validator({**SPEC, "allOf": [schema]}).validate(value)


def schema(name: str) -> dict[str, str]:
    """Return a schema of the file by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def operation(name: str) -> dict[str, Any]:
    """Return an operation of the file by its id."""
    for path in SPEC["paths"].values():
        for member in path.values():
            if isinstance(member, dict) and member.get("operationId") == name:
                return member
    raise KeyError(name)


def documented_routes() -> dict[str, set[str]]:
    """Return the methods of each path in the file."""
    return {
        path: {method.upper() for method in members} & set(METHODS)
        for path, members in SPEC["paths"].items()
    }


def user(name: str) -> dict[str, str]:
    """Return the credential of one of the staff (see :mod:`tests.docs.staff`)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:-".encode()).decode()}


def batch_of(operation: str, *objects: dict[str, Any]) -> bytes:
    """Return the body of a valid batch request."""
    request = {"operation": operation, "transfers": ["basic"], "objects": list(objects)}
    validate(request, schema("BatchRequest"))
    return json.dumps(request).encode()


def verification(oid: str, size: int) -> bytes:
    """Return the body of a valid verification."""
    request = {"oid": oid, "size": size}
    validate(request, schema("Verification"))
    return json.dumps(request).encode()


@contextmanager
def staff(directory: Path) -> Iterator[Path]:
    """Put the plugin into a folder for itself."""
    yield Path(shutil.copy(Path(__file__).with_name("staff.py"), directory)).parent


class ApiTestCase(SharingTestCase):
    """A daemon whose limits are within a test's reach, with an object in it."""

    def setUp(self) -> None:
        """Share the daemon."""
        super().setUp()
        self.daemon = self.share_daemon(
            plugin_path=[str(self.share("staff", staff))],
            auth=[
                {"type": "staff"},
                {"type": "below", "path": "public", "auth": [{"type": "anonymous"}]},
            ],
            admin={"public_health": True, "public_pages": True},
            access={"hide_private": True, "max_failures": 1, "max_failures_per_address": 1},
            limits={"header_timeout": 1, "body_rate_window": 1, "object_size": LARGEST},
        )
        self.assertEqual(self.daemon.put(DATA, "my-org/demo", user("writer")), 200)
        mark = self.daemon.store / ".giftless" / "damaged" / "my-org" / "demo" / DAMAGED
        mark.mkdir(parents=True, exist_ok=True)
        (mark / "reason").write_text("its SHA-256 is another one")

    def ask(
        self,
        method: str,
        path: str,
        name: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Response:
        """Send a request as one of the staff, or as nobody."""
        given = {**(user(name) if name else {}), **(headers or {})}
        return self.daemon.request(method, path, body, given, source)

    def send(self, head: str, body: bytes = b"", end: str = "\r\n\r\n") -> Response:
        """Send a request made by hand, which need not be whole.

        :param head: the request line and the headers, one a line.
        """
        with self.daemon.connect() as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + end.encode() + body)
            reply = http.client.HTTPResponse(connection, method=head.partition(" ")[0])
            reply.begin()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return Response(reply.status, headers, reply.read())

    def everywhere(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
    ) -> Exchanges:
        """Bring about the statuses that every operation has."""
        host = f"{method} {path} HTTP/1.1\nHost: lfs.example"
        return {
            "400": self.send(f"{host}\nHost: other.example"),
            "401": self.ask(method, path, "", body, headers),
            "408": self.send(host, end=""),
            "417": self.ask(method, path, "writer", body, {"Expect": "miracles"}),
            "429": self.guess(method, path, body, headers),
            "431": self.ask(method, path, "writer", body, {"X-Filler": "x" * 20000}),
            "500": self.ask(method, path, "fault", body, headers),
            "503": self.ask(method, path, "outage", body, headers),
        }

    def guess(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] = {}
    ) -> Response:
        """Show one bad credential after the other, until that is slowed down.

        Each is another one: who repeats one is not guessing.
        """
        for _ in range(5):
            name = f"nobody {uuid.uuid4()}"
            response = self.ask(method, path, name, body, headers, "127.0.0.9")
            if response.status == 429:
                break
        return response

    def for_anybody(self, method: str, path: str) -> Exchanges:
        """Bring about the statuses that every operation has that takes no credential."""
        host = f"{method} {path} HTTP/1.1\nHost: lfs.example"
        return {
            "400": self.send(f"{host}\nHost: other.example"),
            "408": self.send(host, end=""),
            "417": self.ask(method, path, headers={"Expect": "miracles"}),
            "431": self.ask(method, path, headers={"X-Filler": "x" * 20000}),
        }

    def assert_documented(
        self, name: str, exchanges: Exchanges, not_here: frozenset[str] = frozenset()
    ) -> None:
        """Check that an operation did all that the file says, and only that.

        :param not_here: what is documented and cannot be brought about here.
        """
        documented = operation(name)["responses"]
        self.assertEqual(set(exchanges) | not_here, set(documented), name)
        for status, response in exchanges.items():
            with self.subTest(operation=name, status=status):
                self.assertEqual(str(response.status), status, response.body)
                self.assert_response(
                    response, resolved(documented[status]), name.startswith("inspect")
                )

    def assert_response(
        self, response: Response, documented: dict[str, Any], bodiless: bool
    ) -> None:
        """Check a response's headers and body."""
        for header, reference in documented["headers"].items():
            description = resolved(reference)
            value = response.headers.get(header.lower())
            if value is not None:
                validate(value, description["schema"])
            else:
                self.assertFalse(description.get("required"), header)
        content = documented.get("content")
        if content is None:
            self.assertNotIn("content-type", response.headers)
            self.assertEqual(response.body, b"")
            return
        media_type = response.headers["content-type"]
        self.assertIn(media_type, content)
        if bodiless:
            self.assertEqual(response.body, b"")
        elif media_type in (LFS_JSON, "application/json"):
            validate(response.json, content[media_type]["schema"])
            if media_type == LFS_JSON and response.status >= 400:
                self.assertEqual(response.json["request_id"], response.headers["x-request-id"])


class OperationTests(ApiTestCase):
    """Each operation gives each documented status, as documented."""

    def test_batch_gives_each_documented_status(self) -> None:
        """``POST …/objects/batch``."""
        wanted = {"oid": OID, "size": len(DATA)}
        download = batch_of("download", wanted)
        too_many = batch_of("download", *({"oid": ABSENT, "size": n} for n in range(1001)))
        exchanges = self.everywhere("POST", BATCH, download)
        exchanges |= {
            "200": self.ask("POST", BATCH, "reader", download),
            "403": self.ask("POST", BATCH, "reader", batch_of("upload", wanted)),
            "404": self.ask("POST", BATCH, "stranger", download),
            "413": self.ask("POST", BATCH, "reader", too_many),
            "422": self.ask("POST", BATCH, "reader", b'{"operation": "delete", "objects": []}'),
        }
        self.assert_documented("batch", exchanges)

    def test_upload_gives_each_documented_status(self) -> None:
        """``PUT …/objects/storage/{oid}``."""
        exchanges = self.everywhere("PUT", OBJECT, DATA)
        credential = f"Authorization: {user('writer')['Authorization']}"
        head = f"PUT {OBJECT} HTTP/1.1\nHost: lfs.example\n{credential}\nContent-Length: "
        exchanges |= {
            "200": self.ask("PUT", OBJECT, "writer", DATA),
            "403": self.ask("PUT", OBJECT, "reader", DATA),
            "404": self.ask("PUT", OBJECT, "stranger", DATA),
            "413": self.send(f"{head}{LARGEST + 1}"),
            # The daemon looks at the first MiB.
            "507": self.send(f"{head}{LARGEST // 2}", bytes(2**20)),
        }
        self.assert_documented("upload", exchanges)

    def test_a_body_that_is_not_what_it_claims(self) -> None:
        """Wrong bytes are answered with 400, slow ones with 408, as documented."""
        documented = operation("upload")["responses"]
        credential = f"Authorization: {user('writer')['Authorization']}"
        head = f"PUT {OBJECT} HTTP/1.1\nHost: lfs.example\n{credential}\nContent-Length: 9"
        for status, response in {
            "400": self.ask("PUT", OBJECT, "writer", b"something else"),
            "408": self.send(head, b"x"),
        }.items():
            self.assertEqual(str(response.status), status)
            self.assert_response(response, resolved(documented[status]), False)

    def test_download_gives_each_documented_status(self) -> None:
        """``GET …/objects/storage/{oid}``."""
        exchanges = self._view("GET")
        exchanges |= {
            "206": self.ask("GET", OBJECT, "reader", headers={"Range": "bytes=3-5"}),
            "416": self.ask("GET", OBJECT, "reader", headers={"Range": "bytes=999-"}),
        }
        self.assert_documented("download", exchanges)

    def test_inspect_gives_each_documented_status(self) -> None:
        """``HEAD …/objects/storage/{oid}``."""
        self.assert_documented("inspect", self._view("HEAD"))

    def _view(self, method: str) -> Exchanges:
        absent = OBJECT.replace(OID, ABSENT)
        named = f"{OBJECT}?filename=gr%C3%BC%C3%9Fe.txt&disposition=inline"
        return self.everywhere(method, OBJECT) | {
            "200": self.ask(method, named, "reader"),
            "304": self.ask(method, OBJECT, "reader", headers={"If-None-Match": f'"{OID}"'}),
            "403": self.ask(method, OBJECT, headers=self._forged()),
            "404": self.ask(method, absent, "reader"),
            "410": self.ask(method, OBJECT.replace(OID, DAMAGED), "reader"),
        }

    def _forged(self) -> dict[str, str]:
        """Return an action's header with a signature that is not genuine."""
        reply = self.ask("POST", BATCH, "writer", batch_of("upload", {"oid": ABSENT, "size": 1}))
        header = reply.json["objects"][0]["actions"]["upload"]["header"]
        return {"Giftless-Action": header["Giftless-Action"].rpartition(".")[0] + ".AAAA"}

    def test_verify_gives_each_documented_status(self) -> None:
        """``POST …/objects/storage/verify``."""
        good = verification(OID, len(DATA))
        exchanges = self.everywhere("POST", VERIFY, good)
        exchanges |= {
            "200": self.ask("POST", VERIFY, "reader", good),
            "403": self.ask("POST", VERIFY, body=good, headers=self._forged()),
            "404": self.ask("POST", VERIFY, "reader", verification(ABSENT, 1)),
            "409": self.ask("POST", VERIFY, "reader", verification(OID, 1)),
            "410": self.ask("POST", VERIFY, "reader", verification(DAMAGED, 1)),
            "413": self.ask("POST", VERIFY, "reader", good + b" " * 2**20),
        }
        self.assert_documented("verify", exchanges)


class PartOperationTests(ApiTestCase):
    """The operations of uploads in parts, likewise."""

    def setUp(self) -> None:
        """Be able to make the tokens of actions."""
        super().setUp()
        clock = Clock()
        clock.advance(time.time())
        secret = (self.daemon.directory / "giftless-state" / "secret").read_bytes().strip()
        self.tokens = ActionTokens(secret, ActionOptions(), BUILT_IN, clock.seconds)
        self.data = f"an object in several parts, of {self.id()}".encode()

    def header(self, operation: str, size: int | None = None) -> dict[str, str]:
        """Return the header of an action."""
        size = len(self.data) if size is None else size
        upload = PartUpload("", PartPlan(size, -(-size // 3)))
        key = key_of(self.data, "my-org/demo")
        ticket = Ticket(operation, size, {}, upload)
        return action_of(self.tokens, ticket, key, "", writer()).header or {}

    def url(self, step: str = "") -> str:
        """Return the URL of an endpoint."""
        return f"{OBJECT.replace(OID, oid_of(self.data))}/parts{step}"

    def step(self, method: str, step: str, operation: str, body: bytes | None = None) -> Exchanges:
        """Bring about the statuses that every step has."""
        url = self.url(step)
        return self.everywhere(method, url, body) | {
            "403": self.ask(method, url, "writer", body),
            "404": self.ask(method, url, "stranger", body),
            "200": self.ask(method, url, "", body, self.header(operation)),
        }

    def test_plan_gives_each_documented_status(self) -> None:
        """``POST …/parts``."""
        self.assert_documented("plan", self.step("POST", "", "parts"))

    def test_upload_part_gives_each_documented_status(self) -> None:
        """``PUT …/parts/{number}``."""
        part = self.data[: -(-len(self.data) // 3)]
        exchanges = self.step("PUT", "/1", "part", part)
        token = self.header("part", LARGEST // 2)["Giftless-Action"]
        head = f"PUT {self.url('/1')} HTTP/1.1\nHost: lfs.example\nGiftless-Action: {token}"
        length = -(-(LARGEST // 2) // 3)
        exchanges["507"] = self.send(f"{head}\nContent-Length: {length}", bytes(2**20))
        # An upload is aborted while a part of it arrives by chance alone.
        self.assert_documented("uploadPart", exchanges, frozenset({"409"}))

    def test_commit_gives_each_documented_status(self) -> None:
        """``POST …/parts/commit``."""
        header = self.header("commit")
        exchanges = {
            "409": self.ask("POST", self.url("/commit"), "", None, header),
            "413": self.ask("POST", self.url("/commit"), "", bytes(2**20 + 1), header),
        }
        length = -(-len(self.data) // 3)
        for number in (1, 2, 3):
            part = self.data[(number - 1) * length : number * length]
            reply = self.ask("PUT", self.url(f"/{number}"), "", part, self.header("part"))
            self.assertEqual(reply.status, 200)
        exchanges |= self.step("POST", "/commit", "commit")
        # The disk would have to be filled.
        self.assert_documented("commit", exchanges, frozenset({"507"}))

    def test_abort_gives_each_documented_status(self) -> None:
        """``POST …/parts/abort``."""
        exchanges = self.step("POST", "/abort", "abort")
        large = bytes(2**20 + 1)
        exchanges["413"] = self.ask("POST", self.url("/abort"), "", large, self.header("abort"))
        self.assert_documented("abort", exchanges)


class TusOperationTests(ApiTestCase):
    """The operations of resumable uploads, likewise."""

    CREATE = f"{LONG}/objects/tus"

    def setUp(self) -> None:
        """Have an object that nobody has."""
        super().setUp()
        self.data = f"an object that goes up in pieces, of {self.id()}".encode()
        oid = oid_of(self.data)
        self.url = f"{self.CREATE}/{oid}/{len(self.data)}"
        named = f"oid {base64.b64encode(oid.encode()).decode()}"
        self.tus = {"Tus-Resumable": "1.0.0"}
        self.bytes = {**self.tus, "Content-Type": "application/offset+octet-stream"}
        self.creation = {
            **self.tus,
            "Upload-Length": str(len(self.data)),
            "Upload-Metadata": named,
        }

    def create(self, body: bytes = b"", **headers: str) -> Response:
        """Create the upload."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", self.CREATE, "writer", body, {**self.creation, **more})

    def wrong_version(self, method: str, url: str) -> Response:
        """Speak another version of tus."""
        return self.ask(method, url, "writer", headers={"Tus-Resumable": "0.2.2"})

    def refused(self, method: str, url: str, headers: Mapping[str, str]) -> Exchanges:
        """Bring about the statuses that every operation has but OPTIONS."""
        return self.everywhere(method, url, None, headers) | {
            "403": self.ask(method, url, "reader", headers=headers),
            "404": self.ask(method, url, "stranger", headers=headers),
        }

    def test_create_gives_each_documented_status(self) -> None:
        """``POST …/objects/tus``."""
        wrong = "sha1 " + base64.b64encode(bytes(20)).decode()
        kind = self.bytes["Content-Type"]
        exchanges = self.refused("POST", self.CREATE, self.creation) | {
            "201": self.create(),
            "412": self.wrong_version("POST", self.CREATE),
            "413": self.create(Upload_Length=str(LARGEST + 1)),
            "415": self.create(b"x"),
            "460": self.create(b"x", Content_Type=kind, Upload_Checksum=wrong),
        }
        # Somebody else would have to come meanwhile, and the disk to be filled.
        self.assert_documented("createUpload", exchanges, frozenset({"409", "507"}))

    def test_options_give_each_documented_status(self) -> None:
        """``OPTIONS``, at both."""
        for name, url in (("describeTus", self.CREATE), ("describeUpload", self.url)):
            exchanges = self.for_anybody("OPTIONS", url) | {"204": self.ask("OPTIONS", url)}
            self.assert_documented(name, exchanges)

    def test_inspect_gives_each_documented_status(self) -> None:
        """``HEAD …/objects/tus/{oid}/{size}``."""
        where = self.create().headers["location"]
        huge = f"{self.CREATE}/{ABSENT}/{LARGEST + 1}"
        exchanges = self.refused("HEAD", self.url, self.tus) | {
            "200": self.ask("HEAD", where, "writer", headers=self.tus),
            "412": self.wrong_version("HEAD", self.url),
            "413": self.ask("HEAD", huge, "writer", headers=self.tus),
        }
        self.assert_documented("inspectUpload", exchanges, frozenset({"507"}))

    def test_append_gives_each_documented_status(self) -> None:
        """``PATCH …/objects/tus/{oid}/{size}``, also as a POST that says so."""
        wrong = {"Upload-Checksum": "sha1 " + base64.b64encode(bytes(20)).decode()}
        for method, name, more in (
            ("PATCH", "append", {}),
            ("POST", "override", {"X-HTTP-Method-Override": "PATCH"}),
        ):
            self.create()
            headers = {**self.bytes, **more, "Upload-Offset": "0"}

            def send(body: bytes, given: Mapping[str, str], method: str = method) -> Response:
                return self.ask(method, self.url, "writer", body, given)

            exchanges = self.refused(method, self.url, headers) | {
                "409": send(b"x", {**headers, "Upload-Offset": "5"}),
                "412": send(b"x", {**headers, "Tus-Resumable": "0.2.2"}),
                "413": send(self.data + b"x", headers),
                "415": send(b"x", {**headers, "Content-Type": "text/plain"}),
                "460": send(b"x", {**headers, **wrong}),
                "204": send(self.data[:5], headers),
            }
            # The disk would have to be filled.
            self.assert_documented(name, exchanges, frozenset({"507"}))

    def test_terminate_gives_each_documented_status(self) -> None:
        """``DELETE …/objects/tus/{oid}/{size}``."""
        self.create()
        huge = f"{self.CREATE}/{ABSENT}/{LARGEST + 1}"
        exchanges = self.refused("DELETE", self.url, self.tus) | {
            "204": self.ask("DELETE", self.url, "writer", headers=self.tus),
            "412": self.wrong_version("DELETE", self.url),
            "413": self.ask("DELETE", huge, "writer", headers=self.tus),
        }
        self.assert_documented("terminate", exchanges)


class LockTests(ApiTestCase):
    """The operations of file locking."""

    def lock(self, path: str, name: str = "writer") -> dict[str, Any]:
        """Lock a path."""
        request = {"path": path, "ref": {"name": "refs/heads/main"}}
        validate(request, schema("LockRequest"))
        response = self.ask("POST", LOCKS, name, json.dumps(request).encode())
        self.assertEqual(response.status, 201, response.body)
        return cast(dict[str, Any], response.json["lock"])

    def test_create_gives_each_documented_status(self) -> None:
        """``POST …/locks``."""
        body = b'{"path": "new.psd"}'
        exchanges = {"201": self.ask("POST", LOCKS, "writer", body)}
        exchanges |= self.everywhere("POST", LOCKS, body) | {
            "403": self.ask("POST", LOCKS, "reader", body),
            "404": self.ask("POST", LOCKS, "stranger", body),
            "409": self.ask("POST", LOCKS, "writer", body),
            "413": self.ask("POST", LOCKS, "writer", body + b" " * 2**20),
        }
        self.assert_documented("createLock", exchanges)

    def test_list_gives_each_documented_status(self) -> None:
        """``GET …/locks`` and ``HEAD …/locks``."""
        for path in ("listed.psd", "b/ü.psd"):
            self.lock(path)
        # Where nothing is hidden, who may not read is told so.
        frank = self.start_daemon("frank", config={**(self.daemon.config or {}), "access": {}})
        for method, name in (("GET", "listLocks"), ("HEAD", "inspectLocks")):
            exchanges = self.everywhere(method, LOCKS) | {
                "200": self.ask(method, f"{LOCKS}?limit=1&refspec=refs/heads/main", "reader"),
                "403": frank.request(method, LOCKS, None, user("stranger")),
                "404": self.ask(method, LOCKS, "stranger"),
            }
            self.assert_documented(name, exchanges)

    def test_verify_gives_each_documented_status(self) -> None:
        """``POST …/locks/verify``."""
        self.lock("ours.psd")
        self.lock("theirs.psd", "editor")
        body = b'{"limit": 1}'
        url = f"{LOCKS}/verify"
        exchanges = self.everywhere("POST", url, body) | {
            "200": self.ask("POST", url, "writer", body),
            "403": self.ask("POST", url, "reader", body),
            "404": self.ask("POST", url, "stranger", body),
            "413": self.ask("POST", url, "writer", body + b" " * 2**20),
        }
        self.assert_documented("verifyLocks", exchanges)

    def test_unlock_gives_each_documented_status(self) -> None:
        """``POST …/locks/{id}/unlock``."""
        url = f"{LOCKS}/{self.lock('unlocked.psd', 'editor')['id']}/unlock"
        exchanges = self.everywhere("POST", url, b"{}") | {
            "403": self.ask("POST", url, "writer", b'{"force": false}'),
            "404": self.ask("POST", f"{LOCKS}/unknown/unlock", "writer", b"{}"),
            "413": self.ask("POST", url, "writer", b" " * (2**20 + 1)),
            "200": self.ask("POST", url, "writer", b'{"force": true}'),
        }
        self.assert_documented("unlock", exchanges)


class HealthTests(ApiTestCase):
    """The endpoints of health give each documented status, and ask for no credential."""

    def check(self, name: str, method: str, path: str, more: Exchanges) -> None:
        """Check one operation.

        :param more: what else it has answered.
        """
        exchanges = self.for_anybody(method, path)
        exchanges["200"] = self.ask(method, path)
        self.assert_documented(name, exchanges | more)

    def test_live_gives_each_documented_status(self) -> None:
        """``GET`` and ``HEAD /health/live``."""
        self.check("live", "GET", "/health/live", {})
        self.check("inspectLive", "HEAD", "/health/live", {})

    def test_ready_gives_each_documented_status(self) -> None:
        """``GET`` and ``HEAD /health/ready``, also while the store is away."""
        path = "/health/ready"
        away = self.daemon.store.with_name("away")
        self.daemon.store.rename(away)
        try:
            wait_until(lambda: self.ask("GET", path).status == 503, "the outage to be seen")
            answers = {method: self.ask(method, path) for method in ("GET", "HEAD")}
        finally:
            away.rename(self.daemon.store)
        wait_until(lambda: self.ask("GET", path).status == 200, "the end of the outage")
        self.check("ready", "GET", path, {"503": answers["GET"]})
        self.check("inspectReady", "HEAD", path, {"503": answers["HEAD"]})


#: What the bodies of the administration's requests are, by their operations.
ADMIN_BODIES: dict[str, dict[str, Any]] = {
    "removeObjects": {"oids": [ABSENT], "reason": "it is not needed"},
    "restoreObjects": {"oids": [ABSENT]},
    "emptyTrash": {"really": True, "older_than": "1d"},
    "alias": {"name": "my-org/former"},
    "rename": {"to": "my-org/next"},
    "copy": {"to": "my-org/copied"},
    "remove": {"really": True},
}


class AdministrationTests(ApiTestCase):
    """The administration's API, likewise: below a repository, and for operators."""

    def test_what_is_only_read_gives_each_documented_status(self) -> None:
        """``GET`` and ``HEAD`` of lists and of usage."""
        self.assertEqual(self.daemon.put(b"kept", "my-org/kept", user("writer")), 200)
        for path, members in SPEC["paths"].items():
            for method in ("get", "head"):
                if ("/admin/" in path or "/-/api/" in path) and method in members:
                    self.check(path, method.upper(), members[method]["operationId"])

    def test_what_changes_something_gives_each_documented_status(self) -> None:
        """``POST`` of all that removes, restores and moves."""
        for path, members in SPEC["paths"].items():
            if ("/admin/" in path or "/-/api/" in path) and "post" in members:
                self.check(path, "POST", members["post"]["operationId"])

    def check(self, path: str, method: str, name: str) -> None:
        """Bring about each status of an operation."""
        base = name.removeprefix("inspect").removeprefix("operator").removeprefix("Operator")
        base = base[0].lower() + base[1:]
        target = path if "/-/api/" in path else f"/my-org/{self.place(name)}.git/info/lfs{path}"
        body, headers = None, {"Content-Type": "application/json"}
        if method == "POST":
            self.daemon.put(b"moved", f"my-org/{self.place(name)}", user("writer"))
            given = ADMIN_BODIES[base]
            if "/-/api/" in path:
                given = {**given, "repo": f"my-org/{self.place(name)}"}
            if base == "alias":
                given = {**given, "name": f"my-org/former-{name}".lower()}
            elif "to" in given:
                given = {**given, "to": f"my-org/to-{name}".lower()}
            reference = SPEC["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            validate(given, reference["schema"])
            body = json.dumps(given).encode()
        documented = operation(name)["responses"]
        exchanges = {
            "200": self.ask(method, target, "owner", body, headers),
            "403": self.ask(method, target, "reader", body, headers),
            "404": self.ask(method, target, "stranger", body, headers),
        }
        not_here: set[str] = set()
        if name == base:
            exchanges |= self.everywhere(method, target, body)
        else:
            # What takes long is tried once: they are documented once, too.
            self.assertIs(documented, operation(base)["responses"])
            not_here = {"400", "401", "408", "417", "429", "431", "500", "503"}
        if method == "POST":
            exchanges["413"] = self.ask(method, target, "owner", b" " * 2**17, headers)
            exchanges["415"] = self.ask(method, target, "owner", body)
            # Two at once, or one that takes long, are the matter of other tests.
            not_here |= {"202", "409"} & set(documented)
        self.assert_documented(name, exchanges, frozenset(not_here))

    def place(self, name: str) -> str:
        """Return a repository for an operation, which may change it."""
        return f"for-{name}".lower()


class RootTests(ApiTestCase):
    """What stands at the server's root, likewise."""

    def test_the_root_gives_each_documented_status(self) -> None:
        """``GET /`` and ``HEAD /``."""
        for method, name in (("GET", "welcome"), ("HEAD", "inspectWelcome")):
            for accept in ("*/*", "text/html"):
                answer = self.ask(method, "/", headers={"Accept": accept})
                exchanges = self.for_anybody(method, "/") | {"200": answer}
                self.assert_documented(name, exchanges)

    def test_what_browsers_ask_for_gives_each_documented_status(self) -> None:
        """``/favicon.ico`` and ``/robots.txt``."""
        for method, prefix in (("GET", ""), ("HEAD", "inspect")):
            for path, name, status in (("favicon.ico", "icon", 204), ("robots.txt", "robots", 200)):
                answer = {str(status): self.ask(method, f"/{path}")}
                exchanges = self.for_anybody(method, f"/{path}") | answer
                self.assert_documented(f"{prefix}{name.title() if prefix else name}", exchanges)

    def test_where_to_log_in_gives_each_documented_status(self) -> None:
        """``/.well-known/oauth-protected-resource``, of the server and of a URL."""
        root = "/.well-known/oauth-protected-resource"
        for name, path in (("WhereToLogIn", root), ("WhereToLogInFor", f"{root}/my-org/demo")):
            for method, first in (("GET", "w"), ("HEAD", "inspectW")):
                exchanges = self.for_anybody(method, path) | {"200": self.ask(method, path)}
                if path != root:
                    exchanges["404"] = self.ask(method, f"{root}/public/demo")
                self.assert_documented(f"{first}{name[1:]}", exchanges)


class BatchReplyTests(ApiTestCase):
    """The entries of a batch reply are as documented, whatever happens to an object."""

    def entries(self, body: bytes, name: str = "writer") -> list[dict[str, Any]]:
        """Return a reply's objects, after checking the reply."""
        response = self.ask("POST", BATCH, name, body)
        validate(response.json, schema("BatchReply"))
        return cast(list[dict[str, Any]], response.json["objects"])

    def test_entries_have_the_documented_actions(self) -> None:
        """An absent object has upload, a present one download or nothing."""
        present, absent = {"oid": OID, "size": len(DATA)}, {"oid": ABSENT, "size": 5}
        upload = self.entries(batch_of("upload", present, absent))
        self.assertNotIn("actions", upload[0])
        self.assertEqual(set(upload[1]["actions"]), {"upload"})
        self.assertEqual(
            set(self.entries(batch_of("download", present))[0]["actions"]), {"download"}
        )

    def test_errors_have_the_documented_shape(self) -> None:
        """Each documented error of an object that this daemon can give has its shape."""
        huge = {"oid": ABSENT, "size": LARGEST + 1}
        full = {"oid": ABSENT, "size": LARGEST // 2}
        md5 = batch_of("upload", {"oid": ABSENT, "size": 1})[:-1] + b', "hash_algo": "md5"}'
        found = {
            entry["error"]["code"]
            for entry in (
                *self.entries(batch_of("download", {"oid": ABSENT, "size": 5})),
                *self.entries(batch_of("download", {"oid": OID, "size": 5})),
                *self.entries(batch_of("download", {"oid": DAMAGED, "size": 5})),
                *self.entries(batch_of("upload", huge)),
                *self.entries(batch_of("upload", full)),
                *self.entries(md5),
            )
        }
        # 403 is for identities that may do something with other objects, 503 for objects of
        # which the store or the catalogue tells nothing just now.
        documented = set(SPEC["components"]["schemas"]["ObjectError"]["properties"]["code"]["enum"])
        self.assertEqual(found | {403, 503}, documented)

    def test_a_documented_extra_names_the_download(self) -> None:
        """A member x-filename, as documented, names the later download."""
        wanted: dict[str, Any] = {"oid": oid_of(b"hello"), "size": 5, "x-filename": "grüße.txt"}
        (entry,) = self.entries(batch_of("upload", wanted))
        action = entry["actions"]["upload"]
        self.assertEqual(
            self.ask("PUT", action["href"], "", b"hello", action["header"]).status, 200
        )
        path = OBJECT.replace(OID, wanted["oid"])
        disposition = self.ask("GET", path, "reader").headers["content-disposition"]
        self.assertIn("filename*=UTF-8''gr%C3%BC%C3%9Fe.txt", disposition)


class SurfaceTests(ApiTestCase):
    """The file has everything that the server has, and the other way round."""

    def test_the_documented_routes_are_the_served_ones(self) -> None:
        """The paths and methods are those of the URL map."""
        routes: dict[str, set[str]] = {}
        for rule in self.front().app.url_map.iter_rules():
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).removeprefix("/{repo}")
            routes.setdefault(path, set()).update(rule.methods or ())
        self.assertEqual(routes, documented_routes())

    def front(self) -> LFSResource:
        """Return the resource tree that a daemon has."""
        options = Config(
            storage={"type": "local", "path": self.mktemp()},
            state_dir=self.mktemp(),
            admin=AdminOptions(public_health=True, public_pages=True),
            auth=[
                {"type": "oidc", "issuer": "https://sso.example", "audience": "lfs", "grants": {}}
            ],
        )
        parts = part_builder(options.state_dir)
        backends = build_backends(options, parts)
        services = build_services(options, parts.environment, backends, NO_EVENTS)
        log_in = protected_resource(options, backends)
        return build_resource(options, parts.environment, backends, services, log_in)

    def test_an_undocumented_method_is_answered_with_405(self) -> None:
        """A method that is not documented is answered with 405 and the documented ones."""
        for path in SPEC["paths"]:
            documented = self.methods_at(path)
            for method in set(METHODS) - documented:
                root = "" if "servers" in SPEC["paths"][path] else LONG
                url = root + path.replace("{oid}", OID).replace("{number}", "1")
                url = url.replace("{lock_id}", "x").replace("{size}", "1").replace("{path}", "x")
                response = self.ask(method, url, "writer")
                self.assertEqual(response.status, 405, f"{method} {path}")
                self.assertEqual(set(response.headers["allow"].split(", ")), documented)
                if method != "HEAD":
                    validate(response.json, schema("Error"))

    def methods_at(self, path: str) -> set[str]:
        """Return the methods of every documented path that ``path`` matches.

        ``verify`` stands where an oid may stand.
        """
        patterns = {name: re.sub(r"\{\w+\}", "[^/]+", name) for name in SPEC["paths"]}
        return set().union(
            *(
                methods
                for name, methods in documented_routes().items()
                if re.fullmatch(patterns[name], path)
            )
        )

    def test_an_undocumented_path_is_answered_with_404(self) -> None:
        """A URL that is not documented is answered with 404 in the documented form."""
        response = self.ask("GET", f"{LONG}/lock", "writer")
        self.assertEqual(response.status, 404)
        validate(response.json, schema("Error"))

    def test_both_forms_of_the_url(self) -> None:
        """An object is found under each documented form."""
        urls = [server["url"] for server in SPEC["servers"]]
        forms = [url.partition("8080")[2].replace("{repository}", "my-org/demo") for url in urls]
        self.assertEqual(forms, [LONG, SHORT])
        for form in forms:
            response = self.ask("GET", f"{form}/objects/storage/{OID}", "reader")
            self.assertEqual(response.body, DATA)

    def test_each_documented_credential_opens_the_storage(self) -> None:
        """Each documented kind of credential opens the storage endpoints."""
        reply = self.ask("POST", BATCH, "reader", batch_of("download", {"oid": OID, "size": 23}))
        action = reply.json["objects"][0]["actions"]["download"]
        token = action["header"]["Giftless-Action"]
        ways = {
            "action": self.ask("GET", OBJECT, headers=action["header"]),
            "actionInQuery": self.ask("GET", f"{OBJECT}?jwt={token}"),
            "credential": self.ask("GET", OBJECT, "reader"),
            "bearer": self.ask("GET", OBJECT, headers={"Authorization": "Bearer reader"}),
        }
        self.assertEqual(set(ways), set(SPEC["components"]["securitySchemes"]))
        self.assertEqual({response.status for response in ways.values()}, {200})

    def test_statuses_on_the_page(self) -> None:
        """The page about the API explains each documented error, and 405."""
        table = set(re.findall(r"(?m)^([45]\d\d)  ", (DOCS / "http-api.rst").read_text()))
        documented = {
            status
            for path in SPEC["paths"].values()
            for member in path.values()
            if isinstance(member, dict)
            for status in member["responses"]
            if status >= "400"
        }
        self.assertEqual(table, documented | {"405"})

    def test_the_examples_match_their_schemas(self) -> None:
        """The JSON on the pages about the API is what the file says.

        Each block names its schema in ``:class:``.
        """
        for page in ("http-api.rst", "multipart.rst"):
            blocks = code(DOCS / page, "json")
            self.assertTrue(blocks)
            for block in blocks:
                validate(json.loads(block.content), schema(block.classes[0]))
