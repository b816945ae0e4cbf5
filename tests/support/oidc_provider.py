"""A real issuer of OpenID Connect, and the real credential helpers of git.

``make test`` installs them where it can (``.ci/stores``); where one is missing, its tests are
skipped and say so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.ports import free_port
from tests.support.servers import find_command, running

_HERE: Final = Path(__file__).parent

#: For whom the tokens of the issuer are that are JWTs.
AUDIENCE: Final = "https://lfs.example"


@dataclass(frozen=True)
class Provider:
    """An issuer that runs.

    :ivar url: its URL; below ``/acme/`` there is the LFS server.
    """

    url: str

    def section(self, **others: Any) -> dict[str, Any]:
        """Return the section of an authenticator that takes its tokens."""
        return {
            "type": "oidc",
            "issuer": self.url,
            "audience": [AUDIENCE, "git-opaque"],
            "client_id": "giftless",
            "client_secret": "the secret of giftless",
            "userinfo": "claims",
            "grants": {"alice": {"acme/**": "write"}, "everybody-here": {"acme/**": "read"}},
            **others,
        }


@contextmanager
def oidc_provider(directory: Path, lfs_port: int) -> Iterator[Provider]:
    """Run an issuer.

    :param directory: where its log goes.
    :param lfs_port: where the LFS server is, or will be.
    :raises SkipTest: if it is not installed.
    """
    package, node, port = find_command("oidc-provider"), find_command("node"), free_port()
    provider = Provider(f"http://127.0.0.1:{port}")
    script = str(_HERE / "oidc_provider.mjs")
    line = [node, "--no-warnings", script, package, str(port), AUDIENCE, str(lfs_port)]
    with running(line, f"{provider.url}/.well-known/openid-configuration", directory, {}):
        yield provider


def put_browser(directory: Path) -> None:
    """Put what helpers open a browser with into a directory: it logs in by itself.

    The user is in the variable ``LOG_IN_AS``.
    """
    directory.mkdir(exist_ok=True)
    # Old helpers call it "open".
    for name in ("xdg-open", "open"):
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {_HERE / "log_in.py"} "$@"\n')
        script.chmod(0o755)
