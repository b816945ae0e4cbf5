"""Resumable uploads over HTTP: tus 1.0.0, and git-lfs' use of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from twisted.internet.defer import Deferred

from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.interfaces import ObjectStored
from giftless.web.cors import CorsOptions
from giftless.web.limits import Limits
from tests.support.events import Recorder, events_to
from tests.support.making import oid_of, stranger, writer
from tests.support.memory import MemoryStore
from tests.support.resumable import ResumableMemoryStore
from tests.web.support import (
    GIT_LFS,
    Connection,
    FrontTestCase,
    KeyAuthenticator,
    Response,
    batch_body,
    chunked,
    render_request,
)

DATA = b"aaaabbbbcc"
OID = oid_of(DATA)
API = "/org/repo.git/info/lfs"
CREATE = f"{API}/objects/tus"
UPLOAD = f"{CREATE}/{OID}/{len(DATA)}"

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}

#: As long after the epoch as the store in memory says, and its expiry.
EXPIRES = "Tue, 14 Nov 2023 22:30:00 GMT"


def metadata(oid: str = OID, **values: str) -> str:
    """Write ``Upload-Metadata``."""
    values = {"oid": oid, **values}
    pairs = (f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in values.items())
    return ",".join(pairs)


def checksum(data: bytes, algorithm: str = "sha1") -> dict[str, str]:
    """Write ``Upload-Checksum``."""
    digest = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    return {"Upload-Checksum": f"{algorithm} {digest}"}


class TusTestCase(FrontTestCase):
    """A server whose store takes objects bit by bit, and clients that speak tus."""

    store: ResumableMemoryStore

    def setUp(self) -> None:
        super().setUp()
        self.store = ResumableMemoryStore()
        self.serve(store=self.store)

    def action(self, data: bytes = DATA, **members: Any) -> Mapping[str, Any]:
        """Return the action of git-lfs' upload of an object."""
        wanted = {"oid": oid_of(data), "size": len(data), **members}
        body = batch_body("upload", wanted, transfers=["basic", "tus"])
        reply = self.request("POST", f"{API}/objects/batch", {"User-Agent": GIT_LFS}, body).json
        self.assertEqual(reply["transfer"], "tus")
        (entry,) = reply["objects"]
        action: Mapping[str, Any] = entry["actions"]["upload"]
        return action

    def token(self, data: bytes = DATA, **members: Any) -> dict[str, str]:
        """Return the header of that action."""
        header: dict[str, str] = self.action(data, **members)["header"]
        return header

    def create(self, size: int | str = len(DATA), **options: Any) -> Response:
        """Create an upload."""
        headers = {
            **TUS,
            "Upload-Length": str(size),
            "Upload-Metadata": metadata(),
            **options.pop("headers", {}),
        }
        return self.request("POST", CREATE, headers, **options)

    def head(self, headers: Mapping[str, str] = {}, url: str = UPLOAD) -> Response:
        """Ask how far an upload is."""
        return self.request("HEAD", url, {**TUS, **headers})

    def send(
        self,
        offset: int | str,
        body: bytes,
        headers: Mapping[str, str] = {},
        url: str = UPLOAD,
        **options: Any,
    ) -> Response:
        """Send bytes of an upload."""
        all_headers = {"Content-Length": str(len(body)), **BYTES, "Upload-Offset": str(offset)}
        return self.request("PATCH", url, {**all_headers, **headers}, body, **options)

    def begin_to_send(
        self,
        begun: bytes,
        length: int = len(DATA),
        offset: int = 0,
        headers: Mapping[str, str] = {},
    ) -> Connection:
        """Send the beginning of a PATCH."""
        connection = self.connect()
        own = {**BYTES, "Upload-Offset": str(offset), "Content-Length": str(length)}
        connection.send(render_request("PATCH", UPLOAD, {**headers, **own, **headers}, begun))
        return connection

    def assert_tus_error(self, response: Response, status: int) -> None:
        """Check that a response is an error of these endpoints."""
        self.assert_error(response, status)
        self.assertEqual(response.headers["tus-resumable"], "1.0.0")
        self.assertNotIn("upload-offset", response.headers)

    def came(self) -> bytes | None:
        """Return what has come of the object."""
        (found,) = [upload.data for upload in self.store.uploads.values()] or [None]
        return found

    def stored(self) -> bool:
        """Whether the object is stored, whole."""
        return self.store.objects == {f"org/repo/{OID}": DATA}


class StockClientTests(TusTestCase):
    """What git-lfs does: HEAD, and PATCH with the rest."""

    def test_an_object_goes_up(self) -> None:
        action = self.action()
        path = urlsplit(action["href"]).path
        self.assertEqual(path, UPLOAD)
        self.assertEqual(set(action["header"]), {"Giftless-Action"})
        response = self.head(action["header"], path)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["upload-offset"], "0")
        self.assertEqual(response.headers["upload-length"], "10")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertNotIn("upload-expires", response.headers)
        response = self.send(0, DATA, action["header"])
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["upload-offset"], "10")
        self.assertNotIn("upload-expires", response.headers)
        self.assertTrue(self.stored())
        self.assertEqual(self.store.commits, [True])

    def test_an_upload_goes_on_where_it_broke_off(self) -> None:
        header = self.token()
        connection = self.begin_to_send(DATA[:4], headers=header)
        connection.disconnect()
        response = self.head(header)
        self.assertEqual(response.headers["upload-offset"], "4")
        self.assertEqual(response.headers["upload-expires"], EXPIRES)
        response = self.send(4, DATA[4:], header)
        self.assertEqual(response.status, 204)
        self.assertTrue(self.stored())
        # It had not all bytes before it: the store reads them back.
        self.assertEqual(self.store.commits, [False])

    def test_what_is_there_is_at_its_end(self) -> None:
        header = self.token()
        self.send(0, DATA, header)
        self.assertEqual(self.head(header).headers["upload-offset"], "10")

    def test_an_object_of_no_bytes_is_stored_by_the_question_for_it(self) -> None:
        header, url = self.token(b""), f"{CREATE}/{oid_of(b'')}/0"
        self.assertEqual(self.head(header, url).headers["upload-offset"], "0")
        self.assertEqual(self.store.objects, {f"org/repo/{oid_of(b'')}": b""})

    def test_what_has_come_and_was_not_acknowledged_is_finished_by_the_question(self) -> None:
        header = self.token()
        self.store.committing = Deferred()
        connection = self.begin_to_send(DATA, headers=header)
        connection.disconnect()
        self.store.committing.errback(RuntimeError("the disk"))
        self.store.committing = None
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(self.came(), DATA)
        self.assertFalse(self.stored())
        self.assertEqual(self.head(header).headers["upload-offset"], "10")
        self.assertTrue(self.stored())

    def test_a_client_that_goes_away_does_not_stop_a_commit(self) -> None:
        self.store.committing = Deferred()
        connection = self.begin_to_send(DATA, headers=self.token())
        connection.disconnect()
        self.assertFalse(self.stored())
        self.store.committing.callback(None)
        self.assertTrue(self.stored())

    def test_git_lfs_is_told_that_a_commit_takes_long(self) -> None:
        """It gives up after 30 seconds without a byte."""
        self.store.committing = Deferred()
        header = {**self.token(), "User-Agent": GIT_LFS}
        sending = self.begin_to_send(DATA, headers=header)
        self.pass_time(30)
        self.assertEqual(sending.response().status, 102)
        asking = self.connect()
        asking.send(render_request("HEAD", UPLOAD, {**TUS, **header}))
        self.pass_time(30)
        self.assertEqual(asking.response(head=True).status, 102)
        self.assertEqual(sending.response().status, 102)
        self.store.committing.callback(None)
        self.assertEqual(sending.response().status, 204)
        self.assertEqual(asking.response(head=True).status, 200)

    def test_wrong_bytes_are_thrown_away(self) -> None:
        header = self.token()
        response = self.send(0, b"AAAAbbbbcc", header)
        self.assert_tus_error(response, 400)
        self.assertIn("SHA-256", response.json["message"])
        self.assertEqual(self.head(header).headers["upload-offset"], "0")
        self.send(0, b"AAAA", header)
        self.assert_tus_error(self.send(4, b"bbbbcc", header), 400)
        self.assertEqual(self.head(header).headers["upload-offset"], "0")
        self.assertEqual(self.store.objects, {})

    def test_extras_come_along(self) -> None:
        header = self.token(DATA, **{"x-filename": "a.bin"})
        self.send(0, DATA, header)
        response = self.request("GET", f"{API}/objects/storage/{OID}")
        self.assertIn("a.bin", response.headers["content-disposition"])

    def test_an_action_is_for_one_size(self) -> None:
        header = self.token()
        for response in (
            self.head(header, f"{CREATE}/{OID}/9"),
            self.send(0, DATA[:9], header, f"{CREATE}/{OID}/9"),
        ):
            self.assertEqual(response.status, 403)
        self.assertIsNone(self.came())

    def test_only_an_action_of_an_upload_opens_it(self) -> None:
        body = batch_body("upload", {"oid": OID, "size": 10}, transfers=["basic"])
        reply = self.request("POST", f"{API}/objects/batch", {"User-Agent": GIT_LFS}, body).json
        token = reply["objects"][0]["actions"]["upload"]["header"]["Giftless-Action"]
        header = {"Giftless-Action": token}
        self.assertEqual(self.head(header).status, 403)
        self.assert_tus_error(self.send(0, DATA, header), 403)
        response = self.request("PUT", f"{API}/objects/storage/{OID}", self.token(), DATA)
        self.assert_error(response, 403)

    def test_a_store_that_cannot_has_no_such_transfer(self) -> None:
        self.serve(store=MemoryStore())
        body = batch_body("upload", {"oid": OID, "size": 10}, transfers=["basic", "tus"])
        reply = self.request("POST", f"{API}/objects/batch", {"User-Agent": GIT_LFS}, body).json
        self.assertEqual(reply["transfer"], "basic")
        self.assertEqual(self.head().status, 404)

    def test_a_lost_credential_is_403_to_git_lfs(self) -> None:
        """It answers 401 to an action by trying again at once, for ever."""
        self.serve(store=self.store, authenticators=[AnonymousAuthenticator("none")])
        response = self.send(0, DATA, {"User-Agent": GIT_LFS})
        self.assert_tus_error(response, 403)
        self.assert_tus_error(self.send(0, DATA), 401)


class ProtocolTests(TusTestCase):
    """Tus 1.0.0 for everybody else, with the credentials of the API."""

    def test_an_upload_is_created_and_done(self) -> None:
        response = self.create()
        self.assertEqual((response.status, response.body), (201, b""))
        where = response.headers["location"]
        self.assertEqual(response.headers["upload-expires"], EXPIRES)
        target = where.removeprefix("http://lfs.example")
        self.assertEqual(urlsplit(where).path, UPLOAD)
        response = self.head(url=target)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["upload-offset"], "0")
        self.assertEqual(response.headers["upload-metadata"], metadata())
        response = self.send(0, DATA[:6], url=target)
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["upload-offset"], "6")
        self.assertEqual(response.headers["upload-expires"], EXPIRES)
        response = self.send(6, DATA[6:], url=target)
        self.assertEqual(response.headers["upload-offset"], "10")
        self.assertTrue(self.stored())
        self.assertEqual(self.head(url=target).headers["upload-offset"], "10")

    def test_every_response_has_the_version(self) -> None:
        self.assertEqual(self.create().headers["tus-resumable"], "1.0.0")
        self.assertEqual(self.head().headers["tus-resumable"], "1.0.0")
        self.assertEqual(self.send(0, b"").headers["tus-resumable"], "1.0.0")
        response = self.request("DELETE", UPLOAD, TUS)
        self.assertEqual(response.headers["tus-resumable"], "1.0.0")
        self.assertEqual(self.head().headers["tus-resumable"], "1.0.0")

    def test_what_was_not_created_is_not_found(self) -> None:
        response = self.head()
        self.assertEqual(response.status, 404)
        self.assertNotIn("upload-offset", response.headers)
        self.assert_tus_error(self.send(0, DATA), 404)
        self.assert_tus_error(self.request("DELETE", UPLOAD, TUS), 404)

    def test_another_version_is_412(self) -> None:
        for version in ({}, {"Tus-Resumable": "0.2.2"}):
            for method, url in (("POST", CREATE), ("PATCH", UPLOAD), ("DELETE", UPLOAD)):
                response = self.request(method, url, version)
                self.assert_tus_error(response, 412)
                self.assertEqual(response.headers["tus-version"], "1.0.0")
        self.assertEqual(self.request("HEAD", UPLOAD).status, 412)

    def test_a_wrong_type_is_415(self) -> None:
        self.create()
        for kind in ("application/octet-stream", "", "text/plain"):
            self.assert_tus_error(self.send(0, DATA, {"Content-Type": kind}), 415)
        self.assertEqual(self.came(), b"")
        self.assertEqual(
            self.send(0, b"a", {"Content-Type": BYTES["Content-Type"] + "; x=y"}).status, 204
        )

    def test_a_wrong_offset_is_409_and_nothing_is_written(self) -> None:
        self.create()
        self.send(0, DATA[:4])
        for offset in (0, 3, 5, 10, 11):
            self.assert_tus_error(self.send(offset, b"x"), 409)
        self.assertEqual(self.came(), DATA[:4])

    def test_malformed_headers_are_400(self) -> None:
        self.create()
        for header in ({"Upload-Offset": "x"}, {"Upload-Offset": "-1"}, {"Upload-Checksum": "x"}):
            self.assert_tus_error(self.send(0, DATA, header), 400)
        for header in ({"Content-Encoding": "gzip"}, {"Content-Range": "bytes 0-1/2"}):
            self.assert_tus_error(self.send(0, DATA, header), 400)
        connection = self.connect()
        twice = "Upload-Offset: 0\r\nUpload-Offset: 1\r\n"
        head = "".join(f"{name}: {value}\r\n" for name, value in BYTES.items())
        connection.send(
            f"PATCH {UPLOAD} HTTP/1.1\r\nHost: x\r\n{head}{twice}Content-Length: 0\r\n\r\n".encode()
        )
        self.assert_tus_error(connection.response(), 400)
        self.assertEqual(self.came(), b"")

    def test_urls_that_are_no_upload(self) -> None:
        self.create()
        for url, status in (
            (f"{CREATE}/{OID}/010", 404),
            (f"{CREATE}/{OID}/x", 404),
            (f"{CREATE}/{OID}/{2**63}", 404),
            (f"{CREATE}/{OID[:-1]}/10", 400),
            (f"{UPLOAD}?metadata=a,a", 400),
            (f"{UPLOAD}?metadata=%0d%0aX:%20y", 400),
            (f"{UPLOAD}?metadata=%ff", 400),
        ):
            self.assert_tus_error(self.send(0, b"", url=url), status)
            self.assertEqual(self.head(url=url).status, status)

    def test_creations_that_are_refused(self) -> None:
        for header in (
            {"Upload-Length": "-1"},
            {"Upload-Length": ""},
            {"Upload-Metadata": "filename YQ=="},
            {"Upload-Metadata": "oid YQ=="},
            {"Upload-Concat": "partial"},
            {"Upload-Defer-Length": "1"},
        ):
            self.assert_tus_error(self.create(headers=header), 400)
        self.assertEqual(self.store.uploads, {})

    def test_an_object_that_is_too_large_is_413(self) -> None:
        self.serve(store=self.store, limits=Limits(object_size=9))
        response = self.create()
        self.assert_tus_error(response, 413)
        self.assertEqual(response.headers["tus-max-size"], "9")
        self.assert_tus_error(self.send(0, DATA), 413)
        self.assertEqual(self.head().status, 413)
        self.assertEqual(self.create(9).status, 201)

    def test_a_creation_begins_anew(self) -> None:
        self.create()
        self.send(0, b"zzzz")
        self.assertEqual(self.create().headers["upload-offset"], "0")
        self.assertEqual(self.send(0, DATA).status, 204)
        self.assertTrue(self.stored())

    def test_a_creation_may_have_the_first_bytes(self) -> None:
        response = self.create(body=DATA[:4], headers=BYTES)
        self.assertEqual(response.status, 201)
        self.assertEqual(response.headers["upload-offset"], "4")
        self.assertEqual(self.head().headers["upload-offset"], "4")

    def test_a_creation_may_have_all_bytes(self) -> None:
        response = self.create(body=DATA, headers=BYTES)
        self.assertEqual((response.status, response.headers["upload-offset"]), (201, "10"))
        self.assertTrue(self.stored())
        # And the object is there: nothing is stored twice.
        self.store.add = None  # type: ignore[assignment,method-assign]
        response = self.create(body=DATA, headers=BYTES)
        self.assertEqual((response.status, response.headers["upload-offset"]), (201, "10"))

    def test_a_creation_with_bytes_of_another_type_is_415(self) -> None:
        self.assert_tus_error(self.create(body=DATA), 415)
        self.assertEqual(self.store.uploads, {})

    def test_an_object_of_no_bytes_is_stored_by_its_creation(self) -> None:
        empty = {"Upload-Metadata": metadata(oid_of(b""))}
        response = self.create(0, headers=empty)
        self.assertEqual((response.status, response.headers["upload-offset"]), (201, "0"))
        self.assertEqual(self.store.objects, {f"org/repo/{oid_of(b'')}": b""})
        self.assert_tus_error(self.create(0), 400)

    def test_an_object_that_is_there_may_be_sent_again(self) -> None:
        """Clients that have created an upload begin at 0."""
        self.create()
        self.send(0, DATA)
        self.assertEqual(self.create().status, 201)
        self.assertEqual(self.send(10, b"").headers["upload-offset"], "10")
        self.assert_tus_error(self.send(10, b"x"), 409)
        self.assertEqual(self.send(0, DATA).headers["upload-offset"], "10")
        self.assertTrue(self.stored())

    def test_a_file_name_is_kept(self) -> None:
        response = self.create(headers={"Upload-Metadata": metadata(filename="a.bin")})
        target = response.headers["location"].removeprefix("http://lfs.example")
        self.send(0, DATA, url=target)
        response = self.request("GET", f"{API}/objects/storage/{OID}")
        self.assertIn("a.bin", response.headers["content-disposition"])

    def test_an_upload_can_be_ended(self) -> None:
        self.create()
        self.send(0, DATA[:4])
        response = self.request("DELETE", UPLOAD, TUS)
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(self.head().status, 404)
        self.assert_tus_error(self.send(4, DATA[4:]), 404)
        self.assertIsNone(self.came())

    def test_an_object_is_not_deleted_by_the_end_of_its_upload(self) -> None:
        self.create()
        self.send(0, DATA)
        self.assert_tus_error(self.request("DELETE", UPLOAD, TUS), 403)
        self.assertTrue(self.stored())

    def test_what_the_server_can_is_told_to_anybody(self) -> None:
        self.serve(store=self.store, authenticators=[KeyAuthenticator({})])
        for url in (CREATE, UPLOAD, "/org/repo/objects/tus"):
            response = self.request("OPTIONS", url)
            self.assertEqual(response.status, 204)
            self.assertEqual(response.headers["tus-resumable"], "1.0.0")
            self.assertEqual(response.headers["tus-version"], "1.0.0")
            self.assertEqual(
                response.headers["tus-extension"],
                "creation,creation-with-upload,checksum,termination,expiration",
            )
            self.assertEqual(response.headers["tus-max-size"], str(5 * 1024**4))
            self.assertEqual(response.headers["tus-checksum-algorithm"], "sha1,sha256")

    def test_a_preflight_is_answered_as_everywhere(self) -> None:
        self.serve(store=self.store, cors=CorsOptions(origins=["https://a.example"]))
        origin = {"Origin": "https://a.example"}
        asked = {**origin, "Access-Control-Request-Method": "PATCH"}
        response = self.request("OPTIONS", UPLOAD, asked)
        self.assertIn("PATCH", response.headers["access-control-allow-methods"])
        self.assertNotIn("tus-version", response.headers)
        response = self.request("OPTIONS", UPLOAD, origin)
        self.assertEqual(response.headers["tus-version"], "1.0.0")
        self.assertEqual(response.headers["access-control-allow-origin"], "https://a.example")
        self.assertIn("Tus-Version", response.headers["access-control-expose-headers"])

    def test_the_method_may_stand_in_a_header(self) -> None:
        self.create()

        def post(method: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
            headers = {**headers, "X-HTTP-Method-Override": method}
            return self.request("POST", UPLOAD, headers, body)

        response = post("PATCH", {**BYTES, "Upload-Offset": "0"}, DATA[:4])
        self.assertEqual((response.status, response.headers["upload-offset"]), (204, "4"))
        response = post("HEAD", TUS)
        self.assertEqual((response.status, response.headers["upload-offset"]), (200, "4"))
        self.assertEqual(post("OPTIONS", {}).headers["tus-version"], "1.0.0")
        self.assertEqual(post("DELETE", TUS).status, 204)
        for method in ("GET", "PUT", "POST", "patch", "\xff"):
            response = post(method, TUS)
            self.assert_tus_error(response, 405)
            self.assertEqual(response.headers["allow"], "HEAD, PATCH, DELETE, OPTIONS")
        self.assert_tus_error(self.request("POST", UPLOAD, TUS), 405)
        headers = {**TUS, "X-HTTP-Method-Override": "PATCH"}
        self.assert_tus_error(self.request("POST", CREATE, headers), 405)

    def test_two_methods_in_headers_are_400(self) -> None:
        """A proxy that lets only some through may have looked at the other one."""
        self.create()
        connection = self.connect()
        twice = "X-HTTP-Method-Override: HEAD\r\nX-HTTP-Method-Override: DELETE\r\n"
        head = "Tus-Resumable: 1.0.0\r\nContent-Length: 0\r\n"
        connection.send(f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\n{head}{twice}\r\n".encode())
        self.assert_tus_error(connection.response(), 400)
        self.assertEqual(self.came(), b"")

    def test_other_methods_are_405(self) -> None:
        for method, url in (("GET", UPLOAD), ("PUT", UPLOAD), ("PATCH", CREATE), ("GET", CREATE)):
            self.assert_error(self.request(method, url, TUS), 405)


class ChecksumTests(TusTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.create()

    def test_pieces_with_a_right_one_are_taken(self) -> None:
        for start, algorithm in ((0, "sha1"), (4, "sha256")):
            piece = DATA[start : start + 4]
            response = self.send(start, piece, checksum(piece, algorithm))
            self.assertEqual(response.status, 204)
        self.assertEqual(self.send(8, DATA[8:], checksum(DATA[8:])).status, 204)
        self.assertTrue(self.stored())

    def test_one_of_the_whole_is_taken(self) -> None:
        self.assertEqual(self.send(0, DATA, checksum(DATA)).status, 204)
        self.assertEqual(self.store.commits, [True])

    def test_one_of_no_bytes_is_taken(self) -> None:
        self.assertEqual(self.send(0, b"", checksum(b"")).headers["upload-offset"], "0")
        self.assertEqual(self.send(0, b"", checksum(b"x")).status, 460)

    def test_a_wrong_one_is_460_and_nothing_is_written(self) -> None:
        self.send(0, DATA[:4])
        connection = self.connect()
        headers = {**BYTES, "Upload-Offset": "4", **checksum(b"x")}
        connection.send(render_request("PATCH", UPLOAD, headers, DATA[4:]))
        self.assertTrue(connection.received.startswith(b"HTTP/1.1 460 Checksum Mismatch\r\n"))
        response = connection.response()
        self.assert_error(response, 460)
        self.assertEqual(response.headers["tus-resumable"], "1.0.0")
        self.assertEqual(self.came(), DATA[:4])

    def test_a_piece_that_breaks_off_does_not_count(self) -> None:
        connection = self.begin_to_send(DATA[:4], headers=checksum(DATA))
        connection.disconnect()
        self.assertEqual(self.came(), b"")


class BodyTests(TusTestCase):
    """Bodies that end badly."""

    def setUp(self) -> None:
        super().setUp()
        self.create()

    def test_one_that_is_announced_too_long_is_413(self) -> None:
        self.send(0, DATA[:4])
        self.assert_error(self.send(4, DATA[4:] + b"x"), 413)
        self.assertEqual(self.came(), DATA[:4])

    def test_one_in_chunks_is_taken_as_far_as_it_fits(self) -> None:
        for pieces, status, offset in (
            ([b"aa", b"aa"], 204, "4"),
            ([b"bbbbcc", b"x"], 413, "4"),
            ([b"bb", b"bb"], 204, "8"),
            ([b"cc"], 204, "10"),
        ):
            connection = self.connect()
            headers = {**BYTES, "Upload-Offset": str(len(self.came() or b""))}
            headers["Transfer-Encoding"] = "chunked"
            connection.send(render_request("PATCH", UPLOAD, headers) + chunked(*pieces))
            self.assertEqual(connection.response().status, status)
            self.assertEqual(self.head().headers["upload-offset"], offset)
        self.assertTrue(self.stored())

    def test_what_came_before_a_malformed_chunk_is_kept(self) -> None:
        connection = self.connect()
        headers = {**BYTES, "Upload-Offset": "0", "Transfer-Encoding": "chunked"}
        connection.send(render_request("PATCH", UPLOAD, headers) + b"4\r\naaaa\r\nnonsense\r\n")
        self.assert_error(connection.response(), 400)
        self.assertEqual(self.came(), b"aaaa")

    def test_what_came_of_a_slow_one_is_kept(self) -> None:
        connection = self.begin_to_send(DATA[:4])
        self.pass_time(30)
        response = connection.response()
        self.assert_error(response, 408)
        self.assertEqual(response.headers["tus-resumable"], "1.0.0")
        self.assertEqual(self.came(), DATA[:4])

    def test_a_refusal_comes_before_the_body_is_sent(self) -> None:
        for offset, headers in (
            (3, {}),
            (0, {"Tus-Resumable": "2.0.0"}),
            (0, {"Content-Type": "a"}),
        ):
            connection = self.begin_to_send(
                b"", offset=offset, headers={"Expect": "100-continue", **headers}
            )
            self.assertIn(connection.response().status, (409, 412, 415))
            self.assert_closed_by_server(connection)
        connection = self.begin_to_send(b"", headers={"Expect": "100-continue"})
        self.assertEqual(connection.response().status, 100)
        connection.send(DATA)
        self.assertEqual(connection.response().status, 204)

    def test_a_refusal_ends_the_connection_of_a_long_body(self) -> None:
        connection = self.begin_to_send(b"x" * 1000, 5_000_000, 3)
        self.assert_error(connection.response(), 409)
        self.assert_closed_by_server(connection)

    def test_a_refusal_leaves_the_connection_of_a_short_body(self) -> None:
        connection = self.connect()
        headers = {**BYTES, "Upload-Offset": "3"}
        connection.send(render_request("PATCH", UPLOAD, headers, DATA))
        self.assert_error(connection.response(), 409)
        self.assertEqual(connection.request("HEAD", UPLOAD, TUS).status, 200)

    def test_a_full_store_keeps_what_it_has(self) -> None:
        self.send(0, DATA[:4])
        self.store.room = 5
        self.assert_error(self.send(4, DATA[4:]), 507)
        self.assertEqual(self.head().headers["upload-offset"], "4")

    def test_no_memory_is_lost(self) -> None:
        """Whatever ends a body."""
        budget = self.front.site.memory.passing
        for end in ("disconnect", "displace", "slow", "full", "wrong"):
            self.create()
            self.store.room = 3 if end == "full" else 1000
            connection = self.begin_to_send(DATA[:4], offset=7 if end == "wrong" else 0)
            if end == "displace":
                self.head()
            elif end == "slow":
                self.pass_time(30)
            connection.disconnect()
            self.assertEqual(budget.used, 0, end)


class DisplacementTests(TusTestCase):
    """Somebody else goes on with an upload."""

    def setUp(self) -> None:
        super().setUp()
        self.create()

    def test_a_question_makes_an_upload_let_go(self) -> None:
        connection = self.begin_to_send(DATA[:4])
        self.assertEqual(self.head().headers["upload-offset"], "4")
        response = connection.response()
        self.assert_error(response, 409)
        self.assertIn("somebody else", response.json["message"])

    def test_another_upload_makes_it_let_go(self) -> None:
        connection = self.begin_to_send(DATA[:4])
        self.assertEqual(self.send(4, DATA[4:]).status, 204)
        self.assert_error(connection.response(), 409)
        self.assertTrue(self.stored())

    def test_an_end_makes_it_let_go(self) -> None:
        connection = self.begin_to_send(DATA[:4])
        self.assertEqual(self.request("DELETE", UPLOAD, TUS).status, 204)
        self.assert_error(connection.response(), 409)
        self.assertIsNone(self.came())

    def test_what_has_come_whole_is_made_an_object_first(self) -> None:
        self.store.committing = Deferred()
        connection = self.begin_to_send(DATA)
        other = self.connect()
        other.send(render_request("HEAD", UPLOAD, TUS))
        self.assertEqual(other.received, b"")
        self.store.committing.callback(None)
        self.assertEqual(connection.response().status, 204)
        self.assertEqual(other.response(head=True).headers["upload-offset"], "10")


class PermissionTests(TusTestCase):
    """Who may create an upload, and go on with it."""

    def setUp(self) -> None:
        super().setUp()
        people = {"w": writer(), "s": stranger(anonymous=False)}
        self.serve(store=self.store, authenticators=[KeyAuthenticator(people)])

    def test_only_who_may_write(self) -> None:
        key = {"Authorization": "Bearer s"}
        self.assert_error(self.create(headers=key), 403)
        self.assert_error(self.send(0, DATA, key), 403)
        self.assertEqual(self.head(key).status, 403)
        self.assert_error(self.request("DELETE", UPLOAD, {**TUS, **key}), 403)
        self.assertEqual(self.store.uploads, {})
        key = {"Authorization": "Bearer w"}
        self.assertEqual(self.create(headers=key).status, 201)
        self.assertEqual(self.head(key).status, 200)
        self.assertEqual(self.send(0, DATA, key).status, 204)

    def test_an_action_creates_nothing(self) -> None:
        """It is for one upload, which begins by itself."""
        self.serve(store=self.store)
        header = self.token()
        self.serve(store=self.store, authenticators=[AnonymousAuthenticator("none")])
        bearer = {"Authorization": f"Bearer {header['Giftless-Action']}"}
        for headers in (header, bearer):
            self.assert_error(self.create(headers=headers), 401)
        self.assertEqual(self.store.uploads, {})


class EventTests(TusTestCase):
    def test_an_object_is_told_of_once_when_it_is_stored(self) -> None:
        recorder = Recorder()
        self.serve(store=self.store, events=events_to(recorder))
        self.create(headers={"Upload-Metadata": metadata(filename="a.bin")})
        url = f"{UPLOAD}?{urlencode({'metadata': metadata(filename='a.bin')})}"
        self.send(0, DATA[:4], url=url)
        self.send(4, DATA[4:], url=url)
        (event,) = recorder.of(ObjectStored)
        self.assertEqual((event.size, event.filename), (10, "a.bin"))
