"""nginx: what the machine can do with bytes.

It sends with ``sendfile`` and stores with WebDAV PUT, without a hash or an fsync.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers.base import BYTES, Place, Server, Transfer, find, output
from benchmarks.support import Content, running
from tests.support.ports import free_port

CONFIG = """
daemon off; pid {root}/nginx.pid; error_log {root}/nginx.err; worker_processes {cores}; user root;
events {{ worker_connections 4096; }}
http {{
  access_log {root}/access.log; sendfile on; tcp_nopush on; client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {root}/body; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
  uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ root {root}/www; dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


class Nginx:
    """One worker for each core."""

    name = "nginx"
    serves = frozenset({BYTES})
    promises = ()

    def version(self) -> str:
        """See :meth:`~benchmarks.peers.base.Peer.version`."""
        return output(find("nginx", "apt-get install nginx-light"), "-v").replace(
            "nginx version: ", ""
        )

    @contextmanager
    def start(self, place: Place) -> Iterator[Server]:
        """See :meth:`~benchmarks.peers.base.Peer.start`."""
        port = free_port()
        (place.root / "www").mkdir()
        # Its workers are another user until it is told not to be.
        place.root.chmod(0o755)
        config = place.root / "nginx.conf"
        config.write_text(CONFIG.format(root=place.root, port=port, cores=place.cores))
        command = [find("nginx", ""), "-c", str(config), "-p", str(place.root)]
        with running(command, port, place.root, cores=place.cores) as process:
            yield _Files(self.name, f"http://127.0.0.1:{port}", process.pid)


class _Files(Server):
    """Knows no batches: an object is a file."""

    def transfer(self, operation: str, content: Content) -> Transfer:
        return Transfer("PUT" if operation == "upload" else "GET", f"{self.url}/{content.oid}", {})
