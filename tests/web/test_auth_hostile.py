"""Credentials that somebody has tampered with, over the wire.

Each is refused with the right status, in JSON; nothing is stored, and no
secret gets into the log (both checked for every request in
:mod:`tests.web.guarded`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from tests.auth.forges.support import NOW
from tests.support.making import SECRET, oid_of
from tests.support.tokens import basic, decode, encode, forge, sign, verification_key
from tests.web.guarded import (
    API,
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
from tests.web.support import batch_body, storage_url

#: Claims that open everything, if their signature is right.
CLAIMS: Final[Mapping[str, Any]] = {
    "sub": "mallory",
    "iss": "https://issuer.example",
    "aud": "giftless",
    "exp": NOW + 60,
    "scopes": "obj:*",
}

PUBLIC_PEM: Final = verification_key("RS256").encode()


def rs256(headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """Sign claims with the issuer's own key."""
    all_claims = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return sign(all_claims, "RS256", headers={"kid": "RS256"} | dict(headers or {}))


def header(algorithm: str, kid: str = "RS256", **members: Any) -> dict[str, Any]:
    """Make the header of a token."""
    return {"alg": algorithm, "typ": "JWT", "kid": kid, **members}


_HEAD, _PAYLOAD, _SIGNATURE = rs256().split(".")

#: Tokens that are refused whatever they are shown for.
FORGED: Final[Mapping[str, str]] = {
    "no_algorithm": forge(header("none"), CLAIMS),
    "no_algorithm_in_capitals": forge(header("NONE"), CLAIMS),
    "no_algorithm_and_the_right_signature": f"{encode(header('none'))}.{_PAYLOAD}.{_SIGNATURE}",
    "no_signature": f"{_HEAD}.{_PAYLOAD}.",
    "signed_with_the_public_key": forge(header("HS256"), CLAIMS, PUBLIC_PEM),
    "signed_with_the_stripped_public_key": forge(header("HS256"), CLAIMS, PUBLIC_PEM.strip()),
    "signed_with_the_public_key_as_rs256": forge(header("RS256"), CLAIMS, PUBLIC_PEM),
    "signed_with_another_key": sign(CLAIMS, "RS256", "theirs", {"kid": "RS256"}),
    "signed_with_its_own_key": forge(
        header("HS256", jwk={"kty": "oct", "k": encode(b"k" * 32)}), CLAIMS, b"k" * 32
    ),
    "another_algorithm_of_the_same_key": sign(CLAIMS, "RS512", headers={"kid": "RS256"}),
    "other_claims": f"{_HEAD}.{encode({**CLAIMS, 'sub': 'admin'})}.{_SIGNATURE}",
    "claims_that_are_no_object": forge(header("RS256"), b"[]"),
    "expired": rs256(exp=NOW - 11),
    "not_valid_yet": rs256(nbf=NOW + 11),
    "issued_in_the_future": rs256(iat=NOW + 11),
    "for_another_audience": rs256(aud="another"),
    "for_no_audience": rs256(aud=None),
    "from_another_issuer": rs256(iss="https://issuer.example.evil"),
    "from_no_issuer": rs256(iss=None),
    "a_kid_that_is_a_path": rs256({"kid": "../../../../../../dev/null"}),
    "a_kid_that_is_a_path_signed_with_nothing": forge(
        header("HS256", "../../../../dev/null"), CLAIMS
    ),
    "a_kid_that_is_a_url": rs256({"kid": "https://evil.example/jwks.json"}),
    "a_kid_with_a_nul": rs256({"kid": "RS256\0"}),
    "a_kid_with_line_breaks": rs256({"kid": "RS256\r\nX-Admin: 1"}),
    "a_kid_that_is_no_text": forge({"alg": "RS256", "kid": ["RS256"]}, CLAIMS),
    "a_kid_as_of_the_daemon_s_own": forge(header("HS256", "giftless-action/.."), CLAIMS, SECRET),
    "a_scope_with_a_nul": rs256(scopes="obj:acme/rocket\0:*"),
}

#: Where the token is real, but what it permits is nothing.
NOT_401: Final[Mapping[str, int]] = {"a_scope_with_a_nul": 403}


class ForgedTokenTests(GuardedTestCase):
    """Tokens that are no good, for an authenticator that takes RS256 only."""

    async def check(self, cell: str, token: str, status: int, name: str) -> None:
        """Show one in each of the ways to show a token."""
        self.guard(jwt_section("RS256", audience="giftless", issuer="https://issuer.example"))
        for how in ([f"Bearer {token}"], [basic("_jwt", token)], []):
            response = await self.ask(name, *how, token=None if how else token)
            self.assert_cell(cell, name, response, status)
            self.assert_challenged(response)

    def test_a_good_one_is_accepted(self) -> None:
        """Otherwise the others would prove nothing."""
        self.guard(jwt_section("RS256", audience="giftless", issuer="https://issuer.example"))
        for claims in ({}, {"exp": NOW - 9}, {"nbf": NOW + 9}, {"aud": ["another", "giftless"]}):
            self.assertEqual(self.ask_now("get", f"Bearer {rs256(**claims)}").status, 200, claims)

    def test_a_token_ends_when_it_expires(self) -> None:
        self.guard(jwt_section("RS256", audience="giftless", issuer="https://issuer.example"))
        token = f"Bearer {rs256()}"
        self.assertEqual(self.ask_now("get", token).status, 200)
        self.clock.advance(71)
        response = self.ask_now("get", token)
        self.assert_error(response, 401)
        self.assertIn("expired", response.json["message"])

    def test_a_scope_of_one_repository_opens_no_other(self) -> None:
        self.guard(jwt_section("HS256"))
        for scope in ("obj:acme/rocke:*", "obj:acme/rocket2:*", "obj:acme/rocket/x:*", "obj:acm/*"):
            for name in OPERATIONS:
                self.assert_cell(scope, name, self.ask_now(name, bearer(scope, "HS256")), 403)


class OwnTokenTests(GuardedTestCase):
    """Tokens of actions, used for something else, or made by somebody else: 403, never 401."""

    def tokens(self) -> dict[str, str]:
        """Return the tokens of an upload, a verification and a download."""
        self.guard(jwt_section("HS256"))
        found = {}
        for name in ("upload_batch", "download_batch"):
            response = self.ask_now(name, bearer(f"obj:{REPO}:*", "HS256"))
            for action, details in response.json["objects"][0]["actions"].items():
                found[action] = details["header"]["Giftless-Action"]
        return found

    def refuse(self, operation: Operation | str, token: str, status: int = 403) -> None:
        """Check that a token is refused, as header and as parameter."""
        for how in ({"token": token}, {}):
            shown = [] if how else [f"Bearer {token}"]
            response = self.ask_now(operation, *shown, **how)
            self.assert_error(response, status)
            self.assert_challenged(response)
            self.assert_objects(PRESENT)

    def test_the_real_ones_are_accepted(self) -> None:
        tokens = self.tokens()
        self.assertEqual(self.ask_now("get", f"Bearer {tokens['download']}").status, 200)
        self.assertEqual(self.ask_now("put", f"Bearer {tokens['upload']}").status, 200)

    def test_forged_ones_are_refused(self) -> None:
        claims = {"exp": NOW + 60, "op": "download", "repo": REPO, "sub": "mallory"}
        claims |= {"oid": oid_of(PRESENT), "size": len(PRESENT)}
        kid = "giftless-action"
        real = self.tokens()["download"].split(".")
        for token in (
            forge(header("none", kid), claims),
            forge(header("HS256", kid), claims),
            forge(header("HS256", kid), claims, SECRET),
            forge(header("HS256", kid), claims, b"another secret of thirty-two bytes"),
            sign(claims, "RS256", headers={"kid": kid}),
            f"{real[0]}.{encode(json.loads(decode(real[1])) | {'exp': NOW + 10**6})}.{real[2]}",
            f"{encode(header('none', kid))}.{real[1]}.",
        ):
            self.refuse("get", token)

    def test_an_upload_s_token_opens_no_download(self) -> None:
        self.tokens()
        os.unlink(os.path.join(self.front.directory, REPO, oid_of(PRESENT)))
        both = batch_body("upload", entry(PRESENT), entry(NEW))
        batch = Operation("POST", f"{API}/objects/batch", NEW, both)
        reply = self.ask_now(batch, bearer(f"obj:{REPO}:*", "HS256")).json["objects"][0]
        self.front.put(PRESENT, REPO)
        for action in ("upload", "verify"):
            token = reply["actions"][action]["header"]["Giftless-Action"]
            self.refuse("get", token)

    def test_the_token_of_one_repository_opens_no_other(self) -> None:
        tokens = self.tokens()
        self.front.put(PRESENT, "acme/other")
        for repo in ("acme/other", "acme", "acme/rocket/x", "Acme/rocket"):
            for action, method, data, body in (
                ("download", "GET", PRESENT, b""),
                ("upload", "PUT", NEW, NEW),
            ):
                target = storage_url(oid_of(data), f"/{repo}.git/info/lfs")
                shown = [f"Bearer {tokens[action]}"]
                response = self.ask_now(Operation(method, target, data, body), *shown)
                self.assert_error(response, 403)
                self.assertIn("another repository", response.json["message"])

    def test_another_object_s_bytes_are_refused(self) -> None:
        tokens = self.tokens()
        other = b"an object of somebody else"
        target = storage_url(oid_of(other), API)
        self.refuse(Operation("PUT", target, other, other), tokens["upload"])
        self.front.put(other, REPO)
        response = self.ask_now(Operation("GET", target, other), f"Bearer {tokens['download']}")
        self.assert_error(response, 403)

    def test_another_size_is_refused(self) -> None:
        """400 for bytes that are not what was announced; the token itself is good."""
        tokens = self.tokens()
        target = OPERATIONS["put"].target
        for body in (NEW[:-1], NEW + b"!", b""):
            self.refuse(Operation("PUT", target, NEW, body), tokens["upload"], 400)
        self.refuse(Operation("PUT", target, NEW, NEW[::-1]), tokens["upload"], 400)
        wrong = json.dumps({"oid": oid_of(NEW), "size": len(NEW) + 1}).encode()
        self.refuse(Operation("POST", OPERATIONS["verify"].target, NEW, wrong), tokens["verify"])

    def test_a_replay_after_expiry_is_refused(self) -> None:
        tokens = self.tokens()
        self.assertEqual(self.ask_now("get", f"Bearer {tokens['download']}").status, 200)
        self.clock.advance(3600 + 9)
        self.assertEqual(self.ask_now("get", f"Bearer {tokens['download']}").status, 200)
        self.clock.advance(2)
        self.refuse("get", tokens["download"])
        self.refuse("put", tokens["upload"])

    def test_an_action_s_token_opens_no_batch(self) -> None:
        """A batch is no action: whoever asks for one is asked for a credential."""
        for token in self.tokens().values():
            for name in ("download_batch", "upload_batch"):
                self.refuse(name, token, 401)


class HeaderTests(GuardedTestCase):
    """Requests that are odd as such."""

    def setUp(self) -> None:
        super().setUp()
        self.guard(self.passwords(), jwt_section("HS256"))

    def test_a_header_of_a_megabyte_is_431_and_the_end(self) -> None:
        for value in (f"Bearer {'x' * 2**20}", basic("wanda", "x" * 2**20)):
            connection = self.send(OPERATIONS["get"], value)
            response = connection.response()
            self.assert_error(response, 431)
            self.assertEqual(response.headers["connection"], "close")
            self.assert_closed_by_server(connection)
        self.assertEqual(self.front.blocking.jobs, [], "passwords of strangers were hashed")

    def test_a_nul_in_a_name_never_gets_to_the_storage(self) -> None:
        good = basic("wanda", "wandas password")
        for path in ("/acme/rocket%00", "/acme%00/rocket", "/acme/rocket\0", "/acme/%00", "/%00"):
            for name, operation in OPERATIONS.items():
                target = f"{path}.git/info/lfs{operation.target.removeprefix(API)}"
                odd = Operation(operation.method, target, operation.data, operation.body)
                response = self.ask_now(odd, good)
                self.assertEqual(response.status, 400, (path, name, response))
        for oid in (oid_of(PRESENT)[:-3] + "%00", oid_of(PRESENT) + "%00", "%00"):
            response = self.ask_now(Operation("GET", f"{API}/objects/storage/{oid}", b""), good)
            self.assert_error(response, 400)
        self.assert_objects(PRESENT)

    def test_a_nul_in_a_user_or_password_is_no_user(self) -> None:
        for user, password in (
            ("wanda\0", "wandas password"),
            ("wanda", "wandas password\0"),
            ("wanda", "wandas password\0x"),
            ("\0wanda", "wandas password"),
            ("", "wandas password"),
        ):
            self.assert_error(self.ask_now("get", basic(user, password)), 401)

    def test_a_header_that_cannot_be_read_is_never_anonymous(self) -> None:
        """It is refused, also where everybody may read, unless another credential is good."""
        self.guard(self.passwords(), {"type": "anonymous", "access": "read-write"})
        unreadable = ("", "x", "Basic", "Basic !!!", "Basic bm8gY29sb24=", "Bearer", "Digest a=b")
        good, unknown = basic("wanda", "wandas password"), "Bearer opaque"
        for value in unreadable:
            for name in OPERATIONS:
                response = self.ask_now(name, value)
                self.assert_cell(value, name, response, 401)
                self.assert_challenged(response)
            self.clock.advance(61)
            self.assertEqual(self.ask_now("get", value, unknown).status, 401, value)
            for headers in ((value, good), (good, value)):
                self.assertEqual(self.ask_now("get", *headers).status, 200, headers)
        # Nor is a credential that nobody takes.
        self.assert_error(self.ask_now("get", unknown), 401)
        self.assertEqual(self.ask_now("get").status, 200)

    def test_one_good_header_of_two_is_enough(self) -> None:
        """CI runners add theirs to the action's own."""
        good = {
            "basic": basic("wanda", "wandas password"),
            "jwt": bearer(f"obj:{REPO}:*", "HS256"),
        }
        reply = self.ask_now("download_batch", good["jwt"]).json["objects"][0]
        good["action"] = "Bearer " + reply["actions"]["download"]["header"]["Giftless-Action"]
        bad = {
            "basic": basic("wanda", "rays password"),
            "unknown user": basic("x-access-token", "ghs_0123456789"),
            "jwt": bearer(f"obj:{REPO}:*", "HS256", "theirs"),
            "expired jwt": bearer(f"obj:{REPO}:*", "HS256", exp=NOW - 60),
            "opaque": "Bearer 0123456789abcdef",
            "negotiate": "Negotiate YIIZ0123456789",
            "damaged": "Basic !0123456789",
        }
        for kind, mine in good.items():
            for other, theirs in bad.items():
                for headers in ((mine, theirs), (theirs, mine)):
                    for name in ("get", "head") if kind == "action" else ("get", "download_batch"):
                        response = self.ask_now(name, *headers)
                        self.assertEqual(response.status, 200, (kind, other, name, response))
        for one in bad.values():
            for two in bad.values():
                self.assert_error(self.ask_now("get", one, two), 401)
            self.clock.advance(61)


for _title, _token in FORGED.items():
    for _operation in OPERATIONS:
        _status = NOT_401.get(_title, 401)
        add_cell(ForgedTokenTests, f"{_title}__{_operation}", _token, _status, _operation)
