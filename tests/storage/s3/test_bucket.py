"""What a bucket's answers are taken for, whoever they come from."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.base.http_client import Answer
from giftless.errors import ServiceUnavailable, StorageUnavailable
from giftless.interfaces import ObjectFacts, PartUpload, Payload
from giftless.lfs.multipart import PartPlan
from giftless.storage.remote.client import FIRST_DELAY, StoreClient, StoreError
from giftless.storage.remote.container import FoundPart, Layout
from giftless.storage.remote.credentials import Expiring, Refreshing
from giftless.storage.remote.modes import DirectStore
from giftless.storage.remote.resumable.context import context_of
from giftless.storage.remote.xml_bucket import BUCKET_BELIEVED, BUCKET_RENEWED
from giftless.storage.s3 import answers
from giftless.storage.s3.bucket import Bucket, Place
from giftless.storage.s3.signing import Credentials
from tests.storage.remote.proxy_contract import sizes_of
from tests.support.making import environment, key_of
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
        context = context_of(environment(self.mktemp(), self.clock), "S3", 1)
        self.store = DirectStore(self.bucket, 1, False, context)

    def make(self, **place: Any) -> Bucket:
        async def fetch() -> Expiring[Credentials]:
            return Expiring(Credentials("AKID", "secret", "token"), self.expiry)

        defaults: dict[str, Any] = {
            "url": "http://s3.example/b",
            "public_url": "https://cdn.example/b",
            "bucket": "b",
            "region": "eu-west-1",
            "conditional_writes": True,
            "checksum": True,
        }
        return Bucket(
            Place(**{**defaults, **place}),
            Layout("pre"),
            Refreshing(fetch, self.clock, self.clock.seconds, "credentials"),
            self.client,
            self.clock,
            self.clock.seconds,
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


class TimeTests(BucketTestCase):
    """The store's clock is read without a credential."""

    def test_any_answer_tells_the_time(self) -> None:
        time = self.start(self.store.time())
        (asked,) = self.running
        self.assertEqual((asked.method, asked.url), ("HEAD", "http://s3.example/b"))
        asked.succeed(403, {**OWN, "Date": "Fri, 15 Jan 2027 08:00:00 GMT"})
        self.assertEqual(self.successResultOf(time), 1_800_000_000)

    def test_an_answer_without_a_date_tells_nothing(self) -> None:
        time = self.start(self.store.time())
        self.running[0].succeed(403, OWN)
        self.failureResultOf(time, ServiceUnavailable)


class AbsenceTests(BucketTestCase):
    """'Absent' is said only when the store has said so."""

    def test_a_present_object_has_its_size(self) -> None:
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
        self.assertEqual(sizes_of(found), [1, StorageUnavailable, None])
        self.assertNotIn("403", found[1].message)
        self.assertGreater(found[1].retry_after, 0)

    def test_a_slow_store_fails_only_what_it_does_not_answer(self) -> None:
        sizes = self.sizes(b"a", b"b")
        self.running[0].succeed(200, {**OWN, "Content-Length": "1"})
        for _ in range(201):
            self.clock.advance(0.1)
        self.assertEqual(sizes_of(self.successResultOf(sizes)), [1, StorageUnavailable])
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
        facts = self.successResultOf(found)
        assert facts is not None
        return facts

    def test_only_a_checksum_of_the_whole_counts(self) -> None:
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
            # What a client said when it made the object of parts, and nobody has checked.
            {"x_amz_checksum_sha256": digest, "etag": '"0123456789abcdef0123456789abcdef-3"'},
            {
                "x_amz_checksum_sha256": digest,
                "x_amz_checksum_type": "FULL_OBJECT",
                "etag": '"0123456789abcdef0123456789abcdef-3"',
            },
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
        action = self.run_now(bucket.sign_upload(key_of(b"a"), 1, 60, {}, False))
        self.assertEqual(action.header, {"Content-Type": "application/octet-stream"})
        action = self.run_now(self.bucket.sign_upload(key_of(b"a"), 1, 60, {}, False))
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
        action = self.run_now(self.bucket.sign_upload(key_of(b"a"), 1, 60, {}, False))
        self.assertIn("content-length%3B", action.href)
        assert action.header is not None
        self.assertNotIn("Content-Length", action.header)

    def test_a_proxied_upload_is_signed_with_its_own_hash(self) -> None:
        request = self.run_now(
            self.bucket.put_request(key_of(b"a"), Payload(1, key_of(b"a").oid), {})
        )
        self.assertEqual(request.headers["x-amz-content-sha256"], key_of(b"a").oid)
        self.assertNotIn("If-None-Match", request.headers)


class PartTests(BucketTestCase):
    """Uploads in parts, whatever the store says."""

    def setUp(self) -> None:
        super().setUp()
        self.upload = PartUpload("an/id+", PartPlan(30, 10))
        self.parts = {2: FoundPart(10, '"b&"'), 1: FoundPart(10, '"a"'), 3: FoundPart(10, "c")}

    def complete(
        self, status: int, body: bytes, replace: bool = False, bucket: Bucket | None = None
    ) -> Deferred[str | None]:
        done = self.start(
            (bucket or self.bucket).complete_upload(
                key_of(b"a"), self.upload, self.parts, {}, replace
            )
        )
        (self.asked,) = self.running
        self.asked.succeed(status, OWN, body)
        return done

    def test_an_upload_is_completed_with_all_its_parts(self) -> None:
        done = (
            b"<CompleteMultipartUploadResult xmlns='x'><Key>k</Key><ETag>&quot;a-3&quot;</ETag>"
            b"</CompleteMultipartUploadResult>"
        )
        prepared: list[Any] = []
        patient = self.bucket._patient
        ask = patient.ask

        def noting(*args: Any) -> Any:
            prepared.append(args[0])
            return ask(*args)

        self.patch(patient, "ask", noting)
        # White space keeps the connection alive, before the document or in it.
        for body in (done, b"  \n <?xml version='1.0'?>\n  " + done, done.replace(b"<K", b" \n<K")):
            self.assertEqual(self.successResultOf(self.complete(200, body)), '"a-3"')
        self.assertEqual(self.asked.method, "POST")
        self.assertEqual(parse_qs(urlsplit(self.asked.url).query), {"uploadId": ["an/id+"]})
        self.assertEqual(
            self.run_now(prepared[0]()).body,
            b"<CompleteMultipartUpload>"
            b'<Part><PartNumber>1</PartNumber><ETag>"a"</ETag></Part>'
            b'<Part><PartNumber>2</PartNumber><ETag>"b&amp;"</ETag></Part>'
            b"<Part><PartNumber>3</PartNumber><ETag>c</ETag></Part>"
            b"</CompleteMultipartUpload>",
        )

    def test_an_object_that_is_there_is_replaced_only_on_purpose(self) -> None:
        for place, replacing, expected in (
            (True, False, ["*"]),
            (True, True, None),
            (False, False, None),
        ):
            bucket = self.make(conditional_writes=place)
            self.failureResultOf(self.complete(400, b"", replacing, bucket), StoreError)
            self.assertEqual(self.asked.headers.getRawHeaders("if-none-match"), expected)

    def test_an_upload_that_is_not_there_any_more(self) -> None:
        for status, body in (
            (404, error("NoSuchUpload")),
            (200, error("NoSuchUpload")),
            (412, error("PreconditionFailed")),
            (200, error("PreconditionFailed")),
            (409, error("ConditionalRequestConflict")),
            (400, error("InvalidPart")),
        ):
            self.assertIsNone(self.successResultOf(self.complete(status, body)), (status, body))

    def test_whatever_else_is_an_error(self) -> None:
        """Also with a status that was sent before the end was known."""
        for status, body in (
            (200, b""),
            (200, b"   "),
            (200, b"  \n " + error("InternalError")),
            (200, b"<html/>"),
            (200, b"<CompleteMultipartUploadResult>"),
            (200, b"<!DOCTYPE x><CompleteMultipartUploadResult/>"),
            (204, b""),
            (301, b""),
            (403, error("AccessDenied")),
            (404, error("NoSuchBucket")),
            (404, b"<html>Not Found</html>"),
        ):
            self.failureResultOf(self.complete(status, body), StoreError)

    def test_it_may_take_minutes(self) -> None:
        done = self.start(
            self.bucket.complete_upload(key_of(b"a"), self.upload, self.parts, {}, False)
        )
        self.clock.advance(200)
        self.assertNoResult(done)
        self.running[0].succeed(
            200, OWN, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"
        )
        self.assertEqual(self.successResultOf(done), "")

    def test_nobody_waits_behind_it(self) -> None:
        """However many are under way, and however few questions are asked at once."""
        self.client = StoreClient(self.agent.client(), self.clock, 20, 1, lambda: 1.0)
        self.bucket = self.make()
        for _ in range(3):
            completed = self.bucket.complete_upload(key_of(b"a"), self.upload, self.parts, {}, True)
            self.start(completed)
        self.assertEqual(len(self.running), 3)
        facts = self.start(self.bucket.facts(key_of(b"b"), False))
        self.running[-1].succeed(200, {**OWN, "Content-Length": "1"})
        self.assertEqual(self.successResultOf(facts), ObjectFacts(1, None, {}))

    def test_nothing_is_aborted_or_listed_without_an_id(self) -> None:
        """The same request without one deletes the object."""
        upload = PartUpload("", PartPlan(30, 10))
        self.run_now(self.bucket.abort_upload(key_of(b"a"), upload))
        self.assertIsNone(self.run_now(self.bucket.find_parts(key_of(b"a"), upload)))
        completed = self.bucket.complete_upload(key_of(b"a"), upload, self.parts, {}, False)
        self.assertIsNone(self.run_now(completed))
        self.assertEqual(self.agent.asked, [])

    def test_lists_that_make_no_sense_are_errors(self) -> None:
        """And do not go on for ever."""
        part = b"<Part><PartNumber>1</PartNumber><Size>%s</Size></Part>"
        for bodies in (
            [b"<ListPartsResult>" + part % b"many" + b"</ListPartsResult>"],
            [b"<ListPartsResult>" + part % b"" + b"</ListPartsResult>"],
            [b"<ListPartsResult>" + part % (b"9" * 1000) + b"</ListPartsResult>"],
            [b"<ListMultipartUploadsResult/>"],
            [b"<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>"] * 11,
        ):
            found = self.start(self.bucket.find_parts(key_of(b"a"), self.upload))
            for body in bodies:
                self.assertNoResult(found)
                self.running[0].succeed(200, OWN, body)
            self.failureResultOf(found, StoreError)

    def test_the_newest_upload_comes_first(self) -> None:
        name = f"pre/{key_of(b'a').path}"
        entries = [
            (name, "2026-01-01T00:00:00.001Z", "first"),
            (name, "2026-01-02T00:00:00.000Z", "third"),
            (name, "2026-01-01T00:00:00.002Z", "second"),
            (f"{name}x", "2026-01-03T00:00:00.000Z", "another's"),
        ]
        listed = "".join(
            f"<Upload><Key>{key}</Key><Initiated>{when}</Initiated>"
            f"<UploadId>{upload}</UploadId></Upload>"
            for key, when, upload in entries
        )
        found = self.start(self.bucket.find_uploads(key_of(b"a")))
        (asked,) = self.running
        query = parse_qs(urlsplit(asked.url).query, keep_blank_values=True)
        self.assertEqual((query["uploads"], query["prefix"]), ([""], [name]))
        body = f"<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>"
        asked.succeed(200, OWN, body.encode())
        self.assertEqual(self.successResultOf(found), ["third", "second", "first"])

    def test_a_bucket_in_front_of_the_host_is_asked_at_its_root(self) -> None:
        bucket = self.make(url="https://b.s3.example")
        self.start(bucket.find_uploads(key_of(b"a")))
        self.assertTrue(self.running[0].url.startswith("https://b.s3.example/?"))

    def test_signing_many_lets_the_reactor_do_other_things(self) -> None:
        self.expiry = self.clock.seconds() + 100
        signed = self.start(
            self.bucket.sign_parts(key_of(b"a"), self.upload, list(PartPlan(250, 1)), 600)
        )
        # Two of them wait behind the first hundred.
        self.assertNoResult(signed)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        actions = self.successResultOf(signed)
        numbers = [
            int(parse_qs(urlsplit(action.href).query)["partNumber"][0]) for action in actions
        ]
        self.assertEqual(numbers, list(range(1, 251)))
        self.assertEqual({action.expires_in for action in actions}, {100})
        self.assertIn("content-length%3Bhost", actions[0].href)
        self.assertTrue(actions[0].href.startswith("https://cdn.example/b/pre/org/repo/"))

    def test_a_part_that_passes_through_is_not_hashed_beforehand(self) -> None:
        part = self.upload.plan.part(2)
        assert part is not None
        request = self.run_now(self.bucket.part_request(key_of(b"a"), self.upload, part))
        self.assertEqual(request.headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD")
        self.assertIn("partNumber=2&uploadId=an%2Fid%2B", request.url)


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
