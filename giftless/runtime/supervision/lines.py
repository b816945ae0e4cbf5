"""Put lines together that a process writes in pieces."""

from __future__ import annotations

from giftless.runtime.questions import MAX_LINE


class Lines:
    """The lines of one pipe.

    A line that is longer than :data:`~giftless.runtime.questions.MAX_LINE` is cut there,
    and what comes of it afterwards is thrown away: who writes it must not fill the
    memory of who reads.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._left = MAX_LINE

    def whole(self, data: bytes) -> bytes:
        """Take what was written.

        :returns: the lines that are whole now, each with its newline.
        """
        lines, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._keep(rest)
            return b""
        if self._pieces:
            first, separator, others = lines.partition(b"\n")
            self._keep(first)
            lines = self.rest + separator + others
            self._pieces, self._left = [], MAX_LINE
        self._keep(rest)
        return lines + newline

    @property
    def rest(self) -> bytes:
        """The line that is not whole yet."""
        return b"".join(self._pieces)

    def _keep(self, piece: bytes) -> None:
        if kept := piece[: self._left]:
            self._pieces.append(kept)
            self._left -= len(kept)
