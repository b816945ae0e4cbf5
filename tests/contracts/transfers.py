"""What every transfer adapter promises (``giftless.interfaces.ITransferAdapter``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from zope.interface.verify import verifyObject

from giftless.errors import LFSError
from giftless.interfaces import ITransferAdapter, Requester, Transfer
from giftless.lfs.objects import Action, Actions, Extras
from tests.support.making import key_of, links_of, repo_of, writer
from tests.support.run import CoroutineTestCase

if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object


def transfer_of(data: bytes = b"abc", extras: Extras | None = None) -> Transfer:
    """Return a transfer of an object."""
    return Transfer(key_of(data), len(data), extras or {})


def requester() -> Requester:
    """Return who asks for it."""
    return Requester(writer(), repo_of(), links_of())


def flat(actions: Actions) -> list[Action]:
    """Return all actions, those of parts too."""
    found: list[Action] = []
    for action in actions.values():
        found.extend([action] if isinstance(action, Action) else action)
    return found


class TransferContract(_Mixin):
    """Tests of an ``ITransferAdapter``."""

    def make_adapter(self) -> Any:
        """Return the adapter."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.adapter = self.make_adapter()

    def upload(self, transfer: Transfer | None = None) -> Actions:
        """Ask for the actions of an upload."""
        return self.outcome(self.adapter.upload([transfer or transfer_of()], requester()))

    def download(self, transfer: Transfer | None = None) -> Actions:
        """Ask for the actions of a download."""
        return self.outcome(self.adapter.download([transfer or transfer_of()], requester()))

    def outcome(self, made: Any) -> Actions:
        """Return what was made for the only object.

        :raises LFSError: if it is refused.
        """
        (actions,) = self.run_now(made)
        if isinstance(actions, LFSError):
            raise actions
        return cast(Actions, actions)

    def test_it_provides_its_interface(self) -> None:
        verifyObject(ITransferAdapter, self.adapter)

    def test_its_name_is_not_one_that_clients_cannot_take(self) -> None:
        """Clients crash when 'ssh' is chosen over HTTP."""
        self.assertTrue(self.adapter.name)
        self.assertNotEqual(self.adapter.name, "ssh")

    #: What the action of an upload is called.
    upload_action = "upload"

    def test_several_are_answered_in_order(self) -> None:
        transfers = [transfer_of(data) for data in (b"a", b"bcd", b"")]
        for ask, name in (
            (self.adapter.upload, self.upload_action),
            (self.adapter.download, "download"),
        ):
            made = self.run_now(ask(transfers, requester()))
            for transfer, actions in zip(transfers, made, strict=True):
                action = flat({name: actions[name]})[0]
                self.assertIn(transfer.key.oid, action.href)
        self.assertEqual(list(self.run_now(self.adapter.upload([], requester()))), [])

    def test_an_upload_has_an_action_for_it(self) -> None:
        self.assertIn(self.upload_action, self.upload())
        self.assertNotIn("download", self.upload())

    def test_a_download_has_an_action_for_it(self) -> None:
        self.assertIn("download", self.download())
        self.assertNotIn("upload", self.download())

    def test_actions_are_what_clients_can_follow(self) -> None:
        """Absolute http(s) URLs, headers of text, whole seconds."""
        extras: Extras = {"filename": "\u00fc \r\n\u2028.bin", "n": 5}
        for transfer in (transfer_of(), transfer_of(extras=extras)):
            for actions in (self.upload(transfer), self.download(transfer)):
                for action in flat(actions):
                    self.check_action(action)

    def check_action(self, action: Action) -> None:
        """Check one action's form."""
        parts = urlsplit(action.href)
        self.assertIn(parts.scheme, ("http", "https"))
        self.assertTrue(parts.netloc)
        self.assertTrue(action.href.isascii() and action.href.isprintable())
        self.assertNotIn(" ", action.href)
        for name, value in (action.header or {}).items():
            self.assertTrue((name + value).isascii() and value.isprintable())
            self.assertNotIn(name.lower(), ("host", "user-agent"))
        self.assertIs(type(action.expires_in), int)
        # Less than a few seconds would count as expired already.
        self.assertTrue(action.expires_in == 0 or action.expires_in > 60)
