"""Processes that have no use for TLS leave it out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.app import plugins
from giftless.app.config import parse
from giftless.runtime.tls import is_plain, uses_tls

#: Loads an endpoint that accepts TLS in a process that has left it out.
BRING_IN: Final = """
import sys
from giftless.runtime import tls
tls.leave_out()
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
assert "OpenSSL" not in sys.modules
before = serverFromString(reactor, "tcp:0")
tls.bring_in()
tls.bring_in()
wrong = "ssl:0:privateKey=/nowhere"
try:
    serverFromString(reactor, wrong)
except FileNotFoundError as error:
    assert "/nowhere" in str(error), error
else:
    raise AssertionError("the certificate was not read")
assert "OpenSSL" in sys.modules
before.listen(None)
"""

#: Leaves TLS out where something has imported it already.
TOO_LATE: Final = """
import twisted.internet.ssl
from giftless.runtime import tls
tls.leave_out()
from twisted.internet import endpoints, posixbase
assert endpoints.TLSMemoryBIOFactory and posixbase.tls
"""

#: Imports the code of every built-in plugin that uses no TLS.
WITHOUT: Final = """
import sys
from giftless.runtime import tls
tls.leave_out()
from giftless.app import plugins
for kind in plugins.KINDS:
    for name, plugin in plugins.named(kind).items():
        if getattr(plugin, "tls", True) is False:
            plugin.build
            assert "OpenSSL" not in sys.modules, name
            print(name)
"""


def run(program: str) -> list[str]:
    """Run a program in a Python of its own, and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class UsesTLSTests(SynchronousTestCase):
    def uses_tls(self, text: str) -> bool:
        """Say what is found out about a configuration."""
        return uses_tls(parse("giftless.yaml", text, {}).config)

    def test_the_defaults_use_none(self) -> None:
        self.assertFalse(self.uses_tls(""))

    def test_built_in_parts_without_connections_use_none(self) -> None:
        text = (
            "endpoints: ['tcp6:80', 'unix:/run/x', 'systemd:domain=INET', {listen: 'tcp:81'}]\n"
            "auth: [{type: basic, users: x}, {type: anonymous}]\n"
            "locks: {type: postgresql}\n"
            "observers: [{type: audit}]\n"
            "transfers: [basic]"
        )
        self.assertFalse(self.uses_tls(text))

    def test_each_kind_of_part_may_use_it(self) -> None:
        for text in (
            "endpoints: ['tcp:80', 'ssl:443']",
            "endpoints: [{listen: 'tls:443'}]",
            "endpoints: ['haproxy:ssl:443']",
            "endpoints: ['le:/certificates:tcp:443']",
            "storage: {type: s3}",
            "auth: [{type: anonymous}, {type: github}]",
            "auth: [{type: jwt}]",
            "observers: [{type: audit}, {type: webhooks}]",
        ):
            self.assertTrue(self.uses_tls(text), text)

    def test_parts_of_others_may_use_it(self) -> None:
        """Nobody knows, and what is wrong is found out later."""
        for text in (
            "storage: {type: somebodys}",
            "storage: {path: x}",
            "storage: {type: [local]}",
            "locks: {type: somebodys}",
            "auth: [{type: somebodys}]",
            "observers: [{type: somebodys}]",
            "transfers: [somebodys]",
        ):
            self.assertTrue(self.uses_tls(text), text)

    def test_a_plugin_that_says_nothing_may_use_it(self) -> None:
        class Silent:
            name = "local"

        def named(_: object) -> Any:
            return {"local": Silent()}

        self.patch(plugins, "named", named)
        self.assertTrue(self.uses_tls("storage: {type: local}"))

    @given(st.text())
    def test_any_text_can_be_an_endpoint(self, description: str) -> None:
        plain = description.startswith(("tcp:", "tcp6:", "unix:", "systemd:"))
        self.assertEqual(is_plain(description), plain)


class ImportTests(SynchronousTestCase):
    def test_tls_can_be_brought_in_later(self) -> None:
        """A reload may name the first endpoint that accepts TLS."""
        run(BRING_IN)

    def test_what_has_been_imported_stays(self) -> None:
        run(TOO_LATE)

    def test_what_uses_no_tls_imports_none(self) -> None:
        found = run(WITHOUT)
        self.assertLessEqual({"local", "anonymous", "sqlite", "audit", "basic"}, set(found))
