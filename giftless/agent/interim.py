"""Connections that wait for the final answer (RFC 9110 section 15.2).

:mod:`http.client`, which urllib3 builds on, skips ``100 Continue`` only: any other
interim response, such as ``102 Processing`` or ``103 Early Hints``, would be taken for
the answer, and an upload for complete.
"""

from __future__ import annotations

import http.client
from typing import Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

#: How many interim responses one answer may have: a server that sends one every few
#: seconds has hours, and one that sends nothing else comes to an end.
MAX_INTERIM: Final = 1000


class _Response(http.client.HTTPResponse):
    _heads = 0

    def begin(self) -> None:
        """Read the head of the answer, and skip those of interim responses before it.

        101 is final: nobody here asks for another protocol.
        """
        super().begin()
        while 100 <= self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            # Without headers, it has not begun.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()

    def _read_status(self) -> tuple[str, int, str]:
        # The base class skips "100 Continue" itself, as often as it comes.
        self._heads += 1
        if self._heads > MAX_INTERIM + 1:
            raise http.client.HTTPException(f"more than {MAX_INTERIM} interim responses")
        return super()._read_status()  # type: ignore[misc,no-any-return]


class _HTTPConnection(HTTPConnection):
    response_class = _Response


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def wait_for_final_answers(manager: urllib3.PoolManager) -> None:
    """Let all connections of ``manager`` skip interim responses."""
    manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
