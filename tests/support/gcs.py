"""fake-gcs-server behind a front that verifies what Google would verify.

fake-gcs-server keeps objects but takes every request, signed or not, and has no
uploads in parts, nor lists in XML.  The front stands for what Google does before: it verifies V4
signatures and tokens, holds uploads to their conditions, takes parts
(``tests/support/gcs_parts.py``), lists objects (``tests/support/gcs_listing.py``),
and answers in XML.  It makes the canonical request
from what arrives, with the functions of google-cloud-storage, and knows of
public keys only.  It is also the token endpoint, ``signBlob`` and the metadata
server.  None of it is Google: what it refuses is what Google documents.

Where fake-gcs-server is missing, :func:`google` raises ``SkipTest``.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.cloud.storage import _signing
from jwt.utils import base64url_decode

from tests.support.gcs_listing import list_objects
from tests.support.gcs_parts import PIECE, Refusal, Upload, Uploads, clear, pieces
from tests.support.ports import free_port
from tests.support.processes import PATIENCE
from tests.support.servers import MARK, find_command, running

#: How far in the future a signature may have been made, in seconds.
SKEW = 900


@cache
def private_key(owner: str) -> RSAPrivateKey:
    """Return the key of somebody.

    It is a short one: whoever reads it, as each store does, makes sure that it has primes.
    """
    return generate_private_key(65537, 1024)


@dataclass
class Google:
    """A stand-in for Google.

    :ivar port: where the front listens.
    :ivar store: where fake-gcs-server listens, which nobody else talks to.
    :ivar directory: where key files go.
    :ivar denied: the permissions that nobody has, e.g. ``storage.objects.create``.
    :ivar requests: every request: its method, its path, how it was authorised.
    :ivar refused: the codes of all refusals.
    :ivar token_lifetime: how long tokens are said to be good, in seconds.
    :ivar rewrite_steps: how many requests copy a part of an object only, before one copies
        the rest.
    """

    port: int
    store: int
    directory: Path
    denied: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    token_lifetime: int = 3600
    rewrite_steps: int = 0
    tokens: set[str] = field(default_factory=set)
    buckets: set[str] = field(default_factory=set)
    uploads: Uploads = field(init=False)

    #: A service account whose key the daemon may have.
    EMAIL = "keyed@giftless-tests.iam.gserviceaccount.com"
    #: One whose key only Google has; the metadata server's.
    MANAGED = "managed@giftless-tests.iam.gserviceaccount.com"
    ACCESS_KEY = "GOOG1EGIFTLESSTESTS"
    SECRET = "a secret/of+tests"

    #: Who the keys belong to that signatures are verified with.
    SIGNERS: ClassVar[Mapping[str, str]] = {EMAIL: "keyed", MANAGED: "managed"}

    def __post_init__(self) -> None:
        self.uploads = Uploads(clear(self.directory / "parts"))

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def metadata(self) -> dict[str, str]:
        """The environment on a machine whose metadata server this is."""
        address = f"127.0.0.1:{self.port}"
        return {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address}

    def key_file(self, owner: str = "keyed", email: str = EMAIL) -> Path:
        """Return the file of a service account's key."""
        path = self.directory / f"{owner}.json"
        pem = private_key(owner).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        content = {
            "type": "service_account",
            "client_email": email,
            "private_key": pem.decode(),
            "private_key_id": "1",
            "token_uri": f"{self.url}/token",
        }
        path.write_text(json.dumps(content))
        return path

    def options(self, bucket: str, **others: object) -> dict[str, object]:
        """Return a ``storage`` section for a bucket, with a key file."""
        return {
            "type": "gcs",
            "bucket": bucket,
            "credentials_file": str(self.key_file()),
            "endpoint_url": self.url,
            "iam_endpoint_url": self.url,
            **others,
        }

    def hmac_options(self, bucket: str, **others: object) -> dict[str, object]:
        """Return a ``storage`` section for a bucket, with an HMAC key."""
        key = {"hmac_access_key": self.ACCESS_KEY, "hmac_secret": self.SECRET}
        return {"type": "gcs", "bucket": bucket, "endpoint_url": self.url, **key, **others}

    # -- behind the front

    def create(self, bucket: str) -> None:
        """Make a bucket."""
        body = json.dumps({"name": bucket}).encode()
        self._json("POST", "/storage/v1/b?project=tests", body)
        self.buckets.add(bucket)

    def write(self, bucket: str, name: str, data: bytes) -> None:
        """Put an object there, past all checks."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        self._json("POST", path, data)

    def names(self, bucket: str) -> set[str]:
        """Return the names of what is in a bucket but the store's mark."""
        return {item["name"] for item in self.items(bucket) if not item["name"].endswith(MARK)}

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return what is in a bucket but the store's mark, by name."""
        return {name: self.read(bucket, name) for name in self.names(bucket)}

    def items(self, bucket: str) -> list[dict[str, Any]]:
        """Return what the JSON API says of all objects in a bucket."""
        items: list[dict[str, Any]] = self._json("GET", f"/storage/v1/b/{bucket}/o").get(
            "items", []
        )
        return items

    def read(self, bucket: str, name: str) -> bytes:
        """Return an object."""
        path = f"/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
        with self.connect() as connection:
            connection.request("GET", path)
            return connection.getresponse().read()

    def _json(self, method: str, path: str, body: bytes | None = None) -> Any:
        with self.connect() as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status == 200, text
            return json.loads(text)

    def connect(self) -> contextlib.closing[http.client.HTTPConnection]:
        """Return a connection to the store."""
        return contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.store, timeout=PATIENCE)
        )

    def issue(self) -> str:
        """Make a token."""
        token = f"ya29.{len(self.tokens)}"
        self.tokens.add(token)
        return token

    def sign(self, owner: str, text: bytes) -> bytes:
        """Sign as Google does with the keys that it keeps."""
        return private_key(owner).sign(text, PKCS1v15(), SHA256())


@contextmanager
def google(directory: Path) -> Iterator[Google]:
    """Run the front, and fake-gcs-server behind it.

    :raises SkipTest: if that is not installed.
    """
    command = find_command("fake-gcs-server")
    store = free_port()
    line = [command, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]
    line += ["-port", str(store), "-log-level", "error"]
    with running(line, f"http://127.0.0.1:{store}/storage/v1/b?project=tests", directory, {}):
        # Before there are threads that would each make one.
        for owner in Google.SIGNERS.values():
            private_key(owner)
        front = _Server(("127.0.0.1", 0), _Front)
        front.google = Google(front.server_address[1], store, directory)
        thread = threading.Thread(target=front.serve_forever, name="google", daemon=True)
        thread.start()
        try:
            yield front.google
        finally:
            front.shutdown()
            front.server_close()


class _Server(ThreadingHTTPServer):
    google: Google
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away in some tests."""


class _Front(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    @property
    def google(self) -> Google:
        return self.server.google

    def _handle(self) -> None:
        path = self.path.partition("?")[0]
        try:
            if path == "/token":
                self._token()
            elif path == "/" or path.startswith("/computeMetadata/"):
                self._metadata(path)
            elif path.startswith("/v1/projects/"):
                self._sign_blob(path)
            elif path.startswith("/storage/v1/b/"):
                self._rewrite(path)
            else:
                self._object(path)
        except Refusal as refusal:
            self.google.refused.append(refusal.code)
            body = (
                "<?xml version='1.0' encoding='UTF-8'?>"
                f"<Error><Code>{refusal.code}</Code>"
                f"<Message>{escape(refusal.message)}</Message></Error>"
            )
            # What of a body has not been read is in the way of another request.
            self.close_connection = self.command == "PUT"
            marks = {"Content-Type": "application/xml", "X-GUploader-UploadID": "tests"}
            self._answer(refusal.status, body.encode(), marks)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer_json(self, status: int, content: object, **headers: str) -> None:
        self._answer(
            status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers}
        )

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    # -- who somebody is

    def _token(self) -> None:
        """Exchange a service account's signed assertion for a token (RFC 7523)."""
        form = dict(parse_qsl(self._body().decode()))
        self.google.requests.append(("POST", "/token", "assertion"))
        if not _is_good(form["assertion"]):
            problem = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            self._answer_json(400, problem)
            return
        self._answer_json(200, self._new_token())

    def _new_token(self) -> dict[str, object]:
        return {
            "access_token": self.google.issue(),
            "expires_in": self.google.token_lifetime,
            "token_type": "Bearer",
        }

    def _metadata(self, path: str) -> None:
        flavor = {"Metadata-Flavor": "Google"}
        place = path.removeprefix("/computeMetadata/v1/").strip("/")
        if self.headers.get("Metadata-Flavor") != "Google":
            self._answer(403, b"", {})
        elif path == "/":
            self._answer(200, b"", flavor)
        elif place.endswith("/token"):
            self._answer_json(200, self._new_token(), **flavor)
        elif place.startswith("instance/service-accounts/"):
            account = {"email": Google.MANAGED, "aliases": ["default"], "scopes": []}
            self._answer_json(200, account, **flavor)
        elif place == "project/project-id":
            self._answer(200, b"giftless-tests", {**flavor, "Content-Type": "application/text"})
        else:
            self._answer(404, b"", flavor)

    def _sign_blob(self, path: str) -> None:
        body = json.loads(self._body())
        email = unquote(path).rpartition("/")[2].removesuffix(":signBlob")
        self.google.requests.append(("POST", path, "bearer"))
        problem = None
        if not self._has_token():
            problem = (401, "Request had invalid authentication credentials.")
        elif email not in Google.SIGNERS:
            problem = (404, "Not found; Gaia id not found for email")
        elif "iam.serviceAccounts.signBlob" in self.google.denied:
            problem = (403, "Permission 'iam.serviceAccounts.signBlob' denied on resource")
        if problem is not None:
            status, message = problem
            self._answer_json(status, {"error": {"code": status, "message": message}})
            return
        signed = self.google.sign(Google.SIGNERS[email], base64.b64decode(body["payload"]))
        answer = {"keyId": "1", "signedBlob": base64.b64encode(signed).decode()}
        self._answer_json(200, answer)

    def _has_token(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and token in self.google.tokens

    def _authorize(self, path: str) -> str:
        """Verify what a request for an object is authorised by.

        :returns: ``bearer``, or the algorithm of its signature.
        """
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if "X-Goog-Signature" in query:
            self._verify(path, query)
            return query["X-Goog-Algorithm"]
        if "Authorization" not in self.headers:
            raise Refusal(403, "AccessDenied", "Anonymous caller does not have access.")
        if not self._has_token():
            raise Refusal(401, "AuthenticationRequired", "Authentication required.")
        return "bearer"

    def _verify(self, path: str, query: dict[str, str]) -> None:
        signature = bytes.fromhex(query.pop("X-Goog-Signature"))
        signer, _, scope = query["X-Goog-Credential"].partition("/")
        stamp = query["X-Goog-Date"]
        names = query["X-Goog-SignedHeaders"].split(";")
        sent = {name.lower() for name in self.headers}
        for name in names:
            if name not in sent:
                raise Refusal(400, "MalformedSecurityHeader", f"{name} was signed and is not sent")
        for name in sent:
            if name.startswith("x-goog-") and name not in names:
                raise Refusal(403, "SignatureDoesNotMatch", f"{name} was not signed")
        canonical, _ = _signing.get_canonical_headers(
            [(name, value) for name in names for value in self.headers.get_all(name, [])]
        )
        request = "\n".join(
            (
                self.command,
                path,
                _signing._url_encode(query),
                "\n".join(canonical) + "\n",
                ";".join(names),
                "UNSIGNED-PAYLOAD",
            )
        )
        digest = hashlib.sha256(request.encode()).hexdigest()
        algorithm = query["X-Goog-Algorithm"]
        text = f"{algorithm}\n{stamp}\n{scope}\n{digest}".encode()
        if scope != f"{stamp[:8]}/auto/storage/goog4_request":
            raise Refusal(400, "AuthenticationRequired", "the scope is not that of the date")
        if algorithm == "GOOG4-HMAC-SHA256":
            if signer != Google.ACCESS_KEY:
                raise Refusal(403, "InvalidAccessKeyId", "The access key is not known.")
            good = hmac.compare_digest(_hmac(scope.split("/"), text), signature)
        else:
            good = algorithm == "GOOG4-RSA-SHA256" and _is_signed(signer, text, signature)
        if not good:
            raise Refusal(403, "SignatureDoesNotMatch", "Access denied.")
        made = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%S%z").timestamp()
        lifetime = int(query["X-Goog-Expires"])
        if not made - SKEW <= time.time() < made + lifetime or lifetime > 604_800:
            raise Refusal(400, "ExpiredToken", "The provided token has expired.")

    # -- the JSON API

    def _rewrite(self, path: str) -> None:
        """Copy an object, with "Objects: rewrite"."""
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        self.google.requests.append((self.command, unquote(path), "bearer"))
        place = path.removeprefix("/storage/v1/b/").split("/")
        if self.command != "POST" or len(place) != 8 or place[3:7:3] != ["rewriteTo", "o"]:
            self._refuse_json(404, "not in these tests")
        elif not self._has_token():
            self._refuse_json(401, "Invalid Credentials")
        elif self.headers.get("Content-Length") != "0":
            self._refuse_json(411, "a body is needed, or a length of 0")
        elif missing := {"storage.objects.get", "storage.objects.create"} & self.google.denied:
            self._refuse_json(403, f"{self.google.EMAIL} does not have {missing.pop()} access")
        else:
            buckets = place[0], place[5]
            self._rewrite_step(buckets, unquote(place[2]), unquote(place[7]), query)

    def _rewrite_step(
        self, buckets: tuple[str, str], source: str, target: str, query: dict[str, str]
    ) -> None:
        bucket, other = buckets
        items = {item["name"]: item for item in self.google.items(bucket)}
        there = items if other == bucket else {item["name"] for item in self.google.items(other)}
        found = items.get(source)
        if found is None:
            self._refuse_json(404, f"No such object: {bucket}/{source}")
            return
        if query.get("ifSourceGenerationMatch", found["generation"]) != found["generation"]:
            self._refuse_json(412, "At least one of the pre-conditions you specified did not hold.")
            return
        if target in there and "storage.objects.delete" in self.google.denied:
            self._refuse_json(403, "no storage.objects.delete access")
            return
        answer: dict[str, object] = {
            "kind": "storage#rewriteResponse",
            "objectSize": found["size"],
            "done": True,
            "totalBytesRewritten": found["size"],
        }
        step = int(query.get("rewriteToken", "token 0").removeprefix("token "))
        if step < self.google.rewrite_steps:
            part = int(found["size"]) * (step + 1) // (self.google.rewrite_steps + 1)
            token = f"token {step + 1}"
            answer |= {"done": False, "totalBytesRewritten": str(part), "rewriteToken": token}
        else:
            names = [quote(name, safe="") for name in (source, target)]
            url = f"/storage/v1/b/{bucket}/o/{names[0]}/rewriteTo/b/{other}/o/{names[1]}"
            with self.google.connect() as store:
                store.request("POST", url, b"", {"Content-Type": "application/json"})
                reply = store.getresponse()
                assert reply.status == 200, reply.read()
        self._answer_json(200, answer)

    def _refuse_json(self, status: int, message: str) -> None:
        self._answer_json(status, {"error": {"code": status, "message": message}})

    # -- what there is

    def _object(self, path: str) -> None:
        how = self._authorize(path)
        self.google.requests.append((self.command, unquote(path), how))
        bucket, _, name = unquote(path).lstrip("/").partition("/")
        if bucket not in self.google.buckets:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist.")
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        words = ("uploads", "uploadId", "list-type")
        what = next((word for word in words if word in query), "")
        for needed in NEEDED.get((self.command, what), ()):
            if needed in self.google.denied:
                raise Refusal(403, "AccessDenied", f"{how} does not have {needed} access")
        with self.google.connect() as store:
            if what == "list-type":
                self._list(bucket, query)
            elif what:
                self._parts(store, bucket, name, query)
            elif self.command == "PUT" and "x-goog-copy-source" in self.headers:
                self._copy(store, bucket, name)
            elif self.command == "PUT":
                self._upload(store, bucket, name)
            elif self.command in ("GET", "HEAD"):
                self._download(store, path)
            elif self.command == "DELETE":
                store.request("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
                if store.getresponse().status == 404:
                    raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
                self._answer(204, b"", {})
            else:
                raise Refusal(405, "MethodNotAllowed", "not in these tests")

    def _list(self, bucket: str, query: Mapping[str, str]) -> None:
        """Answer with a page of the list of objects."""
        text = list_objects(bucket, self.google.items(bucket), query)
        self._answer(200, text, {"Content-Type": "application/xml"})

    def _parts(
        self,
        store: http.client.HTTPConnection,
        bucket: str,
        name: str,
        query: Mapping[str, str],
    ) -> None:
        """Do what an upload in parts needs."""
        uploads = self.google.uploads
        sent = b"" if self.command == "PUT" else self._body()
        if "x-goog-if-generation-match" in self.headers:
            # "Preconditions are not supported in the requests."
            raise Refusal(400, "InvalidArgument", "Preconditions are not supported.")
        xml = {"Content-Type": "application/xml"}
        if "uploads" in query and self.command == "GET":
            self._answer(200, uploads.list_uploads(bucket, query), xml)
            return
        if "uploads" in query and self.command == "POST":
            kept = {header: value for header, value in self.headers.items() if _is_kept(header)}
            self._answer(200, uploads.create(bucket, name, kept), xml)
            return
        if self.command == "POST":
            with uploads.completing:
                self._complete(store, uploads.find(query["uploadId"], bucket, name), sent)
            return
        upload = uploads.find(query["uploadId"], bucket, name)
        if self.command == "PUT":
            length = int(self.headers["Content-Length"])
            md5 = self.headers["Content-MD5"]
            etag = uploads.receive(
                upload, query["partNumber"], length, md5, cast(BinaryIO, self.rfile)
            )
            if etag is None:
                self.close_connection = True
            else:
                self._answer(200, b"", {"ETag": etag})
        elif self.command == "GET":
            self._answer(200, uploads.list_parts(upload, query), xml)
        else:
            uploads.forget(upload)
            self._answer(204, b"", {})

    def _complete(self, store: http.client.HTTPConnection, upload: Upload, body: bytes) -> None:
        """Make an object of parts; it replaces one that is there."""
        parts = self.google.uploads.chosen(upload, body)
        present = [item["name"] for item in self.google.items(upload.bucket)]
        if "storage.objects.delete" in self.google.denied and upload.name in present:
            raise Refusal(403, "AccessDenied", "no storage.objects.delete access")
        headers = {**upload.headers, "Content-Length": str(sum(part.size for part in parts))}
        query = f"name={quote(upload.name, safe='')}"
        self._store(store, upload.bucket, query, headers, pieces(parts))
        self.google.uploads.forget(upload)
        text = self.google.uploads.completed(upload)
        self._answer(200, text, {"Content-Type": "application/xml"})

    def _upload(self, store: http.client.HTTPConnection, bucket: str, name: str) -> None:
        if "Content-Length" not in self.headers:
            raise Refusal(411, "MissingContentLength", "You must provide Content-Length.")
        length = int(self.headers["Content-Length"])
        allowed = self.headers.get("x-goog-content-length-range", f"0,{length}")
        least, most = map(int, allowed.split(","))
        if length < least:
            raise Refusal(400, "EntityTooSmall", "Your proposed upload is too small.")
        if length > most:
            raise Refusal(400, "EntityTooLarge", "Your proposed upload is too large.")
        query = f"name={quote(name, safe='')}"
        if (generation := self.headers.get("x-goog-if-generation-match")) is not None:
            query += f"&ifGenerationMatch={generation}"
        kept = {header: value for header, value in self.headers.items() if _is_kept(header)}
        kept["Content-Length"] = str(length)
        # fake-gcs-server answers nobody else while it takes an object.
        with tempfile.TemporaryFile() as file:
            try:
                file.writelines(self._pieces(length))
            except EOFError:
                # Half an object is none.
                self.close_connection = True
                return
            file.seek(0)
            self._store(store, bucket, query, kept, iter(partial(file.read, PIECE), b""))
        self._answer(200, b"", {"x-goog-stored-content-length": str(length)})

    def _copy(self, store: http.client.HTTPConnection, bucket: str, name: str) -> None:
        """Copy an object, perhaps onto itself with other metadata."""
        path = self.headers["x-goog-copy-source"]
        if unquote(path).split("/")[1] not in self.google.buckets:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist.")
        replace = self.headers.get("x-goog-metadata-directive", "COPY") == "REPLACE"
        if unquote(path) == f"/{bucket}/{name}" and not replace:
            raise Refusal(400, "InvalidRequest", "an object cannot be copied to itself like this")
        if "storage.objects.get" in self.google.denied:
            raise Refusal(403, "AccessDenied", "no storage.objects.get access")
        present = any(item["name"] == name for item in self.google.items(bucket))
        if present and "storage.objects.delete" in self.google.denied:
            raise Refusal(403, "AccessDenied", "no storage.objects.delete access")
        store.request("GET", path, headers={"Host": "storage.googleapis.com"})
        reply = store.getresponse()
        data = reply.read()
        if reply.status == 404:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        if self.headers["x-goog-copy-source-if-match"] != reply.getheader("ETag"):
            raise Refusal(412, "PreconditionFailed", "At least one precondition did not hold.")
        headers = self.headers.items() if replace else reply.getheaders()
        kept = {header: value for header, value in headers if _is_kept(header)}
        kept["Content-Length"] = str(len(data))
        self._store(store, bucket, f"name={quote(name, safe='')}", kept, [data])
        self._answer(200, b"<CopyObjectResult/>", {"Content-Type": "application/xml"})

    def _pieces(self, left: int) -> Iterator[bytes]:
        """Read a body of so many bytes.

        :raises EOFError: if the client leaves.
        """
        while left:
            piece = self.rfile.read1(min(left, PIECE))
            if not piece:
                raise EOFError
            yield piece
            left -= len(piece)

    def _store(
        self,
        store: http.client.HTTPConnection,
        bucket: str,
        query: str,
        headers: Mapping[str, str],
        body: Iterable[bytes],
    ) -> None:
        """Put an object into the store."""
        store.putrequest("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&{query}")
        for header, value in headers.items():
            store.putheader(header, value)
        store.endheaders()
        for piece in body:
            store.send(piece)
        reply = store.getresponse()
        text = reply.read()
        if reply.status == 412:
            raise Refusal(412, "PreconditionFailed", "At least one precondition did not hold.")
        if reply.status != 200:
            raise Refusal(500, "InternalError", text.decode())

    def _download(self, store: http.client.HTTPConnection, path: str) -> None:
        headers = {"Host": "storage.googleapis.com"}
        if "Range" in self.headers:
            headers["Range"] = self.headers["Range"]
        query = urlsplit(self.path).query
        store.request(self.command, f"{path}?{query}", headers=headers)
        reply = store.getresponse()
        if reply.status == 404:
            reply.read()
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        while piece := reply.read1(PIECE):
            self.wfile.write(piece)


#: The permissions that requests need (Cloud Storage's reference, "IAM permissions
#: for XML requests"), by method and ``uploads`` or ``uploadId`` in the query.
NEEDED = {
    ("GET", ""): ["storage.objects.get"],
    ("HEAD", ""): ["storage.objects.get"],
    ("PUT", ""): ["storage.objects.create"],
    ("DELETE", ""): ["storage.objects.delete"],
    ("GET", "list-type"): ["storage.objects.list"],
    ("GET", "uploads"): ["storage.multipartUploads.list"],
    ("POST", "uploads"): ["storage.multipartUploads.create", "storage.objects.create"],
    ("GET", "uploadId"): ["storage.multipartUploads.listParts"],
    ("PUT", "uploadId"): ["storage.multipartUploads.create", "storage.objects.create"],
    ("POST", "uploadId"): ["storage.multipartUploads.create", "storage.objects.create"],
    ("DELETE", "uploadId"): ["storage.multipartUploads.abort"],
}


def _is_kept(header: str) -> bool:
    """Whether a header of an upload is kept beside the object."""
    name = header.lower()
    return name in ("content-type", "content-disposition") or name.startswith("x-goog-meta-")


def _hmac(scope: list[str], text: bytes) -> bytes:
    key = f"GOOG4{Google.SECRET}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text, "sha256")


def _is_good(assertion: str) -> bool:
    """Whether a token is the key file's, for the token server, and not too old."""
    text, _, signature = assertion.rpartition(".")
    try:
        jwt.decode(
            assertion,
            # PyJWT would complain of the short key.
            options={
                "verify_signature": False,
                "verify_exp": True,
                "verify_iat": True,
                "verify_aud": True,
                "verify_iss": True,
            },
            audience="https://oauth2.googleapis.com/token",
            issuer=Google.EMAIL,
        )
    except jwt.InvalidTokenError:
        return False
    algorithm = jwt.get_unverified_header(assertion)["alg"]
    return algorithm == "RS256" and _is_signed(
        Google.EMAIL, text.encode(), base64url_decode(signature)
    )


def _is_signed(signer: str, text: bytes, signature: bytes) -> bool:
    if signer not in Google.SIGNERS:
        return False
    public = private_key(Google.SIGNERS[signer]).public_key()
    try:
        public.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
