"""The options of ``observers: [{type: webhooks}]``, and the targets that they describe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from giftless.base.addresses import Network, parse_network
from giftless.base.files import read_file
from giftless.base.patterns import compile_pattern
from giftless.base.schema import join
from giftless.base.showing import describe
from giftless.base.urls import check_url
from giftless.errors import ConfigError
from giftless.observers.rendering import NAMES
from giftless.observers.webhooks.signing import parse_secret

#: The events that a target gets which names none: whatever changes something.
DEFAULT_EVENTS: Final = (
    "object.stored",
    "object.deleted",
    "object.marked",
    "lock.created",
    "lock.released",
    "lock.forced",
)

#: What a target may be called.
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class TargetOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver of webhooks.

    :ivar name: what it is called in the outbox, in the log and in commands.
    :ivar url: where requests go.
    :ivar secrets: what they are signed with, each ``whsec_…``.
    :ivar secrets_file: a file with secrets, one a line.
    :ivar events: the names of the events that it gets; ``*`` stands for any characters.
    :ivar repositories: patterns of the repositories whose events it gets; none for all,
        and for events that are about no repository.
    :ivar networks: networks that it may be in although they are not public.
    :ivar ca_file: certificates in PEM that vouch for it instead of the system's.
    """

    name: str
    url: str
    secrets: list[str] = []
    secrets_file: str | None = None
    events: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_EVENTS))
    repositories: list[str] = []
    networks: list[str] = []
    ca_file: str | None = None

    def __repr__(self) -> str:
        """Leave out everything: secrets, and URLs that hold some."""
        return "<TargetOptions>"


class WebhooksOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``observers: [{type: webhooks}]``.

    :ivar targets: who is told.
    :ivar path: the outbox, an SQLite file on a local disk; by default in the state
        directory.
    :ivar conninfo: a PostgreSQL database instead (see ``locks``).
    :ivar timeout: how long one request may take, in seconds.
    :ivar max_tries: how often a target may refuse a message before it is given up.
    :ivar max_age: for how long an unreachable target is tried, in seconds.
    :ivar max_backlog: how many messages may wait for one target, and how many that were
        given up are kept.
    """

    targets: Annotated[list[TargetOptions], msgspec.Meta(min_length=1)]
    path: str | None = None
    conninfo: str | None = None
    timeout: Annotated[int, msgspec.Meta(ge=1, le=60)] = 15
    max_tries: Annotated[int, msgspec.Meta(ge=1)] = 12
    max_age: Annotated[int, msgspec.Meta(ge=60)] = 259200
    max_backlog: Annotated[int, msgspec.Meta(ge=1)] = 100_000

    def __repr__(self) -> str:
        """Leave out everything: ``conninfo`` may hold a password."""
        return "<WebhooksOptions>"


@dataclass(frozen=True)
class Target:
    """A receiver of webhooks, as its options describe it.

    :ivar secrets: the keys that its requests are signed with.
    :ivar events: the names of the events that it gets.
    :ivar repositories: matches the paths of repositories; ``None`` for all.
    :ivar networks: networks that it may be in although they are not public.
    :ivar ca: certificates in PEM; empty for the system's.
    """

    name: str
    url: str = field(repr=False)
    secrets: Sequence[bytes] = field(repr=False)
    events: frozenset[str]
    repositories: Sequence[re.Pattern[str]] | None
    networks: Sequence[Network]
    ca: bytes = field(repr=False)

    @property
    def url_digest(self) -> str:
        """Stands for the URL where that must not be shown."""
        return hashlib.sha256(self.url.encode()).hexdigest()

    def wants(self, repo: str | None) -> bool:
        """Whether it gets events about a repository, by its path; about none, if ``None``."""
        if self.repositories is None:
            return True
        return any(pattern.fullmatch(repo or "") for pattern in self.repositories)


def targets_of(options: WebhooksOptions) -> Mapping[str, Target]:
    """Make the targets that options describe, by name.  Blocks.

    :raises ConfigError: if one cannot work.
    """
    targets: dict[str, Target] = {}
    for index, section in enumerate(options.targets):
        path = f"targets.{index}"
        if not _NAME.fullmatch(section.name):
            allowed = "letters, digits, '.', '_' and '-', at most 64"
            raise ConfigError(join(path, "name"), f"allowed is a name of {allowed}")
        if section.name in targets:
            raise ConfigError(join(path, "name"), "another target has this name")
        targets[section.name] = _target(section, path)
    return targets


def _target(options: TargetOptions, path: str) -> Target:
    check_url(join(path, "url"), options.url, query=True)
    if ":" in (urlsplit(options.url).hostname or ""):
        # The HTTP client takes it for a malformed name.
        raise ConfigError(join(path, "url"), "found an IPv6 address, allowed is a host's name")
    ca = b""
    if options.ca_file is not None:
        ca = read_file(options.ca_file, join(path, "ca_file"))
    return Target(
        options.name,
        options.url,
        _secrets(options, path),
        _events(options.events, join(path, "events")),
        _patterns(options.repositories, join(path, "repositories")) or None,
        _networks(options.networks, join(path, "networks")),
        ca,
    )


def _secrets(options: TargetOptions, path: str) -> Sequence[bytes]:
    found = {join(path, f"secrets.{index}"): text for index, text in enumerate(options.secrets)}
    if options.secrets_file is not None:
        place = join(path, "secrets_file")
        lines = read_file(options.secrets_file, place).decode("utf-8", "replace").split()
        found.update({f"{place}, secret {number}": line for number, line in enumerate(lines, 1)})
    if not found:
        raise ConfigError(join(path, "secrets"), "is missing: a secret, or 'secrets_file'")
    keys = []
    for place, text in found.items():
        try:
            keys.append(parse_secret(text))
        except ValueError as error:
            where, _, which = place.partition(", ")
            raise ConfigError(where, f"{which}{': ' if which else ''}{error}") from None
    return keys


def _events(wanted: Sequence[str], path: str) -> frozenset[str]:
    chosen: set[str] = set()
    for index, text in enumerate(wanted):
        pattern = re.compile(".*".join(map(re.escape, text.split("*"))))
        found = {name for name in NAMES if pattern.fullmatch(name)}
        if not found:
            raise ConfigError(
                join(path, str(index)), f"found {describe(text)}, available: {', '.join(NAMES)}"
            )
        chosen |= found
    if not chosen:
        raise ConfigError(path, "found an empty list, allowed is one event or more")
    return frozenset(chosen)


def _patterns(patterns: Sequence[str], path: str) -> Sequence[re.Pattern[str]]:
    compiled = []
    for index, pattern in enumerate(patterns):
        try:
            compiled.append(compile_pattern(pattern))
        except ValueError as error:
            problem = f"the pattern cannot match: {error}"
            raise ConfigError(join(path, str(index)), problem) from None
    return compiled


def _networks(networks: Sequence[str], path: str) -> Sequence[Network]:
    parsed = []
    for index, text in enumerate(networks):
        try:
            parsed.append(parse_network(text))
        except ValueError:
            allowed = "an address, or a network such as 10.0.0.0/8"
            raise ConfigError(
                join(path, str(index)), f"found {describe(text)}, allowed is {allowed}"
            ) from None
    return parsed
