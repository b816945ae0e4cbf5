"""URLs and what they do: the Git LFS API over HTTP, and who may use it.

``docs/api/batch.md``, ``basic-transfers.md`` and ``server-discovery.md`` of the
Git LFS specification; RFC 9110 for downloads.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import jwt

from giftless.auth.actions import ActionOptions
from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.interfaces import Identity, Ticket
from giftless.web.limits import Limits
from tests.support.making import action_of, key_of, oid_of, reader, stranger, writer
from tests.support.memory import ExternalStore, MemoryStore
from tests.web.support import (
    MEDIA_TYPE,
    Front,
    FrontTestCase,
    KeyAuthenticator,
    Response,
    batch_body,
    chunked,
    render_request,
    storage_url,
)

DATA = b"0123456789"
OID = oid_of(DATA)
OTHER = b"another object"
OTHER_OID = oid_of(OTHER)
URL = storage_url(OID)
BATCH = "/org/repo.git/info/lfs/objects/batch"
VERIFY = "/org/repo.git/info/lfs/objects/storage/verify"

#: Every way to name the repository org/group/repo.
FORMS = [
    "/org/group/repo.git/info/lfs",
    "/org/group/repo/info/lfs",
    "/org/group/repo.git",
    "/org/group/repo",
]


class ApiTestCase(FrontTestCase):
    """Speaks the API."""

    def batch(
        self,
        operation: str,
        *objects: Mapping[str, Any],
        url: str = BATCH,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> Response:
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, **(headers or {})}
        return self.request("POST", url, headers, batch_body(operation, *objects, **members))

    def actions(self, operation: str, data: bytes = DATA, **options: Any) -> dict[str, Any]:
        """Return the actions that a batch gives for one object."""
        members = {"oid": oid_of(data), "size": len(data), **options.pop("extras", {})}
        response = self.batch(operation, members, **options)
        self.assertEqual(response.status, 200, response)
        (entry,) = response.json["objects"]
        return entry["actions"]

    def act(
        self, method: str, action: Mapping[str, Any], body: bytes = b"", **headers: str
    ) -> Response:
        """Do what an action says."""
        parts = urlsplit(action["href"])
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return self.request(method, target, {**(action.get("header") or {}), **headers}, body)

    def verify(self, oid: str, size: int, url: str = VERIFY, **headers: str) -> Response:
        return self.request("POST", url, headers, json.dumps({"oid": oid, "size": size}).encode())


class UrlTests(ApiTestCase):
    """Which URLs name which repository."""

    def test_every_form_names_the_same_repository(self) -> None:
        for form in FORMS:
            self.serve()
            response = self.request("PUT", storage_url(OID, form), {}, DATA)
            self.assertEqual(response.status, 200)
            self.assertEqual(self.front.objects(), {f"org/group/repo/{OID}": DATA})
            for other in FORMS:
                self.assertEqual(self.request("GET", storage_url(OID, other)).body, DATA)
                self.assertEqual(
                    self.verify(OID, 10, f"{other}/objects/storage/verify").status, 200
                )

    def test_links_have_the_form_that_the_client_uses(self) -> None:
        self.serve(actions=ActionOptions(verify="always"))
        for form in FORMS:
            actions = self.actions("upload", url=f"{form}/objects/batch")
            self.assertEqual(
                {name: action["href"] for name, action in actions.items()},
                {
                    "upload": f"http://lfs.example{form}/objects/storage/{OID}",
                    "verify": f"http://lfs.example{form}/objects/storage/verify",
                },
            )

    def test_one_segment_is_enough(self) -> None:
        self.serve()
        self.assertEqual(self.request("PUT", f"/repo/objects/storage/{OID}", {}, DATA).status, 200)
        self.assertEqual(self.front.objects(), {f"repo/{OID}": DATA})

    def test_percent_encoded_names(self) -> None:
        """A name is what its encoding decodes to, however it is encoded."""
        self.serve()
        name = "Grüße & 100% {odd} +plus ;semi"
        for form in (f"/org/{quote(name)}", f"/o%72g/{quote(name)}.git/info/lfs"):
            self.assertEqual(
                self.request("PUT", storage_url(OID, form), {}, DATA).status, 200, form
            )
        self.assertEqual(self.front.objects(), {f"org/{name}/{OID}": DATA})

    def test_links_to_percent_encoded_names_lead_back(self) -> None:
        self.serve()
        form = f"/org/{quote('Grüße & 100% ?#')}"
        actions = self.actions("upload", url=f"{form}/objects/batch")
        self.assertTrue(actions["upload"]["href"].isascii())
        self.assertEqual(self.act("PUT", actions["upload"], DATA).status, 200)
        self.assertEqual(self.front.objects(), {f"org/Grüße & 100% ?#/{OID}": DATA})

    def test_encoded_git_suffix(self) -> None:
        self.serve()
        self.request("PUT", storage_url(OID, "/org/repo%2Egit/info/lfs"), {}, DATA)
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})

    def test_names_that_look_like_endpoints(self) -> None:
        self.serve()
        for name in ("objects", "batch", "objects/batch", "objects/storage", "info", "info/lfs/x"):
            url = storage_url(OID, f"/org/{name}")
            self.assertEqual(self.request("PUT", url, {}, DATA).status, 200, name)
            self.assertEqual(self.request("GET", url).body, DATA)
            self.assertEqual(
                set(self.actions("download", url=f"/org/{name}/objects/batch")), {"download"}
            )

    def test_unknown_urls_are_answered_with_404(self) -> None:
        self.serve()
        for url in (
            "/org",
            "/org/repo",
            "/org/repo.git/info/lfs",
            "/org/repo/objects",
            "/org/repo/objects/",
            "/org/repo/objects/batch/",
            "/org/repo/objects/storage",
            "/org/repo/objects/storage/",
            f"/org/repo/objects/storage/{OID}/",
            f"/org/repo/objects/storage/{OID}/more",
            f"/org/repo/objects/{OID}",
            "/objects/batch",
            f"/objects/storage/{OID}",
            "/index.html",
            "/.git/config",
        ):
            for method in ("GET", "POST", "PUT"):
                self.assert_error(self.request(method, url), 404)

    def test_a_wrong_method_is_told_the_right_ones(self) -> None:
        """The right ones are told (RFC 9110 15.5.6)."""
        self.serve()
        for url, methods, allowed in (
            (BATCH, ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"), "POST"),
            (URL, ("POST", "DELETE", "PATCH", "OPTIONS", "BREW"), "GET, HEAD, PUT"),
        ):
            for method in methods:
                response = self.request(method, url)
                self.assert_error(response, 405)
                self.assertEqual(response.headers["allow"], allowed)

    def test_head_of_an_error_has_no_body(self) -> None:
        self.serve()
        for url, status in ((URL, 404), (BATCH, 405), ("/org", 404), ("/a/../objects/batch", 405)):
            connection = self.connect()
            response = connection.request("HEAD", url)
            self.assertEqual(response.status, status)
            self.assertGreater(int(response.headers["content-length"]), 0)
            self.assertEqual(connection.received, b"")

    def test_verify_is_no_oid(self) -> None:
        self.serve()
        self.assert_error(self.request("GET", VERIFY), 400)
        self.assert_error(self.request("PUT", VERIFY, {}, DATA), 400)
        self.assertEqual(self.front.objects(), {})

    def test_slashes_behind_the_url_of_a_repository_are_left_out(self) -> None:
        """JGit sends them if lfs.url, or the URL of the remote, ends in a slash."""
        self.serve(actions=ActionOptions(verify="always"))
        for form, slashed in (
            ("/org/repo.git/info/lfs", "/org/repo.git/info/lfs/"),
            ("/org/repo.git/info/lfs", "/org/repo.git/info/lfs//"),
            ("/org/repo.git/info/lfs", "/org/repo.git//info/lfs"),
            ("/org/repo", "/org/repo/"),
        ):
            actions = self.actions("upload", url=f"{slashed}/objects/batch")
            self.assertEqual(
                {name: action["href"] for name, action in actions.items()},
                {
                    "upload": f"http://lfs.example{form}/objects/storage/{OID}",
                    "verify": f"http://lfs.example{form}/objects/storage/verify",
                },
            )
            self.assertEqual(
                self.request("PUT", storage_url(OID, slashed), {}, DATA).status, 200, slashed
            )
            self.assertEqual(self.request("GET", storage_url(OID, slashed)).body, DATA)
            verification = json.dumps({"oid": OID, "size": 10}).encode()
            url = f"{slashed}/objects/storage/verify"
            self.assertEqual(self.request("POST", url, {}, verification).status, 200)
            self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})
            os.unlink(os.path.join(self.front.directory, "org/repo", OID))

    def test_an_api_behind_an_api_is_refused_with_the_right_url(self) -> None:
        """DVC appends info/lfs to whatever it is given."""
        self.serve()
        for doubled in (
            "/org/repo.git/info/lfs.git/info/lfs",
            "/org/repo.git/info/lfs/info/lfs",
            "/org/repo.git/info/lfs/.git/info/lfs",
            "/org/repo.git/info/lfs.git/info/lfs.git/info/lfs",
            "/org/repo.git/info/lfs.git",
            "/org/repo.git/Info/LFS",
            "/org/repo.git/info/LFS.GIT/info/lfs",
            "/org/repo.git/%69nfo/lfs%2Egit/info/lfs/",
        ):
            for method, path in (
                ("POST", "objects/batch"),
                ("POST", "objects/storage/verify"),
                ("GET", f"objects/storage/{OID}"),
            ):
                response = self.request(method, f"{doubled}/{path}", {}, b"{}")
                self.assert_error(response, 400)
                message = response.json["message"]
                self.assertIn("http://lfs.example/org/repo.git/info/lfs;", message, doubled)
        response = self.request("POST", "/info/lfs.git/info/lfs/objects/batch", {}, b"{}")
        self.assert_error(response, 400)
        self.assertIn("http://lfs.example/ORG/REPO.git/info/lfs", response.json["message"])

    def test_a_url_without_a_repository_is_told_what_is_missing(self) -> None:
        self.serve()
        for status, method, url in (
            (404, "GET", "/info/lfs"),
            (404, "POST", "/objects/batch"),
            (404, "POST", "/objects/storage/verify"),
            (404, "GET", f"/objects/storage/{OID}"),
            (400, "POST", "/info/lfs/objects/batch"),
            (400, "POST", "/info/lfs//objects/batch"),
        ):
            response = self.request(method, url, {}, b"{}")
            self.assert_error(response, status)
            self.assertEqual(
                response.json["message"],
                "the URL names no repository: write lfs.url as"
                " http://lfs.example/ORG/REPO.git/info/lfs",
            )

    def test_a_url_of_no_endpoint_is_told_the_form_of_one(self) -> None:
        self.serve()
        for url in ("/org/repo", "/org/repo/objects/batch/", "/org/repo/objects//batch"):
            response = self.request("POST", url, {}, b"{}")
            self.assert_error(response, 404)
            self.assertIn("no such endpoint", response.json["message"])
            self.assertIn("http://lfs.example/ORG/REPO.git/info/lfs", response.json["message"])

    def test_a_url_without_a_host_is_told_the_form_of_one(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(b"GET /org HTTP/1.0\r\n\r\n")
        response = connection.response()
        self.assertIn("https://HOST/ORG/REPO.git/info/lfs", response.json["message"])

    def test_the_public_url_is_in_the_words(self) -> None:
        self.serve(public_url="https://lfs.example.org/lfs/")
        response = self.request("GET", "/org")
        self.assertIn("https://lfs.example.org/lfs/ORG/REPO.git", response.json["message"])

    def test_query_is_no_part_of_the_path(self) -> None:
        self.serve()
        self.front.put(DATA)
        self.assertEqual(self.request("GET", f"{URL}?x=/../..&y=%2f%00").body, DATA)


class HostileUrlTests(ApiTestCase):
    """Nothing that is no plain name ever reaches the storage."""

    BAD_REPOS: ClassVar = {
        "dot": "/org/./repo",
        "two dots": "/org/../repo",
        "two dots first": "/../repo",
        "encoded dots": "/org/%2e%2e/repo",
        "half encoded dots": "/org/.%2E/repo",
        "encoded dot": "/org/%2e",
        "only .git": "/org/.git",
        "dots and .git": "/org/...git",
        "dot and .git": "/org/..git",
        "empty first": "//org/repo",
        "empty in the middle": "/org//repo",
        "only slashes": "//",
        "encoded slash": "/org%2frepo",
        "encoded slash and dots": "/org/..%2F..%2Fetc",
        "NUL": "/org/re%00po",
        "NUL at the end": "/org/repo%00",
        "line feed": "/org/re%0apo",
        "carriage return": "/org/re%0Dpo",
        "escape": "/org/%1b[31mrepo",
        "delete": "/org/%7f",
        "raw delete": "/org/\x7f",
        "C1 control": "/org/%c2%85",
        "no UTF-8": "/org/%ff",
        "cut UTF-8": "/org/%e2%82",
        "overlong UTF-8": "/org/%c0%ae%c0%ae",
        "surrogate": "/org/%ed%a0%80",
        "raw bytes": "/org/\x80\x81",
        "reserved": "/.giftless/tmp",
        "reserved inside": "/org/.giftless-x",
        "an oid": f"/org/{OID}",
        "long segment": "/org/" + "a" * 256,
        "long segment in bytes": "/org/" + quote("ü" * 128),
        "many segments": "/a" * 100,
        "long path": ("/" + "a" * 200) * 30,
        "no repository": "/info/lfs",
    }

    BAD_OIDS: ClassVar = {
        "upper case": OID.upper(),
        "short": OID[:-1],
        "long": OID + "0",
        "no hexadecimal": "g" * 64,
        "dots": "..",
        "encoded dots": "%2e%2e",
        "NUL": OID + "%00",
        "line feed": OID + "%0a",
        "other digits": "%d9%a1" * 64,
        "encoded slash": f"..%2f{OID}",
        "no UTF-8": "%ff" * 64,
    }

    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore()
        self.serve(store=self.store)

    def assert_untouched(self, response: Response, what: str) -> None:
        self.assertIn(response.status, (400, 404), what)
        self.assert_error(response, response.status)
        self.assertEqual(self.store.questions, [], what)
        self.assertEqual(self.store.objects, {}, what)
        self.assertEqual(self.flushLoggedErrors(), [], what)

    def test_hostile_repositories_do_not_reach_the_storage(self) -> None:
        # What opening would give away, if it came that far.
        self.store.failure = AssertionError("the storage was reached")
        verification = json.dumps({"oid": OID, "size": 10}).encode()
        for what, repo in self.BAD_REPOS.items():
            for form in (repo, f"{repo}/info/lfs"):
                upload = batch_body("upload", {"oid": OID, "size": 10})
                for method, url, body in (
                    ("POST", f"{form}/objects/batch", upload),
                    ("POST", f"{form}/objects/storage/verify", verification),
                    ("PUT", storage_url(OID, form), DATA),
                    ("GET", storage_url(OID, form), b""),
                ):
                    self.assert_untouched(
                        self.request(method, url, {}, body), f"{what}: {method} {url}"
                    )

    def test_hostile_oids_do_not_reach_the_storage(self) -> None:
        self.store.failure = AssertionError("the storage was reached")
        for what, oid in self.BAD_OIDS.items():
            self.assert_untouched(self.request("GET", storage_url(oid)), what)
            self.assert_untouched(self.request("PUT", storage_url(oid), {}, DATA), what)

    def test_oids_in_a_verification(self) -> None:
        for oid in ("..", OID.upper(), OID[:-1], f"{OID}\0", "a/../" + OID, ""):
            self.assert_untouched(self.verify(oid, 10), oid)

    def test_names_at_the_limit(self) -> None:
        for repo in ("/org/" + "a" * 255, "/org/" + "a" * 255 + ".git"):
            self.assertEqual(self.request("PUT", storage_url(OID, repo), {}, DATA).status, 200)
        self.assertEqual(set(self.store.objects), {f"org/{'a' * 255}/{OID}"})

    def test_log_stays_one_line(self) -> None:
        """Nothing in a URL can forge a line of the access log."""
        self.request("GET", "/org/a%0ab/objects/batch")
        self.request("GET", "/org/\x7f\x85/objects/batch")
        self.assertEqual(len(self.access), 2)
        for line in self.access:
            self.assertTrue(line["path"].isascii())
            self.assertNotIn("\n", line["path"])


class UploadTests(ApiTestCase):
    """``PUT …/objects/storage/{oid}``."""

    def test_stores_the_object(self) -> None:
        self.serve()
        response = self.request("PUT", URL, {"Content-Type": "text/plain; charset=utf-8"}, DATA)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], MEDIA_TYPE)
        self.assertEqual(response.json, {})
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})

    def test_object_of_no_bytes(self) -> None:
        self.serve()
        url = storage_url(oid_of(b""))
        self.assertEqual(self.request("PUT", url, {"Content-Length": "0"}).status, 200)
        self.assertEqual(self.front.objects(), {f"org/repo/{oid_of(b'')}": b""})
        self.assertEqual(self.request("GET", url).body, b"")
        self.assertEqual(self.verify(oid_of(b""), 0).status, 200)

    def test_no_length_is_no_bytes(self) -> None:
        """A request without a length has no body (RFC 9112 6.3)."""
        self.serve()
        connection = self.connect()
        connection.send(
            f"PUT {storage_url(oid_of(b''))} HTTP/1.1\r\nHost: lfs.example\r\n\r\n".encode()
        )
        self.assertEqual(connection.response().status, 200)

    def test_an_upload_can_be_repeated(self) -> None:
        self.serve()
        for _ in range(2):
            self.assertEqual(self.request("PUT", URL, {}, DATA).status, 200)
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})

    def test_a_wrong_digest_is_refused(self) -> None:
        self.serve()
        response = self.request("PUT", URL, {}, b"9876543210")
        self.assert_error(response, 400)
        self.assertIn(OID, response.json["message"])
        self.assertEqual(self.front.objects(), {})

    def test_wrong_digest_spares_what_is_there(self) -> None:
        self.serve()
        self.front.put(DATA)
        self.assert_error(self.request("PUT", URL, {}, b"9876543210"), 400)
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})

    def test_too_short_for_its_batch(self) -> None:
        self.serve()
        action = self.actions("upload")["upload"]
        self.assert_error(self.act("PUT", action, DATA[:-1]), 400)
        self.assertEqual(self.front.objects(), {})

    def test_too_long_for_its_batch(self) -> None:
        self.serve()
        action = self.actions("upload")["upload"]
        self.assert_error(self.act("PUT", action, DATA + b"x"), 400)
        self.assertEqual(self.front.objects(), {})

    def test_chunked_body_of_another_size_than_its_batch(self) -> None:
        self.serve()
        action = self.actions("upload")["upload"]
        for body in (DATA[:-1], DATA + b"x", b""):
            connection = self.connect()
            connection.send(
                render_request(
                    "PUT",
                    urlsplit(action["href"]).path,
                    {**action["header"], "Transfer-Encoding": "chunked"},
                )
                + (chunked(body) if body else b"0\r\n\r\n")
            )
            self.assert_error(connection.response(), 400)
        self.assertEqual(self.front.objects(), {})

    def test_a_too_large_object_is_refused(self) -> None:
        self.serve(limits=Limits(object_size=9))
        self.assert_error(self.request("PUT", URL, {}, DATA), 413)
        self.assertEqual(self.front.objects(), {})

    def test_part_of_an_object(self) -> None:
        self.serve()
        response = self.request("PUT", URL, {"Content-Range": "bytes 0-9/20"}, DATA)
        self.assert_error(response, 400)
        self.assertEqual(self.front.objects(), {})

    def test_an_encoded_object_is_refused(self) -> None:
        self.serve()
        self.assert_error(self.request("PUT", URL, {"Content-Encoding": "gzip"}, DATA), 400)
        self.assertEqual(self.front.objects(), {})
        self.assertEqual(
            self.request("PUT", URL, {"Content-Encoding": "identity"}, DATA).status, 200
        )

    def test_store_that_takes_no_uploads_here(self) -> None:
        self.serve(store=ExternalStore())
        self.assert_error(self.request("PUT", URL, {}, DATA), 404)
        self.assert_error(self.request("GET", URL), 404)


class DownloadTests(ApiTestCase):
    """``GET`` and ``HEAD …/objects/storage/{oid}``."""

    def setUp(self) -> None:
        super().setUp()
        self.serve()
        self.front.put(DATA)

    def get(self, query: str = "", **headers: str) -> Response:
        return self.request(
            "GET", URL + query, {k.replace("_", "-"): v for k, v in headers.items()}
        )

    def test_a_whole_object_is_served(self) -> None:
        response = self.get()
        self.assertEqual(response.status, 200)
        self.assertEqual(response.body, DATA)
        self.assertEqual(response.headers["content-type"], "application/octet-stream")
        self.assertEqual(response.headers["accept-ranges"], "bytes")
        self.assertEqual(response.headers["etag"], f'"{OID}"')

    def test_browsers_do_not_execute_it(self) -> None:
        headers = self.get("?disposition=inline").headers
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertIn("sandbox", headers["content-security-policy"])

    def test_it_is_never_encoded(self) -> None:
        response = self.get(Accept_Encoding="gzip, deflate, br")
        self.assertNotIn("content-encoding", response.headers)
        self.assertEqual(response.body, DATA)

    def test_an_absent_object_is_answered_with_404(self) -> None:
        self.assert_error(self.request("GET", storage_url(OTHER_OID)), 404)
        self.assert_error(self.request("GET", storage_url(OID, "/org/other")), 404)

    def test_head_has_the_same_headers_and_no_body(self) -> None:
        for query in ("", "?filename=a.txt&disposition=inline"):
            for headers in ({}, {"If-None-Match": "*"}):
                connection = self.connect()
                get = connection.request("GET", URL + query, headers)
                head = connection.request("HEAD", URL + query, headers)
                self.assertEqual(head.status, get.status)
                self.assertEqual(head.body, b"")
                self.assertEqual(connection.received, b"")
                differing = {"date", "x-request-id"}
                self.assertEqual(
                    {n: v for n, v in head.headers.items() if n not in differing},
                    {n: v for n, v in get.headers.items() if n not in differing},
                )

    def test_head_knows_no_ranges(self) -> None:
        """They are defined for GET alone (RFC 9110 14.2)."""
        for value in ("bytes=2-4", "bytes=99-"):
            head = self.request("HEAD", URL, {"Range": value})
            self.assertEqual(head.status, 200)
            self.assertEqual(head.headers["content-length"], "10")
            self.assertNotIn("content-range", head.headers)

    # -- ranges

    def assert_part(self, value: str, first: int, last: int) -> None:
        response = self.get(Range=value)
        self.assertEqual(response.status, 206, value)
        self.assertEqual(response.headers["content-range"], f"bytes {first}-{last}/10")
        self.assertEqual(response.headers["content-length"], str(last + 1 - first))
        self.assertEqual(response.body, DATA[first : last + 1])
        self.assertEqual(response.headers["etag"], f'"{OID}"')

    def test_the_first_byte_is_served(self) -> None:
        self.assert_part("bytes=0-0", 0, 0)

    def test_the_last_byte_is_served(self) -> None:
        self.assert_part("bytes=9-9", 9, 9)

    def test_a_middle_part_is_served(self) -> None:
        self.assert_part("bytes=3-6", 3, 6)

    def test_a_range_may_have_an_open_end(self) -> None:
        self.assert_part("bytes=4-", 4, 9)

    def test_a_range_may_cover_everything(self) -> None:
        self.assert_part("bytes=0-", 0, 9)

    def test_end_beyond_the_end(self) -> None:
        self.assert_part("bytes=4-99999", 4, 9)

    def test_a_range_may_be_a_suffix(self) -> None:
        self.assert_part("bytes=-3", 7, 9)

    def test_suffix_longer_than_the_object(self) -> None:
        self.assert_part("bytes=-99", 0, 9)

    def test_unit_in_upper_case(self) -> None:
        self.assert_part("Bytes=1-2", 1, 2)

    def test_an_unsatisfiable_range_is_refused(self) -> None:
        for value in ("bytes=10-", "bytes=10-20", "bytes=99-", "bytes=-0"):
            response = self.get("?filename=a", Range=value)
            self.assert_error(response, 416)
            self.assertEqual(response.headers["content-range"], "bytes */10")
            self.assertNotIn("etag", response.headers)
            self.assertNotIn("content-disposition", response.headers)

    def test_object_of_no_bytes_has_no_ranges(self) -> None:
        oid = self.front.put(b"")
        response = self.request("GET", storage_url(oid), {"Range": "bytes=0-"})
        self.assert_error(response, 416)
        self.assertEqual(response.headers["content-range"], "bytes */0")

    def test_what_is_no_range_is_ignored(self) -> None:
        """As are several ranges: the whole object is an answer to each."""
        for value in (
            "bytes=0-1,3-4",
            "bytes=5-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes 0-1",
            "bytes=0x1-",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1-2-3",
            "lines=0-1",
            "",
            "bytes=" + "9" * 30 + "-",
        ):
            response = self.get(Range=value)
            self.assertEqual(response.status, 200, value)
            self.assertEqual(response.body, DATA)
            self.assertNotIn("content-range", response.headers)

    def test_parts_make_up_the_whole(self) -> None:
        """As when a client resumes."""
        for cut in range(1, 10):
            rest = self.get(Range=f"bytes={cut}-9")
            self.assertEqual(DATA[:cut] + rest.body, DATA)

    # -- conditions

    def test_a_known_object_is_not_sent(self) -> None:
        for value in (
            f'"{OID}"',
            f'W/"{OID}"',
            "*",
            f'"x", "{OID}"',
            f'"x",W/"{OID}" , "y"',
        ):
            response = self.get(If_None_Match=value)
            self.assertEqual(response.status, 304, value)
            self.assertEqual(response.headers["etag"], f'"{OID}"')
            self.assertNotIn("content-length", response.headers)
            self.assertNotIn("transfer-encoding", response.headers)

    def test_an_unknown_tag_gets_the_object(self) -> None:
        for value in ('"x"', f'"{OTHER_OID}"', OID, "", '"*"'):
            response = self.get(If_None_Match=value)
            self.assertEqual(response.status, 200, value)
            self.assertEqual(response.body, DATA)

    def test_condition_goes_before_the_range(self) -> None:
        self.assertEqual(self.get(If_None_Match="*", Range="bytes=99-").status, 304)

    def test_absent_object_is_never_unmodified(self) -> None:
        response = self.request("GET", storage_url(OTHER_OID), {"If-None-Match": "*"})
        self.assert_error(response, 404)

    def test_range_of_this_very_object(self) -> None:
        response = self.get(Range="bytes=0-3", If_Range=f'"{OID}"')
        self.assertEqual(response.status, 206)

    def test_range_of_something_else(self) -> None:
        """A weak tag or a date says too little (RFC 9110 13.1.5)."""
        for value in ('"x"', f'W/"{OID}"', "Sat, 29 Oct 1994 19:43:31 GMT"):
            response = self.get(Range="bytes=0-3", If_Range=value)
            self.assertEqual(response.status, 200, value)
            self.assertEqual(response.body, DATA)
            response = self.get(Range="bytes=99-", If_Range=value)
            self.assertEqual(response.status, 200, value)

    # -- file names

    def test_no_file_name(self) -> None:
        self.assertNotIn("content-disposition", self.get().headers)

    def test_a_file_name_makes_a_disposition(self) -> None:
        headers = self.get("?filename=report.pdf").headers
        self.assertEqual(headers["content-disposition"], 'attachment; filename="report.pdf"')

    def test_a_disposition_may_be_inline(self) -> None:
        headers = self.get("?filename=report.pdf&disposition=inline").headers
        self.assertEqual(headers["content-disposition"], 'inline; filename="report.pdf"')

    def test_a_disposition_needs_no_file_name(self) -> None:
        self.assertEqual(
            self.get("?disposition=attachment").headers["content-disposition"], "attachment"
        )

    def test_disposition_that_is_none(self) -> None:
        self.assertNotIn("content-disposition", self.get("?disposition=evil").headers)

    def test_file_name_beyond_ascii(self) -> None:
        headers = self.get(f"?filename={quote('Übung €5.txt')}").headers
        self.assertEqual(
            headers["content-disposition"],
            "attachment; filename=\"_bung _5.txt\"; filename*=UTF-8''%C3%9Cbung%20%E2%82%AC5.txt",
        )

    def test_file_name_cannot_forge_headers(self) -> None:
        connection = self.connect()
        response = connection.request("GET", f"{URL}?filename=a%0d%0aX-Evil:%20b%22c")
        self.assertNotIn("x-evil", response.headers)
        self.assertEqual(response.body, DATA)

    def test_file_name_is_no_path(self) -> None:
        headers = self.get("?filename=../../etc/passwd").headers
        self.assertEqual(headers["content-disposition"], 'attachment; filename="passwd"')

    def test_file_name_that_is_no_text(self) -> None:
        self.assert_error(self.get("?filename=%ff"), 400)

    # -- the object's name in the batch

    def test_name_given_with_the_upload(self) -> None:
        self.serve()
        action = self.actions("upload", extras={"x-filename": "naïve.txt", "x-other": 1})["upload"]
        self.assertEqual(self.act("PUT", action, DATA).status, 200)
        response = self.request("GET", URL)
        self.assertEqual(response.body, DATA)
        self.assertEqual(
            response.headers["content-disposition"],
            "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt",
        )
        response = self.request("GET", f"{URL}?filename=other.txt")
        self.assertIn('"other.txt"', response.headers["content-disposition"])

    def test_name_given_with_the_download(self) -> None:
        action = self.actions("download", extras={"x-filename": "naïve & co.txt"})["download"]
        response = self.act("GET", action)
        self.assertEqual(response.body, DATA)
        self.assertEqual(
            response.headers["content-disposition"],
            "attachment; filename=\"na_ve & co.txt\"; filename*=UTF-8''na%C3%AFve%20%26%20co.txt",
        )

    def test_name_that_is_no_text(self) -> None:
        """It is kept like any other extra, and names no file."""
        self.serve()
        action = self.actions("upload", extras={"x-filename": 7})["upload"]
        self.assertEqual(self.act("PUT", action, DATA).status, 200)
        self.assertNotIn("content-disposition", self.request("GET", URL).headers)


class VerifyTests(ApiTestCase):
    """``POST …/objects/storage/verify``."""

    def setUp(self) -> None:
        super().setUp()
        self.serve()
        self.front.put(DATA)

    def test_a_present_object_is_verified(self) -> None:
        self.assertEqual(self.verify(OID, 10, Accept=MEDIA_TYPE).status, 200)

    def test_the_answer_has_no_body(self) -> None:
        """git-lfs would not read it, and would need a new connection for each object."""
        response = self.verify(OID, 10)
        self.assertEqual((response.body, response.headers["content-length"]), (b"", "0"))

    def test_extra_members_are_ignored(self) -> None:
        body = json.dumps({"oid": OID, "size": 10, "x-more": 1}).encode()
        self.assertEqual(self.request("POST", VERIFY, {}, body).status, 200)

    def test_an_absent_object_is_answered_with_404(self) -> None:
        self.assert_error(self.verify(OTHER_OID, 10), 404)

    def test_of_another_size(self) -> None:
        for size in (0, 9, 11, -1, 2**70):
            response = self.verify(OID, size)
            self.assertIn(response.status, (400, 409), size)
            self.assert_error(response, response.status)
        self.assert_error(self.verify(OID, 9), 409)

    def test_a_malformed_verification_is_never_answered_with_422(self) -> None:
        """Never 422: the client takes that for success."""
        for body in (
            b"",
            b"x",
            b"{}",
            b"[]",
            b"null",
            b'"text"',
            b"\xff\xfe",
            b'{"oid": 1, "size": 2}',
            b'{"oid": "%b"}' % OID.encode(),
            b'{"size": 10}',
            b'{"oid": "%b", "size": "10"}' % OID.encode(),
            b'{"oid": "%b", "size": 10.5}' % OID.encode(),
            b'{"oid": "%b", "size": null}' % OID.encode(),
            b'{"oid": "x", "size": 10}',
            b"[" * 100_000,
        ):
            self.assert_error(self.request("POST", VERIFY, {}, body), 400)


class BatchTests(ApiTestCase):
    """``POST …/objects/batch``."""

    def test_an_upload_batch_has_actions(self) -> None:
        self.serve()
        response = self.batch("upload", {"oid": OID, "size": 10}, transfers=["ssh", "basic"])
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], MEDIA_TYPE)
        reply = response.json
        self.assertEqual(reply["transfer"], "basic")
        self.assertEqual(reply["hash_algo"], "sha256")
        (entry,) = reply["objects"]
        self.assertEqual((entry["oid"], entry["size"], entry["authenticated"]), (OID, 10, True))
        self.assertEqual(set(entry["actions"]), {"upload"})
        for action in entry["actions"].values():
            self.assertIsInstance(action["expires_in"], int)
            self.assertGreater(action["expires_in"], 60)
            self.assertIn("Giftless-Action", action["header"])

    def test_what_is_there_needs_no_upload(self) -> None:
        self.serve()
        self.front.put(DATA)
        (entry,) = self.batch("upload", {"oid": OID, "size": 10}).json["objects"]
        self.assertFalse(entry.get("actions"))
        self.assertNotIn("error", entry)

    def test_a_batch_leads_through_a_whole_round(self) -> None:
        """Upload, verify, download, with nothing but what the batches say."""
        self.serve(
            authenticators=[KeyAuthenticator({"wills-token": writer()})],
            actions=ActionOptions(verify="always"),
        )
        key = {"Authorization": "Bearer wills-token"}
        actions = self.actions("upload", headers=key)
        self.assertEqual(self.act("PUT", actions["upload"], DATA).status, 200)
        wanted = json.dumps({"oid": OID, "size": 10}).encode()
        self.assertEqual(self.act("POST", actions["verify"], wanted).status, 200)
        action = self.actions("download", headers=key)["download"]
        self.assertEqual(self.act("GET", action).body, DATA)
        self.assertEqual([line["identity"] for line in self.access], ["will"] * 5)

    def test_a_batch_of_missing_objects_fails(self) -> None:
        self.serve()
        response = self.batch(
            "download", {"oid": OID, "size": 10}, {"oid": OTHER_OID, "size": len(OTHER)}
        )
        self.assertEqual(response.status, 200)
        self.assertEqual([o["error"]["code"] for o in response.json["objects"]], [404, 404])

    def test_too_many_objects(self) -> None:
        self.serve(limits=Limits(batch_objects=2))
        objects = [{"oid": oid_of(b"%d" % n), "size": 1} for n in range(3)]
        self.assertEqual(self.batch("download", *objects[:2]).status, 200)
        self.assert_error(self.batch("download", *objects), 413)

    def test_body_that_is_too_large(self) -> None:
        self.serve(limits=Limits(request_body=500))
        self.assert_error(self.batch("download", {"oid": OID, "size": 10, "pad": "a" * 500}), 413)

    def test_a_batch_without_json_is_refused(self) -> None:
        self.serve()
        for body in (b"", b"x", b"\xff", b"{", b'{"x":' + b"[" * 100_000):
            self.assert_error(self.request("POST", BATCH, {}, body), 400)

    def test_a_malformed_batch_is_refused(self) -> None:
        self.serve()
        for body in (b"{}", b"[]", b"[" * 100_000, b'{"operation": "eat", "objects": []}'):
            self.assert_error(self.request("POST", BATCH, {}, body), 422)

    def test_accept_header_with_parameters(self) -> None:
        """As old clients send it."""
        self.serve()
        response = self.batch(
            "upload", {"oid": OID, "size": 10}, headers={"Accept": f"{MEDIA_TYPE}; charset=utf-8"}
        )
        self.assertEqual(response.status, 200)

    def test_the_public_url_begins_all_links(self) -> None:
        """It stands in front of all links, whatever the request says."""
        self.serve(public_url="https://public.example/lfs/")
        actions = self.actions("upload", headers={"Host": "inner.example"})
        self.assertTrue(
            actions["upload"]["href"].startswith("https://public.example/lfs/org/repo.git/")
        )

    def test_host_of_the_request(self) -> None:
        self.serve()
        for host in ("lfs.example:8080", "127.0.0.1:8080", "[2001:db8::1]:8080"):
            actions = self.actions("upload", headers={"Host": host})
            self.assertTrue(actions["upload"]["href"].startswith(f"http://{host}/org/"))

    def test_forwarded_headers_of_a_trusted_proxy(self) -> None:
        self.serve(trusted=["198.51.100.0/24"])
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.example"}
        actions = self.actions("upload", headers=forwarded)
        self.assertTrue(actions["upload"]["href"].startswith("https://public.example/org/"))

    def test_forwarded_headers_of_anybody_else(self) -> None:
        self.serve()
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
        actions = self.actions("upload", headers=forwarded)
        self.assertTrue(actions["upload"]["href"].startswith("http://lfs.example/org/"))


class PermissionTests(ApiTestCase):
    """Who may do what, and how refusals look."""

    PEOPLE: ClassVar[Mapping[str, Identity]] = {
        "rita": reader(),
        "will": writer(),
        "nobody": stranger(anonymous=False),
    }

    def test_a_request_without_credential_is_challenged(self) -> None:
        self.serve(authenticators=[])
        for response in (
            self.batch("download", {"oid": OID, "size": 10}),
            self.request("GET", URL),
            self.request("HEAD", URL),
            self.request("PUT", URL, {}, DATA),
            self.verify(OID, 10),
        ):
            self.assertEqual(response.status, 401)
            self.assertEqual(response.headers["lfs-authenticate"], 'Basic realm="Git LFS"')
            self.assertEqual(response.headers["www-authenticate"], 'Basic realm="Git LFS"')

    def test_401_is_an_error_like_others(self) -> None:
        self.serve(authenticators=[])
        self.assert_error(self.request("GET", URL), 401)

    def test_an_unknown_credential_is_challenged(self) -> None:
        self.serve(authenticators=[KeyAuthenticator(self.PEOPLE)])
        response = self.request("GET", URL, {"Authorization": "Bearer wrong"})
        self.assert_error(response, 401)

    def test_anybody_may_read(self) -> None:
        """To write, a credential is asked for: it is not forbidden for good."""
        self.serve(authenticators=[AnonymousAuthenticator("read")])
        self.front.put(DATA)
        self.assertEqual(self.request("GET", URL).body, DATA)
        self.assertIn("download", self.actions("download"))
        self.assert_error(self.request("PUT", URL, {}, DATA), 401)
        self.assert_error(self.batch("upload", {"oid": OID, "size": 10}), 401)

    def test_a_known_reader_may_not_write(self) -> None:
        self.serve(authenticators=[KeyAuthenticator(self.PEOPLE)])
        self.front.put(DATA)
        rita = {"Authorization": "Bearer rita"}
        self.assertEqual(self.request("GET", URL, rita).body, DATA)
        self.assertEqual(self.verify(OID, 10, **rita).status, 200)
        self.assert_error(self.request("PUT", URL, rita, DATA), 403)
        self.assert_error(self.batch("upload", {"oid": OID, "size": 10}, headers=rita), 403)

    def test_a_known_stranger_may_do_nothing(self) -> None:
        self.serve(authenticators=[KeyAuthenticator(self.PEOPLE)])
        self.front.put(DATA)
        nobody = {"Authorization": "Bearer nobody"}
        self.assert_error(self.request("GET", URL, nobody), 403)
        self.assert_error(self.verify(OID, 10, **nobody), 403)
        self.assert_error(self.batch("download", {"oid": OID, "size": 10}, headers=nobody), 403)

    def test_credentials_are_asked_before_the_object_is_looked_for(self) -> None:
        """Whether it exists is nobody's business."""
        store = MemoryStore()
        store.failure = AssertionError("the storage was reached")
        self.serve(store=store, authenticators=[KeyAuthenticator(self.PEOPLE)])
        self.assert_error(self.request("GET", URL), 401)
        self.assert_error(self.request("GET", URL, {"Authorization": "Bearer nobody"}), 403)
        self.assert_error(self.verify(OID, 10, Authorization="Bearer nobody"), 403)

    def test_second_of_two_authorization_headers(self) -> None:
        """CI runners add theirs to an action's."""
        self.serve(authenticators=[])
        self.front.put(DATA)
        ticket = Ticket("download", 10)
        action = action_of(self.front.tokens, ticket, key_of(DATA), "http://lfs.example/", reader())
        assert action.header is not None
        token = "Bearer " + action.header["Giftless-Action"]
        for first, second in (("Basic Q0k6eA==", token), (token, "Basic Q0k6eA==")):
            connection = self.connect()
            connection.send(
                f"GET {URL} HTTP/1.1\r\nHost: lfs.example\r\n"
                f"Authorization: {first}\r\nAuthorization: {second}\r\n\r\n".encode()
            )
            self.assertEqual(connection.response().body, DATA)


class TokenTests(ApiTestCase):
    """An action token needs no other credential beside it, and opens nothing else."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(authenticators=[])
        self.front.put(OTHER)

    def token(
        self,
        operation: str,
        data: bytes = DATA,
        path: str = "org/repo",
        front: Front | None = None,
        **options: Any,
    ) -> str:
        """Return the token of an action, as a batch reply has it."""
        ticket = Ticket(operation, len(data), options)
        action = action_of(
            (front or self.front).tokens,
            ticket,
            key_of(data, path),
            "http://lfs.example/",
            writer(),
        )
        assert action.header is not None
        return action.header["Giftless-Action"]

    def bearer(self, *args: Any, **options: Any) -> dict[str, str]:
        return {"Giftless-Action": self.token(*args, **options)}

    def test_a_token_is_enough_for_its_action(self) -> None:
        self.assertEqual(self.request("PUT", URL, self.bearer("upload"), DATA).status, 200)
        self.assertEqual(self.verify(OID, 10, **self.bearer("verify")).status, 200)
        self.assertEqual(self.request("GET", URL, self.bearer("download")).body, DATA)
        self.assertEqual(self.request("HEAD", URL, self.bearer("download")).status, 200)

    def test_in_the_url(self) -> None:
        url = f"{URL}?jwt={self.token('upload')}"
        self.assertEqual(self.request("PUT", url, {}, DATA).status, 200)
        url = f"{URL}?jwt={self.token('download')}&filename=a.txt"
        response = self.request("GET", url)
        self.assertEqual(response.body, DATA)
        self.assertIn("a.txt", response.headers["content-disposition"])
        for line in self.access:
            self.assertEqual(line["path"], URL)

    def test_as_the_password_of_jwt(self) -> None:
        """Some clients can only do Basic."""
        value = base64.b64encode(f"_jwt:{self.token('upload')}".encode()).decode()
        response = self.request("PUT", URL, {"Authorization": f"Basic {value}"}, DATA)
        self.assertEqual(response.status, 200)

    def test_it_names_who_asked(self) -> None:
        self.request("PUT", URL, self.bearer("upload"), DATA)
        self.assertEqual(self.access[-1]["identity"], "will")

    def test_a_token_opens_no_other_operation(self) -> None:
        self.front.put(DATA)
        for operation in ("upload", "verify"):
            self.assert_error(self.request("GET", URL, self.bearer(operation)), 403)
        for operation in ("download", "verify"):
            self.assert_error(self.request("PUT", URL, self.bearer(operation), DATA), 403)
        for operation in ("upload", "download"):
            self.assert_error(self.verify(OID, 10, **self.bearer(operation)), 403)

    def test_a_token_opens_no_other_object(self) -> None:
        url = storage_url(OTHER_OID)
        self.assert_error(self.request("GET", url, self.bearer("download")), 403)
        self.assert_error(self.request("PUT", url, self.bearer("upload"), OTHER), 403)
        self.assert_error(self.verify(OTHER_OID, len(OTHER), **self.bearer("verify")), 403)

    def test_a_token_opens_no_other_repository(self) -> None:
        for repo in ("/org/other", "/org", "/org/repo/sub", "/other/repo", "/org/REPO"):
            url = storage_url(OID, repo)
            self.assert_error(self.request("GET", url, self.bearer("download")), 403)
            self.assert_error(self.request("PUT", url, self.bearer("upload"), DATA), 403)

    def test_other_form_of_the_same_repository(self) -> None:
        url = storage_url(OID, "/org/repo")
        self.assertEqual(self.request("PUT", url, self.bearer("upload"), DATA).status, 200)

    def test_a_token_takes_no_other_size(self) -> None:
        """An object of another size is refused at once, before its body."""
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {**self.bearer("upload"), "Content-Length": "11"})
        )
        self.assert_error(connection.response(), 400)

    def test_a_token_opens_no_batch(self) -> None:
        """A token is for the storage endpoints only."""
        for operation in ("upload", "download"):
            response = self.batch(
                operation, {"oid": OID, "size": 10}, headers=self.bearer(operation)
            )
            self.assert_error(response, 401)

    def test_a_token_is_good_in_time(self) -> None:
        self.serve(authenticators=[], actions=ActionOptions(lifetime=100, leeway=10))
        headers = self.bearer("upload")
        self.clock.advance(110)
        self.assertEqual(self.request("PUT", URL, headers, DATA).status, 200)

    def test_an_expired_token_is_answered_with_403(self) -> None:
        """403, which makes the client ask for a new batch; 401 would loop for ever."""
        self.serve(authenticators=[], actions=ActionOptions(lifetime=100, leeway=10))
        headers = self.bearer("upload")
        self.clock.advance(111)
        response = self.request("PUT", URL, headers, DATA)
        self.assert_error(response, 403)
        self.assertNotIn("lfs-authenticate", response.headers)
        self.assertEqual(self.front.objects(), {})

    def test_expired_although_anybody_may(self) -> None:
        """A token that was sent counts."""
        self.serve(actions=ActionOptions(lifetime=100, leeway=10))
        headers = self.bearer("upload")
        self.clock.advance(111)
        self.assert_error(self.request("PUT", URL, headers, DATA), 403)

    def test_verification_may_come_much_later(self) -> None:
        self.serve(
            authenticators=[], actions=ActionOptions(lifetime=100, verify_lifetime=5000, leeway=0)
        )
        self.front.put(DATA)
        headers = self.bearer("verify")
        self.clock.advance(5000)
        self.assertEqual(self.verify(OID, 10, **headers).status, 200)
        self.clock.advance(1)
        self.assert_error(self.verify(OID, 10, **headers), 403)

    def test_a_changed_token_is_refused(self) -> None:
        head, payload, signature = self.token("download").split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        claims["op"] = "upload"
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        token = f"{head}.{forged}.{signature}"
        response = self.request("PUT", URL, {"Authorization": f"Bearer {token}"}, DATA)
        self.assert_error(response, 403)

    def test_of_another_daemon(self) -> None:
        """Its secret is another."""
        claims = jwt.decode(self.token("upload"), options={"verify_signature": False})
        token = jwt.encode(claims, os.urandom(32), "HS256", headers={"kid": "giftless-action"})
        response = self.request("PUT", URL, {"Authorization": f"Bearer {token}"}, DATA)
        self.assert_error(response, 403)

    def test_without_a_signature(self) -> None:
        claims = jwt.decode(self.token("upload"), options={"verify_signature": False})
        no_key: Any = None
        token = jwt.encode(claims, no_key, "none", headers={"kid": "giftless-action"})
        response = self.request("PUT", URL, {"Authorization": f"Bearer {token}"}, DATA)
        self.assert_error(response, 403)

    def test_of_somebody_else(self) -> None:
        """A JWT that is not the daemon's own is a credential it does not know."""
        token = jwt.encode({"sub": "x"}, os.urandom(32), "HS256")
        for value in (f"Bearer {token}", "Bearer nonsense", "Bearer ", "Bearer", "Basic x", "\xff"):
            response = self.request("PUT", URL, {"Authorization": value}, DATA)
            self.assert_error(response, 401)
        self.assert_error(self.request("PUT", f"{URL}?jwt=nonsense", {}, DATA), 401)
        self.assert_error(self.request("PUT", f"{URL}?jwt=%ff", {}, DATA), 400)
        self.assertEqual(len(self.front.objects()), 1)
