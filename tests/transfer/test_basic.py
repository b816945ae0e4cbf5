"""The ``basic`` transfer, through the daemon and to the store directly."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.actions import ActionTokens
from giftless.interfaces import IObjectStore, ITransferFactory, Ticket, Transfer
from giftless.lfs.objects import Extras, Permission
from giftless.transfer.basic import BasicExternal, BasicFactory, BasicStreaming
from tests.contracts.transfers import TransferContract, transfer_of
from tests.support.making import action_tokens, key_of, oid_of, repo_of
from tests.support.memory import ExternalStore, MemoryStore
from tests.support.run import CoroutineTestCase
from tests.support.tokens import shown_action

BASE = "https://lfs.example/org/repo/objects/storage"


class SingleActions(TransferContract):
    """What holds for actions of which there is one for each name."""

    def upload(self, transfer: Transfer | None = None) -> Any:
        return super().upload(transfer)

    def download(self, transfer: Transfer | None = None) -> Any:
        return super().download(transfer)


class BasicStreamingTests(SingleActions, CoroutineTestCase):
    def make_adapter(self, **options: Any) -> BasicStreaming:
        self.tokens = action_tokens(**options)
        return BasicStreaming(self.tokens)

    def permitted(self, action: Any) -> set[Permission]:
        """Return what an action's header permits on the object."""
        credentials = shown_action(action.header)
        identity = self.run_now(self.tokens.authenticate(credentials, repo_of()))
        assert identity is not None
        return {p for p in Permission if identity.grants.allows(p, oid_of(b"abc"))}

    def test_an_upload_is_a_put(self) -> None:
        actions = self.upload()
        self.assertEqual(set(actions), {"upload"})
        self.assertEqual(actions["upload"].href, f"{BASE}/{oid_of(b'abc')}")

    def test_an_upload_can_have_a_verification(self) -> None:
        self.adapter = self.make_adapter(verify="always")
        actions = self.upload()
        self.assertEqual(set(actions), {"upload", "verify"})
        self.assertEqual(actions["verify"].href, f"{BASE}/verify")

    def test_a_download_is_a_get(self) -> None:
        actions = self.download()
        self.assertEqual(set(actions), {"download"})
        self.assertEqual(actions["download"].href, f"{BASE}/{oid_of(b'abc')}")

    def test_each_action_is_authorised_for_itself_alone(self) -> None:
        self.adapter = self.make_adapter(verify="always")
        self.assertEqual(self.permitted(self.upload()["upload"]), {Permission.WRITE})
        self.assertEqual(self.permitted(self.upload()["verify"]), {Permission.READ_META})
        self.assertEqual(self.permitted(self.download()["download"]), {Permission.READ})

    def test_an_uploads_token_carries_its_size_and_extras(self) -> None:
        extras: Extras = {"filename": "a.bin", "n": 1}
        action = self.upload(transfer_of(extras=extras))["upload"]
        assert action.header is not None
        credentials = shown_action(action.header)
        identity = self.run_now(self.tokens.authenticate(credentials, repo_of()))
        assert identity is not None and identity.ticket is not None
        self.assertEqual((identity.ticket.size, identity.ticket.extras), (3, extras))

    def test_a_file_name_given_with_the_download_is_in_its_url(self) -> None:
        """So a browser that follows it saves under that name."""
        name = "gr\u00f6\u00dfe & co/\u2764.bin"
        action = self.download(transfer_of(extras={"filename": name}))["download"]
        query = parse_qs(urlsplit(action.href).query)
        self.assertEqual(query, {"filename": [name], "disposition": ["attachment"]})

    def test_a_file_name_that_is_no_text_is_not_used(self) -> None:
        for name in (5, None, True):
            action = self.download(transfer_of(extras={"filename": name}))["download"]
            self.assertEqual(urlsplit(action.href).query, "")


class BasicExternalTests(SingleActions, CoroutineTestCase):
    def make_adapter(self) -> BasicExternal:
        self.store = ExternalStore()
        return BasicExternal(self.store, action_tokens())

    def test_the_verification_tells_the_daemon_of_an_upload_that_it_has_not_seen(self) -> None:
        """Its token is of a kind of its own."""
        for make, kind in ((BasicStreaming, "verify"), (self.external, "confirm")):
            tokens = action_tokens(verify="always")
            self.adapter = make(tokens)
            header = self.upload()["verify"].header or {}
            credentials = shown_action(header)
            identity = self.run_now(tokens.authenticate(credentials, repo_of()))
            assert identity is not None
            self.assertEqual(identity.ticket, Ticket(kind, 3, writer=True))

    def external(self, tokens: ActionTokens) -> BasicExternal:
        return BasicExternal(self.store, tokens)

    def test_the_store_signs_and_the_daemon_verifies(self) -> None:
        extras = {"filename": "x"}
        actions = self.upload(transfer_of(extras=extras))
        self.assertEqual(set(actions), {"upload", "verify"})
        self.assertTrue(actions["upload"].href.startswith("https://bucket.example/"))
        self.assertEqual(actions["verify"].href, f"{BASE}/verify")
        self.assertEqual(
            self.store.signed, [("upload", key_of(b"abc"), 3, self.adapter.lifetime, extras)]
        )

    def test_signatures_are_good_for_as_long_as_other_actions(self) -> None:
        self.adapter = BasicExternal(self.store, action_tokens(lifetime=77))
        self.upload(transfer_of())
        self.download(transfer_of())
        self.assertEqual([lifetime for _, _, _, lifetime, _ in self.store.signed], [77, 77])

    def test_a_download_comes_from_the_store(self) -> None:
        extras = {"filename": "x"}
        actions = self.download(transfer_of(extras=extras))
        self.assertEqual(set(actions), {"download"})
        self.assertTrue(actions["download"].href.startswith("https://bucket.example/"))
        self.assertEqual(
            self.store.signed, [("download", key_of(b"abc"), 3, self.adapter.lifetime, extras)]
        )


@implementer(IObjectStore)
class SilentStore:
    """Knows sizes, and nothing else."""

    async def sizes(self, keys: Any) -> Any:
        return [None for _ in keys]


class Both(ExternalStore, MemoryStore):
    """Signs and streams."""


class BasicFactoryTests(CoroutineTestCase):
    def build(self, store: Any) -> Any:
        """Offer a store to the factory."""
        return BasicFactory().build(store, action_tokens())

    def test_it_is_a_factory_but_for_the_name(self) -> None:
        factory: Any = BasicFactory()
        factory.name = "basic"
        verifyObject(ITransferFactory, factory, tentative=True)

    def test_the_adapter_fits_what_the_store_can_do(self) -> None:
        self.assertIsInstance(self.build(MemoryStore()), BasicStreaming)
        self.assertIsInstance(self.build(ExternalStore()), BasicExternal)

    def test_bytes_do_not_pass_through_where_they_need_not(self) -> None:
        self.assertIsInstance(self.build(Both()), BasicExternal)

    def test_a_store_that_can_do_neither_gets_none(self) -> None:
        self.assertIsNone(self.build(SilentStore()))
