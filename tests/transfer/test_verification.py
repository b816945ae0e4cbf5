"""Which uploads have a ``verify`` action: with each transfer, over each store."""

from __future__ import annotations

import os
from typing import Any

from zope.interface import directlyProvides

from giftless.errors import LFSError
from giftless.interfaces import (
    IExternalMultipartStore,
    IExternalStore,
    IObjectStore,
    IStreamingMultipartStore,
    IStreamingStore,
)
from giftless.storage.local.store import LocalStore
from giftless.transfer.agent import AgentFactory
from giftless.transfer.basic import BasicFactory
from giftless.transfer.multipart import MultipartFactory
from tests.contracts.transfers import requester, transfer_of
from tests.support.blocking import InlineBlocking
from tests.support.examples import load
from tests.support.making import action_tokens, repo_of
from tests.support.memory import ExternalStore, MemoryStore
from tests.support.run import CoroutineTestCase
from tests.support.tokens import shown_action
from tests.transfer.test_multipart import ExternalPartsStore

#: An object of one part, and one of three.
SMALL, LARGE = b"abc", b"0123456789"

masked_storage = load("masked_storage")
lru_cache = load("lru_cache")


class Wrapper:
    """A store around others, which provides no more than it is told to.

    :param interfaces: what it provides.
    :param stores: which do the work: the first that can.
    """

    def __init__(self, interfaces: list[Any], *stores: Any) -> None:
        self._stores = stores
        directlyProvides(self, *interfaces)

    def __getattr__(self, name: str) -> Any:
        return next(getattr(store, name) for store in self._stores if hasattr(store, name))


class VerificationTests(CoroutineTestCase):
    def local(self) -> LocalStore:
        """Return a store on the disk that takes parts of four bytes."""
        os.makedirs(path := self.mktemp())
        return LocalStore(path, "", InlineBlocking(), 4)

    def kind(self, factory: Any, store: IObjectStore, data: bytes, **options: Any) -> str | None:
        """Return the kind of the action that verifies an upload; ``None`` if there is none."""
        tokens = action_tokens(**options)
        adapter = factory.build(store, tokens)
        (actions,) = self.run_now(adapter.upload([transfer_of(data)], requester()))
        assert not isinstance(actions, LFSError)
        if "verify" not in actions:
            return None
        shown = shown_action(actions["verify"].header)
        identity = self.run_now(tokens.authenticate(shown, repo_of()))
        assert identity is not None and identity.ticket is not None
        self.assertEqual(identity.ticket.size, len(data))
        return identity.ticket.kind

    def check(self, store: Any, small: str | None, large: str | None = None) -> None:
        """Check what uploads have by default.

        :param small: the kind of action that verifies an object of one part.
        :param large: the same for an object of several, if the store takes parts.
        """
        self.assertEqual(self.kind(BasicFactory(), store, SMALL), small)
        for factory in (MultipartFactory(), AgentFactory()):
            if factory.build(store, action_tokens()) is not None:
                self.assertEqual(self.kind(factory, store, SMALL), small, factory)
                self.assertEqual(self.kind(factory, store, LARGE), large, factory)

    def test_what_passes_through_the_daemon_needs_none(self) -> None:
        self.check(MemoryStore(), None)
        self.check(self.local(), None, None)

    def test_what_goes_to_the_store_directly_needs_one(self) -> None:
        self.check(ExternalStore(), "confirm")
        self.check(ExternalPartsStore(), "confirm", "verify")

    def test_what_goes_both_ways_needs_one_where_it_goes_directly(self) -> None:
        signs_parts = Wrapper(
            [IStreamingStore, IExternalMultipartStore], MemoryStore(), ExternalPartsStore()
        )
        self.check(signs_parts, None, "verify")
        streams_parts = Wrapper(
            [IExternalStore, IStreamingMultipartStore], ExternalStore(), self.local()
        )
        self.check(streams_parts, "confirm", None)

    def test_a_wrapper_decides_by_what_it_provides_itself(self) -> None:
        """Whichever way the store inside would take."""
        inner = ExternalPartsStore()
        self.check(Wrapper([IStreamingStore], MemoryStore(), inner), None)
        self.check(Wrapper([IExternalStore], inner, self.local()), "confirm")

    def test_the_wrappers_of_the_examples_need_none(self) -> None:
        blocking = InlineBlocking()
        for inner in (MemoryStore(), self.local()):
            masked = masked_storage.MaskedStore(inner, blocking)
            self.check(masked, None)
            cache = lru_cache.Cache(self.mktemp(), 1000)
            self.check(lru_cache.CachedStore(masked, cache, blocking), None)

    def test_the_operator_can_have_one_for_each_upload(self) -> None:
        for store, kinds in (
            (MemoryStore(), {"verify"}),
            (self.local(), {"verify"}),
            (masked_storage.MaskedStore(MemoryStore(), InlineBlocking()), {"verify"}),
            (ExternalStore(), {"confirm"}),
            (ExternalPartsStore(), {"confirm", "verify"}),
        ):
            found = set()
            for factory in (BasicFactory(), MultipartFactory(), AgentFactory()):
                if factory.build(store, action_tokens()) is not None:
                    for data in (SMALL, LARGE):
                        found.add(self.kind(factory, store, data, verify="always"))
            self.assertEqual(found, kinds, store)

    def test_the_answer_to_the_agent_says_the_same_as_a_batch(self) -> None:
        for verify, expected in (("auto", set()), ("always", {"verify"})):
            adapter = AgentFactory().build(self.local(), action_tokens(verify=verify))
            assert adapter is not None
            for data in (SMALL, LARGE):
                planned = self.run_now(adapter.plan(transfer_of(data), requester()))
                self.assertEqual(set(planned) & {"verify"}, expected)
