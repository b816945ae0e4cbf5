"""Repository tokens: what they open, and everything that they do not."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import jwt
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.actions import ActionTokens
from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.auth.chain import AuthChain, not_accepted
from giftless.auth.grants import ADMIN, READ, READ_WRITE, RepoGrants
from giftless.auth.repository_tokens import (
    RepositoryTokenAuthenticator,
    RepositoryTokens,
    RepositoryTokensRefused,
)
from giftless.auth.tokens.unverified import TokenHeader
from giftless.errors import (
    BadAction,
    Forbidden,
    ServiceUnavailable,
    Unauthorized,
    UnfitCredential,
)
from giftless.interfaces import (
    ActionToken,
    Bearer,
    Credentials,
    IAuthenticator,
    Identity,
    Password,
    Vouched,
)
from giftless.lfs.objects import Operation, Permission, Repo
from giftless.usecases.authorization import Gate
from tests.contracts.authenticators import FOREIGN, ChainedContract
from tests.support.making import SECRET, action_tokens, oid_of, repo_of
from tests.support.run import CoroutineTestCase

ALICE = Vouched("alice", "basic")
LIFETIME = 3600


@implementer(IAuthenticator)
class Vouching:
    """Knows what each user may do whom the server vouches for.

    :ivar users: the permissions of each.
    :ivar asked: every user, repository and address that it was asked about.
    """

    def __init__(self) -> None:
        self.users: dict[str, frozenset[Permission]] = {"alice": ADMIN, "bob": READ}
        self.error: Exception | None = None
        self.asked: list[tuple[str, str, str]] = []

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        if self.error is not None:
            raise self.error
        for item in credentials.vouched:
            self.asked.append((item.user, repo.path, credentials.address))
            if item.realm == "basic" and item.user in self.users:
                grants = RepoGrants(self.users[item.user])
                return Identity(item.user, grants, f"basic#{item.user}")
        return None


class RepositoryTokensTestCase(CoroutineTestCase):
    """A test case with something that makes and takes tokens.

    :ivar clock: its time.
    :ivar users: knows the users.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.users = Vouching()
        self.tokens = RepositoryTokens(SECRET, LIFETIME, self.clock.seconds)
        self.authenticator = RepositoryTokenAuthenticator(self.tokens, AuthChain([self.users]))

    def token(
        self,
        operation: Operation = Operation.UPLOAD,
        user: Vouched = ALICE,
        path: str = "org/repo",
    ) -> str:
        """Make a token."""
        return self.tokens.make(user, repo_of(path), operation)

    def show(self, *items: Any, path: str = "org/repo") -> Identity | None:
        """Come with credentials."""
        shown = Credentials(items, "198.51.100.7")
        return self.run_now(self.authenticator.authenticate(shown, repo_of(path)))

    def identity_of(self, token: str) -> Identity:
        """Come with a token that is good."""
        identity = self.show(Bearer(token))
        assert identity is not None
        return identity

    def refusal(self, *items: Any, path: str = "org/repo") -> Unauthorized:
        """Come with what is refused."""
        error: Unauthorized = self.assertRaises(Unauthorized, self.show, *items, path=path)
        return error

    def permissions(self, token: str) -> set[Permission]:
        """Return what a token permits."""
        grants = self.identity_of(token).grants
        return {each for each in Permission if grants.allows(each, oid_of(b"x"))}


class ContractTests(ChainedContract, RepositoryTokensTestCase):
    def make_authenticator(self) -> RepositoryTokenAuthenticator:
        self.tokens = RepositoryTokens(SECRET, LIFETIME, Clock().seconds)
        return RepositoryTokenAuthenticator(self.tokens, AuthChain([Vouching()]))

    def setUp(self) -> None:
        ChainedContract.setUp(self)

    def accepted(self) -> list[Credentials]:
        return [Credentials((Bearer(self.token(operation)),)) for operation in Operation]


class AcceptedTests(RepositoryTokensTestCase):
    def test_it_is_the_user_whom_the_server_vouches_for(self) -> None:
        """Locks that were made by password are the same person's."""
        identity = self.identity_of(self.token())
        self.assertEqual((identity.name, identity.principal), ("alice", "basic#alice"))
        self.assertFalse(identity.anonymous)
        self.assertIsNone(identity.ticket)
        self.assertEqual(self.users.asked, [("alice", "org/repo", "198.51.100.7")])

    def test_a_token_for_uploads_permits_what_the_user_may_do(self) -> None:
        for permissions in (ADMIN, READ_WRITE, READ, frozenset[Permission]()):
            self.users.users["alice"] = permissions
            self.assertEqual(self.permissions(self.token(Operation.UPLOAD)), permissions)

    def test_a_token_for_downloads_permits_to_read_at_most(self) -> None:
        for permissions in (ADMIN, READ_WRITE, READ, frozenset[Permission]()):
            self.users.users["alice"] = permissions
            found = self.permissions(self.token(Operation.DOWNLOAD))
            self.assertEqual(found, permissions & READ)

    def test_what_the_user_may_do_now_counts(self) -> None:
        """Grants may change after a token was made."""
        token = self.token()
        self.users.users["alice"] = READ
        self.assertEqual(self.permissions(token), READ)

    def test_it_is_good_for_its_lifetime(self) -> None:
        token = self.token()
        self.clock.advance(LIFETIME)
        self.identity_of(token)

    def test_one_that_is_good_is_enough(self) -> None:
        """CI runners add a header of their own."""
        good, bad = Bearer(self.token()), Bearer(self.token(path="org/other"))
        for items in ((good, bad), (bad, good)):
            self.assertIsNotNone(self.show(*items))

    def test_another_process_takes_it(self) -> None:
        other = RepositoryTokens(SECRET, 1, self.clock.seconds)
        self.assertEqual(other.read(self.token(), repo_of()), (ALICE, Operation.UPLOAD))

    def test_names_may_have_any_characters(self) -> None:
        for name in ("älice", 'a"b\\c', "a.b@c", "x" * 1000, "\n"):
            user = Vouched(name, f"basic:{name}")
            token = self.token(Operation.DOWNLOAD, user)
            self.assertTrue(token.isascii() and token.isprintable())
            self.assertEqual(self.tokens.read(token, repo_of())[0], user)


class NarrowedTests(RepositoryTokensTestCase):
    def refused(self, operation: Operation, user: Vouched = ALICE) -> str:
        """Return why somebody who comes with a token may not upload."""
        identity = self.identity_of(self.token(operation, user))
        required = Permission.WRITE, repo_of(), oid_of(b"x")
        return self.assertRaises(Forbidden, Gate().require, identity, *required).message

    def test_who_shows_a_token_for_downloads_is_told_so(self) -> None:
        """It is not the user who lacks the right."""
        words = self.refused(Operation.DOWNLOAD)
        self.assertIn("the token of git-lfs-authenticate is for download", words)

    def test_who_lacks_the_right_is_told_that(self) -> None:
        for operation in Operation:
            words = self.refused(operation, Vouched("bob", "basic"))
            self.assertIn("bob does not have write access to org/repo", words)


class RefusedTests(RepositoryTokensTestCase):
    def test_a_changed_byte_makes_it_bad(self) -> None:
        """Wherever it is; behind the header, whoever looks knows whose the token wants to be."""
        token = self.token()
        header = token.index(".") + 1
        for place in range(len(token)):
            changed = "A" if token[place] != "A" else "B"
            forged = token[:place] + changed + token[place + 1 :]
            if place < header:
                self.assertIsNone(self.show(Bearer(forged)))
            else:
                self.assertNotIsInstance(self.refusal(Bearer(forged)), UnfitCredential)
        self.assertEqual(self.users.asked, [])

    def test_a_part_of_it_is_bad(self) -> None:
        token = self.token()
        header = token.index(".") + 1
        for end in range(header, len(token)):
            self.refusal(Bearer(token[:end]))
        for more in ("A", "=", ".", " ", "\n", "\0", "é", "\ud800"):
            self.refusal(Bearer(token + more))

    def test_one_of_another_secret_is_bad(self) -> None:
        other = RepositoryTokens(b"x" * 32, LIFETIME, self.clock.seconds)
        self.refusal(Bearer(other.make(ALICE, repo_of(), Operation.UPLOAD)))

    def test_one_that_is_signed_as_anything_else_is_bad(self) -> None:
        """With the secret itself, with the key of actions, or not at all."""
        claims = {
            "exp": 2_000_000_000,
            "op": "upload",
            "repo": "org/repo",
            "sub": "alice",
            "realm": "basic",
        }
        actions = hmac.digest(SECRET, b"giftless action tokens", "sha256")
        beginning = self.token().partition(".")[0]
        for key in (SECRET, actions):
            made = jwt.encode(claims, key, "HS256", {"kid": "giftless-repository"})
            self.assertEqual(made.partition(".")[0], beginning)
            self.refusal(Bearer(made))
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        self.refusal(Bearer(f"{beginning}.{payload}."))
        self.refusal(Bearer(f"{beginning}.{payload}"))
        unsigned = jwt.encode(claims, "", "none", {"kid": "giftless-repository"})
        self.assertIsNone(self.show(Bearer(unsigned)))
        self.assertEqual(self.users.asked, [])

    def test_one_that_has_expired_is_no_guess(self) -> None:
        token = self.token()
        self.clock.advance(LIFETIME + 11)
        error = self.refusal(Bearer(token))
        self.assertIsInstance(error, UnfitCredential)
        self.assertIn("expired", error.message)

    def test_it_is_for_one_repository(self) -> None:
        for path in ("org/repo2", "org", "repo", "org/repo/x", "Org/repo", "other/repo"):
            error = self.refusal(Bearer(self.token()), path=path)
            self.assertIsInstance(error, UnfitCredential)
            self.assertIn("another repository", error.message)
        self.assertEqual(self.users.asked, [])

    def test_a_user_who_is_gone_is_refused_at_once(self) -> None:
        """That is no guess, and no anonymous client either."""
        token = self.token()
        del self.users.users["alice"]
        chains = ([self.users], [self.users, AnonymousAuthenticator("read-write")])
        for chain in chains:
            self.authenticator = RepositoryTokenAuthenticator(self.tokens, AuthChain(chain))
            error = self.refusal(Bearer(token))
            self.assertIsInstance(error, UnfitCredential)
            self.assertEqual(error.message, "alice is not accepted here any more")
        self.users.error = not_accepted()
        self.assertIsInstance(self.refusal(Bearer(token)), UnfitCredential)

    def test_a_user_of_another_realm_is_somebody_else(self) -> None:
        self.refusal(Bearer(self.token(user=Vouched("alice", "gitea:example.com"))))

    def test_what_cannot_be_found_out_now_is_not_refused(self) -> None:
        self.users.error = ServiceUnavailable("the forge does not answer", 5)
        with self.assertRaises(ServiceUnavailable):
            self.show(Bearer(self.token()))

    def test_it_is_no_password_and_stands_in_no_url(self) -> None:
        """Where others would log it, or show it to a forge."""
        token = self.token()
        for item in (
            Bearer(token, in_url=True),
            Password("_jwt", token),
            Password("alice", token),
            Password(token, ""),
            Password(token, "x-oauth-basic"),
        ):
            self.assertIsInstance(self.refusal(item), UnfitCredential)
        self.assertEqual(self.users.asked, [])

    def test_the_token_of_an_action_is_not_its_own(self) -> None:
        self.assertIsNone(self.show(ActionToken(self.token())))

    def test_no_refusal_repeats_it(self) -> None:
        token = self.token()
        for path in ("org/repo", "org/other"):
            for shown in (Bearer(token + "x"), Password("x", token)):
                self.assertNotIn(token, self.refusal(shown, path=path).message)


class ElsewhereTests(RepositoryTokensTestCase):
    """Where a repository token opens nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.refusing = RepositoryTokensRefused()

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IAuthenticator, self.refusing)

    def test_a_repository_token_is_refused_however_it_is_sent(self) -> None:
        """So no other authenticator, and no forge, is shown one."""
        token = self.token()
        for item in (
            Bearer(token),
            Bearer(token, in_url=True),
            Password("_jwt", token),
            Password("alice", token),
            Password(token, ""),
        ):
            with self.assertRaises(UnfitCredential):
                self.run_now(self.refusing.authenticate(Credentials((item,)), repo_of()))

    def test_everything_else_is_left_to_others(self) -> None:
        for credentials in (*FOREIGN, Credentials((Password("alice", "secret"),))):
            found = self.run_now(self.refusing.authenticate(credentials, repo_of()))
            self.assertIsNone(found)

    def test_it_opens_nothing_as_the_token_of_an_action(self) -> None:
        """Neither in the header of actions nor beside it."""
        actions: ActionTokens = action_tokens(self.clock)
        shown = Credentials((ActionToken(self.token()),))
        with self.assertRaises(BadAction):
            self.run_now(actions.authenticate(shown, repo_of()))
        beside = Credentials((Bearer(self.token()),))
        self.assertIsNone(self.run_now(actions.authenticate(beside, repo_of())))

    def test_it_says_whose_it_is(self) -> None:
        """So that a ``jwt`` authenticator with a ``key_id`` leaves it alone."""
        header = TokenHeader.of(self.token())
        assert header is not None
        self.assertEqual((header.alg, header.kid), ("HS256", "giftless-repository"))
