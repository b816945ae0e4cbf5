"""Read the answers that a configuration stands for, whoever has written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from giftless.setup.answers import Answers, Edge, Part
from giftless.setup.kinds import IDENTITIES, STORAGES, Kind, kind_of
from giftless.setup.values import Listen


def read_answers(data: Mapping[str, Any], state_dir: str, beside: Mapping[str, str]) -> Answers:
    """Read the answers of a configuration.

    :param data: the configuration, as plain data.
    :param state_dir: what counts if it does not say.
    :param beside: what the proxy's file says: ``proxy``, ``certificate``, ``key``.
    """
    auth = data.get("auth", [{"type": "anonymous", "access": "read-write"}])
    items = auth if isinstance(auth, list) and all(isinstance(each, dict) for each in auth) else []
    kinds = [kind_of(item) for item in items]
    known = {kind: item for kind, item in zip(kinds, items, strict=True) if kind in IDENTITIES}
    # Two of a kind, or a section of no form that is known: not to be asked for.
    simple = bool(items) and len(known) == sum(kind in IDENTITIES for kind in kinds)
    anonymous: dict[str, Any] = next((each for each in items if kind_of(each) == "anonymous"), {})
    access = anonymous.get("access", "read") if anonymous else "none"
    storage = data.get("storage", {"type": "local"})
    state = data.get("state_dir")
    return Answers(
        storage=_part(storage, STORAGES),
        identities=tuple(
            part for kind in IDENTITIES if (part := _part(known.get(kind), IDENTITIES)) is not None
        )
        if simple
        else None,
        anonymous=access if access in ("none", "read", "read-write") else "read",
        edge=_edge(data, beside),
        workers=data.get("workers", 1),
        state_dir=state if isinstance(state, str) else state_dir,
    )


def knows_others(data: Mapping[str, Any]) -> bool:
    """Whether a configuration knows people in ways that are not asked for."""
    return any(kind_of(item) not in ("anonymous", *IDENTITIES) for item in data.get("auth", ()))


def _part(section: Any, kinds: Mapping[str, Kind]) -> Part | None:
    """Read a section; ``None`` if it is of no kind that can be chosen."""
    kind = kind_of(section)
    if kind not in kinds:
        return None
    return Part(kind, {each.key: section.get(each.key, "") for each in kinds[kind].fields})


def _edge(data: Mapping[str, Any], beside: Mapping[str, str]) -> Edge | None:
    """Read how clients reach the server; ``None`` if that is more than is asked for."""
    endpoints = data.get("endpoints", ["tcp:8080:interface=127.0.0.1"])
    public_url, proxies = data.get("public_url", ""), data.get("trusted_proxies", [])
    if (
        not isinstance(endpoints, list)
        or [type(each) for each in endpoints] != [str]
        or not isinstance(public_url, str)
        or not isinstance(proxies, list)
        or not all(isinstance(each, str) for each in proxies)
        or len(proxies) > 1
    ):
        return None
    scheme, *words = _split(endpoints[0])
    options = dict(word for word in words if word[0])
    plain = [word for name, word in words if not name]
    host = options.pop("interface", "")
    listen = f"{f'[{host}]' if ':' in host else host}:{plain[0]}" if plain else ""
    listen = listen.removeprefix(":")
    try:
        Listen().parse(listen)
    except ValueError:
        return None
    common = {"listen": listen, "public_url": public_url}
    if scheme == ("", "ssl") and set(options) - {"extraCertChain"} == {"privateKey", "certKey"}:
        if proxies:
            return None
        return Edge(
            "files",
            certificate=options["certKey"],
            key=options["privateKey"],
            chain=options.get("extraCertChain", ""),
            **common,
        )
    if scheme != ("", "tcp") or options or len(plain) != 1:
        return None
    if not proxies:
        return Edge("none", **common)
    return Edge(
        "proxy",
        certificate=beside.get("certificate", ""),
        key=beside.get("key", ""),
        proxy=beside.get("proxy", "other"),
        proxy_address=proxies[0],
        **common,
    )


def _split(endpoint: str) -> list[tuple[str, str]]:
    """Take an endpoint's description apart: name (or nothing) and value of each word."""
    words, name, word, escaped = [], "", "", False
    for char in endpoint:
        if escaped or char not in "\\:=":
            word, escaped = word + char, False
        elif char == "\\":
            escaped = True
        elif char == "=" and not name:
            name, word = word, ""
        elif char == ":":
            words.append((name, word))
            name = word = ""
        else:
            word += char
    return [*words, (name, word)]
