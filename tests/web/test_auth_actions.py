"""The tokens of a batch's actions: every operation with every kind of token.

Like :mod:`tests.web.test_auth_matrix`, for what the daemon itself gives out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.support.making import oid_of
from tests.web.guarded import (
    NEW,
    OPERATIONS,
    PRESENT,
    REPO,
    GuardedTestCase,
    Operation,
    add_cell,
    bearer,
    entry,
    jwt_section,
)
from tests.web.support import batch_body

#: Each action's token, by the action and the object.
Tokens = Mapping[tuple[str, bytes], str]


@dataclass(frozen=True)
class ActionOutcome:
    """What comes of showing certain tokens of actions.

    :ivar choose: picks them, for the right action and the object of a request.
    :ivar age: how old they have become, in seconds.
    :ivar how: how they are shown: in the header that actions have, as ``?jwt=``, or in
        ``Authorization``.
    """

    choose: Callable[[Tokens, str, bytes], list[str]]
    status: int
    access: Mapping[str, Any] = field(default_factory=dict)
    age: float = 0
    how: Literal["action", "parameter", "bearer"] = "action"


def _the_right_one(tokens: Tokens, right: str, data: bytes) -> list[str]:
    return [tokens[right, data]]


def _other_actions(tokens: Tokens, right: str, data: bytes) -> list[str]:
    return [tokens[key] for key in tokens if key[0] != right and key[1] == data]


def _other_objects(tokens: Tokens, right: str, data: bytes) -> list[str]:
    return [tokens[key] for key in tokens if key[0] == right and key[1] != data]


def _damaged(tokens: Tokens, right: str, data: bytes) -> list[str]:
    head, payload, signature = tokens[right, data].split(".")
    other = tokens[right, NEW if data == PRESENT else PRESENT].split(".")
    return [
        f"{head}.{payload}.{signature[::-1]}",
        f"{head}.{payload}.",
        f"{head}.{payload}.{other[2]}",
        f"{head}.{other[1]}.{signature}",
    ]


DAY: Final = 86400

ACTION_OUTCOMES: Final[Mapping[str, ActionOutcome]] = {
    "with_its_token": ActionOutcome(_the_right_one, 200),
    "with_its_token_in_the_url": ActionOutcome(_the_right_one, 200, how="parameter"),
    "with_its_token_in_authorization": ActionOutcome(_the_right_one, 200, how="bearer"),
    "with_its_token_where_repositories_are_hidden": ActionOutcome(
        _the_right_one, 200, {"hide_private": True}
    ),
    "with_another_action_s_token": ActionOutcome(_other_actions, 403),
    "with_another_action_s_token_where_repositories_are_hidden": ActionOutcome(
        _other_actions, 403, {"hide_private": True}
    ),
    "with_another_object_s_token": ActionOutcome(_other_objects, 403),
    "with_a_damaged_token": ActionOutcome(_damaged, 403),
    "with_a_damaged_token_in_the_url": ActionOutcome(_damaged, 403, how="parameter"),
    "with_a_damaged_token_in_authorization": ActionOutcome(_damaged, 403, how="bearer"),
    "with_an_expired_token": ActionOutcome(_the_right_one, 403, age=DAY + 60),
}


class ActionTests(GuardedTestCase):
    """Who comes with the token of an action.

    Whatever is wrong with one, the answer is 403: clients would answer a 401
    by trying again at once, for ever.
    """

    async def check(self, cell: str, shown: ActionOutcome, name: str) -> None:
        """Check one cell."""
        tokens = self.tokens(dict(shown.access))
        right = {"put": "upload", "verify": "verify"}.get(name, "download")
        data = OPERATIONS[name].data
        for token in shown.choose(tokens, right, data):
            self.clock.advance(shown.age)
            authorization = [f"Bearer {token}"] if shown.how == "bearer" else []
            ways: dict[str, dict[str, Any]] = {
                "action": {"headers": {"Giftless-Action": token}},
                "parameter": {"token": token},
                "bearer": {},
            }
            how = ways[shown.how]
            response = await self.ask(name, *authorization, **how)
            self.assert_cell(cell, name, response, shown.status)
            self.assert_challenged(response)

    def tokens(self, access: Mapping[str, Any]) -> Tokens:
        """Return the token of each action on each object, from batches."""
        self.guard(jwt_section("HS256"), access=access, present=False)
        writer = bearer(f"obj:{REPO}:*", "HS256")
        objects = {oid_of(data): data for data in (PRESENT, NEW)}
        found = {}
        for operation in ("upload", "download"):
            body = batch_body(operation, *map(entry, objects.values()))
            batch = Operation("POST", OPERATIONS["upload_batch"].target, NEW, body)
            for item in self.ask_now(batch, writer).json["objects"]:
                self.assertIs(item["authenticated"], True)
                for action, details in item["actions"].items():
                    token = details["header"]["Giftless-Action"]
                    found[action, objects[item["oid"]]] = token
            for data in objects.values():
                self.front.put(data, REPO)
        os.unlink(os.path.join(self.front.directory, REPO, oid_of(NEW)))
        return found


for _title, _action in ACTION_OUTCOMES.items():
    for _operation in ("get", "head", "put", "verify"):
        add_cell(ActionTests, f"{_title}__{_operation}", _action, _operation)
