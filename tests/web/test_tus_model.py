"""Any sequence of tus requests does what a model of one upload says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tests.support.making import key_of
from tests.support.resumable import ResumableMemoryStore
from tests.web.support import Response, render_request
from tests.web.test_tus import BYTES, DATA, TUS, UPLOAD, TusTestCase, checksum

KEY = key_of(DATA)
SIZE = len(DATA)


@dataclass(frozen=True)
class Send:
    """A PATCH.

    :ivar astray: how many bytes behind the right place it goes on.
    :ivar length: how many bytes it announces.
    :ivar wrong: whether they are others than the object's.
    :ivar end: what ends it: ``all``: its last byte; ``cut``: the client goes away after half of
        it; ``ask``: somebody asks how far the upload is, after half of it.
    :ivar summed: whether it has a right checksum; ``None`` for none at all.
    """

    astray: int
    length: int
    wrong: bool = False
    end: str = "all"
    summed: bool | None = None


_sends = st.builds(
    Send,
    st.just(0) | st.sampled_from([-1, 1, SIZE]),
    st.integers(0, 5) | st.integers(0, SIZE + 2),
    st.booleans() | st.just(False),
    st.sampled_from(["all", "all", "cut", "ask"]),
    st.none() | st.booleans(),
)

_steps = st.lists(st.sampled_from(["create", "ask", "end", "create"]) | _sends, max_size=12)


class ModelTests(TusTestCase):
    """Who comes has the credentials of the API, or the token of an action.

    :ivar has: what has come; ``None`` if the upload has not begun.
    :ivar whole: whether the object is stored.
    :ivar header: the token, if there is one.
    """

    has: bytes | None
    whole: bool
    header: dict[str, str]

    @given(_steps, st.booleans())
    def test_a_model_of_one_upload_foretells_each_answer(
        self, steps: Sequence[str | Send], by_token: bool
    ) -> None:
        self.store = ResumableMemoryStore()
        self.serve(store=self.store)
        self.has, self.whole = None, False
        self.header = self.token() if by_token else {}
        for step in steps:
            if isinstance(step, Send):
                self.check_send(step)
            else:
                getattr(self, f"check_{step}")()
            self.assertEqual(self.store.came(KEY, SIZE), self.has)
            self.assertEqual(self.store.get(KEY), DATA if self.whole else None)
            self.assertEqual(self.front.site.memory.passing.used, 0)

    @property
    def unknown(self) -> bool:
        """Whether the upload is not found."""
        return self.has is None and not self.whole and not self.header

    def check_create(self) -> None:
        """``POST``."""
        response = self.create()
        self.assertEqual(response.status, 201)
        if not self.whole:
            self.has = b""
        self.assertEqual(response.headers["upload-offset"], str(SIZE if self.whole else 0))

    def check_ask(self) -> None:
        """``HEAD``."""
        response = self.head(self.header)
        if self.unknown:
            self.assertEqual(response.status, 404)
            return
        offset = len(self.has) if self.has is not None else SIZE * self.whole
        self.assertEqual((response.status, response.headers["upload-offset"]), (200, str(offset)))

    def check_end(self) -> None:
        """``DELETE``."""
        response = self.request("DELETE", UPLOAD, {**TUS, **self.header})
        known = self.has is not None
        self.assertEqual(response.status, 204 if known else 403 if self.whole else 404)
        self.has = None

    def check_send(self, send: Send) -> None:
        """``PATCH``."""
        here = len(self.has or b"")
        offset = max(0, here + send.astray)
        body = (DATA[here:] + b"too long")[: send.length]
        if send.wrong:
            body = bytes(byte ^ 1 for byte in body)
        begun = body if send.end == "all" else body[: len(body) // 2]
        headers = {**BYTES, **self.header, "Upload-Offset": str(offset)}
        headers["Content-Length"] = str(len(body))
        if send.summed is not None:
            headers |= checksum(body if send.summed else body + b"x")
        connection = self.connect()
        connection.send(render_request("PATCH", UPLOAD, headers, begun))
        refusal = self.refusal(offset, len(body))
        if refusal is None:
            taken = len(begun) == len(body)
            if not taken and send.end == "ask":
                self.head(self.header)
            refusal = self.taken(begun, taken, send)
        if send.end != "cut":
            self.check_answer(connection.response(), refusal)
        connection.disconnect()

    def refusal(self, offset: int, length: int) -> int | None:
        """Return the status of what is refused before a byte of it is read."""
        if self.unknown:
            return 404
        if self.whole and self.has is None and (offset, length) == (SIZE, 0):
            return 204
        here = len(self.has or b"")
        if offset != here:
            return 409
        return 413 if length > SIZE - here else None

    def taken(self, begun: bytes, whole: bool, send: Send) -> int:
        """Let the model have what has come of a piece; returns the status of the answer."""
        self.has = self.has or b""
        if send.summed is not None and not (whole and send.summed):
            return 460 if whole else 409
        self.has += begun
        if not whole:
            return 409
        if len(self.has) < SIZE:
            return 204
        right, self.has = self.has == DATA, None
        self.whole |= right
        return 204 if right else 400

    def check_answer(self, response: Response, status: int) -> None:
        """Check an answer to a PATCH."""
        self.assertEqual(response.status, status)
        self.assertEqual(response.headers["tus-resumable"], "1.0.0")
        if status == 204:
            offset = SIZE if self.has is None else len(self.has)
            self.assertEqual(response.headers["upload-offset"], str(offset))
