"""Azurite, Microsoft's emulator of Azure Storage: it verifies every signature.

``make test`` installs it where there is npm (``.ci/stores``); where it is
missing, :func:`azurite` raises ``SkipTest`` and says so by name.
"""

from __future__ import annotations

import base64
import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.rounds import rounds
from tests.support.servers import MARK, find_command, running


@dataclass(frozen=True)
class Azurite:
    """An Azurite with one account.

    :ivar port: where it listens.
    :ivar scheme: ``http`` or ``https``.
    """

    port: int
    scheme: str = "http"

    ACCOUNT = "giftlesstests"
    KEY = base64.b64encode(b"a key of the tests, of some length").decode()

    @property
    def url(self) -> str:
        """The account's endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{self.ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """What Azure's portal would show."""
        return (
            f"DefaultEndpointsProtocol={self.scheme};AccountName={self.ACCOUNT};"
            f"AccountKey={self.KEY};BlobEndpoint={self.url}"
        )

    def options(self, container: str, **others: object) -> dict[str, object]:
        """Return a ``storage`` section for a container."""
        return {
            "type": "azure",
            "container": container,
            "account": self.ACCOUNT,
            "account_key": self.KEY,
            "endpoint_url": self.url,
            **others,
        }

    def create(self, container: str) -> None:
        """Make a container."""
        self.container(container).create_container()

    def container(self, name: str) -> Any:
        """Return Microsoft's client of a container."""
        return self._service().get_container_client(name)

    def _service(self) -> Any:
        return _service(self.connection_string, os.environ.get("SSL_CERT_FILE", True))

    def set_cors(self, *rules: Mapping[str, list[str]]) -> None:
        """Set the account's CORS rules; none, if none is given.

        :param rules: their ``origins``, ``methods``, ``headers`` and ``exposed``.
        """
        from azure.storage.blob import CorsRule

        self._service().set_service_properties(
            cors=[
                CorsRule(
                    rule["origins"],
                    rule["methods"],
                    allowed_headers=rule["headers"],
                    exposed_headers=rule["exposed"],
                    max_age_in_seconds=60,
                )
                for rule in rules
            ]
        )

    def names(self, container: str) -> set[str]:
        """Return the names of what is in a container but the store's mark."""
        names = self.container(container).list_blob_names()
        return {name for name in names if not name.endswith(MARK)}

    def read(self, container: str, name: str) -> bytes:
        """Return an object."""
        data: bytes = self.container(container).download_blob(name).readall()
        return data

    def objects(self, container: str) -> dict[str, bytes]:
        """Return what is in a container but the store's mark, by name."""
        return {name: self.read(container, name) for name in self.names(container)}


@functools.lru_cache(maxsize=2)
def _service(connection_string: str, verify: str | bool) -> Any:
    """Return Microsoft's client of an account: it keeps its connections."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient.from_connection_string(connection_string, connection_verify=verify)


@contextmanager
def azurite(directory: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[Azurite]:
    """Run an Azurite.

    :param directory: where it keeps what it is given.
    :param certificate: a certificate's file and its key's, to serve TLS; it
        takes tokens of identities then, whoever has signed them.  This process
        must trust it: ``SSL_CERT_FILE`` names it.
    :raises SkipTest: if it is not installed.
    """
    command = find_command("azurite-blob")
    place = directory / "azurite"
    place.mkdir(parents=True)
    server = Azurite(free_port(), "https" if certificate else "http")
    tls = []
    if certificate:
        tls = ["--oauth", "basic", "--cert", str(certificate[0]), "--key", str(certificate[1])]
    line = [
        command,
        *("--blobHost", "127.0.0.1", "--blobPort", str(server.port)),
        # What long rounds move, memory does not hold.
        *rounds(("--inMemoryPersistence",), ("--location", str(place))),
        *("--skipApiVersionCheck", "--silent", "--disableTelemetry"),
        *tls,
    ]
    accounts = {"AZURITE_ACCOUNTS": f"{server.ACCOUNT}:{server.KEY}"}
    with running(line, server.url, directory, accounts):
        yield server
