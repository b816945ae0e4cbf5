"""What a bucket's answers are taken for, whoever they come from."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.errors import ServiceUnavailable
from giftless.interfaces import ObjectFacts
from giftless.outgoing import Answer
from giftless.storage.remote.client import FIRST_DELAY, StoreClient, StoreError
from giftless.storage.remote.container import Layout
from giftless.storage.remote.credentials import Expiring, Refreshing
from giftless.storage.remote.stores import DirectStore
from giftless.storage.s3 import answers
from giftless.storage.s3.bucket import BUCKET_BELIEVED, BUCKET_RENEWED, Bucket, Place
from giftless.storage.s3.signing import Credentials
from tests.storage.remote import sizes_of
from tests.support.blocking import InlineBlocking
from tests.support.making import key_of
from tests.support.run import CoroutineTestCase
from tests.support.scripted import Asked, ScriptedAgent

#: What S3 itself adds to every answer.
OWN = {"x-amz-request-id": "ABC"}


def error(code: str, extra: str = "") -> bytes:
    """Return an error's body."""
    return (
        f'<?xml version="1.0"?>\n<Error><Code>{code}</Code>'
        f"<Message>Because &amp; so.</Message>{extra}</Error>"
    ).encode()


class BucketTestCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.agent = ScriptedAgent(self.clock)
        self.client = StoreClient(self.agent.client(), self.clock, 20, 32, lambda: 1.0)
        self.expiry: float | None = None
        self.bucket = self.make()
        self.store = DirectStore(self.bucket, self.client, InlineBlocking(), 1, False)

    def make(self, **place: Any) -> Bucket:
        async def fetch() -> Expiring[Credentials]:
            return Expiring(Credentials("AKID", "secret", "token"), self.expiry)

        defaults: dict[str, Any] = {
            "url": "http://s3.example/b",
            "public_url": "https://cdn.example/b",
            "region": "eu-west-1",
            "conditional_writes": True,
            "checksum": True,
        }
        return Bucket(
            Place(**{**defaults, **place}),
            Layout("pre"),
            Refreshing(fetch, self.clock, "credentials"),
            self.client,
            self.clock,
        )

    def sizes(self, *names: bytes) -> Deferred[Any]:
        return self.start(self.store.sizes([key_of(name) for name in names]))

    @property
    def running(self) -> list[Asked]:
        return self.agent.running

    def answer_bucket(self) -> None:
        """Say that the bucket is there and has no such object."""
        (asked,) = [asked for asked in self.running if asked.method == "GET"]
        self.assertIn("/b/pre/.giftless/", asked.url)
        asked.succeed(404, OWN, error("NoSuchKey"))


class AbsenceTests(BucketTestCase):
    """'Absent' is said only when the store has said so."""

    def test_present(self) -> None:
        sizes = self.sizes(b"a")
        (asked,) = self.running
        self.assertEqual((asked.method, urlsplit(asked.url).path[:8]), ("HEAD", "/b/pre/o"))
        asked.succeed(200, {**OWN, "Content-Length": "123"})
        self.assertEqual(self.successResultOf(sizes), [123])

    def test_absent_in_a_bucket_that_is_there(self) -> None:
        """The bucket is looked for once, for all that are absent."""
        sizes = self.sizes(b"a", b"b", b"c")
        for asked in list(self.running):
            asked.succeed(404, OWN)
        self.assertNoResult(sizes)
        self.answer_bucket()
        self.assertEqual(self.successResultOf(sizes), [None] * 3)
        self.assertEqual(len(self.agent.asked), 4)

    def test_the_bucket_is_believed_for_a_while(self) -> None:
        sizes = self.sizes(b"a")
        self.running[0].succeed(404, OWN)
        self.answer_bucket()
        self.successResultOf(sizes)
        self.clock.advance(BUCKET_RENEWED - 1)
        sizes = self.sizes(b"a")
        self.running[0].succeed(404, OWN)
        self.assertEqual(self.successResultOf(sizes), [None])
        # Then it is looked for again, and nobody waits.
        self.clock.advance(1)
        sizes = self.sizes(b"a")
        self.running[0].succeed(404, OWN)
        self.assertEqual(self.successResultOf(sizes), [None])
        self.answer_bucket()
        self.clock.advance(BUCKET_BELIEVED)
        sizes = self.sizes(b"a")
        self.running[0].succeed(404, OWN)
        self.assertNoResult(sizes)

    def test_a_bucket_that_is_gone_makes_nothing_absent(self) -> None:
        sizes = self.sizes(b"a", b"b")
        for asked in list(self.running):
            asked.succeed(404, OWN)
        self.running[0].succeed(404, OWN, error("NoSuchBucket"))
        self.failureResultOf(sizes, ServiceUnavailable)

    def test_a_404_of_somebody_else_is_confirmed(self) -> None:
        """Some stores mark nothing as their own; some servers in between say 404 too."""
        for body, expected in (
            (error("NoSuchKey"), [None]),
            (b"<html>Not Found</html>", ServiceUnavailable),
            (b"", ServiceUnavailable),
            (error("NoSuchBucket"), ServiceUnavailable),
        ):
            self.setUp()
            sizes = self.sizes(b"a")
            self.running[0].succeed(404, {"Server": "nginx"})
            self.answer_bucket()
            (asked,) = self.running
            self.assertEqual(asked.method, "GET")
            self.assertIn(key_of(b"a").oid, asked.url)
            asked.succeed(404, {"Server": "nginx"}, body)
            if isinstance(expected, list):
                self.assertEqual(self.successResultOf(sizes), expected)
            else:
                self.failureResultOf(sizes, expected)

    def test_what_is_no_answer_to_the_question_is_an_error(self) -> None:
        """403 is what S3 says of absent objects to who may not list the bucket."""
        for status, headers in (
            (403, OWN),
            (301, {**OWN, "x-amz-bucket-region": "us-west-2"}),
            (400, OWN),
            (412, OWN),
            (200, OWN),
            (200, {"Content-Length": "many"}),
        ):
            sizes = self.sizes(b"a")
            self.running[0].succeed(status, headers)
            self.failureResultOf(sizes, ServiceUnavailable)

    def test_some_of_many_may_fail(self) -> None:
        sizes = self.sizes(b"a", b"b", b"c")
        first, second, third = self.running
        first.succeed(200, {**OWN, "Content-Length": "1"})
        second.succeed(403, OWN)
        third.succeed(404, OWN)
        self.answer_bucket()
        found = self.successResultOf(sizes)
        self.assertEqual(sizes_of(found), [1, ServiceUnavailable, None])
        self.assertNotIn("403", found[1].message)
        self.assertGreater(found[1].retry_after, 0)

    def test_a_slow_store_fails_only_what_it_does_not_answer(self) -> None:
        sizes = self.sizes(b"a", b"b")
        self.running[0].succeed(200, {**OWN, "Content-Length": "1"})
        for _ in range(201):
            self.clock.advance(0.1)
        self.assertEqual(sizes_of(self.successResultOf(sizes)), [1, ServiceUnavailable])
        self.assertEqual(self.running, [])

    def test_slow_down_is_obeyed_and_tried_again(self) -> None:
        sizes = self.sizes(b"a")
        self.running[0].succeed(503, OWN, b"")
        self.clock.advance(FIRST_DELAY)
        self.running[0].succeed(200, {**OWN, "Content-Length": "1"})
        self.assertEqual(self.successResultOf(sizes), [1])


class InspectionTests(BucketTestCase):
    def inspect(self, **headers: str) -> ObjectFacts:
        found = self.start(self.store.inspect(key_of(b"a")))
        (asked,) = self.running
        self.assertEqual(asked.headers.getRawHeaders("x-amz-checksum-mode"), ["ENABLED"])
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked.succeed(200, {**OWN, "Content-Length": "1", **named})
        facts: ObjectFacts = self.successResultOf(found)
        return facts

    def test_checksums(self) -> None:
        digest = base64.b64encode(bytes(range(32))).decode()
        self.assertEqual(self.inspect(x_amz_checksum_sha256=digest).sha256, bytes(range(32)).hex())
        self.assertEqual(
            self.inspect(x_amz_checksum_sha256=digest, x_amz_checksum_type="FULL_OBJECT").sha256,
            bytes(range(32)).hex(),
        )
        for headers in (
            {},
            {"x_amz_checksum_crc32": "AAAAAA=="},
            {"x_amz_checksum_sha256": f"{digest}-3"},
            {"x_amz_checksum_sha256": digest, "x_amz_checksum_type": "COMPOSITE"},
            {"x_amz_checksum_sha256": "AAAA"},
            {"x_amz_checksum_sha256": "\u00e4"},
        ):
            self.assertIsNone(self.inspect(**headers).sha256, headers)


class SigningTests(BucketTestCase):
    def test_an_upload_never_outlives_what_signed_it(self) -> None:
        for left, wanted, expected in ((100, 600, 100), (1000, 600, 600), (0.5, 600, 1)):
            self.setUp()
            self.expiry = self.clock.seconds() + left
            for signed in (
                self.store.upload_action(key_of(b"a"), 1, wanted, {}),
                self.store.download_action(key_of(b"a"), 1, wanted, {}),
            ):
                action = self.run_now(signed)
                self.assertEqual(action.expires_in, expected)
                query = parse_qs(urlsplit(action.href).query)
                self.assertEqual(query["X-Amz-Expires"], [str(expected)])
                self.assertEqual(query["X-Amz-Security-Token"], ["token"])

    def test_no_signature_is_good_for_more_than_seven_days(self) -> None:
        action = self.run_now(self.store.download_action(key_of(b"a"), 1, 10_000_000, {}))
        self.assertEqual(action.expires_in, 604_800)

    def test_clients_go_to_the_public_url_and_the_daemon_does_not(self) -> None:
        action = self.run_now(self.store.download_action(key_of(b"a"), 1, 60, {}))
        self.assertTrue(action.href.startswith("https://cdn.example/b/pre/org/repo/"))
        self.sizes(b"a")
        self.assertTrue(self.running[0].url.startswith("http://s3.example/b/pre/org/repo/"))

    def test_what_the_store_may_not_know_is_left_out(self) -> None:
        bucket = self.make(conditional_writes=False, checksum=False)
        action = self.run_now(bucket.sign_upload(key_of(b"a"), 1, 60, {}))
        self.assertEqual(action.header, {"Content-Type": "application/octet-stream"})
        action = self.run_now(self.bucket.sign_upload(key_of(b"a"), 1, 60, {}))
        digest = base64.b64encode(bytes.fromhex(key_of(b"a").oid)).decode()
        self.assertEqual(
            action.header,
            {
                "Content-Type": "application/octet-stream",
                "x-amz-checksum-sha256": digest,
                "If-None-Match": "*",
            },
        )

    def test_the_size_is_signed(self) -> None:
        """So that the store refuses a body of another length before it has read it."""
        action = self.run_now(self.bucket.sign_upload(key_of(b"a"), 1, 60, {}))
        self.assertIn("content-length%3B", action.href)
        assert action.header is not None
        self.assertNotIn("Content-Length", action.header)

    def test_a_proxied_upload_is_signed_with_its_own_hash(self) -> None:
        request = self.run_now(self.bucket.put_request(key_of(b"a"), 1, {}))
        self.assertEqual(request.headers["x-amz-content-sha256"], key_of(b"a").oid)
        self.assertNotIn("If-None-Match", request.headers)


class DescriptionTests(CoroutineTestCase):
    def test_words_for_the_log(self) -> None:
        for status, headers, body, words in (
            (403, {}, error("AccessDenied"), "AccessDenied: Because & so."),
            (403, {}, b"", "s3:ListBucket"),
            (301, {"x-amz-bucket-region": "us-west-2"}, b"", "us-west-2"),
            (400, {}, error("AuthorizationHeaderMalformed", "<Region>r</Region>"), "is in r"),
            (500, {}, b"\xff\xfe<Code>", "status 500"),
        ):
            problem = answers.describe(Answer(status, headers, body, True))
            self.assertIsInstance(problem, StoreError)
            self.assertIn(words, problem.problem)
