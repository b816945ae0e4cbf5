"""The configurations of proxies, as the proxies themselves read them."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from giftless.setup.answers import Edge
from giftless.setup.proxies import mark, proxy_file, read_mark
from tests.docs.pages import DOCS
from tests.support.certificates import make_certificate
from tests.support.processes import PATIENCE

URLS = (
    "https://lfs.example.com",
    "http://10.0.0.1:8081",
    "https://[2001:db8::1]:8443/l.f-s/~x",
    "https://lfs.example.com:444/lfs",
)

LISTENS = ("127.0.0.1:8080", "[::1]:8080", "8080")

#: The files of a certificate.
CERTIFICATE = "/etc/ssl/lfs.example.com.pem"
KEY = "/etc/ssl/lfs.example.com.key"

#: A name that each proxy could obey.
NAME = "c e\"r't;#<>&|.pem"


def edges(proxy: str, folder: Path) -> list[Edge]:
    """Return edges of every kind."""
    certificate = str(folder / NAME)
    return [
        Edge("proxy", listen, url, certificate, certificate, "", proxy)
        for url, listen in itertools.product(URLS, LISTENS)
    ]


class ProxyTests(SynchronousTestCase):
    def test_what_it_was_made_from_can_be_read(self) -> None:
        for proxy in ("nginx", "apache", "caddy"):
            for edge in edges(proxy, Path("/etc/ss\u00e9")):
                said = {"proxy": proxy, "certificate": edge.certificate, "key": edge.key}
                self.assertEqual(read_mark(proxy_file(edge)), said)
                self.assertEqual(len(mark(edge).splitlines()), 1)

    def test_what_somebody_has_damaged_says_nothing(self) -> None:
        for text in (
            "",
            "# giftless setup: {",
            "# giftless setup: []",
            '# giftless setup: {"proxy": 3}',
            '# giftless setup: {"proxy": "varnish"}',
            "# giftless setup: " + "[" * 100_000,
        ):
            self.assertEqual(read_mark(text), {})

    def test_the_page_shows_what_is_written(self) -> None:
        edge = Edge("proxy", "127.0.0.1:8080", URLS[0], CERTIFICATE, KEY, "", "nginx")

        def directives(text: str) -> list[str]:
            lines = [
                line.strip().replace('"/', "/").replace('";', ";") for line in text.split("\n")
            ]
            return [" ".join(line.split()) for line in lines if line and line[0] != "#"]

        shown = (DOCS / "nginx.conf").read_text()
        self.assertEqual(directives(shown), directives(proxy_file(edge)))

    def test_nginx_finds_no_mistake(self) -> None:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SkipTest("nginx is not installed")
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / NAME).write_bytes(make_certificate())
        servers = ""
        for number, edge in enumerate(edges("nginx", folder)):
            text = proxy_file(edge).replace("upstream giftless ", f"upstream g{number} ")
            servers += text.replace("http://giftless", f"http://g{number}")
        main = folder / "main"
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main.write_text(
            f"pid {folder}/pid; events {{}}\nhttp {{ access_log off; {temporary}\n{servers} }}"
        )
        done = subprocess.run(
            [program, "-t", "-q", "-p", str(folder), "-e", str(folder / "log"), "-c", str(main)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        faults = [line for line in done.stderr.splitlines() if "[warn] conflicting" not in line]
        self.assertEqual((done.returncode, faults), (0, []))
