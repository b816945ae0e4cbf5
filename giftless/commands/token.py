"""``giftless token``: make a JWT with the key of a ``jwt`` authenticator."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jwt
from twisted.python import usage

from giftless.app import config
from giftless.app.config import Config
from giftless.auth.tokens.jwt import JWTOptions, configured_key
from giftless.auth.tokens.signatures import SigningKey, load_private_key
from giftless.base import schema
from giftless.base.files import read_file
from giftless.commands import CONFIG, Command, CommandError, who
from giftless.errors import ConfigError
from giftless.interfaces import Section, TokenMinted
from giftless.lfs.scopes import Scope


class TokenCommand(Command):
    """The command line of ``giftless token``."""

    synopsis = "[--config FILE] --scope SCOPE [OPTIONS]"
    longdesc = (
        "Print a token that permits what the scopes say, such as"
        " --scope 'obj:org/repo/*:read,write'. It is signed with the key of the configuration's"
        " jwt authenticator: its secret, or private_key_file."
    )
    optParameters = [
        CONFIG,
        ["lifetime", "l", 3600, "For how many seconds the token is good.", int],
        ["subject", "s", "token", "Whose token it is, for the log and for locks."],
        [
            "index",
            "i",
            None,
            "Which entry of 'auth', if several are of type jwt; 1.0 is the first of those in 1.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["scopes"] = []

    def opt_scope(self, text: str) -> None:
        """What the token permits; repeat it for several scopes."""
        if Scope.parse(text) is None:
            raise usage.UsageError(f"the scope {text!r} would grant nothing")
        self["scopes"].append(text)

    def postOptions(self) -> None:
        """Check what the options say together."""
        if not self["scopes"]:
            raise usage.UsageError("say what the token permits: --scope 'obj:org/repo/*:read'")
        if self["lifetime"] < 1:
            raise usage.UsageError("--lifetime must be 1 or more")

    def run(self) -> None:
        """Print the token, alone."""
        loaded = config.load(self["config"], os.environ)
        try:
            path, section = _choose(loaded.config, self["index"])
            options, key = _signing(section, path)
        except ConfigError as error:
            raise config.located(error, loaded.source, loaded.text, os.environ) from None
        now = int(time.time())
        token = mint(options, key, self["scopes"], now, self["lifetime"], self["subject"])
        if loaded.config.observers:
            # What it imports takes long, and most tokens are made without it.
            from giftless.commands.parts import publish

            # First: there shall be no token that observers do not know of.
            expires_at = now + self["lifetime"]
            made_by = who("giftless token")
            publish(loaded, TokenMinted(self["subject"], self["scopes"], expires_at, made_by))
        print(token)


def mint(
    options: JWTOptions,
    key: SigningKey,
    scopes: Sequence[str],
    now: int,
    lifetime: int,
    subject: str,
) -> str:
    """Make a token that an authenticator with these options accepts.

    :param key: signs it.
    :param now: the time, in seconds since the epoch.
    :param lifetime: how long it is good, in seconds.
    """
    claims: dict[str, Any] = {
        "iat": now,
        "exp": now + lifetime,
        "sub": subject,
        "scopes": list(scopes),
    }
    if options.issuer is not None:
        claims["iss"] = options.issuer
    if options.audience is not None:
        claims["aud"] = options.audience
    headers = None if options.key_id is None else {"kid": options.key_id}
    return jwt.encode(claims, key, options.algorithms[0], headers=headers)


def _choose(settings: Config, index: str | None) -> tuple[str, Section]:
    """Find the ``jwt`` authenticator that is meant.

    :returns: the dotted path of its section, and the section.
    :raises CommandError: if there is none, or no telling which.
    """
    found = {
        place: (path, section)
        for place, path, section in _sections(settings.auth, "", "auth")
        if section.get("type") == "jwt"
    }
    if not found:
        raise CommandError("the configuration's 'auth' has no authenticator of type jwt")
    places = ", ".join(found)
    if index is None and len(found) > 1:
        raise CommandError(
            f"there are several authenticators of type jwt; --index is one of {places}"
        )
    if index is not None and index not in found:
        raise CommandError(f"--index {index} is not of type jwt; it is one of {places}")
    return found[next(iter(found)) if index is None else index]


def _sections(sections: Any, place: str, path: str) -> Iterator[tuple[str, str, Section]]:
    """Yield the sections of authenticators, and those inside them.

    :returns: each with its place among them (``1.0``) and its dotted path.
    """
    for index, section in enumerate(sections if isinstance(sections, list) else ()):
        if isinstance(section, dict):
            yield f"{place}{index}", f"{path}.{index}", section
            yield from _sections(section.get("auth"), f"{place}{index}.", f"{path}.{index}.auth")


def _signing(section: Section, path: str) -> tuple[JWTOptions, SigningKey]:
    """Return an authenticator's options, and the key to sign with.

    :param path: the section's dotted path.
    :raises ConfigError: if an option cannot be used.
    """
    rest = {key: value for key, value in section.items() if key != "type"}
    options = schema.convert(rest, JWTOptions, path)
    try:
        return options, _signing_key(options)
    except ConfigError as error:
        raise schema.below(path, error) from None


def _signing_key(options: JWTOptions) -> SigningKey:
    verifying = configured_key(options)
    if isinstance(verifying, bytes):
        return verifying
    option = "private_key_file"
    if options.private_key_file is None:
        raise ConfigError(option, f"is missing: {options.algorithms[0]} signs with a private key")
    try:
        key = load_private_key(read_file(options.private_key_file, option), options.algorithms[0])
    except ValueError as error:
        raise ConfigError(option, str(error)) from None
    if verifying is not None and key.public_key() != verifying:
        raise ConfigError(option, "is not the private key of the public key that is configured")
    return key
