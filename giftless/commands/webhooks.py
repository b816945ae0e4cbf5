"""``giftless webhooks``: what waits for which target, try again, and send a test.

Works beside a daemon that runs, on the outbox that its configuration names.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from twisted.python import usage

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.commands import CONFIG, Command, CommandError, who
from giftless.commands.parts import use_parts
from giftless.interfaces import IObserverFactory
from giftless.observers.rendering import time_text
from giftless.observers.webhooks.observer import Fact, Webhooks
from giftless.observers.webhooks.outbox import Message
from giftless.observers.webhooks.sending import Verdict

#: The name of the event that is sent to try a target out.
TEST_EVENT = "webhooks.test"

#: How many messages are read at once.
_PAGE = 1000


class _WebhooksCommand(Command):
    """What the subcommands have."""

    def __init__(self) -> None:
        super().__init__()
        self["targets"] = []

    def opt_target(self, name: str) -> None:
        """Only this target, by the name that the configuration gives it; repeat it for several."""
        self["targets"].append(name)

    def run(self) -> None:
        """Open the outboxes and work with them."""
        assert self.parent is not None, "it is a subcommand"
        loaded = config.load(self["config"] or self.parent["config"], os.environ)

        async def use(settings: Config, parts: PartBuilder) -> None:
            sections = {
                f"observers.{index}": section
                for index, section in enumerate(settings.observers)
                if section.get("type") == "webhooks"
            }
            built = [parts.build(IObserverFactory, sections[path], path) for path in sections]
            self._check_targets({name for webhooks in built for name in webhooks.targets})
            await self.work(built)

        use_parts(loaded, use)

    async def work(self, built: list[Webhooks]) -> None:
        """Do the subcommand's work."""
        raise NotImplementedError

    def wants(self, name: str) -> bool:
        """Whether the command is about a target."""
        return not self["targets"] or name in self["targets"]

    def _check_targets(self, known: set[str]) -> None:
        if not known:
            raise CommandError("the configuration's 'observers' has no webhooks")
        for name in self["targets"]:
            if name not in known:
                raise CommandError(f"there is no target {name!r}; there are: {_names(known)}")


class ListWebhooks(_WebhooksCommand):
    """The command line of ``giftless webhooks list``."""

    synopsis = "[--config FILE] [--target NAME] [--dead] [--json]"
    longdesc = (
        "Print one line for each message that waits or was given up, the oldest first: target,"
        " id, event, time, 'waiting' or 'dead', attempts and the last problem, separated by tabs;"
        " before them, one for each target that is gone."
    )
    optParameters = [CONFIG]
    optFlags = [
        ["dead", "d", "Only messages that were given up."],
        ["json", "j", "Print one JSON object a line."],
    ]

    async def work(self, built: list[Webhooks]) -> None:
        """Print the targets that are left alone, then the messages, page by page."""
        for webhooks in built:
            for target in filter(lambda each: self.wants(each.name), webhooks.targets.values()):
                if (await webhooks.outbox.state(target.name)).gone == target.url_digest:
                    print(_gone(target.name, self["json"]))
            async for message in _every(webhooks):
                if self.wants(message.target) and (message.dead_at is not None or not self["dead"]):
                    print(_json(message) if self["json"] else _line(message))


class RetryWebhooks(_WebhooksCommand):
    """The command line of ``giftless webhooks retry``."""

    synopsis = "[--config FILE] [--target NAME] [ID...]"
    longdesc = (
        "Let messages that were given up wait again: those with an ID, or all. A target that"
        " was left alone, because it is gone or wants to rest, is tried at once."
    )
    optParameters = [CONFIG]

    def parseArgs(self, *ids: str) -> None:
        """Take the ids."""
        self["ids"] = ids

    async def work(self, built: list[Webhooks]) -> None:
        """Put them back, and print how many they were."""
        now = int(time.time())
        for webhooks in built:
            for name in filter(self.wants, webhooks.targets):
                count = await webhooks.outbox.revive(name, self["ids"], now)
                print(f"{name}\t{count}")


class TestWebhooks(_WebhooksCommand):
    """The command line of ``giftless webhooks test``."""

    synopsis = "[--config FILE] [--target NAME]"
    longdesc = (
        f"Send the event {TEST_EVENT} to the targets, at once and past the outbox, and print"
        " what each has answered. The status is 1 if one has not taken it."
    )
    optParameters = [CONFIG]

    async def work(self, built: list[Webhooks]) -> None:
        """Send one message to each."""
        data = {"who": who("giftless webhooks"), "principal": ""}
        failed = []
        for webhooks in built:
            for target in webhooks.targets.values():
                if self.wants(target.name):
                    fact = Fact.make(TEST_EVENT, time.time(), data)
                    outcome = await webhooks.sender.send(target, fact.id, fact.body.encode())
                    print(f"{target.name}\t{outcome.words}")
                    if outcome.verdict is not Verdict.DELIVERED:
                        failed.append(target.name)
        if failed:
            raise CommandError(f"not delivered to: {_names(failed)}")


class WebhooksCommand(Command):
    """The command line of ``giftless webhooks``."""

    longdesc = "The daemon may run meanwhile."
    optParameters = [CONFIG]
    subCommands = [
        ["test", None, TestWebhooks, "Send a test to the targets."],
        ["list", None, ListWebhooks, "Show what waits, and what was given up."],
        ["retry", None, RetryWebhooks, "Try again what was given up."],
    ]

    def postOptions(self) -> None:
        """Insist on a subcommand."""
        if self.subCommand is None:
            raise usage.UsageError("what about the webhooks? There are: test, list, retry")

    def run(self) -> None:
        """Run the subcommand."""
        self.subOptions.run()


async def _every(webhooks: Webhooks) -> AsyncIterator[Message]:
    after = 0
    while page := await webhooks.outbox.page(after, _PAGE):
        for message in page:
            yield message
        after = page[-1].number


def _names(names: Any) -> str:
    return ", ".join(sorted(names))


def _state(message: Message) -> str:
    return "waiting" if message.dead_at is None else "dead"


def _gone(name: str, as_json: bool) -> str:
    problem = "status 410: it gets no messages until its URL changes, or 'retry' enables it"
    if as_json:
        fields = {"target": name, "state": "gone", "problem": problem}
        return msgspec.json.encode(fields).decode()
    return "\t".join((name, "-", "-", "-", "gone", "-", problem))


def _line(message: Message) -> str:
    when = time_text(message.queued_at)
    tries = str(message.tries)
    fields = (message.target, message.id, message.event, when, _state(message), tries)
    return "\t".join((*fields, message.problem or "-"))


def _json(message: Message) -> str:
    fields = {
        "target": message.target,
        "id": message.id,
        "event": message.event,
        "queued_at": time_text(message.queued_at),
        "state": _state(message),
        "tries": message.tries,
        "problem": message.problem,
        "body": msgspec.Raw(message.body.encode()),
    }
    return msgspec.json.encode(fields).decode()
