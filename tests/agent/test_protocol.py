"""What git-lfs and the agent say to each other."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.agent import protocol
from giftless.agent.protocol import Action, Download, Init, MessageError, Terminate, Upload

#: Whatever JSON can say.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class ParseTests(SynchronousTestCase):
    """Messages of git-lfs."""

    def test_as_git_lfs_writes_them(self) -> None:
        """Lines of git-lfs 3.3 are read, whatever else they say."""
        for line, message in (
            (
                b'{"event":"init","remote":"origin","concurrent":true,"concurrenttransfers":3}\n',
                Init(True, 3),
            ),
            (
                (
                    b'{"event":"upload","oid":"ab","size":7,"path":"/p","action":'
                    b'{"href":"http://h","header":{"A":"b"},"expires_in":3600}}\n'
                ),
                Upload("ab", 7, "/p", Action("http://h", {"A": "b"})),
            ),
            (
                b'{"event":"download","oid":"ab","size":7,"action":{"href":"http://h/p"}}',
                Download("ab", 7, Action("http://h/p")),
            ),
            (b'{"event":"download","oid":"ab","size":7,"action":null}', Download("ab", 7)),
            (b'{"event":"terminate"}\n', Terminate()),
        ):
            self.assertEqual(protocol.parse(line), message)

    def test_what_is_no_message(self) -> None:
        """It is refused with one kind of error."""
        deep = b'{"event":"terminate","x":' + b"[" * 100_000
        for line in (b"", b"{", b"[]", b"{}", b'{"event":"dance"}', b"\xff", b'{"event":7}', deep):
            with self.assertRaises(MessageError):
                protocol.parse(line)

    @given(st.binary())
    def test_any_line_is_understood_or_refused(self, line: bytes) -> None:
        """No line does anything else."""
        with contextlib.suppress(MessageError):
            protocol.parse(line)

    @given(st.dictionaries(st.sampled_from(["oid", "size", "path", "action"]), JSON))
    def test_any_members_are_understood_or_refused(self, members: dict[str, object]) -> None:
        """No upload with other members than it should have does anything else."""
        try:
            message = protocol.parse(json.dumps({"event": "upload", **members}).encode())
        except MessageError:
            return
        assert isinstance(message, Upload)
        self.assertEqual((message.oid, message.size), (members["oid"], members["size"]))

    @given(st.text(), st.integers(0, 2**63 - 1), st.text(), st.dictionaries(st.text(), st.text()))
    def test_every_upload_arrives_as_it_is(
        self, oid: str, size: int, path: str, header: dict[str, str]
    ) -> None:
        """Whatever git-lfs may say of an upload arrives as it is."""
        said = {"oid": oid, "size": size, "path": path, "action": {"href": path, "header": header}}
        message = protocol.parse(json.dumps({"event": "upload", **said}).encode() + b"\n")
        self.assertEqual(message, Upload(oid, size, path, Action(path, header)))

    def test_secrets_are_not_shown(self) -> None:
        """Neither a token nor a signature is in a message's representation."""
        action = Action("http://h/p?sig=secret", {"Authorization": "secret"})
        self.assertNotIn("secret", repr(Upload("ab", 7, "/p", action)))


class AnswerTests(SynchronousTestCase):
    """Messages of the agent."""

    @given(st.text())
    def test_every_answer_is_one_line(self, text: str) -> None:
        """Every answer is one line, whatever is in it."""
        for line in (
            protocol.ready(),
            protocol.progress(text, 7, 3),
            protocol.uploaded(text),
            protocol.downloaded(text, text),
            protocol.failed(text, 403, text),
        ):
            self.assertEqual(line.count(b"\n"), 1)
            self.assertTrue(line.endswith(b"\n"))
            json.loads(line)

    def test_the_members_are_those_of_the_protocol(self) -> None:
        """The members are those of the protocol."""
        self.assertEqual(json.loads(protocol.ready()), {})
        self.assertEqual(
            json.loads(protocol.progress("ab", 7, 3)),
            {"event": "progress", "oid": "ab", "bytesSoFar": 7, "bytesSinceLast": 3},
        )
        self.assertEqual(json.loads(protocol.uploaded("ab")), {"event": "complete", "oid": "ab"})
        self.assertEqual(
            json.loads(protocol.downloaded("ab", "/p")),
            {"event": "complete", "oid": "ab", "path": "/p"},
        )
        self.assertEqual(
            json.loads(protocol.failed("ab", 403, "no")),
            {"event": "complete", "oid": "ab", "error": {"code": 403, "message": "no"}},
        )
