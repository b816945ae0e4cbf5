"""Configurations of nginx for tests: what is around a site, and a site as the guide shows it."""

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


def moved(site: str, port: int, behind: int, certificate: Path) -> str:
    """Return the site that the operator's guide shows, with ports and files of a test.

    :param site: what is shown: ``docs/nginx.conf``.
    :param port: where nginx listens.
    :param behind: where the daemon listens.
    :param certificate: a file with a certificate and its key.
    """
    for found, put in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("listen [::]:443 ", f"listen [::1]:{port} "),
        ("server 127.0.0.1:8080;", f"server 127.0.0.1:{behind};"),
        ("/etc/ssl/lfs.example.com.pem", str(certificate)),
        ("/etc/ssl/lfs.example.com.key", str(certificate)),
    ):
        assert found in site, found
        site = site.replace(found, put)
    return site
