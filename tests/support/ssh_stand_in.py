"""Stands for ``ssh`` between git-lfs and the Unix socket of a daemon.

``python ssh_stand_in.py SOCKET [OPTION…] USER@HOST COMMAND``.  Whoever the URL names is the
user: the keys, and SSH itself, are left out.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading

#: What vouches for the users.
REALM = "basic"


def main() -> int:
    """Run a command as ``ssh`` would; return its status."""
    path, *_, host, command = sys.argv[1:]
    user = host.partition("@")[0]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        asked = {"ask": "session", "user": user, "realm": REALM, "command": command}
        connection.sendall(json.dumps({**asked, "address": "192.0.2.9"}).encode() + b"\n")
        with connection.makefile("rb", buffering=0) as stream:
            admitted = json.loads(stream.readline())
        if not admitted.get("open"):
            sys.stdout.write(admitted.get("stdout", ""))
            sys.stderr.write(admitted.get("stderr", ""))
            return int(admitted.get("status", 0))
        threading.Thread(target=_send, args=(connection,), daemon=True).start()
        while data := connection.recv(1 << 18):
            while data:
                data = data[os.write(1, data) :]
    return 0


def _send(connection: socket.socket) -> None:
    """Pass on what git-lfs writes, and its end."""
    while data := os.read(0, 1 << 18):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # The thread may still wait for git-lfs.
    os._exit(status)
