"""Translate ``AUTH_PROVIDERS``: who may do what."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from giftless.base.showing import describe
from giftless.importing.flask.keys import Keys, Notes
from giftless.importing.flask.signing import translate_keys

#: What the anonymous providers permit.
_ANONYMOUS: Final = {
    "giftless.auth.allow_anon:read_only": "read",
    "giftless.auth.allow_anon:read_write": "read-write",
}

#: The defaults of its cache: how many tokens, and repositories of each.
_CACHED: Final = (32, 32)


def translate_providers(value: object, notes: Notes) -> list[dict[str, Any]]:
    """Translate the list of authenticators.

    :param value: what the old configuration says; ``None`` if nothing.
    :returns: the list, which is empty if nothing of it can be translated.
    """
    path = "AUTH_PROVIDERS"
    if value is None:
        return [{"type": "anonymous", "access": "read"}]
    if not isinstance(value, list):
        notes.refused(path, f"found {describe(value)}, which is no list")
        return []
    sections: list[dict[str, Any]] = []
    anonymous_before = False
    for index, spec in enumerate(value):
        section = _provider(spec, f"{path}.{index}", notes, f"auth.{len(sections)}")
        if section is None:
            continue
        if section["type"] == "anonymous":
            anonymous_before = True
        elif anonymous_before:
            notes.changed(
                f"{path}.{index}",
                f"auth.{len(sections)}",
                "the anonymous provider in front took all requests, so this one was never"
                " asked; now it is asked first",
            )
        sections.append(section)
    return sections


def _provider(spec: object, path: str, notes: Notes, to: str) -> dict[str, Any] | None:
    name, keys = spec, Keys({}, path, notes)
    if isinstance(spec, Mapping):
        keys = Keys(spec, path, notes)
        name, path = keys.take("factory"), keys.at("factory")
    options = keys.inside("options")
    keys.end()
    if isinstance(name, str) and name in _ANONYMOUS:
        notes.translated(path, f"{to}.access")
        options.end("the anonymous providers have no options")
        return {"type": "anonymous", "access": _ANONYMOUS[name]}
    translate = _FACTORIES.get(name) if isinstance(name, str) else None
    if translate is None:
        notes.refused(
            path, "is no provider of the Flask giftless; write a plugin, or choose another one"
        )
        options.end("belongs to a provider that cannot be translated")
        return None
    section = translate(options, notes, to)
    options.end()
    if section is None:
        notes.refused(path, "is left out, for the reasons that its options have")
        return None
    notes.translated(path, f"{to}.type")
    return section


def _jwt(options: Keys, notes: Notes, to: str) -> dict[str, Any] | None:
    section: dict[str, Any] = {"type": "jwt"}
    keys = translate_keys(options, notes, to)
    options.unneeded(
        "how long tokens live that the server makes itself: see actions.lifetime",
        "default_lifetime",
    )
    for name in ("issuer", "audience"):
        options.unneeded(
            f"was never compared with tokens; set {to}.{name} if all of yours say it", name
        )
    leeway = options.number("leeway")
    if leeway is not None:
        section["leeway"] = math.ceil(leeway)
        notes.translated(options.at("leeway"), f"{to}.leeway")
    if (key_id := options.text("key_id")) is not None:
        section["key_id"] = key_id
        notes.translated(options.at("key_id"), f"{to}.key_id")
    if "basic_auth_user" in options.names():
        section["basic_user"] = options.text("basic_auth_user") or ""
        notes.translated(options.at("basic_auth_user"), f"{to}.basic_user")
    return None if keys is None else {**section, **keys}


def _github(options: Keys, notes: Notes, to: str) -> dict[str, Any] | None:
    section: dict[str, Any] = {"type": "github"}
    if (url := options.text("api_url")) is not None:
        section["api_url"] = url.rstrip("/")
        notes.translated(options.at("api_url"), f"{to}.api_url")
    options.unneeded("the version of GitHub's API is chosen by giftless", "api_version")
    _timeout(options, notes, to, section)
    cache = options.inside("cache")
    for name, ours in (("auth_write_ttl", "write_ttl"), ("auth_other_ttl", "read_ttl")):
        if (seconds := cache.number(name)) is not None:
            section[ours] = math.ceil(seconds)
            notes.translated(cache.at(name), f"{to}.{ours}")
    sizes = [cache.number(name) for name in ("token_max_size", "auth_max_size")]
    if any(size is not None for size in sizes):
        tokens, each = (
            usual if size is None else size for size, usual in zip(sizes, _CACHED, strict=True)
        )
        section["cache_size"] = max(1, int(tokens * each))
        for name, size in zip(("token_max_size", "auth_max_size"), sizes, strict=True):
            if size is not None:
                words = "one number counts pairs of token and repository: the product of both"
                notes.changed(cache.at(name), f"{to}.cache_size", words)
    cache.end()
    section["orgs"] = _orgs(options, notes, to)
    return section if section["orgs"] else None


def _timeout(options: Keys, notes: Notes, to: str, section: dict[str, Any]) -> None:
    value, key = options.take("api_timeout"), options.at("api_timeout")
    if value is None:
        return
    pair = value if isinstance(value, list) else [value]
    if pair and all(isinstance(each, int | float) and 0 < each < 3600 for each in pair):
        section["timeout"] = math.ceil(max(pair))
        if len(pair) > 1:
            notes.changed(key, f"{to}.timeout", "there is one time-out: the longer of both")
        else:
            notes.translated(key, f"{to}.timeout")
    else:
        notes.refused(key, f"found {describe(value)}, which is no time-out")


def _orgs(options: Keys, notes: Notes, to: str) -> list[str]:
    if options.names() and "restrict_to" in options.names():
        restricted = options.take("restrict_to")
        if restricted is not None:
            keys = Keys(restricted, options.at("restrict_to"), notes)
            found = []
            for org in keys.names():
                if keys.take(org) is None:
                    found.append(org)
                    notes.translated(keys.at(org), f"{to}.orgs")
                else:
                    notes.refused(
                        keys.at(org),
                        "an organisation cannot be restricted to some repositories; add it to"
                        f" {to}.orgs if all that GitHub has there may be served",
                    )
            return found
        notes.translated(options.at("restrict_to"), f"{to}.orgs")
    return ["*"]


_FACTORIES: Final[Mapping[str, Callable[[Keys, Notes, str], dict[str, Any] | None]]] = {
    "giftless.auth.jwt:factory": _jwt,
    "giftless.auth.github:factory": _github,
}
