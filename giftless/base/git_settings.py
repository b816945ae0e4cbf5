"""What git's configuration says about connections.

The transfer agent imports it, which starts eight times for a push: nothing of Twisted here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

#: Values of git's configuration and variables that mean no (``git config --type=bool``).
_NO: Final = frozenset({"false", "no", "off", "0", ""})


def run_git(*arguments: str, directory: str | None = None) -> str | None:
    """Return what git prints; ``None`` if it fails or is not there.

    :param directory: where it runs; ``None``: in the current one.
    """
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd=directory,
        )
    except OSError:
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Settings:
    """How to connect to a server.

    :ivar verify: whether its certificate is checked.
    :ivar ca_file: the certificates that are trusted; ``None``: the system's.
    :ivar ca_path: a folder of them.
    :ivar cert_file: the client's own certificate.
    :ivar key_file: the key of that.
    :ivar proxy: the URL of a proxy; empty: none, ``None``: as the environment says.
    """

    verify: bool = True
    ca_file: str | None = None
    ca_path: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    proxy: str | None = field(default=None, repr=False)


def settings_for(
    url: str, environ: Mapping[str, str] = os.environ, directory: str | None = None
) -> Settings:
    """Find out what ``http.*`` and ``http.<url>.*`` say, and git's variables.

    :param url: the server's.
    :param directory: a folder of the repository whose configuration counts; ``None``: the
        current one.
    """
    printed = run_git("config", "-z", "--get-urlmatch", "http", url, directory=directory)
    return parse_settings(printed or "", environ)


def parse_settings(printed: str, environ: Mapping[str, str]) -> Settings:
    """Read what ``git config -z --get-urlmatch http URL`` printed.

    :param environ: variables, of which those of git come first.
    """
    values: dict[str, str] = {}
    for entry in filter(None, printed.split("\0")):
        # A name without a value, as in "sslVerify" alone, means yes.
        name, _, value = entry.partition("\n")
        values[name.lower()] = value if "\n" in entry else "true"

    def path(variable: str, name: str) -> str | None:
        found = environ.get(variable) or values.get(f"http.{name}")
        return os.path.expanduser(found) if found else None

    insecure = environ.get("GIT_SSL_NO_VERIFY", "").lower() not in _NO
    return Settings(
        verify=not insecure and values.get("http.sslverify", "true").lower() not in _NO,
        ca_file=path("GIT_SSL_CAINFO", "sslcainfo"),
        ca_path=path("GIT_SSL_CAPATH", "sslcapath"),
        cert_file=path("GIT_SSL_CERT", "sslcert"),
        key_file=path("GIT_SSL_KEY", "sslkey"),
        proxy=values.get("http.proxy"),
    )


def proxy_of(settings: Settings, url: str) -> str:
    """Return the URL of the proxy for a server's URL; empty for none.

    What the settings leave open the environment says: ``HTTPS_PROXY``, ``http_proxy``,
    ``ALL_PROXY``, ``NO_PROXY``.
    """
    parts = urlsplit(url)
    proxy = settings.proxy
    if proxy is None:
        if proxy_bypass(parts.hostname or ""):
            return ""
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"
