"""Errors that end a connection or a session of SSH."""

from __future__ import annotations


class BrokenProtocol(Exception):
    """A client has sent what SSH does not allow; the text says what."""


class Unreachable(Exception):
    """No worker has answered; the text says why, for whoever waits."""
