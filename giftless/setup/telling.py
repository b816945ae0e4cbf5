"""Tell the operator what to run next, and the line for users."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterator

from giftless.base.urls import ANY_ADDRESS, url_host
from giftless.setup.answers import Answers, Edge
from giftless.setup.machine import own_name
from giftless.setup.plan import Layout, Plan
from giftless.setup.proxies import read_mark
from giftless.setup.units import UNIT
from giftless.setup.values import host_and_port
from giftless.web.links import example_api

#: Where each proxy looks for its configuration, and how it reads it again.
_PROXIES = {
    "nginx": ("ln -s {} /etc/nginx/conf.d/giftless.conf", "nginx -t && systemctl reload nginx"),
    "apache": (
        "a2enmod ssl proxy proxy_http headers && ln -s {} /etc/apache2/sites-enabled/giftless.conf",
        "apachectl configtest && systemctl reload apache2",
    ),
    "caddy": (
        "echo {} >> /etc/caddy/Caddyfile",
        "caddy validate --config /etc/caddy/Caddyfile && systemctl reload caddy",
    ),
}


def next_steps(answers: Answers, layout: Layout, plan: Plan, exists: bool) -> Iterator[str]:
    """Yield commands that whoever runs this runs next.

    :param exists: whether there was a configuration before.
    """
    changed = {file.path for file in plan.files}
    if layout.units:
        if any(path.startswith(f"{layout.units}/") for path in changed):
            yield "systemctl daemon-reload"
            yield f"systemctl enable {UNIT}"
            yield f"systemctl restart {UNIT}"
        elif changed:
            yield f"systemctl reload {UNIT}"
    elif not exists:
        command = [os.path.join(layout.programs, "twistd"), "--nodaemon", "--pidfile="]
        if layout.user != own_name():
            command.append(f"--uid={layout.user}")
        yield shlex.join([*command, "giftless", "--config", layout.config])
    if answers.edge is not None and answers.edge.proxied and layout.proxy in changed:
        link, reload = _PROXIES[answers.edge.proxy]
        path = layout.proxy
        words = path if answers.edge.proxy != "caddy" else f'import "{path}"'
        before = next(file.old for file in plan.files if file.path == layout.proxy)
        if read_mark((before or b"").decode(errors="replace")).get("proxy") != answers.edge.proxy:
            yield link.format(shlex.quote(words))
        yield reload


def line_for_users(edge: Edge | None, public_url: str) -> str:
    """Return what users run in a repository.

    :param public_url: what the configuration says; may be empty.
    """
    url = public_url.rstrip("/") or server_url(edge)
    return f"git config -f .lfsconfig lfs.url {shlex.quote(example_api(url))}"


def server_url(edge: Edge | None) -> str:
    """Return the server's URL, as far as it is known without :confval:`public_url`."""
    if edge is None or edge.tls == "proxy":
        return "https://HOST"
    host, port = host_and_port(edge.listen)
    if ANY_ADDRESS.get(host, "") or not host:
        host = socket.gethostname()
    return f"{'https' if edge.tls == 'files' else 'http'}://{url_host(host)}:{port}"
