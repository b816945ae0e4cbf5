"""Warnings of files that others may read or write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.app import permissions
from giftless.app.config import parse
from giftless.app.permissions import warnings

READ = "others can read it"
WRITE = "others can write to it"
GROUP = "its group can write to it"


class PermissionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.folder.chmod(0o755)

    def make(self, name: str, mode: int) -> Path:
        """Make a file with a mode."""
        path = self.folder / name
        path.write_text("x")
        path.chmod(mode)
        return path

    def found(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Return what is warned of, of a configuration in ``c.yaml``."""
        path = str(self.folder / "c.yaml")
        loaded = parse(path, f"state_dir: {self.folder}/none\n{text}", {})
        return list(warnings(loaded.config, path, loaded.text, environ or {}))

    def test_files_with_secrets_must_not_be_readable_by_others(self) -> None:
        path = self.make("key", 0o644)
        for text in (
            f"secret_file: {path}",
            f"auth: [{{type: jwt, key_file: {path}}}]",
            f"auth: [{{type: jwt, private_key_file: {path}}}]",
            f"auth: [{{type: basic, htpasswd: {path}, access: x}}]",
            f"observers: [{{type: webhooks, targets: [{{secrets_file: {path}}}]}}]",
            f"storage: {{type: gcs, credentials_file: {path}}}",
            f"storage: {{type: wrapper, stores: [{{store: {{credentials_file: {path}}}}}]}}",
            f"ssh: {{host_keys: [{path}]}}",
            f"auth: [{{type: github, orgs: [acme], token_file: {path}}}]",
            f"endpoints: ['ssl:443:privateKey={path}:certKey=x']",
            f"endpoints: [{{listen: 'ssl:443:privateKey={path}'}}]",
        ):
            (warning,) = self.found(text)
            self.assertTrue(warning.startswith(f"{path}: {READ}"), warning)
        for mode in (0o600, 0o640, 0o400, 0o660):
            path.chmod(mode)
            self.assertEqual(self.found(f"secret_file: {path}"), [])

    def test_secrets_in_files_that_variables_name(self) -> None:
        path = self.make("conninfo", 0o644)
        variables = {"GIFTLESS_LOCKS__CONNINFO_FILE": str(path)}
        config = parse("c.yaml", "locks: {type: postgresql}", variables).config
        (warning,) = warnings(config, "", "", {})
        self.assertTrue(warning.startswith(f"{path}: {READ}"), warning)

    def test_secrets_of_a_container_are_for_nobody_else(self) -> None:
        """Docker mounts them with mode 0444."""
        path = self.make("key", 0o444)
        self.patch(permissions, "_OF_THE_CONTAINER", f"{self.folder}/")
        self.assertEqual(self.found(f"secret_file: {path}"), [])
        path.chmod(0o446)
        self.assertEqual(len(self.found(f"secret_file: {path}")), 1)

    def test_what_the_daemon_relies_on_must_not_be_writable_by_others(self) -> None:
        path = self.make("file", 0o602)
        directory = self.folder / "dir"
        directory.mkdir()
        directory.chmod(0o757)
        for text, name in (
            (f"secret_file: {path}", path),
            (f"auth: [{{type: basic, htpasswd: {path}, access: x}}]", path),
            (f"auth: [{{type: basic, htpasswd: x, access: {path}}}]", path),
            (f"ssh: {{keys: [{{type: file, keys_file: {path}}}]}}", path),
            (f"ssh: {{keys: [{{authorities_file: {path}, revoked_file: x}}]}}", path),
            (f"ssh: {{keys: [{{authorities_file: x, revoked_file: {path}}}]}}", path),
            (f"plugin_path: [{directory}]", directory),
        ):
            (warning,) = self.found(text)
            self.assertTrue(warning.startswith(f"{name}: {WRITE}"), warning)

    def test_the_state_directory_must_not_be_writable_by_others(self) -> None:
        self.folder.chmod(0o777)
        loaded = parse("", "", {"GIFTLESS_STATE_DIR": str(self.folder)})
        (warning,) = warnings(loaded.config, "", "", {})
        self.assertTrue(warning.startswith(f"{self.folder}: {WRITE}"), warning)

    def test_plugins_and_the_configuration_must_not_be_writable_by_their_group(self) -> None:
        self.folder.chmod(0o775)
        plugin = self.make("plugin.py", 0o664)
        self.make("data.txt", 0o664)
        self.make("c.yaml", 0o664)
        found = self.found(f"plugin_path: [{self.folder}]")
        names = [self.folder / "c.yaml", self.folder, plugin]
        self.assertEqual([line.partition(": ")[0] for line in found], [str(name) for name in names])
        for line in found:
            self.assertIn(GROUP, line)
            self.assertEqual(len(line.splitlines()), 1)

    def test_a_configuration_with_a_secret_must_not_be_readable_by_others(self) -> None:
        self.make("c.yaml", 0o644)
        for text, count in (
            ("threads: 5", 0),
            ("secret_file: none", 0),
            ("secret: hunter2", 1),
            ("storage: {type: s3, secret_access_key: hunter2}", 1),
            ("auth: [{type: jwt, key: hunter2}]", 1),
            ("locks: {type: postgresql, conninfo: 'host=h'}", 1),
        ):
            found = self.found(text)
            self.assertEqual(len(found), count, text)
            for line in found:
                self.assertIn(READ, line)
                self.assertNotIn("hunter2", line)

    def test_credentials_of_clouds_must_not_be_readable_by_others(self) -> None:
        path = self.make("credentials", 0o644)
        for kind, variable in (
            ("s3", "AWS_SHARED_CREDENTIALS_FILE"),
            ("gcs", "GOOGLE_APPLICATION_CREDENTIALS"),
        ):
            (warning,) = self.found(f"storage: {{type: {kind}}}", {variable: str(path)})
            self.assertTrue(warning.startswith(f"{path}: {READ}"), warning)
            self.assertEqual(self.found("storage: {type: local}", {variable: str(path)}), [])
        (self.folder / ".aws").mkdir()
        os.rename(path, self.folder / ".aws" / "credentials")
        (warning,) = self.found("storage: {type: s3}", {"HOME": str(self.folder)})
        self.assertIn(".aws/credentials", warning)

    def test_a_directory_like_tmp_is_not_warned_of(self) -> None:
        self.folder.chmod(0o1777)
        loaded = parse("", "", {"GIFTLESS_STATE_DIR": str(self.folder)})
        self.assertEqual(list(warnings(loaded.config, "", "", {})), [])
