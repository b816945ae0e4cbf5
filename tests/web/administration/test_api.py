"""What the administration's API answers, over a store on a disk and a catalogue in SQLite."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from giftless.errors import BadRequest, Conflict, Forbidden, LFSError, NotFound
from giftless.interfaces import (
    AliasChanged,
    Entry,
    ObjectDeleted,
    ObjectRestored,
    ObjectTrashed,
    RepositoryCopied,
    RepositoryMoved,
    State,
)
from giftless.lfs.objects import ObjectKey, Repo, in_trash
from giftless.usecases.administration import Administration
from giftless.usecases.jobs import Jobs
from giftless.usecases.locks import By
from giftless.usecases.repositories import KNOWN_AFTER
from giftless.usecases.space import make_space
from giftless.web.administration.api import PATIENCE, AdministrationAPI, Asked, Reply
from giftless.web.administration.names import NAMES
from giftless.web.administration.requests import MAX_OIDS, WrongMediaType
from tests.support.blocking import InlineBlocking
from tests.support.events import Recorder, events_to
from tests.support.making import key_of, oid_of, repo_of
from tests.support.strategies import json_values
from tests.usecases.moving import LONG_AGO, NOW, MovingTestCase

ROCKET, ENGINE = repo_of("acme/rocket"), repo_of("acme/engine")
BELOW = repo_of("acme/rocket/below")

#: Whoever asks.
WANDA = By("wanda", "basic#wanda", "192.0.2.1", "f00d")

JSON = "application/json"

DATA = [b"%d" % number * (number + 1) for number in range(5)]


class APITestCase(MovingTestCase):
    """An API over some objects of two repositories, one below the path of the other."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder()
        self.api = self.make()
        self.permitted: list[Repo] = []
        for number, data in enumerate(DATA):
            self.add(key_of(data, ROCKET.path), data, number)
        self.add(key_of(b"below", BELOW.path), b"below")

    def make(self, **parts: Any) -> AdministrationAPI:
        usual = {"store": self.store, "catalogue": self.catalogue, "locks": None}
        space = make_space(
            **(usual | parts),
            events=events_to(self.recorder),
            clock=self.clock,
            wall_clock=self.wall_clock,
            keep=86_400.0,
        )
        jobs = Jobs(self.mktemp(), self.clock, InlineBlocking(), self.wall_clock)
        return AdministrationAPI(Administration(space, self.wall_clock), jobs)

    def add(self, key: ObjectKey, data: bytes, days: int = 0) -> None:
        """Store an object, and let the catalogue know it."""
        self.put(key, data)
        at = LONG_AGO + days * 86_400
        entry = Entry(key, len(data), at, at, "olga", "basic#olga", f"{days}.psd")
        self.run_now(self.catalogue.merge([entry]))

    async def permit(self, repo: Repo) -> Repo:
        self.permitted.append(repo)
        if repo.path.startswith("other/"):
            raise Forbidden("wanda does not have admin access")
        return repo

    def begin(
        self,
        method: str,
        name: str,
        body: Any = b"",
        scope: Repo | None = ROCKET,
        kind: str = JSON,
        named: Repo | None = None,
        **query: str,
    ) -> Deferred[Reply]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = Asked(query, kind, raw, scope, WANDA, self.permit, named or scope)
        return self.start(self.api.answer(method, name, asked))

    def ask(self, *arguments: Any, **named: Any) -> Any:
        """Ask, and return the JSON of the answer, whose status must be 200."""
        reply = self.successResultOf(self.begin(*arguments, **named))
        self.assertEqual(reply.status, 200)
        return json.loads(reply.body)

    def refused(self, *arguments: Any, **named: Any) -> LFSError:
        """Ask, and return why that was refused."""
        failure = self.failureResultOf(self.begin(*arguments, **named), LFSError)
        assert isinstance(failure.value, LFSError)
        return failure.value

    def assert_by_wanda(self, event: Any) -> None:
        """Check that an event says who has done it, from where, and by which request."""
        said = (event.who, event.principal, event.address, event.request_id)
        self.assertEqual(said, ("wanda", "basic#wanda", "192.0.2.1", "f00d"))

    def oids(self, answer: Any) -> list[str]:
        return [each["oid"] for each in answer["objects"]]


class LookingTests(APITestCase):
    def test_objects_are_told_page_by_page_and_of_one_repository(self) -> None:
        first = self.ask("GET", "objects", limit="3")
        second = self.ask("GET", "objects", limit="3", cursor=first["next_cursor"])
        self.assertNotIn("next_cursor", second)
        told = self.oids(first) + self.oids(second)
        self.assertEqual(told, sorted(map(oid_of, DATA)))
        (largest,) = self.ask("GET", "objects", limit="1", order="size")["objects"]
        self.assertEqual(
            largest,
            {
                "repo": "acme/rocket",
                "oid": oid_of(DATA[4]),
                "size": 5,
                "stored_at": "2026-09-25T14:13:20.000Z",
                "offered_at": "2026-09-25T14:13:20.000Z",
                "who": "olga",
                "principal": "basic#olga",
                "filename": "4.psd",
            },
        )

    def test_operators_are_told_of_all_or_of_one(self) -> None:
        self.assertEqual(len(self.ask("GET", "objects", scope=None)["objects"]), 6)
        one = self.ask("GET", "objects", scope=None, repo=BELOW.path)
        self.assertEqual(self.oids(one), [oid_of(b"below")])

    def test_an_owner_is_told_nothing_of_what_is_below_the_path(self) -> None:
        owned = self.ask("GET", "usage")
        self.assertEqual(owned["total"]["objects"], 5)
        self.assertEqual([row["name"] for row in owned["rows"]], ["acme/rocket"])
        # Nor by asking for another repository.
        self.assertEqual(self.ask("GET", "usage", repo=BELOW.path), owned)
        self.assertEqual(len(self.ask("GET", "objects", repo=BELOW.path)["objects"]), 5)
        all_of_it = self.ask("GET", "usage", scope=None, repo="acme/rocket")
        self.assertEqual(all_of_it["total"]["objects"], 6)

    def test_usage_is_told_by_each_kind(self) -> None:
        for by, name in (
            ("org", "acme"),
            ("repo", "acme/rocket"),
            ("person", "olga"),
            ("age", "2026-09"),
            ("name", "psd"),
        ):
            usage = self.ask("GET", "usage", scope=None, by=by)
            self.assertIn(name, [row["name"].lstrip(".") for row in usage["rows"]])
            self.assertEqual(usage["total"]["size"], sum(map(len, DATA)) + 5)
            self.assertEqual((usage["by"], usage["logical_size"]), (by, 20))

    def test_equal_objects_are_counted_once_in_what_a_disk_takes(self) -> None:
        twin = key_of(DATA[4], ENGINE.path)
        self.add(twin, DATA[4])
        usage = self.ask("GET", "usage", scope=None)
        self.assertEqual((usage["logical_size"], usage["physical_size"]), (25, 20))

    def test_parameters_that_mean_nothing_are_refused(self) -> None:
        for name, query in (
            ("objects", {"limit": "1001"}),
            ("objects", {"limit": "-1"}),
            ("objects", {"limit": "\u0665"}),
            ("objects", {"limit": "9" * 100}),
            ("objects", {"order": "moved"}),
            ("objects", {"cursor": "\x00"}),
            ("trash", {"cursor": "nonsense"}),
            ("usage", {"by": "colour"}),
        ):
            self.assertIsInstance(self.refused("GET", name, **query), BadRequest, (name, query))
        for path in ("", "a//b", "../x", "-/x", ".giftless/x", "acme/.giftless/trash/rocket"):
            if path:
                self.refused("GET", "objects", scope=None, repo=path)

    def test_a_head_request_is_answered_like_a_get(self) -> None:
        self.assertEqual(self.ask("HEAD", "usage"), self.ask("GET", "usage"))


class RemovingTests(APITestCase):
    def remove(self, *data: bytes, **named: Any) -> Any:
        body = {"oids": [oid_of(each) for each in data], "reason": "leaked"}
        return self.ask("POST", "objects/remove", body, **named)["objects"]

    def test_objects_are_removed_and_restored(self) -> None:
        results = self.remove(DATA[0], DATA[1], b"absent")
        self.assertEqual([each["result"] for each in results], ["moved", "moved", "absent"])
        self.assertEqual({each["repo"] for each in results}, {"acme/rocket"})
        self.assertEqual(len(self.ask("GET", "objects")["objects"]), 3)
        trashed = self.ask("GET", "trash")["objects"]
        self.assertEqual(sorted(map(oid_of, DATA[:2])), [each["oid"] for each in trashed])
        self.assertEqual((trashed[0]["moved_by"], trashed[0]["reason"]), ("wanda", "leaked"))
        self.assertEqual(trashed[0]["moved_at"], "2027-01-15T08:00:00.000Z")
        self.assertEqual(trashed[0]["kept_until"], "2027-01-16T08:00:00.000Z")
        back = self.ask("POST", "trash/restore", {"oids": [oid_of(DATA[0]), oid_of(b"absent")]})
        self.assertEqual([each["result"] for each in back["objects"]], ["restored", "absent"])
        self.assertEqual(len(self.ask("GET", "objects")["objects"]), 4)
        kinds = [type(event) for event in self.recorder.seen]
        self.assertEqual(kinds, [ObjectTrashed, ObjectTrashed, ObjectRestored])
        self.assertEqual(
            {getattr(event, "principal", "") for event in self.recorder.seen}, {"basic#wanda"}
        )

    def test_an_operator_says_which_repository(self) -> None:
        body = {"repo": "acme/rocket", "oids": [oid_of(DATA[0])]}
        (result,) = self.ask("POST", "objects/remove", body, scope=None)["objects"]
        self.assertEqual(result["result"], "moved")
        self.refused("POST", "objects/remove", {"oids": [oid_of(DATA[1])]}, scope=None)
        # Whoever owns one repository reaches no other one so.
        problem = self.refused("POST", "objects/remove", {**body, "repo": BELOW.path})
        self.assertEqual(problem.message, "the URL names the repository: leave 'repo' out")

    def test_the_trash_is_emptied_for_good_only_if_that_is_meant(self) -> None:
        self.remove(DATA[0], DATA[1])
        bodies: list[dict[str, object]] = [{}]
        for body in (*bodies, {"really": False}, {"really": 1}, {"really": "true"}):
            self.assertIsInstance(self.refused("POST", "trash/empty", body), BadRequest)
        young = self.ask("POST", "trash/empty", {"really": True, "older_than": "1h"})
        self.assertEqual(young["result"], {"objects": 0})
        done = self.ask("POST", "trash/empty", {"really": True})
        self.assertEqual((done["state"], done["result"]), ("done", {"objects": 2}))
        self.assertEqual(self.ask("GET", "trash")["objects"], [])
        self.assertFalse(self.is_there(in_trash(key_of(DATA[0], ROCKET.path))))
        deleted = self.recorder.of(ObjectDeleted)
        self.assertEqual(len(deleted), 2)
        self.assert_by_wanda(deleted[0])

    def test_emptying_one_trash_leaves_the_others(self) -> None:
        self.remove(DATA[0])
        self.remove(b"below", scope=BELOW)
        self.ask("POST", "trash/empty", {"really": True})
        self.assertEqual(len(self.ask("GET", "trash", scope=BELOW)["objects"]), 1)
        self.ask("POST", "trash/empty", {"really": True}, scope=None)
        self.assertEqual(self.ask("GET", "trash", scope=None)["objects"], [])

    def test_what_no_form_can_send_is_asked_for(self) -> None:
        for kind in (
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain; application/json",
        ):
            for name, methods in NAMES.items():
                if "POST" in methods:
                    problem = self.refused("POST", name, b"{}", kind=kind)
                    self.assertIsInstance(problem, WrongMediaType)
        self.ask("POST", "trash/empty", {"really": True}, kind="Application/JSON; charset=utf-8")

    def test_too_many_objects_and_long_reasons_are_refused(self) -> None:
        many = [oid_of(b"%d" % number) for number in range(MAX_OIDS + 1)]
        bodies: list[dict[str, object]] = [
            {"oids": many},
            {"oids": []},
            {"oids": ["A" * 64]},
            {"oids": [oid_of(b"")], "reason": "x" * 201},
            {"oids": [oid_of(b"")], "colour": "red"},
            {"oids": oid_of(b"")},
        ]
        for body in bodies:
            self.assertIsInstance(self.refused("POST", "objects/remove", body), BadRequest)
        same = {"oids": [oid_of(DATA[0])] * MAX_OIDS}
        self.assertEqual(len(self.ask("POST", "objects/remove", same)["objects"]), 1)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.sampled_from(sorted(NAMES)), st.binary() | json_values)
    def test_any_body_is_answered_or_refused(self, name: str, body: Any) -> None:
        if "POST" in NAMES[name]:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.assertIn(self.refused("POST", name, raw).code, (400, 404))


class MovingRepositoriesTests(APITestCase):
    def test_a_repository_is_renamed(self) -> None:
        moving = self.begin("POST", "rename", {"to": ENGINE.path})
        self.clock.advance(KNOWN_AFTER)
        told = json.loads(self.successResultOf(moving).body)
        self.assertEqual(
            told,
            {
                "state": "done",
                "operation": "rename",
                "repo": "acme/rocket",
                "to": "acme/engine",
                "done": told["done"],
                "result": {"objects": 5, "left": 0, "locks": 0},
            },
        )
        self.assertEqual(self.permitted, [ENGINE])
        self.assert_by_wanda(*self.recorder.of(RepositoryMoved))
        self.assertEqual(len(self.ask("GET", "objects", scope=ENGINE)["objects"]), 5)
        self.assertEqual(
            self.ask("GET", "aliases", scope=ENGINE),
            {"aliases": [{"name": "acme/rocket", "repo": "acme/engine"}]},
        )

    def test_a_rename_is_asked_again_by_the_name_that_leads_to_the_target_now(self) -> None:
        moving = self.begin("POST", "rename", {"to": ENGINE.path})
        asked: dict[str, Any] = {"body": {"to": ENGINE.path}, "scope": ENGINE, "named": ROCKET}
        self.assertEqual(self.run_now(self.catalogue.aliases()), {ROCKET.path: ENGINE.path})
        again = self.begin("POST", "rename", **asked)
        self.clock.advance(KNOWN_AFTER)
        first = self.successResultOf(moving)
        self.assertEqual(self.successResultOf(again), first)
        # A worker that knows nothing of it looks once more, and finds nothing to do.
        late = self.begin("POST", "rename", **asked)
        self.clock.advance(KNOWN_AFTER)
        told = json.loads(self.successResultOf(late).body)
        self.assertEqual(told["result"], {"objects": 0, "left": 0, "locks": 0})
        self.assertIsInstance(self.refused("POST", "copy", **asked), BadRequest)
        self.assertIsInstance(
            self.refused("POST", "rename", asked["body"], ENGINE, named=ENGINE), BadRequest
        )

    def test_an_operation_that_takes_long_goes_on_while_its_client_is_away(self) -> None:
        moving = self.begin("POST", "rename", {"to": ENGINE.path})
        again = self.begin("POST", "rename", {"to": ENGINE.path})
        other = self.refused("POST", "copy", {"to": "acme/third"})
        self.assertIsInstance(other, Conflict)
        self.clock.advance(KNOWN_AFTER)
        for each in (moving, again):
            self.assertEqual(self.successResultOf(each).status, 200)
        self.assertGreater(PATIENCE, KNOWN_AFTER)

    def test_it_takes_the_permission_on_both_repositories(self) -> None:
        for name in ("rename", "copy"):
            self.assertIsInstance(self.refused("POST", name, {"to": "other/x"}), Forbidden)
        body = {"name": "other/x"}
        self.assertIsInstance(self.refused("POST", "aliases", body), Forbidden)
        self.assertEqual(len(self.ask("GET", "objects")["objects"]), 5)

    def test_paths_that_no_repository_can_have_are_refused(self) -> None:
        for path in ("", "a//b", "..", "-", "-/api", ".giftless", oid_of(b""), "x" * 3000, "a\n"):
            self.assertIsInstance(self.refused("POST", "rename", {"to": path}), BadRequest, path)
        self.assertIsInstance(self.refused("POST", "rename", {"to": ROCKET.path}), BadRequest)

    def test_a_repository_is_copied(self) -> None:
        done = self.ask("POST", "copy", {"to": ENGINE.path})
        self.assertEqual(done["result"]["objects"], 5)
        (copied,) = self.recorder.of(RepositoryCopied)
        self.assertEqual((copied.repo, copied.target, copied.objects), (ROCKET, ENGINE, 5))
        self.assert_by_wanda(copied)
        for repo in (ROCKET, ENGINE):
            self.assertEqual(len(self.ask("GET", "objects", scope=repo)["objects"]), 5)

    def test_a_repository_is_removed_and_comes_back(self) -> None:
        self.assertIsInstance(self.refused("POST", "remove", {}), BadRequest)
        done = self.ask("POST", "remove", {"really": True})
        self.assertEqual(done["result"]["objects"], 5)
        self.assertEqual(self.ask("GET", "objects")["objects"], [])
        self.ask("POST", "trash/restore", {"oids": list(map(oid_of, DATA))})
        self.assertEqual(len(self.ask("GET", "objects")["objects"]), 5)

    def test_an_alias_is_made_listed_and_ended(self) -> None:
        making = self.begin("POST", "aliases", {"name": "acme/old"})
        self.clock.advance(KNOWN_AFTER)
        made = json.loads(self.successResultOf(making).body)
        self.assertEqual(made, {"name": "acme/old", "repo": "acme/rocket"})
        self.assertEqual(self.ask("GET", "aliases")["aliases"], [made])
        self.assertEqual(self.ask("GET", "aliases", scope=BELOW)["aliases"], [])
        self.assertEqual(self.ask("GET", "aliases", scope=None)["aliases"], [made])
        # Another repository's alias is not ended.
        body = {"name": "acme/old", "remove": True}
        self.assertIsInstance(self.refused("POST", "aliases", body, scope=BELOW), NotFound)
        ended = self.ask("POST", "aliases", body)
        self.assertEqual(ended, {"name": "acme/old", "repo": None})
        changes = self.recorder.of(AliasChanged)
        self.assertEqual([change.target for change in changes], [ROCKET, None])
        self.assert_by_wanda(changes[0])
        self.assertEqual(self.ask("GET", "aliases")["aliases"], [])

    def test_a_name_with_objects_of_its_own_becomes_no_alias(self) -> None:
        problem = self.refused("POST", "aliases", {"name": BELOW.path})
        self.assertIsInstance(problem, Conflict)


class WithoutTests(APITestCase):
    def test_a_server_without_a_catalogue_or_a_trash_says_so(self) -> None:
        self.api = self.make(catalogue=None)
        for name, methods in NAMES.items():
            bodies = {"objects/remove": {"oids": [oid_of(b"")]}, "aliases": {"name": "a/b"}}
            bodies["trash/restore"] = bodies["objects/remove"]
            bodies["rename"] = bodies["copy"] = {"to": "a/b"}
            for method in methods:
                body = bodies.get(name, {"really": True})
                problem = self.refused(method, name, body)
                self.assertIsInstance(problem, NotFound)
                self.assertIn("catalogue", problem.message)

    def test_states_of_objects_that_leave_are_listed(self) -> None:
        """They are where clients find them until they are gone."""
        key = key_of(DATA[0], ROCKET.path)
        self.run_now(self.catalogue.claim([key], None, NOW, "gc", "gc"))
        self.assertEqual(len(self.ask("GET", "objects")["objects"]), 5)
        self.assertIs(self.entry(key).state, State.LEAVING)  # type: ignore[union-attr]
