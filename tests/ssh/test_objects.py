"""Objects in sessions: what is stored, what is refused, and what git-lfs needs to be told."""

from __future__ import annotations

import hashlib
from typing import Any

from giftless.errors import IdentityUnavailable
from giftless.interfaces import Arrival, BatchAnswered, ObjectServed, ObjectStored, Refused
from tests.ssh.client import Line, framed, put_request, request
from tests.ssh.support import MB, SSHTestCase
from tests.support.making import oid_of, reader, repo_of, stranger, writer

DATA = b"some bytes\n"


class BatchTests(SSHTestCase):
    async def test_what_is_here_need_not_be_moved(self) -> None:
        await self.serve()
        self.put(DATA)

        def session(line: Line) -> None:
            oid, other = oid_of(DATA), oid_of(b"other")
            wanted = [f"{oid} {len(DATA)} noop", f"{other} 5 upload"]
            self.assertEqual(line.open().batch(DATA, b"other").texts, wanted)

        await self.session(session)
        (event,) = self.recorder.of(BatchAnswered)
        self.assertEqual((event.transfer, event.actions, event.present), ("ssh", 1, 1))

    async def test_a_missing_object_is_no_success(self) -> None:
        """Behind its own oid, ``noop`` would be one."""
        await self.serve()
        self.put(DATA)

        def session(line: Line) -> None:
            missing, here = line.open("download").batch(b"gone", DATA).texts
            self.assertEqual(here, f"{oid_of(DATA)} {len(DATA)} download")
            self.assertTrue(missing.startswith(f"{oid_of(b'gone')}:_the_object_does_not_exist"))
            self.assertEqual(len(missing.split(" ")), 3)

        await self.session(session)
        (event,) = self.recorder.of(Refused)
        self.assertEqual(
            (event.cause, event.who, event.address), ("not-found", "will", "198.51.100.7")
        )

    async def test_a_refused_upload_does_not_stop_the_others(self) -> None:
        await self.serve(max_object_size=10)

        def session(line: Line) -> None:
            large, small = line.open().batch(b"x" * 11, b"y").texts
            self.assertIn(":_the_object_has_11_bytes", large)
            self.assertEqual(small, f"{oid_of(b'y')} 1 upload")

        await self.session(session)

    async def test_a_batch_has_as_many_objects_as_it_may(self) -> None:
        await self.serve(max_objects=50)

        def session(line: Line) -> None:
            line.open()
            names = [f"{number:064x} 1" for number in range(51)]
            self.assertEqual(len(line.command("batch", (), names[1:]).texts), 50)
            refused = line.command("batch", (), names)
            self.assertEqual(refused.status, 413)
            self.assertIn("lfs.transfer.batchSize", refused.texts[0])
            self.assertEqual(line.command("batch", (), []).status, 422)
            self.assertEqual(line.command("batch").status, 422)
            self.assertEqual(line.batch(b"x").status, 200)

        await self.session(session)

    async def test_a_batch_of_any_length_is_read_to_its_end(self) -> None:
        """100,000 objects: refused, and the session goes on."""
        await self.serve(memory=4 * MB)

        def session(line: Line) -> None:
            line.open()
            names = [f"{number:064x} 1" for number in range(100_000)]
            self.assertEqual(line.command("batch", (), names).status, 413)
            self.assertEqual(line.batch(b"x").status, 200)

        await self.session(session)
        await self.settled()

    async def test_what_other_versions_of_git_lfs_send_is_taken(self) -> None:
        """An empty or no ref, no hash, arguments that nobody knows."""
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            for arguments in (
                (),
                ("transfer=ssh", "hash-algo=sha256", "refname="),
                ("transfer=ssh", "hash-algo=sha256", "refname=refs/heads/main", "x=y", "z"),
            ):
                reply = line.batch(DATA, arguments=arguments)
                self.assertEqual(reply.texts, [f"{oid_of(DATA)} {len(DATA)} upload"])
            refused = line.batch(DATA, arguments=["hash-algo=sha512"])
            self.assertIn(":_this_server's_objects_are_named_by_sha256", refused.texts[0])

        await self.session(session)


class PutTests(SSHTestCase):
    async def test_an_upload_is_published(self) -> None:
        await self.serve()
        await self.session(lambda line: line.open().put(DATA))
        (event,) = self.recorder.of(ObjectStored)
        self.assertEqual(event.key.repo, repo_of())
        self.assertEqual(
            (event.size, event.who, event.arrival), (len(DATA), "will", Arrival.STREAMED)
        )

    async def test_packets_of_any_size_are_taken(self) -> None:
        await self.serve()
        data = bytes(range(256)) * 700

        def session(line: Line) -> None:
            line.open()
            for size in (65516, 65515, 32768, 1000, 7):
                self.assertEqual(line.put(data[size:], packet=size).status, 200)
            oid = oid_of(b"ab")
            head = request(f"put-object {oid}", ["size=2"])[:-4] + b"0001"
            line.send(head + b"0005a" + b"0004" * 100 + b"0005b" + b"0000")
            self.assertEqual(line.reply().status, 200)

        await self.session(session)
        self.assertEqual(self.stored(b"ab"), b"ab")

    async def test_an_object_without_packets_is_the_empty_one(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            self.assertEqual(line.put(b"").status, 200)
            # As if the delim were left out.
            oid = oid_of(b"")
            self.assertEqual(line.command(f"put-object {oid}", ["size=0"]).status, 200)
            self.assertEqual(line.command(f"put-object {oid_of(b'x')}", ["size=1"]).status, 400)

        await self.session(session)

    def assert_refused(self, line: Line, sent: bytes, status: int, words: str) -> None:
        """Check that an upload is refused, and that the session goes on."""
        line.send(sent)
        reply = line.reply()
        self.assertEqual(reply.status, status)
        self.assertIn(words, reply.texts[0])
        self.assertEqual(line.batch(b"x").status, 200)

    async def test_other_bytes_than_the_oid_says_are_not_stored(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            for data in (DATA, b"x" * (2 * MB)):
                wrong = oid_of(data + b"!")
                self.assert_refused(line, put_request(data, wrong), 400, "SHA-256")

        await self.session(session)
        await self.settled()
        self.assertIsNone(self.stored(DATA))
        self.assertIsNone(self.stored(DATA + b"!"))

    async def test_another_size_than_announced_is_refused(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            for data in (DATA, b"x" * (2 * MB)):
                for size in (0, 1, len(data) - 1, len(data) + 1):
                    sent = put_request(data, size=size)
                    self.assert_refused(line, sent, 400, "announced")
            self.assert_refused(line, put_request(DATA).replace(b"size=", b"sice="), 400, "size")
            self.assert_refused(line, put_request(DATA, size=-1), 400, "size")

        await self.session(session)
        await self.settled()
        self.assertIsNone(self.stored(DATA))

    async def test_oids_that_are_none_never_reach_a_path(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            for oid in ("../../../etc/passwd", "/etc/passwd", "A1" * 32, "x", "a" * 63, "."):
                self.assert_refused(line, put_request(DATA, oid), 400, "oid")
                for command in ("get-object", "verify-object"):
                    reply = line.command(f"{command} {oid}", ["size=1"])
                    self.assertEqual((reply.status, len(reply.texts)), (400, 1))

        await self.session(session)

    async def test_bytes_behind_a_refusal_are_read_to_the_flush(self) -> None:
        """The client listens only then: 20 MB, of which nothing is kept."""
        await self.serve(max_object_size=MB, memory=4 * MB)

        def session(line: Line) -> None:
            line.open()
            self.assert_refused(line, put_request(b"x" * (20 * MB)), 413, "takes up to")

        await self.session(session)
        await self.settled()

    async def test_a_delim_among_the_bytes_ends_the_session(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            line.send(put_request(DATA)[:-4] + b"0001" + framed(DATA) + b"0000")
            self.assertEqual(line.reply().status, 400)
            self.assertEqual(line.rest(), b"")

        await self.session(session)
        await self.settled()
        self.assertIsNone(self.stored(DATA))

    async def test_what_is_stored_already_may_come_again(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            for _ in range(2):
                self.assertEqual(line.put(DATA).status, 200)

        await self.session(session)

    async def test_ids_and_tokens_are_passed_over(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            oid = oid_of(DATA)
            head = request(f"put-object {oid}", [f"size={len(DATA)}", "id=1", "token=2"])[:-4]
            line.open().send(head + b"0001" + framed(DATA) + b"0000")
            self.assertEqual(line.reply().status, 200)

        await self.session(session)


class GetTests(SSHTestCase):
    async def test_a_download_is_published_as_whole(self) -> None:
        await self.serve()
        large = b"large" * MB
        for data in (DATA, large):
            self.put(data)

        def session(line: Line) -> None:
            line.open("download")
            for data in (DATA, large):
                reply = line.get(data)
                self.assertEqual(reply.data, data)
                self.assertLessEqual(max(map(len, reply.lines or [])), 65516)

        await self.session(session)
        events = self.recorder.of(ObjectServed)
        self.assertEqual(
            [(it.sent, it.complete, it.who) for it in events],
            [(len(DATA), True, "will"), (len(large), True, "will")],
        )

    async def test_an_absent_object_is_refused_with_words_behind_a_delim(self) -> None:
        """Without the delim git-lfs takes the reply for broken."""
        await self.serve()

        def session(line: Line) -> None:
            reply = line.open("download").get(DATA)
            self.assertEqual(reply.status, 404)
            self.assertIn("there is no object", reply.texts[0])
            self.assertEqual(line.batch(DATA).status, 200)

        await self.session(session)

    async def test_the_size_need_not_be_said(self) -> None:
        await self.serve()
        self.put(DATA)

        def session(line: Line) -> None:
            line.open("download")
            self.assertEqual(line.command(f"get-object {oid_of(DATA)}").data, DATA)

        await self.session(session)

    async def test_every_size_around_a_packet_arrives_whole(self) -> None:
        await self.serve()
        edges = (65516, 2 * 65516, 4 * 65516, 5 * 65516, 8 * 65516)
        sizes = [0, 1, *(edge + step for edge in edges for step in (-1, 0, 1))]
        objects = [bytes([7]) * size for size in sizes]
        for data in objects:
            self.put(data)

        def session(line: Line) -> None:
            line.open("download")
            for data in objects:
                self.assertEqual(hashlib.sha256(line.get(data).data).hexdigest(), oid_of(data))

        await self.session(session)


class VerifyTests(SSHTestCase):
    async def test_an_object_is_verified_by_its_size(self) -> None:
        await self.serve()
        self.put(DATA)

        def session(line: Line) -> None:
            line.open()
            oid = oid_of(DATA)
            for size, status in ((len(DATA), 200), (len(DATA) + 1, 409)):
                reply = line.command(f"verify-object {oid}", [f"size={size}"])
                self.assertEqual(reply.status, status)
            reply = line.command(f"verify-object {oid_of(b'gone')}", ["size=4"])
            self.assertEqual(reply.status, 404)
            self.assertIn("upload it again", reply.texts[0])

        await self.session(session)

    async def test_the_store_is_not_asked_about_what_it_has_just_taken(self) -> None:
        await self.serve()
        asked: list[Any] = []
        sizes = self.store.sizes

        def count(keys: Any) -> Any:
            asked.append(keys)
            return sizes(keys)

        self.patch(self.store, "sizes", count)

        def session(line: Line) -> None:
            line.open()

            def verify(size: int) -> int:
                return line.command(f"verify-object {oid_of(DATA)}", [f"size={size}"]).status

            line.put(DATA)
            self.assertEqual((verify(len(DATA)), len(asked)), (200, 0))
            self.assertEqual((verify(len(DATA)), len(asked)), (200, 1))
            line.put(DATA)
            self.assertEqual((verify(len(DATA) + 1), len(asked)), (409, 2))
            line.put(DATA)
            # Rights count as ever.
            self.people.known["will"] = stranger(anonymous=False)
            self.assertEqual(verify(len(DATA)), 403)

        await self.session(session)


class PermissionTests(SSHTestCase):
    async def test_who_may_not_do_it_gets_no_session(self) -> None:
        await self.serve()

        def admit(user: str, operation: str, repo: str = "org/repo") -> Any:
            with self.line() as line:
                admitted = line.admit(f"git-lfs-transfer {repo} {operation}", user)
                rest = b"" if admitted.open else line.rest()
                return admitted.open, admitted.status, admitted.stderr.strip(), rest

        def clients() -> None:
            self.assertTrue(admit("rita", "download")[0])
            for user, operation, words in (
                ("rita", "upload", "rita does not have write access to org/repo"),
                ("nobody", "download", "nobody does not have read access to org/repo"),
                ("mallory", "download", "nobody knows who that is"),
            ):
                self.assertEqual(admit(user, operation), (False, 1, f"giftless: {words}", b""))

        await self.in_thread(clients)
        await self.settled()
        causes = [event.cause for event in self.recorder.of(Refused)]
        self.assertEqual(causes, ["forbidden", "forbidden", "bad-credential"])
        self.assertEqual([line.split(" ")[4] for line in self.lines], ["200", "403", "403", "401"])

    async def test_nothing_is_changed_in_a_session_for_downloads(self) -> None:
        """Who has let the client in may have decided by the operation."""
        await self.serve()
        self.put(DATA)

        def session(line: Line) -> None:
            line.open("download")
            line.send(put_request(b"new"))
            self.assertEqual(line.reply().status, 403)
            self.assertEqual(line.command("lock", ["path=a"]).status, 403)
            self.assertEqual(line.command("unlock 4f").status, 403)
            self.assertEqual(line.get(DATA).data, DATA)

        await self.session(session)
        self.assertIsNone(self.stored(b"new"))

    async def test_a_right_that_is_lost_is_lost_within_a_session(self) -> None:
        await self.serve()
        self.put(DATA)

        def session(line: Line) -> None:
            line.open()
            self.assertEqual(line.get(DATA).data, DATA)
            self.people.known["will"] = reader("will")
            line.send(put_request(b"new"))
            self.assertEqual(line.reply().status, 403)
            self.assertEqual(line.batch(b"new").status, 403)
            self.assertEqual(line.command("lock", ["path=a"]).status, 403)
            self.assertEqual(line.get(DATA).data, DATA)
            del self.people.known["will"]
            self.assertEqual(line.get(DATA).status, 401)
            self.assertEqual(line.command("list-lock").status, 401)
            self.assertEqual(line.batch(DATA).status, 401)

        await self.session(session)
        self.assertIsNone(self.stored(b"new"))

    async def test_a_repository_is_kept_under_the_name_that_the_identity_tells(self) -> None:
        await self.serve()
        self.people.known["will"] = writer()
        object.__setattr__(self.people.known["will"], "repo", repo_of("moved/here"))

        def session(line: Line) -> None:
            line.open()
            self.assertEqual(line.put(DATA).status, 200)

        await self.session(session)
        self.assertEqual(self.stored(DATA, "moved/here"), DATA)
        self.assertIsNone(self.stored(DATA))

    async def test_who_cannot_be_checked_now_is_told_so(self) -> None:
        await self.serve()

        async def fail(*_: object) -> None:
            raise IdentityUnavailable("the forge does not answer", 5)

        def session(line: Line) -> None:
            line.open()
            self.patch(self.people, "authenticate", fail)
            reply = line.batch(DATA)
            self.assertEqual((reply.status, reply.texts), (503, ["the forge does not answer"]))

        await self.session(session)

    async def test_one_repository_is_all_that_a_session_reaches(self) -> None:
        await self.serve()
        self.put(DATA, "other/repo")

        def session(line: Line) -> None:
            line.open()
            self.assertEqual(line.get(DATA).status, 404)
            for subject in (f"../other/repo/{oid_of(DATA)}", f"other/repo/{oid_of(DATA)}"):
                self.assertEqual(line.command(f"get-object {subject}").status, 400)

        await self.session(session)


class FailureTests(SSHTestCase):
    async def test_a_bug_is_answered_and_logged_and_the_session_goes_on(self) -> None:
        await self.serve()

        async def fail(*_: object) -> None:
            raise RuntimeError("a bug with a secret")

        def session(line: Line) -> None:
            line.open()
            self.patch(self.store, "sizes", fail)
            reply = line.command(f"verify-object {oid_of(DATA)}", ["size=1"])
            self.assertEqual((reply.status, len(reply.texts)), (500, 1))
            self.assertNotIn("secret", reply.texts[0])
            self.assertEqual(line.command("version 1").status, 200)

        await self.session(session)
        self.assertEqual(len(self.failures), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_an_unknown_command_is_refused(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            line.open()
            for command in ("", "push", "BATCH", "batch2", "version 2", "version", "\0"):
                reply = line.command(command)
                self.assertEqual((reply.status, len(reply.texts)), (400, 1))
            self.assertEqual(line.command("version 1").status, 200)

        await self.session(session)
        self.assertEqual(self.counted("giftless_ssh_requests_total", "other", "400"), 5)
