"""The transfer of sessions of SSH: its actions lead nowhere else."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.interfaces import ILinks, ITransferAdapter, Requester
from giftless.lfs.objects import Action
from giftless.transfer.ssh import NoLinks, SSHTransfer
from tests.contracts.transfers import transfer_of
from tests.support.making import repo_of, writer
from tests.support.run import CoroutineTestCase


class SSHTransferTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.requester = Requester(writer(), repo_of(), NoLinks())

    def test_it_provides_its_interface(self) -> None:
        verifyObject(ITransferAdapter, SSHTransfer())

    def test_each_object_has_one_action_without_a_url(self) -> None:
        adapter: Any = SSHTransfer()
        transfers = [transfer_of(b"a"), transfer_of(b"b")]
        uploads = self.run_now(adapter.upload(transfers, self.requester))
        self.assertEqual(uploads, [{"upload": Action("")}] * 2)
        downloads = self.run_now(adapter.download(transfers, self.requester))
        self.assertEqual(downloads, [{"download": Action("")}] * 2)


class NoLinksTests(SynchronousTestCase):
    def test_a_session_has_no_urls(self) -> None:
        links = NoLinks()
        verifyObject(ILinks, links)
        calls: Any = (
            lambda: links.storage(transfer_of().key.oid, {}),
            links.verify,
            lambda: links.parts(transfer_of().key.oid),
            lambda: links.endpoint("locks"),
        )
        for call in calls:
            with self.assertRaises(NotImplementedError):
                call()
