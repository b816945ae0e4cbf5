"""Who may use the administration's API, where it is, and what of it is told to whom."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from giftless.web.administration.names import MAX_BODY, NAMES
from tests.support.making import oid_of
from tests.support.tokens import basic
from tests.web.guarded import PRESENT, REPO, GuardedTestCase, Operation, bearer, jwt_section
from tests.web.support import Response, batch_body

OLGA: Final = basic("olga", "olgas password")
WANDA: Final = basic("wanda", "wandas password")
RAY: Final = basic("ray", "rays password")

#: Whoever owns the repository, and another one.
OWNER: Final = bearer(f"obj:{REPO}:admin", "HS256")
OTHER: Final = bearer("obj:acme/other:admin", "HS256")

PUBLIC: Final = {"public_pages": True}

SHORT, LONG = f"/{REPO}/admin", f"/{REPO}.git/info/lfs/admin"

JSON: Final = {"Content-Type": "application/json"}

#: Every endpoint, with its methods.
ALL: Final = [(method, name) for name, methods in NAMES.items() for method in methods]

BODIES: Final[dict[str, Any]] = {
    "objects/remove": {"oids": [oid_of(PRESENT)]},
    "trash/restore": {"oids": [oid_of(PRESENT)]},
    "trash/empty": {"really": True},
    "aliases": {"name": "acme/new"},
    "rename": {"to": "acme/new"},
    "copy": {"to": "acme/new"},
    "remove": {"really": True},
}


class EndpointTestCase(GuardedTestCase):
    """A server with one object, of which the catalogue knows."""

    def offer(self, *auth: Any, **options: Any) -> None:
        os.mkdir(state := self.mktemp())
        catalogue = {"type": "sqlite", "path": os.path.join(state, "catalogue.sqlite")}
        usual = {"admin": PUBLIC, "state_dir": state, "catalogue": catalogue}
        self.guard(*(auth or (self.passwords(), jwt_section("HS256"))), **(usual | options))
        self.front.services.startService()
        self.addCleanup(self.front.services.stopService)

    def request(
        self,
        method: str,
        target: str,
        *authorization: str,
        body: Any = b"",
        headers: Any = JSON,
    ) -> Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask_now(Operation(method, target, b"", raw), *authorization, headers=headers)


class PermissionTests(EndpointTestCase):
    def test_an_owner_reaches_it_in_both_forms_of_the_url(self) -> None:
        self.offer()
        for base in (SHORT, LONG):
            for name in ("objects", "usage", "trash", "aliases"):
                response = self.request("GET", f"{base}/{name}", OWNER)
                self.assertEqual(response.status, 200, response.body)

    def test_scopes_and_grants_make_an_owner(self) -> None:
        self.offer()
        for scope, status in (
            (f"obj:{REPO}/*:admin", 200),
            ("obj:acme/*:admin", 200),
            ("obj:*:admin", 200),
            (f"obj:{REPO}/*:read,write", 403),
            (f"obj:{REPO}/{oid_of(PRESENT)}:admin", 403),
            (f"obj:{REPO}/below/*:admin", 403),
        ):
            response = self.request("GET", f"{SHORT}/usage", bearer(scope, "HS256"))
            self.assertEqual(response.status, status, scope)

    def test_nobody_else_reaches_it(self) -> None:
        self.offer()
        for who, status in ((WANDA, 403), (RAY, 403), (OTHER, 403), ("", 401), ("Bearer x", 401)):
            for method, name in ALL:
                for base in (SHORT, "/-/api"):
                    shown = (who,) if who else ()
                    response = self.request(
                        method, f"{base}/{name}", *shown, body=BODIES.get(name, b"")
                    )
                    self.assertEqual(response.status, status, (method, base, name, who))
                    self.assert_error(response, status)
                    self.assert_challenged(response)
        self.assert_objects(PRESENT)

    def test_what_may_not_be_read_looks_as_if_it_did_not_exist(self) -> None:
        self.offer(access={"hide_private": True})
        absent = self.request("GET", "/acme/nothing/admin/objects", OTHER)
        for method, name in ALL:
            for who in (OTHER, basic("sam", "sams password")):
                response = self.request(method, f"{SHORT}/{name}", who, body=BODIES.get(name, b""))
                self.assertEqual(response.status, 404)
                self.assertEqual(
                    response.json["message"].replace(REPO, "acme/nothing"), absent.json["message"]
                )
        # Who may read it may know that it is there.
        self.assertEqual(self.request("GET", f"{SHORT}/objects", RAY).status, 403)

    def test_owning_a_repository_is_not_operating_the_server(self) -> None:
        self.offer()
        for method, name in ALL:
            body = {"repo": REPO, **BODIES.get(name, {})}
            response = self.request(method, f"/-/api/{name}", OWNER, body=body)
            self.assertEqual(response.status, 403)
        self.assertEqual(self.request("GET", "/-/api/usage", OLGA).status, 200)
        self.assert_objects(PRESENT)

    def test_operating_the_server_is_not_owning_a_repository(self) -> None:
        self.offer()
        self.assertEqual(self.request("GET", f"{SHORT}/objects", OLGA).status, 403)

    def test_an_owner_gives_away_nothing_of_others(self) -> None:
        """Not by renaming over it, nor by copying, nor by a name for it."""
        self.offer()
        for name, body in (
            ("rename", {"to": "acme/other"}),
            ("copy", {"to": "acme/other"}),
            ("aliases", {"name": "acme/other"}),
        ):
            response = self.request("POST", f"{SHORT}/{name}", OWNER, body=body)
            self.assertEqual(response.status, 403, name)
            self.assertIn("acme/other", response.json["message"])

    def test_anonymous_clients_own_nothing(self) -> None:
        self.offer({"type": "anonymous", "access": "read-write"})
        for base in (SHORT, "/-/api"):
            self.assertEqual(self.request("GET", f"{base}/objects").status, 403)

    def test_an_owner_of_both_may_copy_and_name(self) -> None:
        self.offer()
        both = bearer(f"obj:{REPO}:admin obj:acme/new:admin", "HS256")
        copied = self.request("POST", f"{SHORT}/copy", both, body={"to": "acme/new"})
        self.assertEqual(copied.status, 200, copied.body)
        self.assertIn(f"acme/new/{oid_of(PRESENT)}", self.front.objects())

    def test_a_credential_is_not_shown_to_who_decides_below_another_path(self) -> None:
        """Not even if it would be good there, because the URL does not lead there."""
        below = [
            {"type": "below", "path": path, "auth": [{**jwt_section("HS256"), "realm": path}]}
            for path in ("acme", "b.example")
        ]
        self.offer(self.passwords(), *below)
        owner = bearer("obj:*:admin", "HS256")
        for target in ("b.example/new", "new", "B.example/new", "acme"):
            for name, body in (
                ("rename", {"to": target}),
                ("copy", {"to": target}),
                ("aliases", {"name": target}),
                ("aliases", {"name": target, "remove": True}),
            ):
                response = self.request("POST", f"{SHORT}/{name}", owner, body=body)
                expected = 400 if target == "acme" else 403
                self.assertEqual(response.status, expected, (name, target, response.body))
                if target != "acme":
                    self.assertIn("not shown your credential", response.json["message"])
        copied = self.request("POST", f"{SHORT}/copy", owner, body={"to": "acme/new"})
        self.assertEqual(copied.status, 200, copied.body)
        operator = {"repo": REPO, "to": "b.example/new"}
        self.assertEqual(self.request("POST", "/-/api/copy", OLGA, body=operator).status, 200)
        self.assertEqual(self.request("GET", "/b.example/new/admin/usage", owner).status, 200)

    def test_the_log_names_who_asks_and_the_repository_of_the_url(self) -> None:
        self.offer()
        both = bearer(f"obj:{REPO}:admin obj:acme/new:admin", "HS256")
        self.request("POST", f"{SHORT}/copy", both, body={"to": "acme/new"})
        (line,) = [
            event
            for event in self.events
            if event.get("log_namespace") == "giftless.access" and "admin/copy" in repr(event)
        ]
        self.assertIn("somebody", repr(line))


class ForgeryTests(EndpointTestCase):
    def test_no_form_of_another_site_changes_anything(self) -> None:
        self.offer()
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ):
            headers = {"Content-Type": kind} if kind else {}
            for method, name in ALL:
                if method != "POST":
                    continue
                for base, who in ((SHORT, OWNER), ("/-/api", OLGA)):
                    body = {**BODIES[name], **({} if base == SHORT else {"repo": REPO})}
                    response = self.request(
                        method, f"{base}/{name}", who, body=body, headers=headers
                    )
                    self.assertEqual(response.status, 415, (base, name, kind))
        self.assert_objects(PRESENT)

    def test_no_get_changes_anything(self) -> None:
        self.offer()
        for method, name in ALL:
            if method == "POST" and "GET" not in NAMES[name]:
                response = self.request("GET", f"{SHORT}/{name}", OWNER)
                self.assertEqual((response.status, response.headers["allow"]), (405, "POST"))

    def test_a_page_that_may_use_the_api_is_no_operator(self) -> None:
        """Not even with the operator's password, which ``cors.credentials`` lets it send."""
        origins = ["https://app.example.com"]
        self.offer(cors={"origins": origins, "credentials": True})
        body = {"repo": REPO, "oids": [oid_of(PRESENT)]}
        for origin in (*origins, "null", "https://evil.example"):
            headers = {**JSON, "Origin": origin}
            self.assertEqual(self.request("GET", "/-/api/usage", OLGA, headers=headers).status, 403)
            response = self.request(
                "POST", "/-/api/objects/remove", OLGA, body=body, headers=headers
            )
            self.assertEqual(response.status, 403)
        same = {**JSON, "Origin": "http://lfs.example"}
        self.assertEqual(self.request("GET", "/-/api/usage", OLGA, headers=same).status, 200)
        self.assert_objects(PRESENT)


class PlaceTests(EndpointTestCase):
    def test_an_object_is_removed_and_the_batch_says_so_until_it_is_restored(self) -> None:
        self.offer()
        body = {"oids": [oid_of(PRESENT)], "reason": "leaked"}
        response = self.request("POST", f"{LONG}/objects/remove", OWNER, body=body)
        self.assertEqual(response.json["objects"][0]["result"], "moved")
        self.assertEqual(self.front.objects(), {**self.trashed(PRESENT)})
        (entry,) = self.request("GET", f"{SHORT}/trash", OWNER).json["objects"]
        self.assertEqual((entry["reason"], entry["moved_by"]), ("leaked", "somebody"))
        wanted = batch_body("download", {"oid": oid_of(PRESENT), "size": len(PRESENT)})
        refused = self.request("POST", f"/{REPO}/objects/batch", RAY, body=wanted)
        self.assertEqual(refused.json["objects"][0]["error"]["code"], 410)
        self.assertIn("leaked", refused.json["objects"][0]["error"]["message"])
        self.request("POST", f"{SHORT}/trash/restore", OWNER, body=body)
        again = self.request("POST", f"/{REPO}/objects/batch", RAY, body=wanted)
        self.assertIn("download", again.json["objects"][0]["actions"])

    def trashed(self, data: bytes) -> dict[str, bytes]:
        """Return what the store has of an object in the trash."""
        org, _, name = REPO.partition("/")
        return {f"{org}/.giftless/trash/{name}/{oid_of(data)}": data}

    def test_no_repository_hides_it_and_it_hides_none(self) -> None:
        """Repositories may be called like parts of its paths."""
        self.offer({"type": "anonymous", "access": "read-write"})
        for path in (
            *("acme/admin", "acme/rocket/admin", "admin", "admin/admin", "api", "acme/api"),
            *("acme/admin/objects", "acme/rocket/admin/trash"),
        ):
            for form in (f"/{path}", f"/{path}.git/info/lfs"):
                data = form.encode()
                body = batch_body("upload", {"oid": oid_of(data), "size": len(data)})
                response = self.request("POST", f"{form}/objects/batch", body=body)
                self.assertEqual(response.status, 200, (path, response.body))
                self.assertIn("upload", response.json["objects"][0]["actions"])
                href = f"{form}/objects/storage/{oid_of(data)}"
                self.assertEqual(self.request("PUT", href, body=data).status, 200)
                self.assertEqual(self.request("GET", href).body, data)

    def test_without_public_pages_operators_ask_elsewhere(self) -> None:
        self.offer(admin={})
        for method, name in ALL:
            response = self.request(method, f"/-/api/{name}", OLGA, body=BODIES.get(name, b""))
            self.assertIn(response.status, (400, 404), name)

    def test_without_a_catalogue_it_is_absent(self) -> None:
        self.offer(catalogue={"type": "none"})
        for method, name in ALL:
            response = self.request(method, f"{SHORT}/{name}", OWNER, body=BODIES.get(name, b""))
            self.assertEqual(
                response.status,
                404 if name not in ("rename", "copy", "aliases") or method == "GET" else 403,
                (method, name),
            )

    def test_a_large_body_is_refused_before_it_is_read(self) -> None:
        self.offer()
        large = b" " * (MAX_BODY + 1)
        response = self.request("POST", f"{SHORT}/objects/remove", OWNER, body=large)
        self.assertEqual(response.status, 413)

    def test_every_answer_names_its_request_and_is_kept_by_nobody(self) -> None:
        self.offer()
        response = self.request("GET", f"{SHORT}/objects", OWNER)
        self.assertRegex(response.headers["x-request-id"], "^[0-9a-f]{16}$")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(response.headers["content-type"], "application/vnd.git-lfs+json")

    def test_paths_like_its_own_lead_nowhere(self) -> None:
        self.offer()
        for target in (
            "/-/api",
            "/-/api/",
            "/-/api/x",
            "/-/api/objects/",
            "/-/api//objects",
            "/-/admin/objects",
            "/-/-/admin/objects",
            f"{SHORT}/x",
            "/admin/objects",
        ):
            response = self.request("GET", target, OLGA)
            self.assertIn(response.status, (400, 403, 404), target)

    def test_an_encoded_path_has_the_same_guard(self) -> None:
        self.offer()
        self.assertEqual(self.request("GET", "/%2D/ap%69/usage", WANDA).status, 403)
        self.assertEqual(self.request("GET", "/%2D/ap%69/usage", OLGA).status, 200)
