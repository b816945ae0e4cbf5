"""The giftless that was a Flask application, from PyPI, under gunicorn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.peers.base import (
    BYTES,
    CACHE,
    LFS,
    PROCESSOR,
    S3,
    TOKEN,
    Place,
    Server,
    find,
    output,
)
from benchmarks.support import running
from tests.support.ports import free_port

#: Threads of each worker: more than the two that its documentation has, so
#: that downloads do not hold up everything else.
THREADS = 8


class Flask:
    """One worker for each core."""

    name = "flask"
    serves = frozenset({LFS, BYTES, S3, PROCESSOR})
    promises = (TOKEN,)

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        find("flask-giftless", "needs Python's venv")
        packages = output(str(CACHE / "flask" / "bin" / "pip"), "list", "--format=freeze")
        versions = dict(line.split("==") for line in packages.splitlines() if "==" in line)
        return (
            f"Flask giftless {versions['giftless']} under gunicorn {versions['gunicorn']}"
            f" (a worker for each core, {THREADS} threads each)"
        )

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        file = place.root / "flask.yaml"
        config = {
            "AUTH_PROVIDERS": ["giftless.auth.allow_anon:read_write"],
            "LEGACY_ENDPOINTS": True,
            "PRE_AUTHORIZED_ACTION_PROVIDER": {
                "factory": "giftless.auth.jwt:factory",
                # Only for the servers that run here.
                "options": {"algorithm": "HS256", "private_key": "0123456789abcdef" * 4},
            },
            "TRANSFER_ADAPTERS": {"basic": self._adapter(place)},
        }
        file.write_text(json.dumps(config))
        environ = {"GIFTLESS_CONFIG_FILE": str(file), "HOME": str(place.root)}
        if place.bucket is not None:
            environ |= {
                "AWS_ACCESS_KEY_ID": place.bucket.access_key,
                "AWS_SECRET_ACCESS_KEY": place.bucket.secret_key,
                "AWS_DEFAULT_REGION": place.bucket.region,
            }
        command = [
            find("flask-giftless", ""),
            *("--worker-class", "gthread", "--workers", str(place.cores)),
            *("--threads", str(THREADS), "--bind", f"127.0.0.1:{port}"),
            *("--timeout", "600", "giftless.wsgi_entrypoint:app"),
        ]
        with running(command, port, place.root, environ, place.cores) as process:
            yield Server(self.name, f"http://127.0.0.1:{port}", process.pid)

    def _adapter(self, place: Place) -> dict[str, Any]:
        if place.bucket is None:
            kind, store = "basic_streaming", "local_storage:LocalStorage"
            options = {"path": str(place.root / "store")}
        else:
            kind, store = "basic_external", "amazon_s3:AmazonS3Storage"
            options = {"bucket_name": place.bucket.name, "endpoint": place.bucket.endpoint}
        return {
            "factory": f"giftless.transfer.{kind}:factory",
            "options": {
                "storage_class": f"giftless.storage.{store}",
                "storage_options": options,
                "action_lifetime": 3600,
            },
        }
