"""giftless-client uploads in parts to Azure, which is Azurite, or through a daemon to it."""

from __future__ import annotations

import http.client
import os
import re
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.docs.pages import DOCS
from tests.integration.multipart import MIB, MultipartCases, RemoteMultipartCases
from tests.integration.sharing import SharingTestCase
from tests.integration.support import oid_of
from tests.support.azurite import azurite
from tests.support.processes import PATIENCE
from tests.support.servers import shared


class AzureStorage(SharingTestCase):
    """Has a container of its own; is skipped where Azurite is missing."""

    part = MIB

    def setUp(self) -> None:
        self.server = shared(azurite)
        super().setUp()
        self.container = f"multipart-{type(self).__name__.lower()}"
        self.share(self.container, lambda _: nullcontext(self.server.create(self.container)))

    def port(self) -> int:
        return self.server.port

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        # An Azurite has its accounts one level down.
        for name in ("endpoint_url", "public_endpoint_url"):
            if name in options:
                options[name] += f"/{self.server.ACCOUNT}"
        return self.server.options(self.container, **options)

    def names(self) -> set[str]:
        return self.server.names(self.container)

    def digest(self, name: str) -> str:
        return oid_of(self.server.read(self.container, name))


class AzureDirectTests(AzureStorage, RemoteMultipartCases):
    """Parts go to Azure."""

    def test_the_store_is_asked_for_blocks_alone(self) -> None:
        """Whatever the signature permits: the client does what it is told."""
        daemon = self.serve(part_size=self.part)
        path, _ = self.make_file(2 * self.part)
        self.assert_well(self.upload(daemon, path))
        self.assertEqual(len(self.puts()), 2)
        self.assertEqual([line for line in self.puts() if "comp=block&" not in line], [])
        self.assertNotIn("sig=", daemon.stdout + daemon.stderr)

    def test_the_documented_rule_lets_one_origin_in(self) -> None:
        """The rule of the page lets its origin send parts with Content-MD5, and no other."""
        from azure.storage.blob import BlobServiceClient, CorsRule

        page = (DOCS / "storage" / "azure.rst").read_text()
        command = re.search(r"\$ az storage cors add (.*?)\n\n", page, re.DOTALL)
        assert command is not None
        words = shlex.split(command[1].replace("\\\n", " "))
        flags: dict[str, list[str]] = {}
        for word in words:
            if word.startswith("--"):
                values = flags[word[2:]] = []
            else:
                values.append(word)
        (origin,) = flags["origins"]
        rule = CorsRule(
            [origin],
            flags["methods"],
            allowed_headers=flags["allowed-headers"][0].split(","),
            exposed_headers=flags["exposed-headers"],
            max_age_in_seconds=int(flags["max-age"][0]),
        )
        service = BlobServiceClient.from_connection_string(self.server.connection_string)
        service.set_service_properties(cors=[rule])
        self.addCleanup(service.set_service_properties, cors=[])
        data = os.urandom(self.part + 1)
        part = self.batch(self.serve(part_size=self.part), oid_of(data), len(data))["parts"][0]
        self.assertEqual(self.preflight(part["href"], origin), 200)
        self.assertEqual(self.preflight(part["href"], "https://evil.example"), 403)

    def preflight(self, href: str, origin: str) -> int:
        """Ask as a browser does whether a part may be sent.

        :returns: the status.
        """
        url = urlsplit(href)
        connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-md5,content-type",
        }
        try:
            connection.request("OPTIONS", f"{url.path}?{url.query}", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


class AzureProxyTests(AzureStorage, MultipartCases):
    """Parts pass through the daemon to Azure."""

    direct = False

    def storage(self, directory: Path, **options: Any) -> dict[str, Any]:
        return super().storage(directory, mode="proxy", **options)
