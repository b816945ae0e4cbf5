"""The ``verify`` action of uploads, where something is left to verify.

The daemon hashes what passes through it, and answers the request that ends an upload
only when the object is stored.  So the success of that request is the verification,
and another request for each object would say nothing new.  What clients send to a
store themselves the daemon has not seen: there it is told by the verification.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from giftless.interfaces import ActionKind, IActionTokens, Requester, Transfer
from giftless.lfs.objects import Action
from giftless.transfer.kinds import VERIFY

_NONE: Final[Mapping[str, Action]] = {}


def kind_for_streaming(tokens: IActionTokens) -> ActionKind | None:
    """Return the kind of the action that verifies an upload through the daemon.

    :param tokens: knows whether the operator wants one.
    :returns: ``None`` if there is to be no such action.
    """
    return VERIFY if tokens.always_verify else None


class Verification:
    """Makes the actions that ask whether uploads have arrived.

    :param tokens: makes their tokens.
    :param kind: their kind; ``None`` to make none.
    :param requester: who is to ask.
    """

    def __init__(
        self, tokens: IActionTokens, kind: ActionKind | None, requester: Requester
    ) -> None:
        self._signer = None
        if kind is not None:
            self._signer = tokens.signer(kind, requester.repo, requester.identity, requester.client)
            self._href = requester.links.verify()

    def actions(self, transfer: Transfer) -> Mapping[str, Action]:
        """Return the action for one object under its name; nothing if there is none."""
        if self._signer is None:
            return _NONE
        action = self._signer.action(
            transfer.key.oid, self._href, transfer.size, passed=transfer.passed
        )
        return {"verify": action}
