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
from giftless.commands.top.fetching import Place, Unreachable, ask, place_of_endpoint


class _Answer(msgspec.Struct):
    status: str
    parts: dict[str, str] = {}


class HealthCommand(Command):
    """The command line of ``giftless health``."""

    synopsis = "[--config FILE] [--ready]"
    longdesc = (
        "Ask the daemon of this machine whether it runs and a worker answers it, at the first"
        " admin endpoint of the configuration that can be asked, or else at one of clients if"
        " admin.public_health is set. The exit status is 0 if so, and 1 otherwise."
    )
    optParameters: Any = [CONFIG]
    optFlags = [["ready", "r", "Ask whether the store and the databases work, too."]]

    def run(self) -> None:
        """Ask, and say what is wrong.

        :raises CommandError: if the daemon does not serve, or that cannot be asked.
        """
        options = config.load(self["config"], os.environ).config
        place = _place(options, "/health/ready" if self["ready"] else "/health/live")
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


def _place(options: Config, path: str) -> Place:
    """Return where health is told, at the first endpoint that can be reached from here.

    :param path: what to ask for there.
    :raises CommandError: if it is told nowhere.
    """
    endpoints = list(options.admin.endpoints)
    if options.admin.public_health:
        endpoints += [each if isinstance(each, str) else each.listen for each in options.endpoints]
    for endpoint in endpoints:
        try:
            return place_of_endpoint(endpoint, path)
        except CommandError:
            # Such as one of a load balancer, or one that systemd holds.
            continue
    raise CommandError(
        f"health is told {'nowhere that can be asked' if endpoints else 'nowhere'}: set"
        ' admin.endpoints, such as ["tcp:9090:interface=127.0.0.1"], or admin.public_health'
    )


def _words(answer: _Answer) -> str:
    wrong = [f"{part}: {words}" for part, words in answer.parts.items() if words != "well"]
    return harmless("; ".join([answer.status, *wrong]))
