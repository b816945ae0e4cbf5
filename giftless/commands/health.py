"""``giftless health``: whether the daemon of this machine serves, as its exit status tells.

Container engines ask this way, where there is neither curl nor an open port.
"""

from __future__ import annotations

import http.client
import os
from typing import Any

import msgspec

from giftless.app import config
from giftless.app.config import Config
from giftless.commands import CONFIG, Command, CommandError
from giftless.commands.harmless import harmless
from giftless.commands.top.fetching import Unreachable, ask, place_of_endpoint


class _Answer(msgspec.Struct):
    status: str
    parts: dict[str, str] = {}


class HealthCommand(Command):
    """The command line of ``giftless health``."""

    synopsis = "[--config FILE] [--ready]"
    longdesc = (
        "Ask the daemon of this machine whether it runs and a worker answers it, at the first"
        " admin endpoint of the configuration, or at the first endpoint of clients if"
        " admin.public_health is set. The exit status is 0 if so, and 1 otherwise."
    )
    optParameters: Any = [CONFIG]
    optFlags = [["ready", "r", "Ask whether the store and the databases work, too."]]

    def run(self) -> None:
        """Ask, and say what is wrong.

        :raises CommandError: if the daemon does not serve, or that cannot be asked.
        """
        endpoint = _endpoint(config.load(self["config"], os.environ).config)
        place = place_of_endpoint(endpoint, "/health/ready" if self["ready"] else "/health/live")
        try:
            status, phrase, body = ask(place)
        except Unreachable as error:
            raise CommandError(f"{place.shown}: {error}") from None
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.MsgspecError, RecursionError):
            raise CommandError(f"{place.shown}: the answer is {status} {phrase}") from None
        if status != http.client.OK:
            raise CommandError(f"{place.shown}: {_words(answer)}")
        print(harmless(answer.status))


def _endpoint(options: Config) -> str:
    """Return where health is told.

    :raises CommandError: if it is told nowhere.
    """
    if options.admin.endpoints:
        return options.admin.endpoints[0]
    if not options.admin.public_health:
        raise CommandError(
            "health is told nowhere: set admin.endpoints, such as"
            ' ["tcp:9090:interface=127.0.0.1"], or admin.public_health'
        )
    first = options.endpoints[0]
    return first if isinstance(first, str) else first.listen


def _words(answer: _Answer) -> str:
    wrong = [f"{part}: {words}" for part, words in answer.parts.items() if words != "well"]
    return harmless("; ".join([answer.status, *wrong]))
