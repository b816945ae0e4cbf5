"""What is around a site's configuration of nginx on an ordinary machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_MAIN: Final = """
daemon off;
{more}
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    {site}
}}
"""


def around(root: Path, site: str, more: str = "") -> str:
    """Return the whole configuration of an nginx that stays in the foreground.

    :param root: an empty folder, where it keeps what it writes.
    :param site: what stands in ``http``.
    :param more: what stands beside that.
    """
    return _MAIN.format(root=root, site=site, more=more)
