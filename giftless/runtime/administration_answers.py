"""Answer the parent's questions for operators, in a worker."""

from __future__ import annotations

import msgspec

from giftless.errors import LFSError
from giftless.lfs.objects import Repo
from giftless.runtime.administration_questions import Answer, Order
from giftless.usecases.events import Events
from giftless.usecases.locks import By
from giftless.web.administration.api import AdministrationAPI, Asked
from giftless.web.errors import error_body


class AdministrationAnswers:
    """Answers questions about what is stored, and does what operators want.

    :param api: answers requests.
    :param events: where refusals are published.
    """

    def __init__(self, api: AdministrationAPI, events: Events) -> None:
        self._api = api
        self._events = events

    async def answer(self, question: bytes) -> bytes:
        """Answer a request; see :class:`Order`."""
        order = msgspec.json.decode(question, type=Order)
        return msgspec.json.encode(await self._answer(order))

    async def _answer(self, order: Order) -> Answer:
        by = By(order.name, order.principal, order.address, order.request_id)
        asked = Asked(order.query, order.kind, order.body, None, by, _permit)
        try:
            reply = await self._api.answer(order.method, order.path, asked)
        except LFSError as error:
            self._events.publish_refusal(
                error, None, by.name, by.address, by.principal, by.request_id
            )
            body = error_body(error, order.request_id)
            return Answer(error.code, msgspec.Raw(body), error.headers)
        return Answer(reply.status, msgspec.Raw(reply.body), reply.headers)


async def _permit(repo: Repo) -> Repo:
    """Let operators do it with every repository."""
    return repo
