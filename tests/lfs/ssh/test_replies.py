"""Replies, as git-lfs reads them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import Forbidden, NotFound, OverQuota
from giftless.lfs.batch import BatchReply, ObjectError, ObjectReply
from giftless.lfs.locks import Lock, PathLocked
from giftless.lfs.objects import Action, Repo
from giftless.lfs.ssh.pkt_lines import Mark, PacketDecoder
from giftless.lfs.ssh.replies import (
    render_batch,
    render_done,
    render_error,
    render_lock,
    render_locks,
    render_object_head,
    render_welcome,
)

OID = "a1" * 32
OTHER = "b2" * 32
LOCK = Lock("4f", Repo(("org", "repo")), "a b.psd", "Wanda W.", 1_700_000_000, "basic#wanda")


def texts(data: bytes) -> list[str]:
    """Return packets as text; ``--`` for a delim, and an empty one for a flush."""
    decoder, found = PacketDecoder(), []
    decoder.feed(data)
    while (packet := decoder.packet()) is not None:
        if isinstance(packet, Mark):
            found.append("" if packet is Mark.FLUSH else "--")
        else:
            assert packet.endswith(b"\n")
            found.append(packet.decode()[:-1])
    assert not decoder.waiting
    return found


class ReplyTests(SynchronousTestCase):
    def test_the_server_says_its_version_and_whether_it_has_locks(self) -> None:
        self.assertEqual(texts(render_welcome(True)), ["version=1", "locking", ""])
        self.assertEqual(texts(render_welcome(False)), ["version=1", ""])

    def test_what_has_no_more_to_say_has_no_delim(self) -> None:
        """git-lfs takes one behind ``quit`` for an error."""
        self.assertEqual(texts(render_done()), ["status 200", ""])

    def test_an_error_has_its_words_behind_a_delim(self) -> None:
        reply = render_error(Forbidden("you may\nnot"))
        self.assertEqual(texts(reply), ["status 403", "--", "you may not", ""])

    def test_a_lock_of_somebody_else_is_told_with_the_words(self) -> None:
        arguments = ["id=4f", "path=a b.psd", "locked-at=2023-11-14T22:13:20Z"]
        owner = "ownername=Wanda W."
        error = PathLocked.by(LOCK)
        wanted = ["status 409", *arguments, owner, "--", error.message, ""]
        self.assertEqual(texts(render_error(error)), wanted)
        self.assertEqual(texts(render_lock(201, LOCK)), ["status 201", *arguments, owner, ""])

    def test_a_batch_has_a_line_for_each_action(self) -> None:
        upload = {"upload": Action("")}
        reply = BatchReply("ssh", [ObjectReply(OID, 3, True, upload), ObjectReply(OTHER, 4)])
        wanted = ["status 200", "hash-algo=sha256", "--", f"{OID} 3 upload", f"{OTHER} 4 noop", ""]
        self.assertEqual(texts(render_batch(reply)), wanted)

    def test_a_refused_object_is_told_under_no_oid_that_was_asked_for(self) -> None:
        """``noop`` behind its own oid would let git-lfs succeed without it."""
        error = OverQuota("there is\nno  room")
        reply = BatchReply("ssh", [ObjectReply(OID, 3, error=ObjectError(507, error.message))])
        (line,) = texts(render_batch(reply))[3:-1]
        self.assertEqual(line, f"{OID}:_there_is_no_room 3 noop")

    def test_the_reason_of_a_refusal_is_short(self) -> None:
        error = ObjectError(404, "x " * 10_000)
        (line,) = texts(render_batch(BatchReply("ssh", [ObjectReply(OID, 3, error=error)])))[3:-1]
        self.assertLess(len(line), 600)

    def test_an_objects_size_stands_in_front_of_its_bytes(self) -> None:
        self.assertEqual(texts(render_object_head(3)), ["status 200", "size=3", "--"])

    def test_the_lines_of_a_lock_stand_together(self) -> None:
        reply = texts(render_locks([(LOCK, False), (LOCK, True)], "next"))
        self.assertEqual(reply[:3], ["status 200", "next-cursor=next", "--"])
        self.assertEqual(
            reply[3:8],
            [
                "lock 4f",
                "path 4f a b.psd",
                "locked-at 4f 2023-11-14T22:13:20Z",
                "ownername 4f Wanda W.",
                "owner 4f theirs",
            ],
        )
        self.assertEqual(reply[12:], ["owner 4f ours", ""])

    def test_no_locks_are_an_empty_list(self) -> None:
        self.assertEqual(texts(render_locks([], None)), ["status 200", "--", ""])

    def test_words_are_never_left_out(self) -> None:
        """git-lfs crashes on a refused lock without them."""
        self.assertEqual(texts(render_error(NotFound("x")))[-2], "x")
