"""The configuration of a proxy in front of giftless: nginx, Apache or Caddy.

What Git LFS needs of each: bodies of any size, passed on as they come; minutes for a
disk that syncs a large object; the host that the client has asked; and ``X-Forwarded-*``
that replace what the client claims.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Final
from urllib.parse import urlsplit

import msgspec

from giftless.base.urls import ANY_ADDRESS, DEFAULT_PORTS, url_host
from giftless.setup.answers import PROXIES, Edge
from giftless.setup.values import host_and_port

#: What the file is called, beside the configuration.
FILE: Final = "proxy.conf"

#: How the line begins in which a file says what it was made from.
_MARK: Final = "# giftless setup: "

#: What none of the three can have in a path, or would obey.
_OBEYED: Final = frozenset("$%{}\\`*?[]")

_NGINX: Final = Template("""\
# nginx in front of giftless.  It belongs into the http section: link it into
# /etc/nginx/conf.d, then: nginx -t && systemctl reload nginx
$mark
upstream giftless {
    server $upstream;
    keepalive 32;
}

server {
    listen $port$ssl;
    # Take this line out where IPv6 is switched off: nginx would not start.
    listen [::]:$port$ssl;
    server_name $host;
$certificates
    # Objects may be of any size; giftless has limits of its own.
    client_max_body_size 0;

    # The tokens of some issuers are longer than 8 KiB; giftless takes so much.
    large_client_header_buffers 4 16k;

    # Uploads over HTTP/2 are about twice as fast with this much for each.
    client_body_buffer_size 1m;

    location $path/ {
        proxy_pass http://giftless$behind;

        # Keep connections to giftless, and pass bodies on as they come: it
        # decides about an upload before the upload, not after.
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_request_buffering off;

        # Do not put large downloads into files of nginx's own.
        proxy_max_temp_file_size 0;

        # Which server the client asked, how, and from where.  These replace
        # whatever the client itself claims.
        proxy_set_header Host $$http_host;
        proxy_set_header X-Forwarded-Host $$http_host;
        proxy_set_header X-Forwarded-Proto $$scheme;
        proxy_set_header X-Forwarded-For $$remote_addr;
        proxy_set_header X-Forwarded-Port "";

        # A disk that flushes a very large object takes its time.
        proxy_read_timeout 600s;
        proxy_send_timeout 600s;
    }
}
""")

_APACHE: Final = Template("""\
# Apache in front of giftless.  Link it into /etc/apache2/sites-enabled, then:
# a2enmod ssl proxy proxy_http headers && apachectl configtest && systemctl reload apache2
$mark
$listen<VirtualHost *:$port>
    ServerName $host
$certificates
    # Objects may be of any size, and may take any time; giftless has limits of its own.
    LimitRequestBody 0

    # The tokens of some issuers are longer than 8 KiB; giftless takes so much.
    LimitRequestFieldSize 16384

    <IfModule reqtimeout_module>
        RequestReadTimeout body=0
    </IfModule>

    # A disk that flushes a very large object takes its time.
    ProxyTimeout 600

    # Which server the client asked, how, and from where.  These replace
    # whatever the client itself claims.
    ProxyPreserveHost On
    ProxyAddHeaders Off
    RequestHeader set X-Forwarded-Host "expr=%{HTTP_HOST}"
    RequestHeader set X-Forwarded-Proto "$scheme"
    RequestHeader set X-Forwarded-For "expr=%{REMOTE_ADDR}"
    RequestHeader unset X-Forwarded-Port

    AllowEncodedSlashes NoDecode
    ProxyPass $path/ http://$upstream/ nocanon
</VirtualHost>
""")

_CADDY: Final = Template("""\
# Caddy in front of giftless.  Import it from /etc/caddy/Caddyfile, then:
# caddy validate --config /etc/caddy/Caddyfile && systemctl reload caddy
# Caddy takes bodies of any size, passes them on as they come, and replaces the
# X-Forwarded-* headers that clients send.
$mark
$site {
$certificates\
    $handle {
        reverse_proxy $upstream {
            header_up -X-Forwarded-Port
            # A disk that flushes a very large object takes its time.
            transport http {
                response_header_timeout 600s
            }
        }
    }
}
""")


def check_path(path: str) -> None:
    """Check that every proxy takes the path of a file as it is.

    :raises ValueError: if one would not.
    """
    obeyed = sorted(_OBEYED & set(path))
    if obeyed:
        raise ValueError(f"no proxy takes these characters in a path: {' '.join(obeyed)}")


def proxy_file(edge: Edge) -> str:
    """Write the configuration of the proxy of ``edge``, which must be one of three."""
    url = urlsplit(edge.public_url)
    host, port = host_and_port(edge.listen)
    shown = url_host(url.hostname or "localhost")
    upstream = f"{url_host(reached(host))}:{port}"
    secure = url.scheme == "https"
    path = url.path.rstrip("/")
    listened = url.port or DEFAULT_PORTS[url.scheme]
    common = {
        "mark": mark(edge),
        "host": shown,
        "port": listened,
        "path": path,
        "scheme": url.scheme,
        "upstream": upstream,
        "certificates": _certificates(edge) if secure else "",
    }
    if edge.proxy == "nginx":
        ssl = " ssl http2" if secure else ""
        return _NGINX.substitute(common, ssl=ssl, behind="/" if path else "")
    if edge.proxy == "apache":
        usual = listened in DEFAULT_PORTS.values()
        return _APACHE.substitute(common, listen="" if usual else f"Listen {listened}\n")
    handle = f"handle_path {path}/*" if path else "handle"
    site = f"{url.scheme}://{shown}:{listened}"
    return _CADDY.substitute(common, site=site, handle=handle)


def reached(host: str) -> str:
    """Return by which address a proxy on the same machine reaches what listens.

    It comes from there, too.
    """
    return {"": "127.0.0.1", **ANY_ADDRESS}.get(host, host)


def _certificates(edge: Edge) -> str:
    if not edge.certificate:
        return ""
    names = {
        "nginx": ("    ssl_certificate     {};\n    ssl_certificate_key {};\n"),
        "apache": (
            "    SSLEngine on\n    SSLCertificateFile {}\n    SSLCertificateKeyFile {}\n"
            "    <IfModule http2_module>\n        Protocols h2 http/1.1\n    </IfModule>\n"
        ),
        "caddy": "    tls {} {}\n",
    }
    return names[edge.proxy].format(_quoted(edge.certificate), _quoted(edge.key))


def _quoted(path: str) -> str:
    """Quote a path that :func:`check_path` has let pass."""
    return '"' + path.replace('"', '\\"') + '"'


def mark(edge: Edge) -> str:
    """Return the line in which a proxy's file says what it was made from."""
    said = {"proxy": edge.proxy, "certificate": edge.certificate, "key": edge.key}
    return _MARK + json.dumps(said)


def read_mark(text: str) -> Mapping[str, str]:
    """Read that line.

    :param text: a proxy's file, whoever has changed it.
    :returns: ``proxy``, ``certificate`` and ``key``; nothing if the line is missing or
        damaged.
    """
    for line in text.splitlines():
        if line.startswith(_MARK):
            try:
                said = msgspec.json.decode(line.removeprefix(_MARK), type=dict[str, str])
            except msgspec.MsgspecError:
                return {}
            return said if said.get("proxy") in PROXIES else {}
    return {}
