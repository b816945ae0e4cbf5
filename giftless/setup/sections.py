"""Turn answers into keys of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from giftless.setup.answers import Answers, Edge, Part
from giftless.setup.kinds import IDENTITIES, kind_of, section_of
from giftless.setup.values import host_and_port


def changes(answers: Answers, before: Answers | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the keys of the configuration become, for those that change.

    :param answers: all answers.
    :param before: those that the configuration stands for now; ``None`` if there is none.
    :param data: the configuration as it is.  What nobody is asked for is taken over.
    """
    wanted: dict[str, Any] = {}
    old = before or Answers(None, None, "", None, None, "")
    if answers.edge is not None and answers.edge != old.edge:
        wanted |= _edge(answers.edge, old.edge, data)
    if answers.storage is not None and answers.storage != old.storage:
        section = data.get("storage")
        wanted["storage"] = section_of(
            answers.storage.kind,
            answers.storage.values,
            section if isinstance(section, dict) else {},
        )
    if (answers.identities, answers.anonymous) != (old.identities, old.anonymous):
        wanted["auth"] = _auth(answers, old.identities or (), data.get("auth"))
    if answers.state_dir != old.state_dir:
        wanted["state_dir"] = answers.state_dir
    if answers.workers != old.workers:
        wanted["workers"] = answers.workers
    order = ("endpoints", "public_url", "trusted_proxies", "storage", "auth", "state_dir")
    return {key: wanted[key] for key in (*order, "workers") if key in wanted}


def _edge(edge: Edge, old: Edge | None, data: Mapping[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    endpoint = endpoint_of(edge)
    if old is None or endpoint != endpoint_of(old):
        wanted["endpoints"] = [endpoint]
    if edge.public_url != data.get("public_url", ""):
        wanted["public_url"] = edge.public_url
    proxies = [edge.proxy_address] if edge.tls == "proxy" else []
    if proxies != data.get("trusted_proxies", []):
        wanted["trusted_proxies"] = proxies
    return wanted


def endpoint_of(edge: Edge) -> str:
    """Return the endpoint's description, as Twisted reads it."""
    host, port = host_and_port(edge.listen)
    interface = f":interface={_escaped(host)}" if host else ""
    if edge.tls != "files":
        return f"tcp:{port}{interface}"
    chain = f":extraCertChain={_escaped(edge.chain)}" if edge.chain else ""
    return (
        f"ssl:{port}:privateKey={_escaped(edge.key)}:certKey={_escaped(edge.certificate)}"
        f"{chain}{interface}"
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


def _auth(answers: Answers, old: tuple[Part, ...], present: Any) -> list[dict[str, Any]]:
    """Make the list of authenticators; those that nobody is asked for stay where they are."""
    wanted = {part.kind: part for part in answers.identities or ()}
    before = {part.kind: part for part in old}
    items: list[dict[str, Any]] = []
    anonymous: dict[str, Any] = {"type": "anonymous"}
    for item in present if isinstance(present, list) else ():
        kind = kind_of(item)
        if kind == "anonymous":
            anonymous = item
        elif answers.identities is None or kind not in IDENTITIES:
            items.append(item)
        elif kind in wanted:
            part = wanted.pop(kind)
            same = part == before.get(kind)
            items.append(item if same else section_of(kind, part.values, item))
    new = [section_of(kind, part.values, {}) for kind, part in wanted.items()]
    # Whoever is asked later is shown the passwords of users that nobody before knows.
    first = [item for item in new if item["type"] == "basic"]
    items = [*first, *items, *(item for item in new if item["type"] != "basic")]
    if answers.anonymous != "none":
        items.append({**anonymous, "access": answers.anonymous})
    return items
