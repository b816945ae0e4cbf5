"""What a person at a terminal wants to know when the daemon has started."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from giftless import __version__
from giftless.app.config import DEFAULT_FRONT, Loaded
from giftless.base.urls import ANY_ADDRESS, url_host
from giftless.runtime.sockets.endpoints import ADMIN, Listening
from giftless.storage.local import DEFAULT_PATH
from giftless.web.links import example_api

#: An endpoint, and the address of its socket if that has host and port.
Place = tuple[Listening, tuple[str, int] | None]

#: Where objects may be in a store that is not local, by the options of their sections.
_CONTAINERS: Final = ("bucket", "container")

#: Who may do what without a configuration file.
_ANYBODY: Final = "whoever can connect may read and write, unless the environment says otherwise"

#: Which admin endpoint is proposed.
_ADMIN: Final = "tcp:9090:interface=127.0.0.1"


def server_url(loaded: Loaded, places: Iterable[Place]) -> str:
    """Return the URL under which clients come in, as far as can be told.

    :returns: without a slash at the end: ``public_url``, or that of the first endpoint of
        HTTP that has an address.
    """
    public: str = loaded.config.public_url.rstrip("/")
    return public or next(_urls(places, DEFAULT_FRONT), "http://HOST")


def banner(loaded: Loaded, places: Sequence[Place]) -> str:
    """Return lines that say what runs, and what to do first.

    :param places: where the daemon listens.
    """
    url = server_url(loaded, places)
    facts = [("Objects", _objects(loaded.config.storage))]
    if not loaded.source:
        facts.append(("Access", _ANYBODY))
    facts += [("Dashboard", _dashboard(loaded, places)), ("Stop", "Ctrl+C")]
    lines = [
        f"giftless {__version__} is ready: {url}",
        "",
        *(f"  {name:<11}{words}" for name, words in facts),
        "",
        "Run this in a repository, with its path for ORG/REPO:",
        "",
        f"  git config -f .lfsconfig lfs.url {shlex.quote(example_api(url))}",
        "",
    ]
    return "".join(f"{_printable(line)}\n" for line in lines)


def _urls(places: Iterable[Place], front: str) -> Iterator[str]:
    """Return the URLs of a front's endpoints that have addresses."""
    for endpoint, address in places:
        if endpoint.front == front and address is not None:
            scheme = "https" if endpoint.description.startswith("ssl:") else "http"
            host = ANY_ADDRESS.get(address[0], address[0])
            yield f"{scheme}://{url_host(host)}:{address[1]}"


def _objects(section: Mapping[str, Any]) -> str:
    """Say where a storage keeps objects."""
    kind = section.get("type")
    if kind == "local":
        return os.path.abspath(str(section.get("path", DEFAULT_PATH)))
    named = next((section[key] for key in _CONTAINERS if key in section), "")
    return f"{kind} {named}".strip()


def _dashboard(loaded: Loaded, places: Sequence[Place]) -> str:
    """Say where the pages for operators are, or how to have some."""
    url = next(_urls(places, ADMIN), "")
    if url:
        return f"{url}/"
    if loaded.config.admin.endpoints:
        return loaded.config.admin.endpoints[0]
    if loaded.source:
        return f'none; for one, add admin: {{endpoints: ["{_ADMIN}"]}} to {loaded.source}'
    return f"none; for one, start with GIFTLESS_ADMIN__ENDPOINTS__0={_ADMIN}"


def _printable(line: str) -> str:
    """Return a line that cannot drive a terminal, whatever a path has in it."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in line
    )
