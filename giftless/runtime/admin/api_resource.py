"""Serve the administration's API on the admin endpoints: ask a worker."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from twisted.web.resource import Resource

from giftless.base.pages import PageRequest
from giftless.runtime.admin.answering import answer_later
from giftless.runtime.admin.pages.guard import NOBODY, Guard
from giftless.runtime.admin.pages.problem import Problem
from giftless.runtime.admin.site import AdminRequest
from giftless.runtime.administration_questions import ADMINISTRATION, PATIENCE, Answer, Order
from giftless.runtime.questions import Ask, Unanswered
from giftless.web.administration.names import MAX_BODY, NAMES
from giftless.web.proxies import host_of

#: How many parameters a URL may have.
_MAX_FIELDS: Final = 20


class ApiResource(Resource):
    """Everything below ``/api/``.

    :param ask: asks a worker.
    :param hosts: returns the names by which operators ask, see :class:`Guard`.
    """

    isLeaf = True

    def __init__(self, ask: Ask, hosts: Callable[[], Collection[str]]) -> None:
        super().__init__()
        self._ask = ask
        self._guard = Guard(hosts)

    def render(self, request: AdminRequest) -> int:
        """Answer, as soon as a worker has."""
        request_id = secrets.token_hex(8)

        async def answer() -> bytes:
            request.setHeader("Content-Type", "application/json")
            request.setHeader("Cache-Control", "no-store")
            request.setHeader("X-Content-Type-Options", "nosniff")
            request.setHeader("X-Request-Id", request_id)
            try:
                answered = await self._answer(request, request_id)
            except Problem as problem:
                request.setResponseCode(problem.status)
                for name, value in problem.headers.items():
                    request.setHeader(name, value)
                told = {"message": problem.message, "request_id": request_id}
                return msgspec.json.encode(told)
            request.setResponseCode(answered.status)
            for name, value in answered.headers.items():
                request.setHeader(name, value)
            return bytes(answered.body)

        return answer_later(request, answer())

    async def _answer(self, request: AdminRequest, request_id: str) -> Answer:
        path = b"/".join(request.postpath or ()).decode("latin-1")
        method = request.method.decode("latin-1")
        self._guard.admit(
            PageRequest(
                method,
                path,
                hosts=[_header(request, "host")],
                origin=_header(request, "origin"),
                fetch_site=_header(request, "sec-fetch-site"),
            )
        )
        methods = NAMES.get(path)
        if methods is None:
            raise Problem(404, "there is no such endpoint")
        if "GET" in methods:
            methods = (*methods, "HEAD")
        if method not in methods:
            allowed = ", ".join(methods)
            raise Problem(405, f"use one of: {allowed}", {"Allow": allowed})
        if len(request.form) > MAX_BODY:
            raise Problem(413, f"the body of this request may have at most {MAX_BODY} bytes")
        order = Order(
            method,
            path,
            _query(request),
            _header(request, "content-type"),
            request.form,
            NOBODY,
            address=host_of(request.getClientAddress()),
            request_id=request_id,
        )
        return await self._question(order)

    async def _question(self, order: Order) -> Answer:
        asked = self._ask(ADMINISTRATION, msgspec.json.encode(order), PATIENCE)
        if asked is None:
            raise Problem(503, "no worker serves and answers")
        try:
            return msgspec.json.decode(await asked, type=Answer)
        except Unanswered as error:
            raise Problem(503, f"a worker {error}") from None


def _query(request: AdminRequest) -> Mapping[str, str]:
    """Read the parameters of the URL; the first value of each counts.

    :raises Problem: if there are too many.
    """
    text = request.uri.partition(b"?")[2].decode("latin-1")
    try:
        read: dict[str, list[Any]] = parse_qs(text, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Problem(400, "the URL has too many parameters") from None
    return {name: values[0] for name, values in read.items()}


def _header(request: AdminRequest, name: str) -> str:
    """Return a header's value, several joined by commas; empty if it is not there."""
    return ", ".join(request.requestHeaders.getRawHeaders(name, []))
