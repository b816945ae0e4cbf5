"""Lists of what is in a container: names, cursors, and pages that are none."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qs, quote_plus, urlsplit
from xml.sax.saxutils import escape

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.http_client import Answer
from giftless.errors import BadRequest, ServiceUnavailable
from giftless.interfaces import ListedObject, ObjectPage
from giftless.lfs.objects import ObjectKey, Oid, Repo, in_trash
from giftless.storage.azure import answers as azure_answers
from giftless.storage.azure.layout import BlobLayout
from giftless.storage.remote.client import StoreClient, StoreError
from giftless.storage.remote.container import Layout
from giftless.storage.remote.credentials import unchanging
from giftless.storage.remote.listing import PAGE, EntryPage, read_cursor, write_cursor
from giftless.storage.remote.modes import DirectStore
from giftless.storage.remote.resumable.context import context_of
from giftless.storage.s3.bucket import Bucket, Place
from giftless.storage.s3.signing import Credentials
from tests.contracts.listing import HOSTILE_CURSORS
from tests.support.making import environment, key_of, repo_of
from tests.support.run import CoroutineTestCase
from tests.support.scripted import ScriptedAgent
from tests.support.strategies import oids, repos

PREFIXES = st.sampled_from(["", "team", "team/a", "a b/\u00fc", "x.git"])


class LayoutTests(SynchronousTestCase):
    @given(PREFIXES, repos, oids)
    def test_a_name_tells_its_key(self, prefix: str, repo: Repo, oid: str) -> None:
        key = ObjectKey(repo, Oid(oid))
        layout = Layout(prefix)
        for one, trash in ((key, False), (in_trash(key), True)):
            self.assertEqual(layout.key_of(layout.name(one), trash), one)
            self.assertIsNone(layout.key_of(layout.name(one), not trash))

    @given(PREFIXES, st.text() | st.lists(st.text() | oids, min_size=1).map("/".join))
    def test_a_key_that_a_name_tells_has_this_name(self, prefix: str, name: str) -> None:
        layout = Layout(prefix)
        for candidate in (name, layout.below(name)):
            for trash in (False, True):
                key = layout.key_of(candidate, trash)
                self.assertIn(None if key is None else layout.name(key), (None, candidate))

    def test_other_names_tell_no_key(self) -> None:
        oid = "0" * 64
        for name in (
            "", oid, f"/{oid}", f"a//{oid}", f"a/../{oid}", f".giftless/{oid}", f"a/{oid}/",
            f"a/{oid.upper()[:-1]}A", f"a/{oid}0", f"{oid}/{oid}", f"a\x00/{oid}", f"a/{oid}\n",
        ):  # fmt: skip
            self.assertIsNone(Layout("").key_of(name), name)
        for name in (f"a/{oid}", f"team2/a/{oid}", f"team/{oid}", f"Team/a/{oid}"):
            self.assertIsNone(Layout("team").key_of(name), name)

    @given(repos, oids)
    def test_names_that_azure_changes_tell_none(self, repo: Repo, oid: str) -> None:
        name = Layout("").name(ObjectKey(repo, Oid(oid)))
        key = BlobLayout("").key_of(name)
        # 16 characters more are needed in the trash.
        fits = "\\" not in name and "./" not in name and len(name) <= 1024 - 16
        self.assertEqual(key is not None, fits)
        trashed = Layout("").name(in_trash(ObjectKey(repo, Oid(oid))))
        self.assertEqual(BlobLayout("").key_of(trashed, True) is not None, fits)


class CursorTests(SynchronousTestCase):
    @given(st.text(), st.text(min_size=1))
    def test_a_cursor_holds_any_marker(self, prefix: str, marker: str) -> None:
        cursor = write_cursor(prefix, marker)
        self.assertTrue(cursor.isascii() and cursor.isprintable())
        self.assertEqual(read_cursor(cursor, prefix), marker)
        with self.assertRaises(BadRequest):
            read_cursor(cursor, f"{prefix}/")

    @given(st.text() | st.sampled_from(HOSTILE_CURSORS))
    def test_other_texts_are_none(self, text: str) -> None:
        with self.assertRaises(BadRequest):
            read_cursor(text, "")
        with self.assertRaises(BadRequest):
            read_cursor(write_cursor("", ""), "")


def contents(name: str, size: object = 3, modified: str = "2026-11-28T10:11:04.000Z") -> str:
    """Return what a list says of an object."""
    return (
        f"<Contents><Key>{name}</Key><LastModified>{modified}</LastModified>"
        f"<Size>{size}</Size></Contents>"
    )


def page(*contents: str, end: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    """Return an answer to "ListObjectsV2"."""
    inner = "".join(contents) + end
    return f"<?xml version='1.0'?><ListBucketResult>{inner}</ListBucketResult>".encode()


class XmlListTests(CoroutineTestCase):
    """What S3 and Cloud Storage may answer."""

    def setUp(self) -> None:
        clock = Clock()
        self.agent = ScriptedAgent(clock)
        place = Place("http://s3.example/b", "http://s3.example/b", "b", "r", True, True)
        credentials = unchanging(Credentials("AKID", "secret"), clock, "credentials")
        client = StoreClient(self.agent.client(), clock, 20, 32, lambda: 1.0)
        bucket = Bucket(place, Layout("pre"), credentials, client, clock, clock.seconds)
        context = context_of(environment(self.mktemp(), clock), "S3", 1)
        self.store = DirectStore(bucket, 1, False, context)

    def list(
        self, body: bytes, repo: str | None = "org/repo", status: int = 200, **more: Any
    ) -> Any:
        """Let the store answer, and return the page or the error."""
        asked = self.start(self.store.list(None if repo is None else repo_of(repo), **more))
        (request,) = self.agent.running
        self.query = {
            name: value[0]
            for name, value in parse_qs(urlsplit(request.url).query, keep_blank_values=True).items()
        }
        request.succeed(status, {"x-amz-request-id": "A"}, body)
        return self.run_now(asked)

    def test_the_store_skips_repositories_below(self) -> None:
        self.assertEqual(self.list(page()), ObjectPage([]))
        self.assertEqual((self.query["delimiter"], self.query["prefix"]), ("/", "pre/org/repo/"))
        self.list(page(), None, limit=7)
        self.assertNotIn("delimiter", self.query)
        self.assertEqual((self.query["prefix"], self.query["max-keys"]), ("pre/", "7"))
        self.list(page(), limit=10_000)
        self.assertEqual(self.query["max-keys"], str(PAGE))

    def test_a_page_is_read(self) -> None:
        key = key_of(b"x")
        body = page(contents(f"pre/{key.path}"), contents("pre/org/repo/no-oid"))
        self.assertEqual(self.list(body), ObjectPage([ListedObject(key, 3, 1795860665.0)]))

    @given(repos, oids)
    def test_names_may_be_escaped_in_any_way(self, repo: Repo, oid: str) -> None:
        key = ObjectKey(repo, Oid(oid))
        name = f"pre/{key.path}"
        encoded = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        bodies = [page(contents(quote_plus(name, safe=safe)), end=encoded) for safe in ("", "/")]
        if not any(ord(char) & 0xFFFE == 0xFFFE for char in name):
            references = "".join(f"&#{ord(char)};" for char in name)
            bodies += [page(contents(written)) for written in (escape(name), references)]
        for body in bodies:
            (found,) = self.list(body, repo=None).objects
            self.assertEqual(found.key, key)

    def test_a_page_that_is_none_is_an_error(self) -> None:
        good = contents(f"pre/{key_of(b'x').path}")
        for body in (
            b"",
            b"<html/>",
            b"<ListBucketResult/>",
            page(good, end=""),
            page(good, end="<IsTruncated>maybe</IsTruncated>"),
            page(good, end="<IsTruncated>true</IsTruncated>"),
            page(good)[:-1],
            page(good)[: len(page(good)) // 2],
            page(good).replace(b"<ListBucketResult>", b"<ListVersionsResult>", 1),
            page(contents("")),
            page(contents("other/org/repo/" + "0" * 64)),
            page(contents(f"pre/{key_of(b'x').path}", "many")),
            page(contents(f"pre/{key_of(b'x').path}", -1)),
            page(contents(f"pre/{key_of(b'x').path}", modified="")),
            page(contents(f"pre/{key_of(b'x').path}", modified="yesterday")),
            page(contents(f"pre/{key_of(b'x').path}", modified="Wed, 09 Sep 2009 09:20:02")),
            page(good).replace(b"pre/", b"\xff/"),
            b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + page(good),
        ):
            with self.assertRaises(ServiceUnavailable, msg=body):
                self.list(body)

    def test_a_marker_that_the_store_does_not_know_is_the_clients_error(self) -> None:
        cursor = write_cursor("pre/org/repo/", "marker")
        body = b"<Error><Code>InvalidArgument</Code></Error>"
        with self.assertRaises(BadRequest):
            self.list(body, status=400, cursor=cursor)
        self.assertEqual(self.query["continuation-token"], "marker")
        with self.assertRaises(ServiceUnavailable):
            self.list(body, status=400)
        with self.assertRaises(ServiceUnavailable):
            self.list(b"<Error><Code>ExpiredToken</Code></Error>", status=400, cursor=cursor)


class AzureListTests(SynchronousTestCase):
    """What Azure may answer."""

    BLOB: ClassVar = (
        "<Blob><Name>org/repo/x</Name><Properties>"
        "<Last-Modified>Wed, 09 Sep 2009 09:20:02 GMT</Last-Modified>"
        "<Content-Length>3</Content-Length></Properties></Blob>"
    )

    def read(self, blobs: str, marker: str = "<NextMarker/>") -> EntryPage:
        """Read a list of blobs."""
        body = f"\ufeff<?xml version='1.0' encoding='utf-8'?><EnumerationResults>{blobs}{marker}"
        return azure_answers.read_list(
            Answer(200, {}, f"{body}</EnumerationResults>".encode(), True)
        )

    def test_a_page_is_read(self) -> None:
        found = self.read(f"<Blobs>{self.BLOB}</Blobs>", "<NextMarker>a&amp;b</NextMarker>")
        (entry,) = found.entries
        self.assertEqual((entry.name, entry.size), ("org/repo/x", 3))
        self.assertEqual(entry.modified, 1252488003.0)
        self.assertEqual(found.marker, "a&b")
        self.assertIsNone(self.read("<Blobs/>").marker)

    def test_names_that_xml_cannot_have_are_encoded(self) -> None:
        encoded = self.BLOB.replace("<Name>", '<Name Encoded="true">').replace(
            "/x", "/x%EF%BF%BE%2B+"
        )
        (entry,) = self.read(f"<Blobs>{encoded}</Blobs>").entries
        self.assertEqual(entry.name, "org/repo/x\ufffe++")

    def test_a_page_that_is_none_is_an_error(self) -> None:
        for blobs, marker in (
            ("", "<NextMarker/>"),
            (f"<Blobs>{self.BLOB}</Blobs>", ""),
            ("<Blobs><Blob/></Blobs>", "<NextMarker/>"),
            (f"<Blobs>{self.BLOB.replace('Name', 'Nom')}</Blobs>", "<NextMarker/>"),
            (f"<Blobs>{self.BLOB.replace('>3<', '>-3<')}</Blobs>", "<NextMarker/>"),
            (f"<Blobs>{self.BLOB.replace('GMT', '')}</Blobs>", "<NextMarker/>"),
            (f"<Blobs>{self.BLOB}", "<NextMarker/>"),
        ):
            with self.assertRaises(StoreError, msg=blobs):
                self.read(blobs, marker)
