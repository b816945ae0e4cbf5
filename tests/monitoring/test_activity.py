"""What a worker tells of what it does."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from giftless.interfaces import (
    AliasChanged,
    Arrival,
    BatchAnswered,
    ConfigurationReloaded,
    IObserver,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectDeleted,
    ObjectFaulty,
    ObjectMarked,
    ObjectRestored,
    ObjectServed,
    ObjectStored,
    ObjectTrashed,
    Payload,
    QuotaWarned,
    Refused,
    RepositoryCopied,
    RepositoryMoved,
    ScrubEnded,
)
from giftless.lfs.locks import Lock
from giftless.lfs.multipart import Part
from giftless.lfs.objects import Operation
from giftless.monitoring.activity import (
    MAX_EVENTS,
    MAX_REPOSITORIES,
    MAX_TEXT,
    MAX_UPLOADS,
    OTHERS,
    Activity,
    Report,
    RepositoryTraffic,
    Traffic,
    short,
)
from giftless.observers.rendering import NAMES, name_of
from tests.support.bodies import ListBody
from tests.support.making import key_of, repo_of
from tests.support.run import CoroutineTestCase

KEY = key_of(b"x")
REPO = KEY.repo
LOCK = Lock("1", REPO, "a.bin", "will", 0)
DATE = 1_700_000_000.0


def refused(cause: str = "forbidden", repo: str = "org/repo", **named: Any) -> Refused:
    return Refused(cause, 403, "you may not", repo_of(repo), "rita", **named)


class ActivityTestCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.steady = 100.0
        self.activity = Activity(name_of, lambda: self.steady, lambda: DATE + self.steady, 42)

    def report(self) -> Report:
        """Return what is told, as it arrives."""
        return msgspec.json.decode(msgspec.json.encode(self.activity.report()), type=Report)


class EventTests(ActivityTestCase):
    def test_it_provides_its_interface(self) -> None:
        verifyObject(IObserver, self.activity)

    def test_objects_and_batches_are_counted_by_repository(self) -> None:
        observe = self.activity.observe
        observe(ObjectStored(KEY, 100, "will", Arrival.STREAMED))
        observe(ObjectStored(KEY, 20, "will", Arrival.CONFIRMED))
        observe(ObjectServed(KEY, 100, 30, False, "rita"))
        observe(BatchAnswered(REPO, "rita", Operation.UPLOAD, "basic", 2, 0))
        observe(BatchAnswered(repo_of("other"), "", Operation.DOWNLOAD, "basic", 0, 0))
        self.assertEqual(
            self.report(),
            Report(
                42,
                [
                    RepositoryTraffic("org/repo", 1, 2, 1, 120, 30),
                    RepositoryTraffic("other", 1),
                ],
            ),
        )
        self.assertEqual(self.report(), Report(42))

    def test_what_is_rarer_is_told_one_by_one(self) -> None:
        for event in (
            LockCreated(LOCK),
            LockReleased(LOCK),
            LockForced(LOCK, "rita", request_id="req-1"),
            ObjectDeleted(KEY, "", "it is not needed"),
            ObjectMarked(KEY, "", "its digest is wrong"),
            ObjectFaulty(KEY, 7, "unreadable", "Input/output error", "giftless (scrub)"),
            ScrubEnded(3, 7_000, 7_000, {}, 90.0, "giftless (scrub)"),
            ScrubEnded(3, 7_000, 7_000, {"wrong": 2, "missing": 1}, 90.0, "giftless (scrub)"),
            ObjectTrashed(KEY, 7, "ada", "no ref leads to it"),
            ObjectRestored(KEY, 7, "will"),
            RepositoryMoved(REPO, repo_of("org/new"), "ada"),
            RepositoryCopied(REPO, repo_of("org/new"), 5, "ada"),
            AliasChanged(REPO, repo_of("org/new"), "ada"),
            AliasChanged(REPO, None, "ada"),
            QuotaWarned("acme", True, 80_000, 2_500, 100_000, 0.8),
            QuotaWarned("acme/rocket", False, 80_000, 2_500, 100_000, 0.8),
            ConfigurationReloaded("/etc/giftless.yaml"),
            ConfigurationReloaded("/etc/giftless.yaml", "line 3: what is that"),
            refused(address="192.0.2.1", request_id="req-2"),
        ):
            self.steady += 1
            self.activity.observe(event)
        events = sorted(self.report().events, key=lambda event: event.at)
        oid = KEY.oid[:12]
        self.assertEqual(
            [(event.kind, event.repo, event.words, event.request_id) for event in events],
            [
                ("lock.created", "org/repo", "will locked a.bin", ""),
                ("lock.released", "org/repo", "will unlocked a.bin", ""),
                (
                    "lock.forced",
                    "org/repo",
                    "rita removed the lock of will on a.bin",
                    "req-1",
                ),
                (
                    "object.deleted",
                    "org/repo",
                    f"somebody deleted object {oid}: it is not needed",
                    "",
                ),
                (
                    "object.marked",
                    "org/repo",
                    f"object {oid} is damaged: its digest is wrong",
                    "",
                ),
                (
                    "object.faulty",
                    "org/repo",
                    f"object {oid}: unreadable: Input/output error",
                    "",
                ),
                (
                    "scrub.ended",
                    "",
                    "the scrub examined 3 objects (7 kB) in 1 min 30 s: all are well",
                    "",
                ),
                (
                    "scrub.ended",
                    "",
                    "the scrub examined 3 objects (7 kB) in 1 min 30 s: 1 missing, 2 wrong",
                    "",
                ),
                (
                    "object.trashed",
                    "org/repo",
                    f"ada moved object {oid} into the trash: no ref leads to it",
                    "",
                ),
                ("object.restored", "org/repo", f"will restored object {oid}", ""),
                ("repository.moved", "org/repo", "ada renamed it to org/new", ""),
                ("repository.copied", "org/repo", "ada copied it to org/new", ""),
                ("alias.changed", "org/repo", "ada made it a name of org/new", ""),
                ("alias.changed", "org/repo", "ada ended this name of a repository", ""),
                (
                    "quota.warned",
                    "",
                    "the organisation acme has taken 82.5 kB of its 100 kB",
                    "",
                ),
                (
                    "quota.warned",
                    "acme/rocket",
                    "the repository acme/rocket has taken 82.5 kB of its 100 kB",
                    "",
                ),
                ("configuration.reloaded", "", "the configuration was read again", ""),
                (
                    "configuration.reloaded",
                    "",
                    "the configuration stays as it was: line 3: what is that",
                    "",
                ),
                (
                    "request.refused",
                    "org/repo",
                    "forbidden (403) for rita from 192.0.2.1: you may not",
                    "req-2",
                ),
            ],
        )
        self.assertEqual([event.at for event in events], [DATE + 101 + n for n in range(19)])
        self.assertLess({event.kind for event in events}, set(NAMES))
        self.assertEqual(self.report().events, [])

    def test_refusals_that_are_alike_are_one(self) -> None:
        for number in range(1000):
            self.steady += 1
            self.activity.observe(refused(request_id=f"req-{number}"))
            self.activity.observe(refused("bad-credential"))
        first, second = self.report().events
        self.assertEqual((first.cause, first.count), ("forbidden", 1000))
        self.assertEqual((second.cause, second.count), ("bad-credential", 1000))
        self.assertEqual((first.since, first.at), (DATE + 101, DATE + 1100))
        self.assertEqual(first.request_id, "req-999")

    def test_what_happens_to_many_objects_of_a_repository_is_one_event(self) -> None:
        self.activity.observe(LockForced(LOCK, "rita"))
        for number in range(3 * MAX_EVENTS):
            self.steady += 1
            key = key_of(b"%d" % number, "acme/site")
            self.activity.observe(ObjectTrashed(key, 5, "ada", "no branch needs it"))
        self.activity.observe(ObjectTrashed(key_of(b"x", "acme/film"), 5, "ada", "old"))
        self.activity.observe(ObjectRestored(key_of(b"x", "acme/site"), 5, "ada"))
        self.activity.observe(ObjectDeleted(key_of(b"x", "acme/site"), "bob", "emptied"))
        self.assertEqual(
            [(event.kind, event.repo, event.count) for event in self.report().events],
            [
                ("object.trashed", "acme/site", 3 * MAX_EVENTS),
                ("object.trashed", "acme/film", 1),
                ("object.restored", "acme/site", 1),
                ("object.deleted", "acme/site", 1),
                ("lock.forced", LOCK.repo.path, 1),
            ],
        )
        self.assertEqual(self.report().events, [])

    def test_a_flood_washes_away_nothing_else(self) -> None:
        self.activity.observe(LockForced(LOCK, "rita"))
        for number in range(3 * MAX_EVENTS):
            self.activity.observe(refused(repo=f"r{number}"))
        self.activity.observe(Refused("malformed", 400, "what is that"))
        events = self.report().events
        self.assertEqual(len(events), MAX_EVENTS + 1)
        self.assertEqual(events[-1].kind, "lock.forced")
        self.assertEqual((events[-2].cause, events[-2].repo), ("malformed", ""))
        for _ in range(3 * MAX_EVENTS):
            self.activity.observe(LockCreated(LOCK))
        self.assertEqual(len(self.report().events), MAX_EVENTS)

    def test_texts_that_clients_choose_are_cut(self) -> None:
        path = "\u202e" * 4096 + "\ud800"
        self.activity.observe(
            LockCreated(Lock("1", repo_of("r" * 200 + "/" + "é" * 100), path, "", 0))
        )
        self.activity.observe(
            BatchAnswered(repo_of("a" * 200 + "/b"), "", Operation.UPLOAD, "", 0, 0)
        )
        report = self.report()
        self.assertEqual(len(report.events[0].words), MAX_TEXT)
        self.assertEqual(len(report.events[0].repo), MAX_TEXT)
        self.assertEqual(len(report.repositories[0].name), MAX_TEXT)

    def test_a_million_repositories_take_no_room(self) -> None:
        busy = repo_of("busy")
        for number in range(5 * MAX_REPOSITORIES):
            self.activity.observe(
                BatchAnswered(repo_of(f"r{number}"), "", Operation.UPLOAD, "", 0, 0)
            )
            if number % 10 == 0:
                self.activity.observe(ObjectStored(key_of(b"x", "busy"), 1, "", Arrival.STREAMED))
        report = self.report()
        self.assertEqual(report.repositories[0].name, busy.path)
        self.assertEqual(report.repositories[0].objects_stored, MAX_REPOSITORIES // 2)
        self.assertEqual(report.repositories[-1].name, OTHERS)
        self.assertLessEqual(len(report.repositories), MAX_REPOSITORIES + 1)
        batches = sum(one.batches for one in report.repositories)
        self.assertEqual(batches, 5 * MAX_REPOSITORIES)
        self.assertLess(len(msgspec.json.encode(report)), 1_000_000)


class UploadTests(ActivityTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ended: list[Deferred[str]] = []

    async def put(self, *arguments: Any) -> str:
        self.ended.append(Deferred())
        return await self.ended[-1]

    def body(self, received: int) -> Any:
        body: Any = ListBody([])
        body.received = received
        return body

    def test_an_upload_is_told_while_it_runs(self) -> None:
        put = self.activity.watched("put", self.put)
        body = self.body(7)
        upload = self.start(put(KEY, Payload(10, KEY.oid), body, {}))
        self.steady += 5
        (running,) = self.report().transfers
        self.assertEqual((running.repo, running.oid, running.worker), ("org/repo", KEY.oid, 42))
        self.assertEqual((running.size, running.received), (10, 7))
        self.assertEqual(running.began_at, DATE + 100)
        body.received = 9
        self.assertEqual(self.report().transfers[0].received, 9)
        self.ended[0].callback("stored")
        self.assertEqual(self.successResultOf(upload), "stored")
        self.assertEqual(self.report().transfers, [])

    def test_one_that_fails_runs_no_more(self) -> None:
        put = self.activity.watched("put", self.put)
        upload = self.start(put(KEY, Payload(10, KEY.oid), ListBody([]), {}))
        self.assertEqual(self.report().transfers[0].received, 0)
        upload.cancel()
        self.failureResultOf(upload)
        self.assertEqual(self.report().running_total, 0)

    def test_a_part_is_an_upload_too(self) -> None:
        put = self.activity.watched("put_part", self.put)
        self.start(put(KEY, "upload", Part(2, 5, 3), self.body(2)))
        self.assertEqual(self.report().transfers[0].size, 3)
        self.ended[0].callback("stored")

    def test_the_oldest_are_told_if_there_are_many(self) -> None:
        put = self.activity.watched("put", self.put)
        for number in range(MAX_UPLOADS + 5):
            self.start(put(KEY, Payload(number, KEY.oid), ListBody([]), {}))
        report = self.report()
        self.assertEqual(report.running_total, MAX_UPLOADS + 5)
        self.assertEqual([one.size for one in report.transfers], list(range(MAX_UPLOADS)))
        for ended in self.ended:
            ended.callback("stored")
        self.assertEqual(self.report(), Report(42))


class TrafficTests(CoroutineTestCase):
    def test_the_busiest_come_first_and_the_rest_together(self) -> None:
        traffic = Traffic()
        traffic.add(
            [
                RepositoryTraffic("quiet", batches=9),
                RepositoryTraffic("up", uploaded_bytes=5),
                RepositoryTraffic("down", downloaded_bytes=6, batches=1),
            ]
        )
        self.assertEqual(
            traffic.busiest(1),
            [
                RepositoryTraffic("down", downloaded_bytes=6, batches=1),
                RepositoryTraffic(OTHERS, uploaded_bytes=5, batches=9),
            ],
        )
        self.assertEqual([one.name for one in traffic.busiest()], ["down", "up", "quiet"])

    def test_others_stay_others(self) -> None:
        traffic = Traffic()
        traffic.add([RepositoryTraffic(OTHERS, batches=9), RepositoryTraffic("a", batches=1)])
        traffic.add(traffic.busiest(0))
        self.assertEqual([one.name for one in traffic.busiest()], ["a", OTHERS])
        self.assertEqual(traffic.busiest()[1].batches, 19)


class ShortTests(CoroutineTestCase):
    @given(st.text() | st.text(min_size=MAX_TEXT, alphabet="a\ud800\u202e"))
    def test_a_text_can_always_be_written(self, text: str) -> None:
        cut = short(text)
        self.assertLessEqual(len(cut), MAX_TEXT)
        cut.encode()

    def test_what_was_cut_says_so(self) -> None:
        self.assertEqual(short("a" * MAX_TEXT), "a" * MAX_TEXT)
        self.assertEqual(short("a" * (MAX_TEXT + 1)), "a" * (MAX_TEXT - 1) + "…")
