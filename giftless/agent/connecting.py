"""Connections as git would make them: its proxy, its certificates."""

from __future__ import annotations

import ssl
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from giftless.agent.errors import TransferError
from giftless.agent.interim import wait_for_final_answers
from giftless.base.git_settings import Settings, proxy_of


def make_pool(settings: Settings, url: str, connections: int) -> urllib3.PoolManager:
    """Make what keeps connections to a server.

    :param settings: how to connect.
    :param url: the server's.
    :param connections: how many are kept.
    :raises TransferError: if the settings cannot be used.
    """
    manager = _make_manager(settings, url, connections)
    wait_for_final_answers(manager)
    return manager


def _make_manager(settings: Settings, url: str, connections: int) -> urllib3.PoolManager:
    context = _context(settings)
    proxy = proxy_of(settings, url)
    if not proxy:
        return urllib3.PoolManager(maxsize=connections, ssl_context=context)
    try:
        parts = urlsplit(proxy)
        headers = None
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = urllib3.make_headers(proxy_basic_auth=credentials)
        return urllib3.ProxyManager(
            proxy, proxy_headers=headers, maxsize=connections, ssl_context=context
        )
    except (HTTPError, ValueError) as error:
        raise TransferError(f"the proxy cannot be used: {error}; see http.proxy") from None


def _context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file, capath=settings.ca_path)
        if settings.cert_file:
            # A key with a passphrase would have to be asked for.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=b"")
    except (OSError, ValueError) as error:
        raise TransferError(
            f"the certificates cannot be read: {error}; see http.sslCAInfo and http.sslCert"
        ) from None
    if not settings.verify:
        urllib3.disable_warnings()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
