"""The server's answer to the question what is missing."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from giftless.agent.errors import TransferError
from giftless.agent.plan import Part, Plan, Step, read_plan
from giftless.agent.protocol import Action


def answer(**members: object) -> bytes:
    return json.dumps({"oid": "ab", "size": 10, "authenticated": True, **members}).encode()


class PlanTests(SynchronousTestCase):
    def refuse(self, body: bytes) -> str:
        """Read what is no plan.

        :returns: the message.
        """
        return self.assertRaises(TransferError, read_plan, body, "ab", 10).message

    def test_nothing_to_do(self) -> None:
        """Without actions the server has the object."""
        self.assertIsNone(read_plan(answer(), "ab", 10))
        self.assertIsNone(read_plan(answer(actions=None), "ab", 10))

    def test_a_plan_has_parts_and_a_commit(self) -> None:
        """Parts and a commit are read; what is left out has its default."""
        plan = read_plan(
            answer(
                actions={
                    "parts": [
                        {"href": "http://h/1", "pos": 0, "size": 4, "want_digest": "contentMD5"},
                        {"href": "http://h/2", "pos": 4, "header": {"A": "b"}, "method": "POST"},
                    ],
                    "commit": {"href": "http://h/commit", "header": None},
                    "abort": {"href": "http://h/abort"},
                    "verify": {"href": "http://h/verify"},
                }
            ),
            "ab",
            10,
        )
        self.assertEqual(
            plan,
            Plan(
                [
                    Part("http://h/1", size=4, want_digest="contentMD5"),
                    Part("http://h/2", {"A": "b"}, 4, 6, method="POST"),
                ],
                Step("http://h/commit"),
            ),
        )
        assert plan is not None
        self.assertEqual(plan.missing, 10)

    def test_nothing_but_the_commit(self) -> None:
        """All parts may be there."""
        plan = read_plan(answer(actions={"parts": [], "commit": {"href": "http://h"}}), "ab", 10)
        self.assertEqual(plan, Plan([], Step("http://h")))

    def test_an_upload_that_can_be_resumed_has_no_parts(self) -> None:
        upload = {"href": "http://h/tus", "header": {"A": "b"}, "expires_in": 9}
        plan = read_plan(answer(actions={"resume": upload}), "ab", 10)
        self.assertEqual(plan, Plan([], None, Action("http://h/tus", {"A": "b"})))

    def test_a_plan_for_another_object_is_refused(self) -> None:
        """An answer for another object is refused."""
        self.assertIn("answered for cd", self.refuse(answer(oid="cd")))
        self.assertIn("of 11 bytes", self.refuse(answer(size=11)))

    def test_bytes_that_do_not_exist(self) -> None:
        """Parts that reach beyond the object are refused."""
        for pos, size in ((-1, 2), (0, 11), (9, 2), (11, 0), (3, -1)):
            part = {"href": "http://h", "pos": pos, "size": size}
            self.assertIn("does not have", self.refuse(answer(actions={"parts": [part]})))

    def test_an_unknown_digest_needs_an_upgrade(self) -> None:
        """A digest that is not known is said to be a matter of an upgrade."""
        part = {"href": "http://h", "size": 10, "want_digest": "sha-512"}
        self.assertIn("upgrade", self.refuse(answer(actions={"parts": [part]})))

    def test_an_answer_without_json_is_refused(self) -> None:
        """Other answers are refused: an error page of a proxy, for instance."""
        deep = b'{"x": ' + b"[" * 100_000
        for body in (b"", b"<html>", b"\xff", b"[]", deep, answer(actions={"parts": {}})):
            self.assertIn("no list of parts", self.refuse(body))

    def test_secrets_are_not_shown(self) -> None:
        """Signatures and tokens are not in the representation."""
        for shown in (Part("http://h?secret", {"A": "secret"}), Step("http://h?secret")):
            self.assertNotIn("secret", repr(shown))
