"""What git's configuration says about connections and about where files go."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from giftless.agent.errors import TransferError

#: Values of git's configuration and variables that mean no (``git config --type=bool``).
_NO: Final = frozenset({"false", "no", "off", "0", ""})


def run_git(*arguments: str) -> str | None:
    """Return what git prints; ``None`` if it fails or is not there."""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
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
    proxy: str | None = None


def settings_for(url: str, environ: Mapping[str, str] = os.environ) -> Settings:
    """Find out what ``http.*`` and ``http.<url>.*`` say, and git's variables.

    :param url: the server's.
    """
    return parse_settings(run_git("config", "-z", "--get-urlmatch", "http", url) or "", environ)


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


def temporary_folder() -> Path:
    """Return where git-lfs keeps unfinished downloads, made if it is missing.

    It is on the file system of the objects, which git-lfs moves downloads to.
    What a killed agent leaves there goes when git-lfs tidies up.

    :raises TransferError: if it cannot be made.
    """
    directory = run_git("rev-parse", "--git-common-dir")
    if directory is None:
        return Path(tempfile.gettempdir())
    storage = (run_git("config", "--type=path", "lfs.storage") or "").rstrip("\n") or "lfs"
    # An absolute lfs.storage stands for itself.
    folder = Path(directory.rstrip("\n"), storage, "tmp").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TransferError(f"cannot make {folder}: {error.strerror}") from None
    return folder
