"""Who may do what, and how the rest is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.grants import READ, RepoGrants
from giftless.errors import CredentialNeeded, Forbidden, LFSError, NotFound
from giftless.interfaces import Identity
from giftless.lfs.objects import Permission
from giftless.usecases.authorization import Gate
from tests.support.making import reader, repo_of, stranger

ANYBODY = Identity("anonymous", RepoGrants(READ), anonymous=True)


class RefusalTests(SynchronousTestCase):
    """How a write is refused."""

    def refusal(self, gate: Gate, identity: Identity) -> LFSError:
        error: LFSError = self.assertRaises(
            LFSError, gate.require, identity, Permission.WRITE, repo_of()
        )
        self.assertIn("org/repo", error.message)
        return error

    def test_an_anonymous_client_is_asked_for_a_credential_that_may_help(self) -> None:
        for hidden in (False, True):
            for identity in (ANYBODY, stranger()):
                self.assertIs(type(self.refusal(Gate(hidden), identity)), CredentialNeeded)

    def test_an_anonymous_client_is_not_asked_for_a_credential_that_cannot_exist(self) -> None:
        for hidden in (False, True):
            error = self.refusal(Gate(hidden, names_people=lambda _: False), ANYBODY)
            self.assertIs(type(error), Forbidden)
            self.assertIn("write access", error.message)
        gate = Gate(names_people=lambda _: False)
        self.assertIn("takes no credentials", self.refusal(gate, ANYBODY).message)
        self.assertIs(type(self.refusal(gate, stranger())), Forbidden)

    def test_a_repository_that_is_hidden_is_not_there_for_who_may_not_read_it(self) -> None:
        for identity in (stranger(anonymous=False), stranger()):
            gate = Gate(True, names_people=lambda _: False)
            self.assertIs(type(self.refusal(gate, identity)), NotFound)

    def test_somebody_who_is_known_is_forbidden_to_write(self) -> None:
        for gate in (Gate(), Gate(names_people=lambda _: False)):
            error = self.refusal(gate, reader())
            self.assertIs(type(error), Forbidden)
            self.assertIn("rita", error.message)
