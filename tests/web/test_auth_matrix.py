"""Every authenticator, every operation, every outcome, over the wire.

The table below says who asks and what comes of it; each cell is a test of its
own, for all operations, or for one if a forge says who somebody is: that would
be remembered.  The front is the daemon's own composition (:mod:`tests.web.guarded`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet import reactor

from tests.support.forge_server import TOKENS, make
from tests.support.forges import cut
from tests.support.making import oid_of
from tests.support.tokens import basic
from tests.web.guarded import (
    NEW,
    OPERATIONS,
    PRESENT,
    REPO,
    WRITES,
    GuardedTestCase,
    Operation,
    add_cell,
    bearer,
    entry,
    jwt_section,
)
from tests.web.support import batch_body

#: Two who may see one object each: the one that is there, the one to come.
ONLY_PRESENT: Final = f"obj:{REPO}/{oid_of(PRESENT)}:read"
ONLY_NEW: Final = f"obj:{REPO}/{oid_of(NEW)}:write"


@dataclass(frozen=True)
class Scheme:
    """A way to say who one is.

    :ivar section: makes the authenticator's part of the configuration.
    :ivar people: the ``Authorization`` header of each kind of person.
    :ivar forge: the kind of forge behind it, if there is one.
    """

    section: Callable[[Any], Mapping[str, Any]]
    people: Mapping[str, str] = field(default_factory=dict)
    forge: str = ""


def jwt_scheme(algorithm: str) -> Scheme:
    """Describe tokens that are signed with an algorithm."""
    section = jwt_section(algorithm)
    return Scheme(
        lambda _: section,
        {
            "writer": bearer(f"obj:{REPO}:read,write", algorithm),
            "reader": bearer(f"obj:{REPO}:read", algorithm),
            "stranger": bearer("obj:acme/other:*", algorithm),
            "wrong": bearer(f"obj:{REPO}:*", algorithm, "theirs"),
            "only_present": bearer(ONLY_PRESENT, algorithm),
            "only_new": bearer(ONLY_NEW, algorithm),
        },
    )


def forge_scheme(kind: str, wrong: str) -> Scheme:
    """Describe the tokens of a kind of forge."""
    option = "api_url" if kind == "github" else "url"
    tokens = TOKENS[kind]
    return Scheme(
        lambda case: {"type": kind, option: case.forge_url, "orgs": ["acme"]},
        {
            "writer": basic("git", tokens["wanda"]),
            "reader": basic("git", tokens["ray"]),
            "stranger": basic("git", tokens["sam"]),
            "wrong": basic("git", wrong),
        },
        kind,
    )


def anonymous_scheme(access: str) -> Scheme:
    """Describe that anybody is let in."""
    section = {"type": "anonymous", "access": access}
    return Scheme(lambda _: section, {"anybody": basic("anybody", "anything goes")})


SCHEMES: Final[Mapping[str, Scheme]] = {
    "anonymous_read": anonymous_scheme("read"),
    "anonymous_read_write": anonymous_scheme("read-write"),
    "jwt_hs256": jwt_scheme("HS256"),
    "jwt_rs256": jwt_scheme("RS256"),
    "basic": Scheme(
        lambda case: case.passwords(),
        {
            "writer": basic("wanda", "wandas password"),
            "reader": basic("ray", "rays password"),
            "stranger": basic("sam", "sams password"),
            "wrong": basic("wanda", "rays password"),
        },
    ),
    "github": forge_scheme("github", "ghp_" + "x" * 36),
    "gitea": forge_scheme("gitea", "d" * 40),
    "gitlab": forge_scheme("gitlab", "glpat-" + "x" * 20),
}


@dataclass(frozen=True)
class Outcome:
    """What comes of a kind of person's requests.

    :ivar person: whose credential is shown; empty for none.
    :ivar reads: the status of each operation that reads.
    :ivar writes: the status of each that writes.
    :ivar access: the ``access`` section of the configuration.
    :ivar forge: what the forge does: ``answer``, ``hang up``, or ``refuse`` connections.
    """

    person: str
    reads: int
    writes: int
    access: Mapping[str, Any] = field(default_factory=dict)
    forge: str = "answer"

    def status(self, operation: str) -> int:
        """Return the status of an operation's answer."""
        return self.writes if operation in WRITES else self.reads


HIDDEN: Final = {"hide_private": True}
QUIET: Final = {"www_authenticate": False}

OUTCOMES: Final[Mapping[str, Outcome]] = {
    "who_may_write": Outcome("writer", 200, 200),
    "who_may_write_where_repositories_are_hidden": Outcome("writer", 200, 200, HIDDEN),
    "who_may_read": Outcome("reader", 200, 403),
    "who_may_read_where_repositories_are_hidden": Outcome("reader", 200, 403, HIDDEN),
    "who_may_nothing": Outcome("stranger", 403, 403),
    "who_may_nothing_where_repositories_are_hidden": Outcome("stranger", 404, 404, HIDDEN),
    "without_credential": Outcome("", 401, 401),
    "without_credential_nor_www_authenticate": Outcome("", 401, 401, QUIET),
    "with_a_wrong_credential": Outcome("wrong", 401, 401),
    "with_a_wrong_credential_where_repositories_are_hidden": Outcome("wrong", 401, 401, HIDDEN),
}

#: Those that only forges have.
FORGE_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "while_the_forge_hangs_up": Outcome("writer", 503, 503, forge="hang up"),
    "while_the_forge_hangs_up_where_repositories_are_hidden": Outcome(
        "writer", 503, 503, HIDDEN, "hang up"
    ),
    "with_a_wrong_credential_while_the_forge_hangs_up": Outcome("wrong", 503, 503, forge="hang up"),
    "without_credential_while_the_forge_is_down": Outcome("", 401, 401, forge="refuse"),
}

#: The same; but as a refused connection takes 0.3 s, only for one operation.
FORGE_IS_DOWN: Final = Outcome("writer", 503, 503, forge="refuse")

#: Those of who may see one object only, which is there (to be read) or not yet.
OBJECT_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "who_may_read_this_object": Outcome("only_present", 200, 403),
    "who_may_write_this_object": Outcome("only_new", 403, 200),
}

#: Those where anybody is let in: whatever is shown is nobody's, and does not matter.  To
#: ask for a credential would be in vain, so what nobody may do is 403.
ANONYMOUS_OUTCOMES: Final[Mapping[str, Mapping[str, Outcome]]] = {
    "anonymous_read": {
        "without_credential": Outcome("", 200, 403),
        "without_credential_nor_www_authenticate": Outcome("", 200, 403, QUIET),
        "without_credential_where_repositories_are_hidden": Outcome("", 200, 403, HIDDEN),
        "with_some_credential": Outcome("anybody", 200, 403),
    },
    "anonymous_read_write": {
        "without_credential": Outcome("", 200, 200),
        "with_some_credential": Outcome("anybody", 200, 200),
    },
}

#: Those that must be the same where all authenticators stand in one chain.
CHAINED: Final = ("who_may_write", "who_may_read", "who_may_nothing", "with_a_wrong_credential")


class MatrixCase(GuardedTestCase):
    """What the cells of the matrix have in common."""

    async def start_forge(self, kind: str, behaviour: str = "answer") -> None:
        """Let a forge listen, and misbehave if it is to (see :class:`Outcome`)."""
        fake = make(kind)
        port = fake.listen(reactor)
        self.forge_url = fake.url
        if behaviour == "refuse":
            await port.stopListening()
            return
        self.addCleanup(port.stopListening)
        if behaviour == "hang up":
            fake.failure = cut


class IdentifiedTests(MatrixCase):
    """Everybody who is asked who they are, with each authenticator alone."""

    async def check(self, cell: str, scheme: Scheme, outcome: Outcome, *names: str) -> None:
        """Check some operations."""
        if scheme.forge:
            await self.start_forge(scheme.forge, outcome.forge)
        self.guard(scheme.section(self), access=outcome.access)
        shown = [scheme.people[outcome.person]] if outcome.person else []
        for name in names:
            response = await self.ask(name, *shown)
            self.assert_cell(f"{cell} {name}", name, response, outcome.status(name))
            self.assert_challenged(response, outcome.access is not QUIET)


class TogetherTests(MatrixCase):
    """Everybody in one chain: nobody is taken for somebody else."""

    async def check(self, cell: str, scheme: Scheme, outcome: Outcome) -> None:
        """Check all operations.

        A forge is last, because only forges' tokens look like nothing.
        """
        forge = scheme.forge or "gitea"
        await self.start_forge(forge)
        chain = [SCHEMES[other] for other in ("jwt_hs256", "jwt_rs256", "basic")]
        chain += [SCHEMES[forge], SCHEMES["anonymous_read"]]
        self.guard(*(part.section(self) for part in chain), access=outcome.access)
        for name in OPERATIONS:
            response = await self.ask(name, scheme.people[outcome.person])
            self.assert_cell(f"{cell} {name}", name, response, outcome.status(name))
            self.assert_challenged(response)


class TwoHeadersTests(MatrixCase):
    """A forge that does not answer is no obstacle to another credential."""

    async def test_a_good_credential_beside_one_that_nobody_can_tell_is_enough(self) -> None:
        forge, jwt = SCHEMES["github"], SCHEMES["jwt_hs256"]
        await self.start_forge("github", "hang up")
        self.guard(forge.section(self), jwt.section(self))
        unknown = forge.people["writer"]
        for good, status in (("writer", 200), ("stranger", 403), ("wrong", 401)):
            for shown in ((unknown, jwt.people[good]), (jwt.people[good], unknown)):
                response = await self.ask("get", *shown)
                self.assert_cell(good, "get", response, status)
        self.assert_cell("forge only", "get", await self.ask("get", unknown, unknown), 503)


class BesideAnonymousTests(MatrixCase):
    """Each authenticator where everybody may read: no bad credential is anonymous."""

    async def check(self, cell: str, name: str, access: str, first: bool) -> None:
        """Check all bad credentials beside one authenticator.

        :param first: whether ``anonymous`` stands in front of it.
        """
        scheme = SCHEMES[name]
        if scheme.forge:
            await self.start_forge(scheme.forge)
        chain = [scheme.section(self), {"type": "anonymous", "access": access}]
        self.guard(*(reversed(chain) if first else chain), access={"max_failures": 0})
        bad = (
            scheme.people["wrong"],
            basic("nobody", "rays password"),
            basic("", "x"),
            basic("_jwt", "no.such.token"),
            basic("x-access-token", "no such token"),
            "Bearer opaque",
            bearer(f"obj:{REPO}:*", "HS256", "theirs"),
            "Negotiate abc",
        )
        for shown in bad:
            response = await self.ask("get", shown)
            self.assert_cell(cell, "get", response, 401)
            self.assert_challenged(response)
        self.assert_cell(cell, "get", await self.ask("get", token="no.such.token"), 401)
        self.assert_cell(cell, "get", await self.ask("get", scheme.people["writer"]), 200)
        self.assert_cell(cell, "get", await self.ask("get"), 200)
        writes = 200 if access == "read-write" else 401
        self.assert_cell(cell, "upload_batch", await self.ask("upload_batch"), writes)


#: The headers that differ from one answer to the next.
VARYING: Final = ("date", "x-request-id")


class NamesTests(MatrixCase):
    """A known user and an unknown one are answered alike, and both are counted."""

    def test_names_cannot_be_found_out(self) -> None:
        for more in ([], [{"type": "anonymous", "access": "read"}]):
            self.guard(self.passwords(), *more, access={"max_failures": 2})
            answers = []
            for user in ("wanda", "nobody"):
                hashed = len(self.front.blocking.jobs)
                response = self.ask_now("get", basic(user, "wrong"))
                jobs = self.front.blocking.jobs[hashed:]
                headers = {k: v for k, v in response.headers.items() if k not in VARYING}
                answers.append((response.status, response.json["message"], headers, jobs))
                self.ask_now("get", basic(user, "wrong again"))
                self.assert_error(self.ask_now("get", basic(user, "wrong a third time")), 429)
            self.assertEqual(*answers)
            self.assertEqual(answers[0][0], 401)


class PartialBatchTests(MatrixCase):
    """Who may see certain objects gets those, and 403 for each of the rest."""

    async def check(self, cell: str, scheme: Scheme, operation: str, person: str) -> None:
        """Check a batch of both objects, of which one is permitted."""
        self.guard(scheme.section(self))
        self.front.put(NEW, REPO)
        permitted, other = (PRESENT, NEW) if operation == "download" else (NEW, PRESENT)
        if operation == "upload":
            os.unlink(os.path.join(self.front.directory, REPO, oid_of(NEW)))
        body = batch_body(operation, entry(other), entry(permitted))
        batch = Operation("POST", OPERATIONS["download_batch"].target, PRESENT, body)
        response = self.ask_now(batch, scheme.people[person])
        self.assertEqual(response.status, 200, f"{cell}: {response}")
        refused, allowed = response.json["objects"]
        self.assertEqual(refused["oid"], oid_of(other), cell)
        self.assertEqual(refused["error"]["code"], 403, cell)
        self.assertNotIn("actions", refused, cell)
        self.assertEqual(allowed["oid"], oid_of(permitted), cell)
        self.assertIn(operation, allowed["actions"], cell)
        self.assertNotIn("error", allowed, cell)


for _name, _scheme in SCHEMES.items():
    _outcomes = {
        **ANONYMOUS_OUTCOMES.get(_name, OUTCOMES),
        **(FORGE_OUTCOMES if _scheme.forge else {}),
        **(OBJECT_OUTCOMES if "only_present" in _scheme.people else {}),
    }
    for _title, _outcome in _outcomes.items():
        _cell = f"{_name}__{_title}"
        if _scheme.forge:
            for _operation in OPERATIONS:
                add_cell(IdentifiedTests, f"{_cell}__{_operation}", _scheme, _outcome, _operation)
        else:
            add_cell(IdentifiedTests, _cell, _scheme, _outcome, *OPERATIONS)
    if _scheme.forge:
        _cell = f"{_name}__while_the_forge_is_down__download_batch"
        add_cell(IdentifiedTests, _cell, _scheme, FORGE_IS_DOWN, "download_batch")
    for _title in CHAINED if _name not in ANONYMOUS_OUTCOMES else ():
        add_cell(TogetherTests, f"{_name}__{_title}", _scheme, OUTCOMES[_title])
    if "only_present" in _scheme.people:
        add_cell(PartialBatchTests, f"{_name}__download", _scheme, "download", "only_present")
        add_cell(PartialBatchTests, f"{_name}__upload", _scheme, "upload", "only_new")

for _name in SCHEMES.keys() - ANONYMOUS_OUTCOMES.keys():
    for _access in ("read", "read-write"):
        for _first in (False, True):
            _cell = f"{_name}__{'behind' if _first else 'before'}_anonymous_{_access}"
            add_cell(BesideAnonymousTests, _cell, _name, _access, _first)
