"""One repository under several names: objects, actions and locks are the same ones."""

from __future__ import annotations

import base64
import json
import os
from typing import Any
from urllib.parse import urlsplit

from tests.auth.forges.support import NOW
from tests.support.forges import FakeGitHub, HubRepo, HubToken
from tests.support.making import oid_of
from tests.support.reactor import reactor
from tests.support.tokens import basic
from tests.web import guarded
from tests.web.guarded import GuardedTestCase, Operation, bearer, entry, jwt_section
from tests.web.support import Response, batch_body

DATA = b"an object that several names lead to"

WANDA = basic("git", "ghp_wandawandawandawandawanda")
SAM = basic("git", "ghp_samsamsamsamsamsamsamsam")


def api(path: str, short: bool = False) -> str:
    """Return the URL of a repository's API."""
    return f"/{path}" if short else f"/{path}.git/info/lfs"


class NamesTestCase(GuardedTestCase):
    """Sends requests under names."""

    def locks(self) -> dict[str, str]:
        """Return the options of a lock store in a file."""
        directory = os.path.abspath(self.mktemp())
        os.makedirs(directory)
        return {"type": "sqlite", "path": os.path.join(directory, "locks.sqlite")}

    async def send_and_wait(
        self, method: str, target: str, body: bytes, *who: str, **headers: str
    ) -> Response:
        """Send any request, and wait for the answer."""
        operation = Operation(method, target, DATA, body)
        self.patch_operation(operation)
        return await self.ask("this", *who, headers=headers)

    def patch_operation(self, operation: Operation) -> None:
        """Let ``this`` be an operation."""
        self.patch(guarded, "OPERATIONS", {"this": operation})

    async def batch(self, path: str, operation: str, who: str = WANDA, short: bool = False) -> Any:
        """Ask for a batch, and return what it says of the object."""
        body = batch_body(operation, entry(DATA))
        target = f"{api(path, short)}/objects/batch"
        response = await self.send_and_wait("POST", target, body, who)
        self.assertEqual(response.status, 200, response)
        (found,) = response.json["objects"]
        return found

    async def follow(self, action: dict[str, Any], method: str, body: bytes = b"") -> Response:
        """Do what an action says."""
        path = urlsplit(action["href"]).path
        header = dict(action["header"])
        return await self.send_and_wait(method, path, body, **header)

    async def push(self, path: str, who: str = WANDA, short: bool = False) -> str:
        """Push the object, and return the path that its upload led to."""
        found = await self.batch(path, "upload", who, short)
        upload = found["actions"]["upload"]
        self.assertEqual((await self.follow(upload, "PUT", DATA)).status, 200)
        verify = found["actions"]["verify"]
        body = json.dumps(entry(DATA)).encode()
        self.assertEqual((await self.follow(verify, "POST", body)).status, 200)
        return urlsplit(upload["href"]).path

    async def assert_pulled(self, path: str, who: str = WANDA) -> None:
        """Check that the object can be fetched, by an action and by itself."""
        found = await self.batch(path, "download", who)
        response = await self.follow(found["actions"]["download"], "GET")
        self.assertEqual((response.status, response.body), (200, DATA))
        target = f"{api(path)}/objects/storage/{oid_of(DATA)}"
        response = await self.send_and_wait("GET", target, b"", who)
        self.assertEqual((response.status, response.body), (200, DATA))


class ForgeNameTests(NamesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitHub(
            {
                "ghp_wandawandawandawandawanda": HubToken("wanda", ("repo",)),
                "ghp_samsamsamsamsamsamsamsam": HubToken("sam", ("repo",)),
            },
            {"Acme/Rocket": HubRepo({"wanda": "write"})},
        )
        port = self.fake.listen(reactor)
        self.addCleanup(port.stopListening)

    def start(self, *others: dict[str, Any], options: Any = None, **forge: Any) -> None:
        """Serve repositories of the forge."""
        section = {"type": "github", "orgs": ["acme"], "api_url": self.fake.url, **forge}
        self.guard(section, *others, present=False, locks=self.locks(), **(options or {}))

    async def test_every_spelling_reaches_the_same_objects(self) -> None:
        self.start()
        href = await self.push("acme/rocket")
        self.assertEqual(href, f"/Acme/Rocket.git/info/lfs/objects/storage/{oid_of(DATA)}")
        self.assertEqual(self.front.objects(), {f"Acme/Rocket/{oid_of(DATA)}": DATA})
        for path in ("Acme/Rocket", "acme/rocket", "ACME/rocket"):
            await self.assert_pulled(path)

    async def test_the_short_form_of_urls_stays_short(self) -> None:
        self.start()
        href = await self.push("acme/rocket", short=True)
        self.assertEqual(href, f"/Acme/Rocket/objects/storage/{oid_of(DATA)}")

    async def test_every_spelling_goes_on_with_the_same_upload(self) -> None:
        self.start()
        body = batch_body("upload", entry(DATA), transfers=["tus"])
        target = f"{api('acme/rocket')}/objects/batch"
        reply = (await self.send_and_wait("POST", target, body, WANDA)).json
        upload = reply["objects"][0]["actions"]["upload"]
        place = f"objects/tus/{oid_of(DATA)}/{len(DATA)}"
        self.assertEqual(urlsplit(upload["href"]).path, f"/Acme/Rocket.git/info/lfs/{place}")
        tus = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
        started = {"header": {**upload["header"], **tus, "Upload-Offset": "0"}}
        response = await self.follow({**upload, **started}, "PATCH", DATA[:5])
        self.assertEqual(response.status, 204)
        target = f"{api('ACME/rocket')}/{place}"
        response = await self.send_and_wait("HEAD", target, b"", WANDA, **tus)
        self.assertEqual(response.headers["upload-offset"], "5")
        tus["Upload-Offset"] = "5"
        response = await self.send_and_wait("PATCH", target, DATA[5:], WANDA, **tus)
        self.assertEqual(response.status, 204)
        self.assertEqual(self.front.objects(), {f"Acme/Rocket/{oid_of(DATA)}": DATA})
        oid = base64.b64encode(oid_of(DATA).encode()).decode()
        creation = {**tus, "Upload-Length": str(len(DATA)), "Upload-Metadata": f"oid {oid}"}
        target = f"{api('acme/rocket', True)}/objects/tus"
        response = await self.send_and_wait("POST", target, b"", WANDA, **creation)
        self.assertEqual(urlsplit(response.headers["location"]).path, f"/Acme/Rocket/{place}")

    async def test_every_spelling_reaches_the_same_locks(self) -> None:
        self.start()
        body = json.dumps({"path": "a.psd"}).encode()
        made = await self.send_and_wait("POST", f"{api('acme/rocket')}/locks", body, WANDA)
        self.assertEqual(made.status, 201)
        again = await self.send_and_wait("POST", f"{api('Acme/Rocket')}/locks", body, WANDA)
        self.assertEqual((again.status, again.json["lock"]), (409, made.json["lock"]))
        lock_id = made.json["lock"]["id"]
        unlock = f"{api('ACME/ROCKET')}/locks/{lock_id}/unlock"
        self.assertEqual((await self.send_and_wait("POST", unlock, b"", WANDA)).status, 200)

    async def test_no_spelling_opens_a_private_repository(self) -> None:
        """Neither by a batch, nor directly, nor by the action of another repository."""
        self.start()
        await self.push("acme/rocket")
        for path in ("Acme/Rocket", "acme/rocket"):
            target = f"{api(path)}/objects/storage/{oid_of(DATA)}"
            self.assertEqual((await self.send_and_wait("GET", target, b"", SAM)).status, 403)
            body = batch_body("download", entry(DATA))
            batch = await self.send_and_wait("POST", f"{api(path)}/objects/batch", body, SAM)
            self.assertEqual(batch.status, 403)

    async def test_an_action_is_good_for_the_name_that_it_has(self) -> None:
        self.start()
        await self.push("acme/rocket")
        action = (await self.batch("acme/rocket", "download"))["actions"]["download"]
        for path, wanted in (("Acme/Rocket", 200), ("acme/rocket", 403), ("acme/other", 403)):
            target = f"{api(path)}/objects/storage/{oid_of(DATA)}"
            response = await self.send_and_wait("GET", target, b"", **action["header"])
            self.assertEqual(response.status, wanted, path)

    async def test_a_renamed_repository_is_found_by_an_alias(self) -> None:
        self.start()
        await self.push("acme/rocket")
        before = self.front.objects()
        self.fake.names.rename("Acme/Rocket", "Acme/Engine", self.fake.repos)
        self.start(options={"aliases": {"acme/engine": "Acme/Rocket"}})
        self.put_all(before)
        for path in ("acme/rocket", "Acme/Engine"):
            await self.assert_pulled(path)

    async def test_a_renamed_repository_is_found_by_its_number(self) -> None:
        self.start(by_id=True)
        await self.push("acme/rocket")
        before = self.front.objects()
        (kept,) = before
        host = self.fake.url.removeprefix("http://")
        number = self.fake.names.id("acme/rocket")
        self.assertEqual(kept, f"github:{host}/{number}/{oid_of(DATA)}")
        self.fake.names.rename("Acme/Rocket", "Acme/Engine", self.fake.repos)
        self.start(by_id=True)
        self.put_all(before)
        for path in ("acme/rocket", "acme/engine"):
            await self.assert_pulled(path)

    async def test_an_alias_leads_from_a_number_to_what_was_kept_by_name(self) -> None:
        host = self.fake.url.removeprefix("http://")
        number = f"github:{host}/{self.fake.names.id('acme/rocket')}"
        self.start(by_id=True, options={"aliases": {number: "acme/rocket"}})
        self.put_all({f"acme/rocket/{oid_of(DATA)}": DATA})
        await self.assert_pulled("Acme/Rocket")

    async def test_objects_under_another_spelling_are_found_by_an_alias(self) -> None:
        """An earlier giftless kept what was pushed to ``acme/rocket`` there."""
        self.start(options={"aliases": {"Acme/Rocket": "acme/rocket"}})
        self.put_all({f"acme/rocket/{oid_of(DATA)}": DATA})
        for path in ("acme/rocket", "Acme/Rocket"):
            await self.assert_pulled(path)

    def put_all(self, objects: dict[str, bytes]) -> None:
        """Store objects as another daemon left them."""
        for path, data in objects.items():
            self.front.put(data, path.rpartition("/")[0])


class OtherNameTests(NamesTestCase):
    """Repositories of no forge: names are what they are."""

    async def test_upper_and_lower_case_differ(self) -> None:
        self.guard(jwt_section("HS256"), present=False)
        who = bearer("obj:*:*", "HS256", exp=NOW + 600)
        await self.push("acme/rocket", who)
        found = await self.batch("Acme/Rocket", "download", who)
        self.assertEqual(found["error"]["code"], 404)

    async def test_an_alias_leads_to_the_objects_of_another_name(self) -> None:
        """Who may do what is decided by the name that the request gives."""
        self.guard(
            jwt_section("HS256"), present=False, aliases={"acme/new": "acme/old", "a/b": "b/a"}
        )
        old = bearer("obj:acme/old:*", "HS256", exp=NOW + 600)
        new = bearer("obj:acme/new:*", "HS256", exp=NOW + 600)
        await self.push("acme/old", old)
        await self.assert_pulled("acme/new", new)
        self.assertEqual(len(self.front.objects()), 1)
        target = f"{api('acme/new')}/objects/storage/{oid_of(DATA)}"
        self.assertEqual((await self.send_and_wait("GET", target, b"", old)).status, 403)
