"""The client of an LFS server."""

from __future__ import annotations

import json
import time

from giftless.client.asking import Outgoing
from giftless.client.errors import ServerError
from giftless.interfaces import IBody
from giftless.lfs.objects import Operation
from tests.agent.server import Answer, Asked
from tests.client.support import ClientTestCase, SmallServer, oid_of
from tests.support.bodies import ListBody

DATA = b"rocket" * 1000
OID = oid_of(DATA)


async def all_of(body: IBody) -> bytes:
    """Read a body to its end."""
    found = b""
    while chunks := await body.read():
        found += b"".join(chunks)
    return found


class TransferTests(ClientTestCase):
    async def test_an_object_is_downloaded(self) -> None:
        server = SmallServer(self, [DATA])
        client = self.client(server.url)
        reply = await client.batch(Operation.DOWNLOAD, {OID: len(DATA)}, "refs/heads/main")
        _, body = await client.download(reply.objects[0])
        self.assertEqual(await all_of(body), DATA)
        sent = json.loads(server.asked("POST", "/objects/batch")[0].body)
        self.assertEqual(sent["ref"], {"name": "refs/heads/main"})
        self.assertEqual(sent["transfers"], ["basic"])

    async def test_an_object_is_uploaded_and_verified(self) -> None:
        server = SmallServer(self)
        client = self.client(server.url)
        [answered] = (await client.batch(Operation.UPLOAD, {OID: len(DATA)})).objects
        await client.upload(answered, lambda: ListBody([DATA[:5], DATA[5:]]), len(DATA))
        await client.verify(answered)
        self.assertEqual(server.objects, {OID: DATA})
        self.assertEqual(server.verified, [OID])
        [again] = (await client.batch(Operation.UPLOAD, {OID: len(DATA)})).objects
        self.assertEqual(again.actions, {})

    async def test_an_empty_object_is_uploaded(self) -> None:
        server = SmallServer(self)
        client = self.client(server.url)
        [answered] = (await client.batch(Operation.UPLOAD, {oid_of(b""): 0})).objects
        await client.upload(answered, lambda: ListBody([]), 0)
        self.assertEqual(server.objects, {oid_of(b""): b""})

    async def test_many_objects_are_asked_for_in_several_batches(self) -> None:
        server = SmallServer(self)
        wanted = {oid_of(b"%d" % number): number for number in range(250)}
        reply = await self.client(server.url).batch(Operation.DOWNLOAD, wanted)
        self.assertEqual([each.oid for each in reply.objects], list(wanted))
        self.assertEqual({each.code for each in reply.objects}, {404})
        sizes = [len(json.loads(a.body)["objects"]) for a in server.http.asked]
        self.assertEqual(sizes, [100, 100, 50])

    async def test_an_upload_that_the_server_refuses_is_explained(self) -> None:
        server = SmallServer(self)
        client = self.client(server.url)
        [answered] = (await client.batch(Operation.UPLOAD, {OID: len(DATA)})).objects
        server.fault = lambda asked: Answer(507, b'{"message": "there is no room"}')
        error = await self.failing(client.upload(answered, lambda: ListBody([DATA]), len(DATA)))
        self.assertEqual(error.status, 507)
        self.assertIn("there is no room", error.problem)

    async def test_the_action_of_an_old_batch_is_known_to_be_stale(self) -> None:
        server = SmallServer(self, [DATA])
        client = self.client(server.url)
        server.extra = {"expires_in": 3600}
        [fresh] = (await client.batch(Operation.DOWNLOAD, {OID: 1})).objects
        server.extra = {"expires_at": "2020-01-01T00:00:00Z"}
        [stale] = (await client.batch(Operation.DOWNLOAD, {OID: 1})).objects
        self.assertTrue(client.is_fresh(fresh.actions["download"]))
        self.assertFalse(client.is_fresh(stale.actions["download"]))


class PatienceTests(ClientTestCase):
    def once(self, server: SmallServer, answer: Answer) -> None:
        """Let a server answer one request in another way."""
        answers = [answer]
        server.fault = lambda asked: answers.pop() if answers else None

    async def test_a_server_that_is_busy_is_asked_again(self) -> None:
        server = SmallServer(self, [DATA])
        self.once(server, Answer(503))
        reply = await self.client(server.url).batch(Operation.DOWNLOAD, {OID: len(DATA)})
        self.assertIn("download", reply.objects[0].actions)
        self.assertEqual(len(server.http.asked), 2)

    async def test_retry_after_is_waited_for(self) -> None:
        server = SmallServer(self, [DATA])
        self.once(server, Answer(429, headers={"Retry-After": "1"}))
        began = time.monotonic()
        await self.client(server.url).batch(Operation.DOWNLOAD, {OID: len(DATA)})
        self.assertGreaterEqual(time.monotonic() - began, 1)

    async def test_a_wish_to_wait_for_days_is_told_instead(self) -> None:
        server = SmallServer(self, [DATA])
        server.fault = lambda asked: Answer(429, headers={"Retry-After": "86400"})
        error = await self.failing(self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1}))
        self.assertEqual((error.status, error.after), (429, 86400))
        self.assertEqual(len(server.http.asked), 1)

    async def test_a_server_that_cannot_be_reached_is_named(self) -> None:
        client = self.client("http://127.0.0.1:1/acme/rocket", attempts=1)
        error = await self.failing(client.batch(Operation.DOWNLOAD, {OID: 1}))
        self.assertIn("http://127.0.0.1:1/acme/rocket/objects/batch", error.problem)
        self.assertEqual(error.status, 0)


class RedirectTests(ClientTestCase):
    async def test_a_redirected_request_keeps_its_method_and_body(self) -> None:
        server = SmallServer(self, [DATA])

        def fault(asked: Asked) -> Answer | None:
            if asked.path.startswith("/acme"):
                return Answer(301, headers={"Location": f"/moved{asked.path}"})
            return None

        server.fault = fault
        reply = await self.client(server.url).batch(Operation.DOWNLOAD, {OID: len(DATA)})
        self.assertIn("download", reply.objects[0].actions)

    async def test_another_host_gets_no_credential(self) -> None:
        other = SmallServer(self, [DATA])
        server = SmallServer(self)
        server.fault = lambda asked: Answer(
            307, headers={"Location": f"{other.http.url}{asked.path}"}
        )
        url = server.url.replace("://", "://tess:secret@")
        client = self.client(url)
        client.credential = await client._credentials.fill(url)
        await client.batch(Operation.DOWNLOAD, {OID: len(DATA)})
        self.assertIn("authorization", server.http.asked[0].headers)
        self.assertNotIn("authorization", other.http.asked[0].headers)

    async def test_a_circle_of_redirects_ends(self) -> None:
        server = SmallServer(self)
        server.fault = lambda asked: Answer(302, headers={"Location": asked.path})
        error = await self.failing(self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1}))
        self.assertIn("more than 5 times", error.problem)

    async def test_a_redirect_to_a_file_is_refused(self) -> None:
        server = SmallServer(self)
        server.fault = lambda asked: Answer(302, headers={"Location": "file:///etc/passwd"})
        error = await self.failing(self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1}))
        self.assertIn("no http:// or https:// URL", error.problem)


class CredentialTests(ClientTestCase):
    async def test_the_user_of_the_url_is_told_when_asked_for(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "tess:secret"
        client = self.client(server.url.replace("://", "://tess:secret@"))
        await client.batch(Operation.DOWNLOAD, {OID: 1})
        await client.batch(Operation.DOWNLOAD, {OID: 1})
        sent = ["authorization" in asked.headers for asked in server.http.asked]
        self.assertEqual(sent, [False, True, True])

    async def test_the_helper_of_git_is_asked_and_told_what_was_good(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "tess:secret"
        self.helper("secret")
        await self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1})
        self.assertEqual(self.calls(), ["get", "store"])

    async def test_a_helper_whose_password_is_refused_is_told_to_forget_it(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "tess:secret"
        self.helper("wrong")
        error = await self.failing(self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1}))
        self.assertEqual(error.status, 401)
        self.assertEqual(self.calls(), ["get", "erase"])
        self.assertNotIn("wrong", error.problem)

    async def test_netrc_comes_before_helpers(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "tess:secret"
        self.helper("wrong")
        netrc = self.home / ".netrc"
        netrc.touch(0o600)
        netrc.write_text("machine 127.0.0.1 login tess password secret\n")
        await self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1})
        self.assertEqual(self.calls(), [])

    async def test_without_a_credential_nobody_is_asked(self) -> None:
        server = SmallServer(self, [DATA])
        server.user = "tess:secret"
        error = await self.failing(self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1}))
        self.assertIn("no credential", error.problem)

    async def test_extra_headers_of_git_are_sent(self) -> None:
        server = SmallServer(self, [DATA])
        self.git("config", "--global", f"http.{server.http.url}/.extraheader", "X-Who: tess")
        await self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1})
        self.assertEqual(server.http.asked[0].headers["x-who"], "tess")

    def helper(self, password: str) -> None:
        """Let git know a password."""
        path = self.home / "helper"
        path.write_text(
            f'#!/bin/sh\necho "$1" >> {self.home}/calls\n'
            f'[ "$1" = get ] && printf "username=tess\\npassword={password}\\n"\nexit 0\n'
        )
        path.chmod(0o755)
        self.git("config", "--global", "credential.helper", str(path))

    def calls(self) -> list[str]:
        """Return what the helper was asked to do."""
        file = self.home / "calls"
        return file.read_text().split() if file.exists() else []


class HostileTests(ClientTestCase):
    async def refused(self, answer: Answer) -> ServerError:
        """Return the error that an answer to a batch ends in."""
        server = SmallServer(self)
        server.fault = lambda asked: answer
        client = self.client(server.url, attempts=1)
        return await self.failing(client.batch(Operation.DOWNLOAD, {OID: 1}))

    async def test_replies_of_the_wrong_shape_are_refused_in_words(self) -> None:
        for body in (
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b'{"objects": null}',
            b'{"objects": {}}',
            b"\xff\xfe",
            b"[" * 100_000,
        ):
            error = await self.refused(Answer(200, body))
            self.assertIn("the reply", error.problem, body[:20])

    async def test_a_transfer_that_was_not_offered_is_refused(self) -> None:
        error = await self.refused(Answer(200, b'{"transfer": "ssh", "objects": []}'))
        self.assertIn("'ssh'", error.problem)

    async def test_a_reply_without_end_is_cut_off(self) -> None:
        body = b'{"objects": [' + b" " * (5 * 1024 * 1024)
        error = await self.refused(Answer(200, body))
        self.assertIn("more than", error.problem)

    async def test_an_object_that_is_left_out_has_an_error(self) -> None:
        server = SmallServer(self)
        server.fault = lambda asked: Answer(200, b'{"objects": [{"oid": "x"}, 7, null]}')
        reply = await self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1})
        self.assertEqual((reply.objects[0].oid, reply.objects[0].code), (OID, 502))

    async def test_an_action_that_leads_to_a_file_is_refused(self) -> None:
        server = SmallServer(self, [DATA])
        server.extra = {"href": "file:///etc/passwd"}
        client = self.client(server.url)
        [answered] = (await client.batch(Operation.DOWNLOAD, {OID: 1})).objects
        error = await self.failing(client.download(answered))
        self.assertIn("no http:// or https:// URL", error.problem)

    async def test_hosts_that_are_none_end_in_words(self) -> None:
        asker = self.connections(attempts=1).asker
        for url in (
            "http://.../",
            "http://a..b/",
            "http://-h/",
            "http://xn--/",
            "http://h%41/",
            "http://[fe80::1%25eth0]/",
            f"http://{'a' * 300}/",
        ):
            for work in (asker.ask, asker.fetch):
                error = await self.failing(work(Outgoing("GET", url, {})))
                self.assertIn("its host is no name or address", error.problem, url)

    async def test_a_redirect_to_nonsense_ends_in_words(self) -> None:
        server = SmallServer(self)
        for location in ("http://[::1/", "//[", "http://h:99999/", "//a..b/"):
            server.fault = lambda asked, to=location: Answer(  # type: ignore[misc]
                302, headers={"Location": to}
            )
            await self.failing(self.client(server.url).batch(Operation.DOWNLOAD, {OID: 1}))

    async def test_a_user_in_an_action_becomes_a_header(self) -> None:
        server = SmallServer(self, [DATA])
        url = server.http.url.replace("://", "://tess:secret@")
        server.extra = {"href": f"{url}/data/{OID}"}
        client = self.client(server.url)
        [answered] = (await client.batch(Operation.DOWNLOAD, {OID: 1})).objects
        _, body = await client.download(answered)
        self.assertEqual(await all_of(body), DATA)
        self.assertEqual(server.asked("GET", OID)[0].headers["authorization"][:6], "Basic ")
