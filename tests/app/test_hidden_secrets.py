"""Nothing of a wrong configuration is shown, because any of it may be a secret.

Each case puts a secret where people put it by mistake, and starts the daemon as
``twistd`` does.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Final

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.logs import log_observer
from giftless.runtime.twistd import Options

#: Stands for every secret.
CANARY: Final = "hunter2-Canary/9f+c"

#: The same in the name of a variable, where case does not matter.
NAME: Final = "HUNTER2CANARY"

#: What files hold, and what is said of them: a part of the message.
FILES: Final = {
    # -- no YAML
    f'secret: "{CANARY}': "is not valid YAML: .*line 1",
    f"secret: *{CANARY}": "is not valid YAML: .*line 1",
    f"secret: !{CANARY}": "is not valid YAML: .*line 1",
    f"secret: !x!{CANARY} a": "is not valid YAML: .*line 1",
    f"secret: &{CANARY} a\nb: &{CANARY} b\nc: [": "is not valid YAML: .*line",
    f"%TAG !{CANARY}! x\n%TAG !{CANARY}! y\n---\na: b": "is not valid YAML: .*line",
    f"%{CANARY}\na: b": "is not valid YAML: .*line",
    f"storage: {{secret_access_key: {CANARY}: 5": "is not valid YAML: .*line 1",
    f"a: b\n c: {CANARY}": "is not valid YAML: .*line 2",
    f"a: {CANARY}\n\tb: c": "is not valid YAML: .*line 2",
    f"secret: '{CANARY}": "is not valid YAML",
    f'secret: "\\{CANARY}"': "is not valid YAML",
    f"secret: @{CANARY}": "is not valid YAML",
    f"secret: %{CANARY}": "is not valid YAML",
    f"secret: !!int {CANARY}": "is not valid YAML",
    f"secret: !!float {CANARY}": "is not valid YAML",
    f"secret: !!bool {CANARY}": "is not valid YAML",
    f"secret: !!timestamp {CANARY}": "is not valid YAML",
    f"secret: !!binary {CANARY}é": "is not valid YAML",
    f"? {{a: {CANARY}}}\n: b": "is not valid YAML",
    f"<<: {CANARY}": "is not valid YAML",
    f"\0{CANARY}": "is not valid YAML",
    # -- another form
    CANARY: "found text, but the file must be a mapping",
    f"secret:{CANARY}": "found text, but the file must be a mapping",
    f"- secret: {CANARY}": "found a list, but",
    f"secret={CANARY}: x": r"unknown key; .*\(line 1, column 1\)",
    f"{CANARY}: x": r"unknown key; .*\(line 1, column 1\)",
    f"secrets: {CANARY}": "secrets: unknown key; did you mean 'secret",
    f"storage: {{type: local, secret_access_key={CANARY}}}": r"storage: unknown key; .*line 1",
    f"storage: {{type: local, {CANARY}}}": "storage: unknown key",
    f"storage: {{type: local, path {CANARY}}}": "storage: unknown key",
    f"secret: {{{CANARY}: x}}": "secret: found a section, allowed is text",
    f"secret: [{CANARY}]": "secret: found a list, allowed is text",
    f"secret: {{value: {CANARY}}}": "secret: found a section",
    "secret: 8675309867530986753098675309": "secret: found a number, allowed is text",
    "secret: 2024-01-02": "secret: found a date, allowed is text",
    # -- the wrong place
    f"storage: {CANARY}": "storage: found text, allowed is a section",
    f"storage: [{CANARY}]": "storage: found a list, allowed is a section",
    f"storage: {{type: {CANARY}}}": "storage.type: found text, available: .*local",
    f"storage: {{type: local, part_size: {CANARY}}}": "storage.part_size: found text",
    f"storage: {{type: local, prefix: ../{CANARY}}}": "storage.prefix: is not a plain",
    f"auth: {CANARY}": "auth: found text, allowed is a list",
    f"auth: [{CANARY}]": "auth.0: found text, allowed is a section",
    f"auth: [{{type: {CANARY}}}]": "auth.0.type: found text, available: .*jwt",
    f"auth: [{{type: anonymous, access: {CANARY}}}]": "auth.0.access: found text, allowed is one",
    f"auth: [{{type: jwt, key: [{CANARY}]}}]": "auth.0.key: found a list",
    f"auth: [{{type: jwt, key: {CANARY}}}]": "auth.0.key: found a secret of",
    f"auth: [{{type: jwt, key_file: {CANARY}}}]": "auth.0.key_file: cannot be read: No such",
    f"auth: [{{type: jwt, key: {CANARY}, algorithms: [RS256]}}]": "auth.0.key: RS256 needs",
    f"auth: [{{type: jwt, algorithms: [RS256], jwks_url: 'https://:{CANARY}@h'}}]": "a us",
    f"auth: [{{type: jwt, algorithms: [{CANARY}], key: x}}]": "auth.0.algorithms",
    f"auth: [{{type: basic, htpasswd: {CANARY}, access: x}}]": "auth.0.htpasswd: cannot",
    f"auth: [{{type: github, orgs: ['a//{CANARY}*']}}]": "auth.0.orgs.0: found text",
    f"auth: [{{type: gitlab, orgs: [a], url: 'https://t:{CANARY}@h'}}]": "auth.0",
    f"locks: {CANARY}": "locks: found text",
    f"locks: {{type: postgresql, conninfo: 'host=h password {CANARY}'}}": "conninfo: is malformed",
    f"locks: {{type: postgresql, conninfo: {CANARY}}}": "locks.conninfo: is malformed",
    f"locks: {{type: postgresql, conninfo: 'postgresql://u:p@{NAME}@h/d'}}": "conninfo",
    f"locks: {{type: postgresql, conninfo: ['{CANARY}']}}": "locks.conninfo: found a list",
    f"locks: {{type: postgresql, conninf: '{CANARY}'}}": "locks.conninf: unknown key; did you mean",
    f"locks: {{type: sqlite, path: /proc/{CANARY}/x}}": "locks.path",
    f"catalogue: {CANARY}": "catalogue: found text",
    f"catalogue: {{type: {CANARY}}}": "catalogue.type: found text, available: none, postgresql, sq",
    f"catalogue: {{type: postgresql, conninfo: {CANARY}}}": "catalogue.conninfo: is malformed",
    f"catalogue: {{type: postgresql, conninf: '{CANARY}'}}": "catalogue.conninf: unknown key; did",
    f"catalogue: {{type: sqlite, path: /proc/{CANARY}/x}}": "catalogue.path",
    f"endpoints: {CANARY}": "endpoints: found text, allowed is a list",
    f"endpoints: [{CANARY}]": "endpoints.0: found text that cannot be used, allowed is a Twisted",
    f"endpoints: ['tcp:{CANARY}']": "endpoints.0: found text",
    f"endpoints: ['ssl:0:privateKey={CANARY}']": "endpoints.0: found text .*No such file",
    f"endpoints: [{{listen: 'tcp:0', front: {CANARY}}}]": "endpoints.0.front: found text, avail",
    f"public_url: https://user:{CANARY}@h": "public_url: found a URL with a user or a password",
    f"public_url: https://h/?token={CANARY}": "public_url: found a URL with a query",
    f"public_url: {CANARY}": "public_url: found text that does not begin with http",
    f"trusted_proxies: [{CANARY}]": "trusted_proxies.0: found text, allowed is an address",
    f"plugin_path: [{CANARY}]": "plugin_path.0: is no directory",
    f"secret_file: {CANARY}": "secret_file: cannot be read: No such file",
    f"state_dir: 'file/{CANARY}'": "state_dir",
    f"log_format: {CANARY}": "log_format: found text, allowed is one of: json, text",
    f"threads: {CANARY}": "threads: found text, allowed is a whole number",
    f"transfers: [{CANARY}]": "transfers.0: found text, available: .*basic",
    f"observers: [{{type: {CANARY}}}]": "observers.0.type: found text",
    f"observers: [{{type: audit, file: /proc/{CANARY}/x}}]": "0.file: .*cannot be written",
    "observers: [{type: webhooks, targets: [{name: a, url: 'https://h', secrets:"
    f" [{CANARY}]}}]}}]": r"observers.0.targets.0.secrets.0: a secret begins with whsec_ \(line 1",
    "observers: [{type: webhooks, targets: [{name: a, secrets: [], url:"
    f" 'https://u:{CANARY}@h'}}]}}]": "observers.0.targets.0.url: found a URL with a user",
    "observers: [{type: webhooks, targets: [{name: a, url: 'https://h', secrets_file:"
    f" /proc/{CANARY}}}]}}]": "observers.0.targets.0.secrets_file: .*cannot be read",
    f"observers: [{{type: webhooks, targets: {CANARY}}}]": "observers.0.targets: found text",
    f"cors: {{origins: ['https://{CANARY}/x']}}": "cors.origins.0: found text, allowed is scheme",
    f"limits: {{idle_timeout: {CANARY}}}": "limits.idle_timeout: found text",
    f"aliases: {{'{CANARY}//': a}}": r"aliases: found a name, allowed is the path .*line 1",
    f"aliases: {{a: '../{CANARY}'}}": r"aliases: found text, allowed is the path .*line 1",
    f"storage: {{type: s3, bucket: b, region: r, endpoint_url: 'https://a:{CANARY}@h'}}": "a us",
    f"storage: {{type: s3, bucket: b, region: r, secret_access_key: {CANARY}}}": "access_key_id",
    f"storage: {{type: gcs, bucket: b, service_account_email: {CANARY}}}": "service_account_email",
    f"storage: {{type: azure, container: '{CANARY}', account: a}}": "storage.container: found text",
    f"storage: {{type: azure, container: abc, account: {CANARY}, account_key: eA==}}": "account: f",
    f"storage: {{type: azure, container: abc, account: abc, account_key: ä{CANARY}}}": "no account",
    f"storage: {{type: azure, container: abc, connection_string: {CANARY}}}": "connection_string",
}

#: The same for variables.
VARIABLES: Final = {
    ("GIFTLESS_CONFIG", f"secret: {CANARY}"): "environment GIFTLESS_CONFIG: names a file that",
    (
        "GIFTLESS_AUTH",
        f"[{{type: jwt, key: {CANARY}",
    ): "environment GIFTLESS_AUTH: auth: found text",
    ("GIFTLESS_AUTH", CANARY): "environment GIFTLESS_AUTH: auth: found text, allowed is a list",
    ("GIFTLESS_AUTH__0", f"{{type: jwt, key: {CANARY}"): "GIFTLESS_AUTH__0: auth.0: found text",
    ("GIFTLESS_AUTH__0__TYPE", CANARY): "GIFTLESS_AUTH__0__TYPE: auth.0.type: found text",
    ("GIFTLESS_AUTH__0__ACCESS", CANARY): "GIFTLESS_AUTH__0__ACCESS: auth.0.access: found text",
    (f"GIFTLESS_AUTH__{NAME}", "x"): "environment GIFTLESS_AUTH__…: allowed behind it",
    (f"GIFTLESS_AUTH__0__{NAME}", "x"): "environment GIFTLESS_AUTH__0__…: auth.0: unknown key",
    (f"GIFTLESS_{NAME}", "x"): "environment GIFTLESS_…: unknown key",
    (f"GIFTLESS_{NAME}__A__B", "x"): "environment GIFTLESS_…: unknown key",
    ("GIFTLESS_", CANARY): "environment GIFTLESS_…: unknown key",
    (f"GIFTLESS_STORAGE__{NAME}", "x"): "environment GIFTLESS_STORAGE__…: storage: unknown key",
    ("GIFTLESS_STORAGE", f"{{type: s3, secret_access_key: {CANARY}"): "storage: found text",
    ("GIFTLESS_STORAGE", f"{{type: local, {CANARY}: 5}}"): "GIFTLESS_STORAGE: storage: unknown key",
    ("GIFTLESS_STORAGE__PART_SIZE", CANARY): "storage.part_size: found text",
    ("GIFTLESS_PUBLIC_URL", f"https://u:{CANARY}@h"): "public_url: found a URL with a user",
    ("GIFTLESS_SECRET_FILE", CANARY): "GIFTLESS_SECRET_FILE: secret_file: cannot be read",
    ("GIFTLESS_SECRET", CANARY): "GIFTLESS_SECRET: secret: the secret has",
    ("GIFTLESS_SECRETS", CANARY): "environment GIFTLESS_SECRETS: secrets: unknown key; did you mea",
    ("GIFTLESS_ENDPOINTS", CANARY): "environment GIFTLESS_ENDPOINTS: endpoints: found text",
    ("GIFTLESS_ENDPOINTS__0", CANARY): "environment GIFTLESS_ENDPOINTS__0: endpoints.0: found text",
    ("GIFTLESS_LOCKS__TYPE", CANARY): "locks.type: found text",
}

#: A plugin whose factories fail with their options in their words.
PLUGIN: Final = """
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer
from giftless.interfaces import IStorageFactory


class FailingOptions(msgspec.Struct):
    key: str


@implementer(IPlugin, IStorageFactory)
class Failing:
    name = "ht-failing"
    Options = FailingOptions

    def build(self, options, environment):
        raise ValueError(f"the key {options.key} is malformed")


failing = Failing()
"""


class HiddenSecretsTests(SynchronousTestCase):
    def start(self, text: str | None, environ: dict[str, str]) -> str:
        """Start a daemon that cannot start.

        :returns: what it tells, on its outputs and in its log.
        """
        self.patch(os, "environ", {"PATH": os.environ["PATH"], "HOME": os.getcwd(), **environ})
        options = Options()
        if text is not None:
            Path("giftless.yaml").write_text(text, encoding="utf-8")
            options["config"] = "giftless.yaml"
        told = io.StringIO()
        observer = log_observer("json", told)
        globalLogPublisher.addObserver(observer)
        try:
            with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                failure = self.assertRaises(SystemExit, options.getService, MemoryReactorClock())
        finally:
            globalLogPublisher.removeObserver(observer)
        message = str(failure.code)
        self.assertEqual(len(message.splitlines()), 1, message)
        return f"{message}\n{told.getvalue()}"

    def assert_hidden(self, told: str, words: str) -> None:
        """Check that no secret is told, and that the words that are needed are."""
        for secret in (CANARY, NAME, NAME.lower(), "hunter2", "Canary", "86753098"):
            self.assertNotIn(secret, told)
        self.assertIsNotNone(re.search(words, told), f"{words!r} is not in {told!r}")

    def test_files_that_are_wrong_show_no_secret(self) -> None:
        Path("file").touch()
        for text, words in FILES.items():
            with self.subTest(text):
                self.assert_hidden(self.start(text, {}), words)

    def test_variables_that_are_wrong_show_no_secret(self) -> None:
        for (name, value), words in VARIABLES.items():
            self.assert_hidden(self.start(None, {name: value}), words)

    def test_a_plugin_that_fails_shows_no_secret(self) -> None:
        Path("plugins").mkdir()
        Path("plugins/ht_failing.py").write_text(PLUGIN)
        told = self.start(
            f"plugin_path: [plugins]\nstorage: {{type: ht-failing, key: {CANARY}}}", {}
        )
        self.assert_hidden(
            told, "storage: the plugin 'ht-failing' fails with ValueError in .*, line"
        )
