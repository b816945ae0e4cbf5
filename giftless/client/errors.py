"""The errors of requests to an LFS server, and of clones."""

from __future__ import annotations


class ServerError(Exception):
    """A server did not do what it was asked, or a clone does not tell what to ask it.

    :param problem: what happened, in words for the person who typed the command; never with
        a credential or a signature in it.
    :ivar status: the HTTP status behind it; 0 if there was no answer.
    :ivar after: for how many seconds the server wants to be left alone; ``None`` if it did
        not say.
    """

    def __init__(self, problem: str, status: int = 0, after: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.status = status
        self.after = after
